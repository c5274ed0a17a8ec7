"""Contestants that take no time, for tests of their processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.support.measuring import Prepared


def writes(log: str, name: str) -> Prepared:
    """Each round appends the name to a file; printing must not disturb the measurement."""
    print("noise of the preparation")

    def run() -> None:
        print("noise of a round")
        with Path(log).open("a") as file:
            file.write(name)

    return Prepared(run, {"name": name})


def takes(megabytes: int, before: int) -> Prepared:
    """A round needs this much memory; the preparation needs more and frees it."""
    len(b"x" * (before * 10**6))
    return Prepared(lambda: len(b"x" * (megabytes * 10**6)))


def fails(when: str) -> Prepared:
    """Raises an error in the preparation or in a round, or ends the process."""
    if when == "prepare":
        raise ValueError("cannot prepare")

    def run() -> None:
        if when == "exit":
            os._exit(3)
        raise ValueError("cannot run")

    return Prepared(run)


def waits(pid_file: str) -> Prepared:
    """Writes its process ID to a file; its round takes long."""

    def run() -> None:
        Path(pid_file).write_text(f"{os.getpid()}\n")
        time.sleep(60)

    return Prepared(run)


def processor_time(pause: float) -> Prepared:
    """A round fails if more than a tenth of the pause before it was processor time."""
    last = time.process_time()
    used = []

    def run() -> None:
        nonlocal last
        used.append(time.process_time() - last)
        assert len(used) == 1 or used[-1] < pause / 10, used
        last = time.process_time()

    return Prepared(run)


def counts_devices() -> Prepared:
    """Reports how many devices JAX has."""
    import jax

    return Prepared(lambda: None, {"devices": jax.local_device_count()})
