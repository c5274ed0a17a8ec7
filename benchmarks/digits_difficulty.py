"""Fig. 5 on digits: the most and the least confident test images over the adaptation.

    python -m benchmarks.digits_difficulty --workdir W --output DIR [--seeds 0,1,2,3,4]

W is the workdir of `python -m benchmarks.tables --config configs/digits.py`, whose source-only
networks are the starting points. Each is adapted with either loss as set in configs/digits.py, and
measured every 20 steps on the target's test images: all of them, the 30 % about which the
source-only network was most confident (top), and the 30 % about which it was least confident
(bottom). What is already in DIR is not repeated. Writes DIR/SOURCE-TARGET/LOSS-seedS.json, and the
mean over seeds to DIR/SOURCE-TARGET.png and .svg.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables.runs import TASKS, plan, seeds_of
from msl_jax.runtime.command_line import guard

CONFIG = Path(__file__).parents[1] / "configs" / "digits.py"
LOSSES = {"max_square": "MaxSquare", "minent": "EntMin"}
SETS = {"top": "top 30 %", "all": "all", "bottom": "bottom 30 %"}
EVERY = 20


def measure_all(workdir: Path, seeds: Sequence[int], output: Path) -> None:
    """Measures the adaptations that are not in `output` yet."""
    from benchmarks.tables.files import result_file
    from benchmarks.tables.sweep import Experiment
    from msl_jax.analysis.adaptation import watched_classification
    from msl_jax.runtime.compilation_cache import keep_compiled_programs
    from msl_jax.runtime.files import write_json

    keep_compiled_programs()
    experiment = Experiment(str(CONFIG), {}, workdir.absolute())
    for run in plan(seeds, list(LOSSES), tasks=list(TASKS["digits"])):
        file = result_file(output, run)
        if run.variant not in LOSSES or file.exists():
            continue
        print(run.title, file=sys.stderr)
        course = watched_classification(experiment.config(run), every=EVERY)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, course._asdict())


def read_courses(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The measurements of one direction by loss, for all seeds in the folder."""
    return {
        loss: [json.loads(path.read_text()) for path in sorted(folder.glob(f"{loss}-seed*.json"))]
        for loss in LOSSES
    }


def gain(courses: Sequence[Mapping[str, Any]], name: str) -> float:
    """Last accuracy of a set minus its first, mean over seeds."""
    return float(np.mean([c["accuracy"][-1][name] - c["accuracy"][0][name] for c in courses]))


def numbers(folder: Path) -> dict[str, Any]:
    """Mean accuracy before and after, and its gain, by loss and set, for one direction."""
    return {
        loss: {
            "seeds": len(courses),
            **{
                name: {
                    "before": float(np.mean([c["accuracy"][0][name] for c in courses])),
                    "after": float(np.mean([c["accuracy"][-1][name] for c in courses])),
                    "gain": gain(courses, name),
                }
                for name in SETS
            },
        }
        for loss, courses in read_courses(folder).items()
        if courses
    }


def figure(folder: Path, title: str) -> Any:
    """Plots the accuracy of the sets over the steps, mean over seeds."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(6, 5), layout="constrained")
    axes = page.subplots()
    colors = {"top": "tab:green", "all": "tab:blue", "bottom": "tab:red"}
    for loss, courses in read_courses(folder).items():
        for name, label in SETS.items() if courses else ():
            mean = np.mean([[a[name] for a in c["accuracy"]] for c in courses], axis=0)
            style = "-" if loss == "max_square" else "--"
            axes.plot(
                courses[0]["steps"],
                100 * mean,
                style,
                color=colors[name],
                label=f"{LOSSES[loss]}, {label}",
            )
    axes.set(xlabel="step", ylabel="accuracy in %", title=title)
    page.legend(loc="outside lower center", ncols=2, fontsize="small")  # lines fill the axes
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.digits_difficulty", description=__doc__
    )
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2,3,4", help="default: 0,1,2,3,4")
    given = parser.parse_args(arguments)
    try:
        from msl_jax.analysis.plots import save
    except ImportError as error:
        parser.error(f'{error}; the plots need matplotlib: pip install -e ".[notebooks]"')
    measure_all(given.workdir, seeds_of(given.seeds.split(",")), given.output)
    found = {}
    for direction, title in TASKS["digits"].items():
        folder = given.output / direction
        found[direction] = numbers(folder)
        save(figure(folder, title), given.output, direction)
    print(json.dumps({"benchmark": "digits_difficulty", "accuracy": found}, indent=2))


if __name__ == "__main__":
    guard(main, "the same command continues")
