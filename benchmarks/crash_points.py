"""Visits the points at which a crash can leave a command's files, and continues from each.

    python -m benchmarks.crash_points --seconds 600

For each of train (two stages, stopped once in each), prepare, convert, predict and report: runs the
command undisturbed, then once more with a copy of its folder made before every file operation
(`benchmarks.support.file_operations`). Such a copy is what a process leaves that is killed there.
From copies that differ, in random order until the time is up, the same command is given again, and
what it ends with is compared with what the undisturbed one left, file by file. Small networks
classify and segment small photos that are drawn for it (`benchmarks.support.crash_commands`), so
that a command takes a second or two.

Prints one JSON object: for each command the operations, the states that differ, those continued,
and those that ended otherwise, with the files. The exit status is 1 if there are any.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks.support.crash_commands import (
    Command,
    commands,
    draw_photos,
    segmenter_training,
)
from benchmarks.support.file_operations import watch
from benchmarks.support.measuring import ROOT, compilation_cache, progress
from benchmarks.support.reporting import at_least_one, surroundings
from msl_jax.runs import checksums
from msl_jax.runs.arrays import read_tree

# Files that tell of the process or of wall-clock time: no two runs have the same. They are neither
# compared nor told apart, which docs/reliability.md says.
_OF_ITS_OWN = ("training.lock", "events.out.tfevents.*", "metrics.jsonl")
_TIMEOUT = 300  # seconds, for a command that hangs
_STOPPED = 143  # exit status after SIGTERM


def visit(command: Command, work: Path, folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Visits the crash points of a command.

    Args:
        command: see the class.
        work: where it writes; made and removed.
        folder: for copies of `work`, which need room.
        seconds: after which no further state is continued; one always is.
        seed: for the order of the states.

    Returns:
        ``{"operations", "states", "continued", "wrong": {state: differences}}``.
    """
    whole, states = folder / "whole", folder / "states"
    _restore(command.begins, work)
    code, said = _run(command)
    if code != 0:
        raise RuntimeError(f"{command.name} ended with status {code}:\n{said}")
    shutil.copytree(work, whole, symlinks=True)
    _restore(command.begins, work)
    for stop in (*command.stops, None):
        code, said = _run(command, functools.partial(_trace, work, states, stop))
        if code != (_STOPPED if stop else 0):
            raise RuntimeError(f"{command.name}, traced, ended with status {code}:\n{said}")
    if different := _different(whole, work):
        raise RuntimeError(f"{command.name}, traced, left something else: {different}")
    operations = sum(1 for _ in (states / "log").open())
    found = sorted(path for path in states.iterdir() if path.is_dir())
    random.Random(seed).shuffle(found)
    wrong: dict[str, Any] = {}
    begun, continued = time.monotonic(), 0
    for state in found:
        if continued and time.monotonic() - begun > seconds:
            break
        _restore(state, work)
        code, said = _run(command)
        continued += 1
        if different := _different(whole, work):
            wrong[state.name] = {"status": code, "files": different, "said": said[-500:]}
            progress(f"{command.name}, {state.name}: {wrong[state.name]}")
    shutil.rmtree(work)
    progress(f"{command.name}: {operations} operations, {continued} of {len(found)} states")
    return {
        "operations": operations,
        "states": len(found),
        "continued": continued,
        "wrong": wrong,
    }


def _different(whole: Path, work: Path) -> list[str]:
    """`differences`, in a process of its own: reading arrays starts threads."""
    found: list[str] = json.loads(_forked(lambda: print(json.dumps(differences(whole, work))))[1])
    return found


def differences(expected: Path, found: Path) -> list[str]:
    """What is in one of two folders alone or differs, apart from files of `_OF_ITS_OWN`.

    Arrays that orbax has written, in files of random names, are compared by their values.
    """
    one, other = _meanings(expected), _meanings(found)
    return sorted(name for name in one | other if one.get(name) != other.get(name))


