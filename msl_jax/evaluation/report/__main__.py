"""Writes one HTML page of a run.

python -m msl_jax.evaluation.report --workdir RUN [--output FILE] [--images 24]
"""

from msl_jax.commands.command_line import guard
from msl_jax.evaluation.report.command import main

if __name__ == "__main__":
    guard(main, "nothing was written")
