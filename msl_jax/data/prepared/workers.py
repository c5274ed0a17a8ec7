"""Maps a function over many items, in order: in threads for few items, in processes for many.

Not with a library's pool, so that the following holds whatever happens:

- The processes import what they unpickle and nothing else. Those of multiprocessing import the main
  module: JAX (3 s and 300 MB for each process), or a script without `if __name__ == "__main__"`.
- They end with the pipe to the process that started them, even if that is killed. The workers of
  multiprocessing and loky 3.7 hold both ends of their pipes, and wait forever.
- Nothing but pipes is needed, and nothing is left behind: no named semaphores in /dev/shm, and no
  resource tracker, whose imports loky lets a module in the current folder replace.
- A process may grow by 300 MB, as with the largest photos, without being replaced as leaking.
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
from msl_jax.runtime.registration import modules

# A process takes about 0.4 s to start, in which a running one prepares 3 images of 1914x1052 or 30
# of 480x360. For fewer images threads are enough: Pillow releases Python's lock for 98 % of the
# time. Drawn examples do not, and with many cores the rest counts.
ITEMS_PER_PROCESS = 64
_MAX_THREADS = 8
_AHEAD = 4  # results per thread computed ahead of the one that is needed next

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerLost(UserError):
    """A worker process has ended in the middle of its work."""


def choose_processes(wanted: int | None, num_items: int) -> int:
    """Returns how many processes to use for `num_items`; 1 means this one.

    Args:
        wanted: as many as that, but no more than items; None for as many as there are cores, if
            that is worth it.
        num_items: number of items.

    Raises:
        UserError: `wanted` is less than 1.
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

    A few results are computed ahead. Work that is unfinished when the context is left is abandoned.

    Args:
        function: picklable, as are the items and the results; otherwise, or if they belong to a
            notebook, a script or a file that registers, which other processes cannot import,
            threads do the work.
        items: what to map.
        processes: number of processes; 1 for threads of this one, one for each core, up to 8.

    Raises:
        WorkerLost: a process was killed, for example because memory has run out.
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
                worker.stop()  # which closes the pipe that a thread may be waiting for
            pool.shutdown()


def _num_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _can_leave(function: Any, items: Sequence[Any]) -> bool:
    """Whether other processes can unpickle what they need, judging by the first item."""
    try:
        needed = pickle.dumps((function, items[0]))
        return not any(name.encode() in needed for name in {"__main__", *modules()})
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
    """Function that passes an item to an idle worker; safe to call from many threads."""
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
    """A process that applies `function` to one item after the other."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        # It imports what this process can import, and nothing else (-P: nothing from its folder).
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                process_group=0,  # so that Ctrl-C only reaches the process that started it
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
        """Returns the function's result for an item."""
        try:
            if self._function is not None:
                pickle.dump(self._function, self._jobs)
                self._function = None
            pickle.dump(item, self._jobs)
            self._jobs.flush()
            value, fault = pickle.load(self._replies)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise WorkerLost(
                f"A worker process ended (exit code {self._process.wait()}), most often because"
                " memory has run out. Run it again with fewer processes (num_processes); finished"
                " work is kept."
            ) from error
        if fault:
            raise RuntimeError(f"in another process:\n{fault}")
        return value

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self._process.kill()


def _serve() -> None:
    """The worker's loop: reads the function, then items, and replies to each of them."""
    jobs = sys.stdin.buffer
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keeps printed text out of the replies
    try:
        function = pickle.load(jobs)
        while True:
            reply = _reply(function, pickle.load(jobs))
            sys.stdout.flush()  # before the reply, after which the process may be ended
            pickle.dump(reply, replies)
            replies.flush()
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):
        os._exit(0)  # the other end is gone, and nobody needs what is still to be flushed


def _reply(function: Callable[[Any], Any], item: Any) -> tuple[Any, str]:
    """The function's result and an empty text, or None and a traceback."""
    try:
        return function(item), ""
    except Exception:
        return None, traceback.format_exc()


if __name__ == "__main__":
    _serve()
