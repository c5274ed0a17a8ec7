"""Everything that has to be seen on a machine with a GPU, in one command and a limited time.

    python -m benchmarks.accelerator --minutes 10 --output DIR
    python -m benchmarks.accelerator --output DIR --markdown

The most important comes first: the device and its limits, losses against golden values, the
training step against PyTorch's, losses by size of their tiles, evaluation, the network against
golden values, more steps, the methods, the input, a real training. What is done is in
DIR/results.jsonl at once, and as tables in DIR/results.md; whatever ends the command loses no more
than the case it was in. The same command goes on with what is missing.

Needs jax, flax, optax, numpy and ml_collections; PyTorch for its side, what msl_jax needs for input
and training. What is missing is said. On a machine without a GPU: `--sizes small`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accelerator.cases import all_cases
from benchmarks.accelerator.markdown import tables
from benchmarks.accelerator.results import Outcome, Results, read
from benchmarks.accelerator.running import run
from benchmarks.accelerator.sizes import SIZES
from benchmarks.accelerator.worker import Worker

_SHARED = Path(__file__).parents[3] / "shared"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    options = _options(arguments)
    folder: Path = options.output
    if options.markdown:
        print(tables(read(folder)))
        return 0
    before = read(folder)
    if before and before["sizes"].result != options.sizes:
        print(f"{folder} has results of --sizes {before['sizes'].result}", file=sys.stderr)
        return 2
    results = Results(folder)

    def report(outcome: Outcome) -> None:
        results.add(outcome)
        (folder / "results.md").write_text(tables(read(folder)) + "\n")
        line = outcome.problem.splitlines()[-1] if outcome.problem else "done"
        print(f"{outcome.name}: {line}, {outcome.seconds:.1f} s", file=sys.stderr, flush=True)

    if not before:
        results.add(Outcome("sizes", options.sizes, None, 0.0))
    with tempfile.TemporaryDirectory() as cache:
        cases = all_cases(
            options.sizes, cache=Path(cache), goldens=options.goldens, camvid=options.camvid
        )
        done = {name for name, outcome in before.items() if outcome.result is not None}
        wanted = [
            case
            for case in cases
            if case.name not in done and case.name.startswith(tuple(options.only))
        ]
        left_out = run(
            wanted,
            seconds=60 * options.minutes,
            clock=time.monotonic,
            start=Worker,
            report=report,
        )
    if left_out:
        print(f"no time was left for: {', '.join(left_out)}", file=sys.stderr)
    print(f"{len(read(folder)) - 1} of {len(cases)} cases are in {folder}; see results.md there")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description="Measures everything on a machine with a GPU, in a limited time.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for results")
    parser.add_argument("--sizes", choices=tuple(SIZES), default="paper", help="default: paper")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="NAME", help="cases whose names begin so"
    )
    parser.add_argument("--goldens", type=Path, default=_SHARED / "goldens", metavar="DIR")
    parser.add_argument("--camvid", type=Path, default=_SHARED / "camvid", metavar="DIR")
    parser.add_argument(
        "--markdown", action="store_true", help="print the tables of DIR; measure nothing"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
