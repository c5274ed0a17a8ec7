"""The two pictures at the head of README.md, on a light page and on a dark one.

    python train.py --workdir RUN
    python -m benchmarks.first_screen --workdir RUN --output docs/images

RUN is a finished run of the demo. Writes

    demo-light.png, demo-dark.png         target images of RUN, predictions before and after, labels
    results-light.svg, results-dark.svg   the kept results of the demo and of CamVid

The images are not picked by hand: all of the evaluation split are sorted by what the adaptation
gains in them, the share of the pixels that are right, and those at the upper quartile, the median
and the lower quartile are shown. Needs matplotlib (pip install -e ".[notebooks]").
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from msl_jax.runtime.command_line import guard
from msl_jax.runtime.errors import UserError

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_screen",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", type=Path, required=True, help="a finished run of the demo")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: docs/results")
    given = parser.parse_args(arguments)
    try:
        from benchmarks.first_screen import chart, strip
        from benchmarks.first_screen.theme import DARK, LIGHT
    except ImportError as error:
        raise UserError(
            f'{error}: the pictures need matplotlib: pip install -e ".[notebooks]"'
        ) from error
    from msl_jax.runtime.files import make_folder

    shown = strip.read_strip(given.workdir)
    make_folder(given.output, "--output")
    for theme in (LIGHT, DARK):
        strip.write(strip.draw(shown, theme), given.output / f"demo-{theme.name}.png")
        chart.write(chart.draw(given.results, theme), given.output, f"results-{theme.name}")
    print(f"Pictures: {given.output}")


if __name__ == "__main__":
    guard(main, "the same command makes all pictures again")
