"""Writes one HTML page of a run.

python -m msl_jax.report --workdir RUN [--output FILE] [--images 24]
"""

from msl_jax.report import command
from msl_jax.runtime.command_line import guard


def main() -> None:
    """Runs the command."""
    guard(command.main, "nothing was written")


if __name__ == "__main__":
    main()
