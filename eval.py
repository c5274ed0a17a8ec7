"""Evaluates a checkpoint on both domains.

python eval.py [--config ...] [--checkpoint PATH] [--output DIR] [--config.KEY=VALUE ...]
"""

from absl import flags

from msl_jax.commands.evaluate import evaluate
from msl_jax.runtime import command_line

_CONFIG = command_line.define_config()
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, f"{command_line.PATH_HELP}; default: newest run of --config"
)
_OUTPUT = flags.DEFINE_string("output", None, "folder of the results, default WORKDIR/eval")

if __name__ == "__main__":
    command_line.run(
        lambda: evaluate(_CONFIG.value, _CHECKPOINT.value, _OUTPUT.value, command_line.overrides()),
        __doc__,
        interrupted="no results were written",
    )
