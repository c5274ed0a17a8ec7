"""`msl-jax eval` and `python eval.py`."""

from __future__ import annotations

from absl import flags as absl_flags

from msl_jax.cli import flags

_ABOUT = "Evaluates a checkpoint on both domains or one."
_ARGUMENTS = """[--config ...] [--checkpoint PATH[,PATH ...]] [--output DIR]
    [--domain target|source] [--config.KEY=VALUE ...]"""


def main() -> None:
    """Runs the command."""
    config = flags.define_config()
    checkpoint = absl_flags.DEFINE_string(
        "checkpoint",
        None,
        f"{flags.PATH_HELP}; default: newest run of --config",
    )
    output = absl_flags.DEFINE_string(
        "output", None, "folder of the results, default WORKDIR/eval, or eval-target and the like"
    )
    domain = absl_flags.DEFINE_enum(
        "domain", None, ["target", "source"], "the one to evaluate, default both"
    )

    def command() -> None:
        from msl_jax.commands.evaluate import evaluate

        evaluate(config.value, checkpoint.value, output.value, flags.overrides(), domain.value)

    flags.run(
        command,
        flags.usage(_ABOUT, "eval.py", _ARGUMENTS),
        interrupted="no results were written",
        described=[checkpoint, output, domain],
    )
