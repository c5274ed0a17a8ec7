"""Maps a function over many items, in order: in threads for few items, in processes for many.

multiprocessing would import the main module in each of its processes: for `train.py` that loads JAX
(3 s and 300 MB for each process), and a script without `if __name__ == "__main__"` fails. The
processes here import what they unpickle, no more, so notebooks and `python -c` work as well. They
end with the pipe to the process that started them, however that one ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from msl_jax.runtime.errors import UserError

# A process starts in about 0.4 s, in which one that runs prepares 3 images of 1914x1052 or 30 of
# 480x360. Below that, threads do: Pillow leaves them Python's lock for 98 % of the time, but drawn
# examples do not, and with many cores the rest counts.
ITEMS_PER_PROCESS = 64
_MAX_THREADS = 8
_AHEAD = 4  # results kept for each thread while the first one is waited for

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerLost(UserError):
    """A process ended in the middle of its work."""


def choose_processes(wanted: int | None, num_items: int) -> int:
    """Returns how many processes shall work on `num_items`; 1 means this one.

    Args:
        wanted: that many, but none without work; None: as many as there are cores to use, if that
            is worth it.
        num_items: number of items.

    Raises:
        UserError: `wanted` is no number of processes.
    """
    if wanted is None:
        return max(1, min(_num_cores(), num_items // ITEMS_PER_PROCESS))
    if wanted < 1:
        raise UserError(f"num_processes must be at least 1, found {wanted}.")
    return max(1, min(wanted, num_items))


@contextlib.contextmanager
def mapped(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Iterator[Iterator[Result]]:
    """Yields an iterator over `function(item)` for all items, in their order.

    A few results are computed ahead. What is still at work when the context is left is abandoned.

    Args:
        function: picklable, as are the items and the results; otherwise, or where they belong to a
            notebook or script, which other processes cannot import, threads do the work.
        items: what to map.
        processes: number of processes; 1 for threads of this one, for each core up to 8.

    Raises:
        WorkerLost: a process was killed, as it is where memory runs out.
        RuntimeError: `function` raised an error in another process, whose traceback is the message.
    """
    with contextlib.ExitStack() as stack:
        if processes > 1 and _can_leave(function, items):
            workers = [stack.enter_context(_Worker(function)) for _ in range(processes)]
            number, call = processes, _shared(workers)
        else:
            workers, number, call = [], min(_MAX_THREADS, _num_cores()), function
        pool = ThreadPoolExecutor(number)
        try:
            yield _in_order(lambda item: pool.submit(call, item), items, _AHEAD * number)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.stop()  # threads that wait for a reply get the end of the pipe
            pool.shutdown()


def _num_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _can_leave(function: Any, items: Sequence[Any]) -> bool:
    """Whether other processes can unpickle what they need (the first item tells for all)."""
    try:
        return b"__main__" not in pickle.dumps((function, items[0]))
    except (pickle.PicklingError, AttributeError, TypeError):
        return False


def _in_order(
    submit: Callable[[Item], Future[Result]], items: Sequence[Item], ahead: int
) -> Iterator[Result]:
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(submit(item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _shared(workers: Sequence[_Worker]) -> Callable[[Any], Any]:
    """Function that lets an idle one of `workers` do the work; safe to call from many threads."""
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def call(item: Any) -> Any:
        worker = idle.get()
        try:
            return worker(item)
        finally:
            idle.put(worker)

    return call


class _Worker:
    """A process that computes `function` of one item after the other."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        # It finds what this process finds, and nothing else (-P: not what lies in its folder).
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                process_group=0,  # Ctrl-C is for the process that started it
            )
        except OSError as error:
            raise UserError(f"Cannot start a process ({error}); use num_processes=1.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self._replies = self._process.stdin, self._process.stdout
        self._function: Callable[[Any], Any] | None = function  # to be sent before the first item

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._process.wait()
        self._replies.close()
        with contextlib.suppress(BrokenPipeError):
            self._jobs.close()

    def __call__(self, item: Any) -> Any:
        """Returns the function's value of an item."""
        try:
            if self._function is not None:
                pickle.dump(self._function, self._jobs)
                self._function = None
            pickle.dump(item, self._jobs)
            self._jobs.flush()
            value, fault = pickle.load(self._replies)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise WorkerLost(
                f"A process that was at work ended (exit code {self._process.wait()}); most often"
                " memory has run out. Run it again with fewer processes (num_processes): finished"
                " work is kept."
            ) from error
        if fault:
            raise RuntimeError(f"in another process:\n{fault}")
        return value

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()


def _serve() -> None:
    """What the processes do: read the function, then item for item, and reply."""
    jobs = sys.stdin.buffer
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints leaves the replies alone
    try:
        function = pickle.load(jobs)
        while True:
            reply = _reply(function, pickle.load(jobs))
            sys.stdout.flush()  # before the reply: the process may end right behind it
            pickle.dump(reply, replies)
            replies.flush()
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):
        os._exit(0)  # the other end is gone; nobody would see what is still to be flushed


def _reply(function: Callable[[Any], Any], item: Any) -> tuple[Any, str]:
    """The function's value and an empty text, or None and a traceback."""
    try:
        return function(item), ""
    except Exception:
        return None, traceback.format_exc()


if __name__ == "__main__":
    _serve()
