"""One training at a time in a workdir: a lock that is gone when its holder ends, however it ends.

Reading a workdir needs no lock: eval.py and predict.py may look at a run in training.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.locking import locked

# Who holds the lock. A file that a killed process has left locks nothing.
LOCK = "training.lock"


@contextlib.contextmanager
def occupied(workdir: Path) -> Iterator[None]:
    """Makes the folder if need be and keeps others from training in it.

    On file systems without locks nobody is kept out.

    Raises:
        UserError: another process trains there, or the folder cannot be written.
    """
    path = workdir / LOCK

    def refuse() -> None:
        raise UserError(
            f"{workdir} is in use: {_holder(path)} trains there. Wait for it, stop it, or give"
            " another --workdir."
        )

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, refuse))
            path.write_text(json.dumps(_this_process()) + "\n")
        except OSError as error:
            raise UserError(f"cannot write to --workdir {workdir}: {error}") from error
        stack.callback(path.unlink, missing_ok=True)
        yield


def expect_free(workdir: Path) -> None:
    """Looks whether another process trains in a folder; for an answer before long preparations.

    Raises:
        UserError: one does, or the folder cannot be written.
    """
    if (workdir / LOCK).exists():
        with occupied(workdir):
            pass


def _this_process() -> dict[str, str | int]:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(path: Path) -> str:
    try:
        facts = json.loads(path.read_text())
        return f"process {facts['process']} on {facts['host']}, since {facts['since']},"
    except (OSError, ValueError, TypeError, KeyError):  # it has not written them yet
        return "another process"
