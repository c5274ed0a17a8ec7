"""Contestants measured side by side: each in a process of its own, one at work at a time.

    contestants = {
        "ours": Contestant("benchmarks.support.our_steps:adaptation", {"size": [256, 512]}),
        "torch": Contestant("benchmarks.support.torch_steps:adaptation", {"size": [256, 512]}),
    }
    measured = compare(contestants, rounds=7)
    print(json.dumps(reporting.report("train_step", measured, sizes={...})))

A contestant is named by a function. A new process imports its module, calls it with the arguments
and gets a `Prepared`, whose `run` does one round and returns when everything is finished. The
processes are started one after the other and make a first round each. Then they take turns, and
the first turn does not count: until then both claim memory that the system has not given to anybody
yet. A process that is waiting for its turn blocks on a line from its parent, which takes no
processor time. It ends when its parent does, even in the middle of a round.

Peak memory is the largest resident memory up to the last round, minus what the process held when
its first round began. Before that, memory that is already freed is returned to the system, so that
a round cannot reuse a compiler's leftovers for free. 1 MB = 10^6 bytes.

This module imports only the standard library, because it is in the process before the first import
that is measured.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]

# Threads of both libraries keep looking for work for some milliseconds after a round.
_PAUSE = 0.1
_WARM_UP = 1
_MB = 10**6


@dataclass(frozen=True)
class Contestant:
    """One side of a comparison.

    Attributes:
        prepare: `"module:function"`; the function returns a `Prepared`.
        arguments: its keyword arguments; they go through JSON, so tuples become lists.
        environment: variables of its process, in addition to those of this one.
    """

    prepare: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """What a contestant's function returns.

    Attributes:
        run: does one round and returns when it is finished.
        facts: anything else to report, for JSON.
    """

    run: Callable[[], object]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Measurements of one contestant.

    Attributes:
        seconds: of each round.
        first_seconds: of the very first round, which does not count.
        peak_memory_mb: see above; None if the system has no `/proc`.
        facts: those of its `Prepared`.
    """

    seconds: Sequence[float]
    first_seconds: float
    peak_memory_mb: float | None
    facts: Mapping[str, Any]


class ContestantError(RuntimeError):
    """A contestant's process has failed; the message contains its traceback."""


class Process:
    """A contestant in its own process, for use in a `with` statement."""

    def __init__(self, contestant: Contestant) -> None:
        """Starts the process; returns after its preparation and its first round.

        Args:
            contestant: what to run.

        Raises:
            ContestantError: the function or a round failed, or the process ended.
        """
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._name = contestant.prepare
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from benchmarks.support.measuring import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **contestant.environment},
        )
        try:
            order = {"prepare": contestant.prepare, "arguments": dict(contestant.arguments)}
            self._facts = self._ask(order)["facts"]
            self.first_seconds = self.round()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Process:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the process."""
        self.close()

    def round(self) -> float:
        """Makes one round and returns how many seconds it took.

        Raises:
            ContestantError: it failed, or the process ended.
        """
        answer = self._ask({"round": True})
        self._peak = answer["peak_memory_mb"]
        return answer["seconds"]

    def measured(self, seconds: Sequence[float]) -> Measured:
        """The measurements; `seconds` are those of the rounds that count."""
        return Measured(seconds, self.first_seconds, self._peak, self._facts)

    def close(self) -> None:
        """Ends the process, even in the middle of a round."""
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        self._process.wait()
        stdout.close()

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):  # it has ended: the answer will be empty
            stdin.write(json.dumps(order) + "\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            raise ContestantError(f"{self._name} ended with exit status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ContestantError(f"{self._name} failed:\n{answer['error']}")
        return answer

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def serve() -> None:
    """Runs in a contestant's process: gives one answer for each order, until the orders end."""
    # Anything else that is printed here must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        os._exit(0)  # at once: a round may take long, and nobody is waiting for it any more

    threading.Thread(target=listen, daemon=True).start()
    prepared: Prepared | None = None
    base: float | None = None
    while True:
        order = orders.get()
        try:
            if prepared is None:
                prepared = _prepare(order)
                base = _memory_at_start()
                answer: dict[str, Any] = {"facts": dict(prepared.facts)}
            else:
                start = time.perf_counter()
                prepared.run()
                seconds = time.perf_counter() - start
                peak = None if base is None else _status("VmHWM") - base
                answer = {"seconds": seconds, "peak_memory_mb": peak}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _prepare(order: Mapping[str, Any]) -> Prepared:
    module, _, function = order["prepare"].partition(":")
    return getattr(importlib.import_module(module), function)(**order["arguments"])


def _memory_at_start() -> float | None:
    """Resident MB, and resets the peak; None if the system cannot tell."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc's allocator
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
        return _status("VmRSS")
    except OSError:
        return None


def _status(name: str) -> float:
    """A figure of `/proc/self/status` in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024 / _MB


def compare(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, Measured]:
    """Measures all contestants in turns; progress goes to standard error.

    A turn is two consecutive rounds, of which the second counts: in training, too, steps follow one
    another, and the first after a pause pays for memory that a virtual machine gave away meanwhile.

    Args:
        contestants: by name.
        rounds: that count, of each; at least 1.

    Raises:
        ContestantError: one of them failed.
    """
    with contextlib.ExitStack() as stack:
        processes = {}
        for name, contestant in contestants.items():
            processes[name] = stack.enter_context(Process(contestant))
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(-_WARM_UP, rounds):
            for name, process in processes.items():
                time.sleep(_PAUSE)
                process.round()  # the system may have taken back memory that was freed before
                taken = process.round()
                if number >= 0:
                    seconds[name].append(taken)
                    progress(f"round {number + 1}, {name}: {taken:.3f} s")
        return {name: process.measured(seconds[name]) for name, process in processes.items()}


def progress(line: str) -> None:
    """Reports progress on standard error; only results go to standard output."""
    print(line, file=sys.stderr, flush=True)


def compilation_cache(folder: Path | str) -> dict[str, str]:
    """Environment of a process that keeps all compiled programs in a folder."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        # Otherwise JAX keeps only what takes a second or more to compile.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
