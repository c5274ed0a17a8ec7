"""Trains a configuration: source-only, then adapted to the target domain.

python train.py [--config configs/NAME.py[:VARIANT]] [--workdir DIR] [--config.KEY=VALUE ...]
"""

from absl import flags

from msl_jax.commands.train import train
from msl_jax.runtime import command_line

_CONFIG = command_line.define_config()
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "folder of the run, default runs/NAME-VARIANT-seedS; continued if it exists"
)

if __name__ == "__main__":
    command_line.run(
        lambda: train(_CONFIG.value, _WORKDIR.value),
        __doc__,
        interrupted="the same command continues from the last checkpoint",
    )
