"""`msl-jax train` and `python train.py`."""

from __future__ import annotations

import textwrap

from absl import flags as absl_flags

from msl_jax.cli import flags
from msl_jax.methods.variants import DEFAULT_VARIANT, VARIANTS_OF

_ABOUT = "Trains a configuration: source-only, then adapted to the target domain."
_ARGUMENTS = """[--config NAME[:VARIANT]] [--workdir DIR]
    [--config.KEY=VALUE ...]"""


def main() -> None:
    """Runs the command."""
    config = flags.define_config()
    workdir = absl_flags.DEFINE_string(
        "workdir",
        None,
        "folder of the run, default runs/NAME-VARIANT-seedS; continued if it exists",
    )

    def command() -> None:
        from msl_jax.commands.train import train

        train(config.value, workdir.value, flags.overrides())

    flags.run(
        command,
        flags.usage(_ABOUT, "train.py", _ARGUMENTS),
        interrupted="the same command continues from the last checkpoint",
        described=[workdir],
        more=_choices,
    )


def _choices() -> str:
    """The configurations and the variants."""
    from msl_jax.cli import listing

    (configurations,) = listing.configurations()
    names = [
        f"Variants of a {task}:\n{textwrap.indent(textwrap.fill(', '.join(found), 77), '  ')}"
        for task, found in VARIANTS_OF.items()
    ]
    default = f"Default: {DEFAULT_VARIANT}, for a classification max_square."
    return "\n" + "\n\n".join(
        [listing.text(configurations).rstrip(), *names, f"{default}\nmsl-jax list shows more."]
    )