def _meanings(folder: Path) -> dict[str, Any]:
    trees = {path.parent for path in folder.rglob("manifest.ocdbt")}
    trees = {path for path in trees if not trees & set(path.parents)}
    arrays = {
        str(path.relative_to(folder)): [
            (name, array.dtype, array.tobytes())
            for name, array in flatten_dict(jax.tree.map(np.asarray, read_tree(path))).items()
        ]
        for path in trees
    }
    files = {
        name: content
        for name, content in _contents(folder)
        if not trees & set((folder / name).parents) and Path(name).name != checksums.NAME
    }
    return {**files, **arrays}


def _contents(folder: Path) -> Iterator[tuple[str, bytes | None]]:
    for path in folder.rglob("*"):
        if not any(path.match(pattern) for pattern in _OF_ITS_OWN):
            yield str(path.relative_to(folder)), path.read_bytes() if path.is_file() else None


def _trace(work: Path, states: Path, stop: str | None) -> None:
    """From now on copies `work` before each operation, unless it looks as it did before."""
    states.mkdir(exist_ok=True)
    openings = 0

    def seen(operation: str, path: Path) -> None:
        nonlocal openings
        with (states / "log").open("a") as log:
            print(operation, path.relative_to(work), file=log)
        digest = hashlib.sha256(repr(sorted(_contents(work))).encode()).hexdigest()[:12]
        if not (states / digest).exists():
            shutil.copytree(work, states / digest, symlinks=True)
        if stop and operation == "open" and stop in str(path):
            openings += 1
            if openings == 2:
                threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()

    watch(work, seen)


def _restore(state: Path | None, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    if state is None:
        work.mkdir()
    else:
        shutil.copytree(state, work, symlinks=True)


def _run(command: Command, before: Callable[[], None] | None = None) -> tuple[int, str]:
    """Runs a command; returns its exit status, negative after a signal, and what it printed."""

    def command_line() -> None:
        if before:
            before()
        sys.argv = [command.script, *command.arguments]
        if command.script.endswith(".py"):
            runpy.run_path(str(ROOT / command.script), run_name="__main__")
        else:
            runpy.run_module(command.script, run_name="__main__", alter_sys=True)

    return _forked(command_line)


def _forked(work: Callable[[], object]) -> tuple[int, str]:
    """Calls `work` in a fork of this process, which has the imports behind it and no threads.

    Returns:
        Exit status and output.
    """
    with tempfile.TemporaryFile() as output:
        if (child := os.fork()) == 0:
            code = 70
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                signal.alarm(_TIMEOUT)
                work()
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return status, output.read().decode(errors="replace")


def measure(folder: Path, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Visits all commands, each for its share of the time, and returns the JSON object.

    Args:
        folder: empty and absolute; everything is written in it.
        seconds: for all continuations together; the undisturbed runs come on top.
        seed: for the order of the states.
    """
    begun = time.monotonic()
    os.environ |= compilation_cache(folder / "compilation")
    import msl_jax.commands.predict
    import msl_jax.commands.train
    import msl_jax.convert.command
    import msl_jax.data.prepare
    import msl_jax.report.command  # noqa: F401  (not JAX's devices: they do not survive a fork)

    work, segmenter = folder / "work", folder / "segmenter"
    found: dict[str, Any] = {}
    photos = draw_photos(folder / "photos")
    code, said = _run(segmenter_training(segmenter, folder / "records"))
    if code != 0:
        raise RuntimeError(f"training to segment ended with status {code}:\n{said}")
    every = commands(work, photos, folder / "train" / "whole", segmenter)
    for command in every:
        (folder / command.name).mkdir()
        share = seconds / 2 if command.stops else seconds / 2 / (len(every) - 1)
        found[command.name] = visit(command, work, folder / command.name, share, seed)
    return {
        "benchmark": "crash_points",
        "identical": not any(one["wrong"] for one in found.values()),
        "commands": found,
        "seconds": time.monotonic() - begun,
        "sizes": {"seconds": seconds, "seed": seed},
        **surroundings(("jax", "orbax-checkpoint", "grain", "numpy")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crash_points",
        description="Continues small commands from the states in which a crash can leave them.",
    )
    parser.add_argument(
        "--seconds", type=at_least_one, default=600, help="for continuations, default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, help="for the order of the states")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(Path(temporary).resolve(), options.seconds, options.seed)
    print(json.dumps(report))
    return 0 if report["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
