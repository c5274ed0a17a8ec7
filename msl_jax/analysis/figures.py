"""The paper's figures for a run of your own: PNG and SVG.

    python -m msl_jax.analysis.figures --workdir RUN --output DIR [--compare RUN ...]

RUN is the workdir of a finished run of an adapting variant with a labelled target; the state before
is its source-only stage, or what it started from (init_from). Fig. 5 has a point for every
checkpoint of the adaptation that still exists: train with --config.eval_every=STEPS and
--config.keep_every=STEPS for more of them. --compare adds the curves of further runs that started
from the same source-only network, one of each variant. For a classification, images take the place
of pixels, and the accuracy of a class that of its IoU. The files are

    gradients            Fig. 1: the size of the gradients against p, and for many classes
    gradient_shares      which pixels and classes get the gradient, before and after
    class_balance        Fig. 2 and Fig. 4: confidence and log frequency against IoU
    difficulty           Fig. 5: accuracy of the most and least confident pixels over the adaptation
    guidance             for Multi: which pixels pass, how many of them rightly, and the low head
    figures.json         the numbers in them
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msl_jax.runtime import command_line, extras
from msl_jax.runtime.errors import UserError


def write_figures(workdir: str, output: str | Path, compare: Sequence[str] = ()) -> dict[str, Any]:
    """Measures a run and writes the figures.

    Args:
        workdir: see `msl_jax.analysis.before_after.study`.
        output: a folder, created if it is missing; figures of the same names are replaced.
        compare: workdirs of further runs for Fig. 5.

    Returns:
        The numbers, as in ``figures.json``.

    Raises:
        UserError: no such run, no labels, runs that cannot be compared, or the folder cannot be
            written to.
    """
    from msl_jax.analysis import paper_figures
    from msl_jax.analysis.before_after import study
    from msl_jax.analysis.plots import save
    from msl_jax.runtime.files import make_folder, write_json

    found, folder = study(workdir), Path(output)
    others = [study(run) for run in compare]
    variants = [other.variant for other in (found, *others)]
    for run, other in zip(compare, others, strict=True):
        if other.accuracy[0] != found.accuracy[0] or variants.count(other.variant) > 1:
            raise UserError(
                f"--compare {run} ({other.variant}): expected another variant that started from the"
                f" source-only network of {workdir} ({found.variant})"
            )
    make_folder(folder, "--output")
    for name, figure in paper_figures.figures(found, others).items():
        save(figure, folder, name)
    numbers = paper_figures.numbers(found, others)
    write_json(folder / "figures.json", numbers)
    return numbers


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog=command_line.program("python -m msl_jax.analysis.figures"),
        description="Writes the paper's figures for a finished run.",
    )
    parser.add_argument("--workdir", required=True, help="a finished run of an adapting variant")
    parser.add_argument("--output", required=True, help="folder for the figures")
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="RUN", help="further runs for Fig. 5"
    )
    options = parser.parse_args(arguments)
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            f"figures need matplotlib: {extras.command('notebooks')} (or pip install matplotlib)"
        ) from error
    matplotlib.use("agg")
    write_figures(options.workdir, options.output, options.compare)
    print(f"Figures: {options.output}")


def command() -> None:
    """Runs it as a command of its own: errors as one message."""
    command_line.guard(main, "nothing has been changed except for the figures written so far")


if __name__ == "__main__":
    command()
    sys.exit()
