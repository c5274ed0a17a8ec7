"""The paper's figures for a run of one's own: PNG and SVG.

    python -m msl_jax.analysis.figures --workdir RUN --output DIR [--beside RUN ...]

RUN is the workdir of a finished run of an adapting variant with a labelled target; the state before
is its source-only stage, or what it began with (init_from). Fig. 5 has a point for every checkpoint
of the adaptation that is still there: train with --config.eval_every=STEPS and
--config.keep_every=STEPS for more of them. --beside adds the curves of further runs that began with
the same source-only network, one of each variant. For a classification, images take the place of
pixels and the accuracy of a class that of its IoU. Written are

    gradients            Fig. 1: the size of the gradients against p, and for many classes
    gradient_shares      which pixels and classes get the gradient, before and after
    class_balance        Fig. 2 and Fig. 4: confidence and log frequency against IoU
    difficulty           Fig. 5: accuracy of the most and least confident pixels over the adaptation
    guidance             of Multi: which pixels pass, how rightly, the low head before and after
    figures.json         the numbers in them
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msl_jax.runtime.command_line import guard
from msl_jax.runtime.errors import UserError


def write_figures(workdir: str, output: str | Path, beside: Sequence[str] = ()) -> dict[str, Any]:
    """Studies a run and writes the figures.

    Args:
        workdir: see `msl_jax.analysis.before_after.study`.
        output: a folder, made where it is missing; figures of the same names are replaced.
        beside: workdirs of runs that stand in Fig. 5 too.

    Returns:
        The numbers, as in ``figures.json``.

    Raises:
        UserError: no such run, no labels, runs that do not compare, or the folder cannot be
            written.
    """
    from msl_jax.analysis import paper_figures
    from msl_jax.analysis.before_after import study
    from msl_jax.analysis.saving import save
    from msl_jax.runs import workdir as runs

    found, folder = study(workdir), Path(output)
    others = [study(run) for run in beside]
    variants = [other.variant for other in (found, *others)]
    for run, other in zip(beside, others, strict=True):
        if other.accuracy[0] != found.accuracy[0] or variants.count(other.variant) > 1:
            raise UserError(
                f"--beside {run} ({other.variant}): expected another variant than those given, from"
                f" the source-only network of {workdir} ({found.variant})"
            )
    runs.make_folder(folder, "--output")
    for name, figure in paper_figures.figures(found, others).items():
        save(figure, folder, name)
    numbers = paper_figures.numbers(found, others)
    runs.write_json(folder / "figures.json", numbers)
    return numbers


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m msl_jax.analysis.figures",
        description="Writes the paper's figures for a finished run.",
    )
    parser.add_argument("--workdir", required=True, help="a finished run of an adapting variant")
    parser.add_argument("--output", required=True, help="folder for the figures")
    parser.add_argument(
        "--beside", nargs="+", default=[], metavar="RUN", help="further runs for Fig. 5"
    )
    options = parser.parse_args(arguments)
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            'figures need matplotlib: pip install ".[notebooks]" (or pip install matplotlib)'
        ) from error
    matplotlib.use("agg")
    write_figures(options.workdir, options.output, options.beside)
    print(f"Figures: {options.output}")


if __name__ == "__main__":
    guard(main, "nothing has been changed but the figures written so far")
    sys.exit()
