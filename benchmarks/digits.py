"""All variants of configs/digits.py over seeds, both directions.

    python -m benchmarks.digits --workdir W [--seeds 0,1,2,3,4] [--output DIR] [--report_only]

Each run is what `train.py --config configs/digits.py:VARIANT` does, in the folder
W/SOURCE-TARGET/seedS/VARIANT; all that adapt begin with the network of their `source` run. What is
finished is not run again, what was stopped goes on. Results are copied to
DIR/SOURCE-TARGET/VARIANT-seedS.json (default W/results). Prints one JSON object: mean, standard
deviation over seeds (n - 1) and range of the target accuracy after the last step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import runpy
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.commands.command_line import guard

CONFIG = Path(__file__).parents[1] / "configs" / "digits.py"
DIRECTIONS = (("mnist", "uci"), ("uci", "mnist"))
VARIANTS = ("source", "target_statistics", "minent", "max_square", "dann", "oracle")
_ALONE = ("source", "oracle")  # begin with nothing


def plan(workdir: Path, seeds: Sequence[int]) -> Iterator[tuple[Path, ConfigDict]]:
    """Folder and configuration of each run, in an order that completes seed by seed."""
    get_config = runpy.run_path(str(CONFIG))["get_config"]
    for seed in seeds:
        for source, target in DIRECTIONS:
            folder = workdir / f"{source}-{target}" / f"seed{seed}"
            for variant in VARIANTS:
                config = get_config(variant)
                config.source, config.target, config.seed = source, target, seed
                if variant not in _ALONE:
                    config.init_from = str(folder / "source")
                yield folder / variant, config


def run_all(workdir: Path, seeds: Sequence[int], output: Path) -> None:
    """Trains what is not finished, and copies the results."""
    from msl_jax import runs
    from msl_jax.commands.compilation_cache import keep_compiled_programs
    from msl_jax.commands.train import train

    keep_compiled_programs()
    for folder, config in plan(workdir, seeds):
        direction, seed, variant = folder.parts[-3:]
        copy = output / direction / f"{variant}-{seed}.json"
        if copy.exists():
            continue
        print(f"{direction} {seed} {variant}", file=sys.stderr)
        with contextlib.redirect_stdout(sys.stderr):
            results = train(config, str(folder))
        copy.parent.mkdir(parents=True, exist_ok=True)
        runs.write_json(copy, results)


def read_results(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Direction and results of every run in a folder that `run_all` copied to."""
    return [
        (path.parent.name, json.loads(path.read_text()))
        for path in sorted(folder.glob("*/*.json"))
        if re.fullmatch(r"\w+-seed\d+\.json", path.name)
    ]


def summary(results: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Target accuracy of each direction and variant over seeds, in [0, 1].

    >>> one = {"variant": "minent", "seed": 0, "final": {"target": {"accuracy": 0.5}}}
    >>> two = {"variant": "minent", "seed": 1, "final": {"target": {"accuracy": 0.75}}}
    >>> summary([("a-b", one), ("a-b", two)])["a-b"]["minent"]["mean"]
    0.625
    """
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for direction, result in results:
        found[direction][result["variant"]].append(result["final"]["target"]["accuracy"])
    return {
        direction: {
            variant: {
                "mean": statistics.fmean(rows[variant]),
                "standard_deviation": (
                    statistics.stdev(rows[variant]) if len(rows[variant]) > 1 else None
                ),
                "range": [min(rows[variant]), max(rows[variant])],
                "seeds": len(rows[variant]),
            }
            for variant in VARIANTS
            if variant in rows
        }
        for direction, rows in found.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.digits", description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2,3,4", help="default: 0,1,2,3,4")
    parser.add_argument("--output", type=Path, help="of the results, default WORKDIR/results")
    parser.add_argument("--report_only", action="store_true", help="of what is finished")
    given = parser.parse_args(arguments)
    output = given.output or given.workdir / "results"
    if not given.report_only:
        run_all(given.workdir, [int(seed) for seed in given.seeds.split(",")], output)
    print(json.dumps({"benchmark": "digits", "accuracy": summary(read_results(output))}, indent=2))


if __name__ == "__main__":
    guard(main, "the same command goes on")
