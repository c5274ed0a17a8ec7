"""`msl-jax prior`."""

from __future__ import annotations

from absl import flags as absl_flags

from msl_jax.cli import flags
from msl_jax.runtime import command_line

_ABOUT = "Counts where in an image each class of the source lies: the prior of cbst_sp."
_ARGUMENTS = "[--config ...] --output FILE [--sigma PIXELS]\n    [--config.KEY=VALUE ...]"


def main() -> None:
    """Runs the command."""
    config = flags.define_config()
    output = absl_flags.DEFINE_string("output", None, "file to write, such as prior.npz")
    sigma = absl_flags.DEFINE_float(
        "sigma", None, "standard deviation of the smoothing; default: 11.7 at a width of 2048"
    )

    def command() -> None:
        from msl_jax.commands.prior import make_prior

        make_prior(config.value, output.value, sigma.value)

    about = f"{_ABOUT}\n\n{command_line.program('python -m msl_jax prior')} {_ARGUMENTS}"
    flags.run(command, about, interrupted="nothing was written", described=[output, sigma])
