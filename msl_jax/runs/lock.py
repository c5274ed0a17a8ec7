"""One training at a time in a workdir: a lock that is released when its holder ends, however.

Reading a workdir needs no lock: eval.py and predict.py may read a run while it is trained.
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

# Says who holds the lock. A file that a killed process has left locks nothing.
LOCK = "training.lock"


@contextlib.contextmanager
def workdir_lock(workdir: Path) -> Iterator[None]:
    """Creates the folder if necessary and keeps others from training in it.

    On file systems without locks it keeps nobody out.

    Raises:
        UserError: another process trains there, or the folder cannot be written.
    """
    path = workdir / LOCK

    def refuse() -> None:
        raise UserError(
            f"{workdir} is in use: {_holder(path)} is training there. Wait for it, stop it, or give"
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


def check_unlocked(workdir: Path) -> None:
    """Checks that no other process is training in a folder, before long preparations.

    Raises:
        UserError: one is, or the folder cannot be written.
    """
    if (workdir / LOCK).exists():
        with workdir_lock(workdir):
            pass


def _this_process() -> dict[str, str | int]:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(path: Path) -> str:
    try:
        facts = json.loads(path.read_text())
        return f"process {facts['process']} on {facts['host']}, since {facts['since']},"
    except (OSError, ValueError, TypeError, KeyError):  # not written yet
        return "another process"
