"""How the processes of a run find each other, and how they part."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import jax

from msl_jax.runtime.errors import UserError

_MEETING = 300.0  # seconds that a process waits for the others at the start, JAX's default
_TOLD_AFTER = 10.0  # seconds, then it says that it waits
_FAREWELL = 15.0  # seconds that a process waits for the others at the exit

_ADDRESS, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
# Set by the launchers for each process; JAX reads the rest of their variables itself.
_LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")


def connect() -> None:
    """Connects the processes of a run, if the environment says that there are several.

    They are those of one `srun` (Slurm) or `mpirun` (Open MPI), or
    ``JAX_COORDINATOR_ADDRESS`` (HOST:PORT of process 0), ``JAX_NUM_PROCESSES`` and
    ``JAX_PROCESS_ID`` are set for each of them. To be called before anything that uses a device; a
    second call does nothing.

    Raises:
        UserError: variables are missing or wrong, the processes have not met in five minutes, or
            they have different numbers of devices.
    """
    if jax.distributed.is_initialized() or not _is_one_of_many():
        return
    # Its handler for SIGTERM would replace that of our commands.
    jax.config.update("jax_enable_preemption_service", False)
    place: dict[str, Any] = {}
    if _ADDRESS in os.environ:
        # Otherwise JAX would still look for a launcher, and in a pod ask Kubernetes.
        place = {"cluster_detection_method": "deactivate"}
        found = re.fullmatch(r"(\[[^]]+\]|[^:/\s]+):([0-9]{1,5})", os.environ[_ADDRESS])
        if not found or not 1 <= int(found[2]) <= 65_535:
            raise UserError(
                f"{_ADDRESS}={os.environ[_ADDRESS]!r}: expected HOST:PORT of process 0, such as"
                " 10.0.0.1:1234"
            )
        _expect_known(found[1])
        place |= {"num_processes": _integer(_COUNT), "process_id": _integer(_INDEX)}
    _meet(place)
    atexit.register(_leave)  # runs before JAX's own, which was registered before
    devices = [len(jax.local_devices(index)) for index in range(jax.process_count())]
    if len(set(devices)) > 1:
        raise UserError(
            f"the processes have different numbers of devices ({devices}); start all of them with"
            " the same number"
        )


def _expect_known(host: str) -> None:
    """Refuses a name without an address; on Kubernetes a pod may get its name later."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return
    try:
        socket.getaddrinfo(host.strip("[]"), None)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{_ADDRESS}={os.environ[_ADDRESS]!r}: {host} is no address and not the name of one"
            f" ({reason}); expected HOST:PORT of process 0"
        ) from error


def _meet(place: dict[str, Any]) -> None:
    """Connects to the other processes, or fails before JAX would abort this one.

    JAX waits and aborts in C++, where nothing can interrupt it; hence another thread.

    Args:
        place: what JAX does not find out itself.
    """
    failed: list[Exception] = []

    def connect() -> None:
        try:
            jax.distributed.initialize(**place, initialization_timeout=round(2 * _MEETING))
        except Exception as error:
            failed.append(error)

    where = f"at {os.environ[_ADDRESS]}" if place else "where the launcher has said"
    connecting = threading.Thread(target=connect, daemon=True)
    connecting.start()
    connecting.join(_TOLD_AFTER)
    if connecting.is_alive():
        print(f"waiting for the other processes of this run {where}", file=sys.stderr, flush=True)
        connecting.join(_MEETING - _TOLD_AFTER)
    if connecting.is_alive():
        atexit.register(_leave_at_once)
        raise UserError(
            f"the processes of this run have not met {where} within {_MEETING:g} seconds: all of"
            " them must be started, process 0 on that host, and the others must reach it"
        )
    for error in failed:
        raise UserError(f"cannot connect to the other processes of this run: {error}") from error


def _is_one_of_many() -> bool:
    given = [name for name in (_ADDRESS, _COUNT, _INDEX) if name in os.environ]
    if given:
        missing = {_ADDRESS, _COUNT, _INDEX} - set(given)
        if missing:
            raise UserError(
                f"{', '.join(given)} set, but not {', '.join(sorted(missing))}: set all three in"
                " every process of the run, or none"
            )
        count, index = _integer(_COUNT) or 0, _integer(_INDEX) or 0
        if count < 1 or not 0 <= index < count:
            raise UserError(
                f"{_COUNT}={count}, {_INDEX}={index}: expected at least 1 process, and an index"
                " from 0 that is less than their number"
            )
        return count > 1
    return any((_integer(name) or 0) > 1 for name in _LAUNCHERS)


def _integer(variable: str) -> int | None:
    """The value of an environment variable, None where it is not set."""
    text = os.environ.get(variable)
    try:
        return None if text is None else int(text)
    except ValueError as error:
        raise UserError(f"{variable}={text!r}: expected an integer") from error


def _leave() -> None:
    """Waits for the others at the exit, but not for long.

    JAX would wait for minutes, then abort the process; the others notice that this one is gone.
    """
    try:
        wait_for_all("leave", _FAREWELL)
    except Exception:  # this process failed, or another one has
        _leave_at_once()


def _leave_at_once() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def wait_for_all(barrier: str, seconds: float) -> None:
    """All processes: returns when all have called it. Not a collective: no device is kept busy."""
    from orbax.checkpoint import multihost  # only needed with several processes

    wait = multihost.get_barrier_sync_fn()
    wait(key=f"msl_jax/{barrier}", timeout_ms=round(1000 * seconds))


@contextlib.contextmanager
def lost_contact_explained() -> Iterator[None]:
    """Turns the error of a collective in which a process is missing into a `UserError`."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        text = str(error)
        if jax.process_count() > 1 and any(word in text for word in ("Gloo", "NCCL", "Barrier")):
            atexit.register(_leave_at_once)  # before `_leave`: there is nobody to wait for
            raise UserError(
                f"process {jax.process_index()} has lost contact with another process; see the"
                " messages of the one that ended. The same command in all of them continues from"
                " the last checkpoint."
                f" ({text.splitlines()[0]})"
            ) from error
        raise
