"""Starts several processes that work together, as a launcher on several hosts would."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, TextIO

import jax
import quick_compilation

ROOT = Path(__file__).parents[1]


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str


def run_together(
    count: int, *arguments: object, devices: int = 1, limit: float = 150.0
) -> list[Ended]:
    """Runs `python ARGUMENTS` in `count` processes, until all have ended.

    Args:
        count: number of processes.
        arguments: the same for all.
        devices: of each process.
        limit: seconds; then those that are left are killed and the test fails.
    """
    address = f"127.0.0.1:{_free_port()}"
    environment = {
        **os.environ,
        **quick_compilation.environment(devices),
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_COORDINATOR_BIND_ADDRESS": address,  # and no other network
        "JAX_NUM_PROCESSES": str(count),
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    # Files, not pipes: a process whose pipe is full would wait, and with it all the others.
    with contextlib.ExitStack() as stack:
        files = [
            [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in ("out", "err")]
            for _ in range(count)
        ]
        running = []
        for index, (out, err) in enumerate(files):
            process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                cwd=ROOT,
                env={**environment, "JAX_PROCESS_ID": str(index)},
                stdout=out,
                stderr=err,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            running.append(process)
        codes = [process.wait(limit) for process in running]
        return [
            Ended(code, *(_text(file) for file in pair))
            for code, pair in zip(codes, files, strict=True)
        ]


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
