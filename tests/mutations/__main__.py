"""Applies wrong edits to a copy of this project, one at a time, and names those no test notices.

    python tests/mutations [--jobs N] [--only WORDS ...] [--list]

See docs/testing.md. Leaves with 1 where an edit survives or a test cannot be run, with 2 where an
edit no longer fits the code.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from edit import Edit
from edits_of_adversarial import EDITS as OF_ADVERSARIAL
from edits_of_data import EDITS as OF_DATA
from edits_of_files import EDITS as OF_FILES
from edits_of_rounds import EDITS as OF_ROUNDS
from edits_of_runs import EDITS as OF_RUNS
from edits_of_self_training import EDITS as OF_SELF_TRAINING
from edits_of_training import EDITS as OF_TRAINING
from edits_of_weights import EDITS as OF_WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
SURVIVED, KILLED = 0, 1  # exit statuses of pytest: all passed, some failed
SECONDS = 900  # for the tests of one edit
SECONDS_OF_ALL = 3600  # without an edit, nothing compiled before


class Copy(NamedTuple):
    """A copy of the project, with a folder for what its tests write."""

    tree: Path
    scratch: Path


def misfits(edits: Sequence[Edit]) -> list[str]:
    """Lines about edits that do not fit the code."""
    found = []
    for edit in edits:
        path = ROOT / edit.file
        count = path.read_text().count(edit.old) if path.is_file() else -1
        if count != 1 or edit.old == edit.new:
            problem = "no such file" if count < 0 else f"found {count} times, expected once"
            found.append(f"{edit.title}: {edit.file}: {edit.old!r}: {problem}")
    return found


def copied(folder: Path) -> Copy:
    """A copy of the files that git knows or would add, with the shared data beside it."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    copy = Copy(folder / "project", folder / "scratch")
    for name in map(os.fsdecode, filter(None, names)):
        if (ROOT / name).is_file():
            (copy.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy.tree / name)
    copy.scratch.mkdir()
    if SHARED.is_dir():
        (folder / "shared").symlink_to(SHARED.resolve())
    return copy


def tested(copy: Copy, tests: Sequence[str], seconds: int) -> tuple[int, str]:
    """Exit status and output of the tests in a copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy.tree),  # before an installed package
        "PYTHONDONTWRITEBYTECODE": "1",  # of an edit that has been undone
        "TMPDIR": str(copy.scratch),
    }
    try:
        done = subprocess.run(
            command,
            cwd=copy.tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return -1, f"more than {seconds} seconds"
    return done.returncode, done.stdout + done.stderr


def with_edit(copies: queue.SimpleQueue[Copy], edit: Edit) -> tuple[int, str, float]:
    """Status and output of an edit's tests, and the seconds they took."""
    copy = copies.get()
    path, start = copy.tree / edit.file, time.monotonic()
    before = path.read_text()
    try:
        path.write_text(before.replace(edit.old, edit.new))
        status, output = tested(copy, edit.tests, SECONDS)
    finally:
        path.write_text(before)
        copies.put(copy)
    return status, output, time.monotonic() - start


def run(edits: Sequence[Edit], jobs: int) -> int:
    """Applies all edits; the exit status."""
    with tempfile.TemporaryDirectory(prefix="msl_jax_mutations_") as temporary:
        first = copied(Path(temporary) / "0")
        names = sorted({test for edit in edits for test in edit.tests})
        print(f"the {len(names)} tests without an edit ...", flush=True)
        status, output = tested(first, names, SECONDS_OF_ALL)
        if status != 0:
            print(f"{output}\nthey do not pass without an edit")
            return 1
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        copies.put(first)
        for number in range(1, jobs):
            copies.put(another := copied(Path(temporary) / str(number)))
            # With the compiled programs.
            shutil.copytree(first.scratch, another.scratch, dirs_exist_ok=True, symlinks=True)
        words = {SURVIVED: "SURVIVED", KILLED: "killed"}
        count = dict.fromkeys([*words.values(), "NOT RUN"], 0)
        with ThreadPoolExecutor(jobs) as pool:
            pending = {pool.submit(with_edit, copies, edit): edit for edit in edits}
            for done in as_completed(pending):
                status, output, seconds = done.result()
                word = words.get(status, "NOT RUN")
                count[word] += 1
                print(f"{word:8}  {seconds:4.0f} s  {pending[done].title}", flush=True)
                if word == "NOT RUN":
                    print(output)
    print(f"{len(edits)} edits: " + ", ".join(f"{n} {word}" for word, n in count.items()))
    return 0 if count["killed"] == len(edits) else 1


def main() -> int:
    """Runs the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python tests/mutations", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="edits at the same time")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORDS", help="in the title or the file, any"
    )
    parser.add_argument("--list", action="store_true", help="apply none")
    given = parser.parse_args()
    edits = [
        edit
        for edit in (
            *(*OF_TRAINING, *OF_ADVERSARIAL, *OF_SELF_TRAINING),
            *(*OF_RUNS, *OF_ROUNDS, *OF_DATA, *OF_FILES, *OF_WEIGHTS),
        )
        if any(words in f"{edit.title}\n{edit.file}" for words in given.only)
    ]
    if problems := misfits(edits):
        print("edits that do not fit the code:", *problems, sep="\n  ")
        return 2
    if given.list or not edits:
        print(*(f"{edit.file}: {edit.title}" for edit in edits), sep="\n")
        return 0
    return run(edits, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
