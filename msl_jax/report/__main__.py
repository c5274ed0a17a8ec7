"""Writes one HTML page of a run.

python -m msl_jax.report --workdir RUN [--output FILE] [--images 24]
"""

from msl_jax.report.command import main
from msl_jax.runtime.command_line import guard

if __name__ == "__main__":
    guard(main, "nothing was written")
