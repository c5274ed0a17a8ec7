"""Everything that must be measured on a machine with a GPU, in one command and a limited time.

    python -m benchmarks.accelerator --minutes 10 --output DIR
    python -m benchmarks.accelerator --output DIR --markdown

The most important comes first: the device and its limits, losses against golden values, the
training step against PyTorch's, losses by tile size, a real training run, the network against
golden values, evaluation, more steps, kernels, the methods, the input. Each result is written to
DIR/results.jsonl at once, so an interruption loses only the case in progress. At the end the tables
are in DIR/results.md. The same command on the same machine continues with what is missing.

Needs jax, flax, optax, numpy and ml_collections; PyTorch for its side; the other dependencies of
msl_jax for input and training. Says what is missing. On a machine without a GPU: `--sizes small`,
or `--only methods`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accelerator.cases import all_cases
from benchmarks.accelerator.markdown import tables
from benchmarks.accelerator.results import Outcome, Results, read
from benchmarks.accelerator.running import Case, run
from benchmarks.accelerator.sizes import SIZES
from benchmarks.accelerator.worker import Worker
from benchmarks.support.measuring import ROOT

_SHARED = ROOT.parent / "shared"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    options = _options(arguments)
    folder: Path = options.output
    before = read(folder)
    if options.markdown:
        print(tables(before))
        return 0
    if before and before["sizes"].result != options.sizes:
        return _refuse(f"{folder} has results of --sizes {before['sizes'].result}")
    with tempfile.TemporaryDirectory() as cache:
        cases = all_cases(
            options.sizes,
            cache=Path(cache),
            goldens=options.goldens,
            camvid=options.camvid,
            seconds=options.seconds,
        )
        device, *others = cases
        done = {name for name, outcome in before.items() if outcome.result is not None}
        wanted = [
            case
            for case in others
            if case.name not in done and case.name.startswith(tuple(options.only))
        ]
        end = time.monotonic() + 60 * options.minutes
        here: list[Outcome] = []
        run([device], seconds=120, clock=time.monotonic, start=Worker, report=here.append)
        if refusal := _unfit(here[0], before.get("device"), options.sizes, wanted):
            return _refuse(refusal)
        results, revision = Results(folder), _revision()
        if not before:
            results.add(Outcome("sizes", options.sizes, None, 0.0, revision))
            results.add(here[0]._replace(revision=revision))

        def report(outcome: Outcome) -> None:
            results.add(outcome._replace(revision=revision))
            said = outcome.problem or "done"
            print(f"{outcome.name}: {said}, {outcome.seconds:.1f} s", file=sys.stderr, flush=True)

        left_out = run(
            wanted,
            seconds=end - time.monotonic(),
            clock=time.monotonic,
            start=Worker,
            report=report,
        )
    if left_out:
        print(f"no time left for: {', '.join(left_out)}", file=sys.stderr)
    found = read(folder)
    made = sum(outcome.result is not None for outcome in found.values()) - 1
    print(f"{made} of {len(cases)} cases are in {folder}; the same command continues")
    (folder / "results.md").write_text(tables(found) + "\n")
    return 0


def _unfit(here: Outcome, before: Outcome | None, sizes: str, wanted: Sequence[Case]) -> str | None:
    """Why this machine cannot measure, or its figures do not belong in the folder; else None."""
    if here.result is None:
        return f"no usable device: {here.problem}"
    large = any(not case.name.startswith("methods/") for case in wanted)
    if sizes == "paper" and here.result["platform"] == "cpu" and large:
        return (
            "no accelerator here, and --sizes paper takes hours on a CPU: use --sizes small, or"
            " --only methods, whose network is light"
        )
    for key in ("device", "versions", "driver") if before else ():
        old, new = before.result[key], here.result[key]  # type: ignore[union-attr]
        if old != new:
            return f"the folder has results of another machine: {key} {old}, here {new}"
    return None


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


def _revision() -> str | None:
    """The repository's revision, None outside a repository."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description="Measures everything that needs a GPU, in a limited time.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for results")
    parser.add_argument("--sizes", choices=tuple(SIZES), default="paper", help="default: paper")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="NAME", help="cases whose names start with this"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="for the rounds of a case, where 2 are few"
    )
    parser.add_argument("--goldens", type=Path, default=_SHARED / "goldens", metavar="DIR")
    parser.add_argument("--camvid", type=Path, default=_SHARED / "camvid", metavar="DIR")
    parser.add_argument(
        "--markdown", action="store_true", help="print the tables of DIR; measure nothing"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
