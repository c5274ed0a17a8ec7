"""Several processes in one run: who writes, and what they agree on.

In a run of one process every function here does the obvious thing. With several, which
`msl_jax.runtime.connection` has connected, all run the same program and call the functions marked
"all processes" in the same order.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental import multihost_utils

from msl_jax.runtime.connection import wait_for_all
from msl_jax.runtime.errors import UserError

T = TypeVar("T")

# Of the devices over which a batch is divided, for collectives.
AXIS = "devices"

# One process may have to wait while another prepares the records of a whole data set. If a process
# dies meanwhile, its missing heartbeats show it.
_PATIENCE = 7 * 24 * 3600.0  # seconds
_exchanges = itertools.count()


def is_first() -> bool:
    """Whether this is the process that writes and prints, number 0."""
    return jax.process_index() == 0


def share() -> tuple[int, int]:
    """(index, number) of processes, for work that they share."""
    return jax.process_index(), jax.process_count()


def together(function: Callable[[], T]) -> T:
    """All processes: calls `function` in each; where one of them fails, all do.

    Returns:
        What this process's call returned.

    Raises:
        UserError: `function` failed in another process; raised once all have finished. What it
            raised in this process is raised as it is.
    """
    if jax.process_count() == 1:
        return function()
    result, failure = None, None
    try:
        result = function()
    except Exception as error:
        failure = error
    messages = _exchanged("" if failure is None else str(failure) or type(failure).__name__)
    if failure is not None:
        raise failure
    for index, message in enumerate(messages):
        if message:
            raise UserError(f"process {index}: {message}")
    return result  # type: ignore[return-value]


def expect_same(what: str, values: Mapping[str, Any]) -> None:
    """All processes: checks that each was given the same.

    Args:
        what: stands before a key in the message.
        values: JSON-able, by key.

    Raises:
        UserError: a process has others than process 0; in all processes, with the keys.
    """
    if jax.process_count() == 1:
        return
    first, *others = map(json.loads, _exchanged(json.dumps(values)))
    lines = [
        f"  {what}{key}: {first.get(key)!r} in process 0, {other.get(key)!r} in process {index}"
        for index, other in enumerate(others, 1)
        for key in sorted({*first, *other})
        if first.get(key) != other.get(key)
    ]
    if lines:
        raise UserError(
            "the processes of this run were not given the same:\n"
            + "\n".join(lines)
            + "\nStart all of them with the same command."
        )


def first_then_others(function: Callable[[], T]) -> T:
    """All processes: as `together`, but the others begin when process 0 has finished.

    They find what process 0 has prepared in a shared folder.
    """
    if is_first():
        result = together(function)
        together(lambda: None)
        return result
    together(lambda: None)
    return together(function)


def by_first(function: Callable[[], T]) -> T:
    """All processes: `function()` in process 0 alone; all get its result, or fail with it.

    Args:
        function: its result must be JSON-able.

    Raises:
        UserError: `function` failed; process 0 gets its own error.
    """
    result = together(function if is_first() else lambda: None)
    if jax.process_count() == 1:
        return result  # type: ignore[return-value]
    text = _exchanged(json.dumps(result) if is_first() else "")[0]
    return result if is_first() else json.loads(text)  # type: ignore[return-value]


def read_by_first(read: Callable[[], tuple[T, Any]], like: T) -> tuple[T, Any]:
    """All processes: arrays that process 0 reads, bit for bit, and what belongs to them.

    Only process 0 needs access to the files.

    Args:
        read: returns a tree of arrays, and something JSON-able.
        like: a tree of the same structure, shapes and dtypes; its values do not matter.

    Raises:
        UserError: `read` failed.
    """
    if jax.process_count() == 1:
        return read()
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    tree, rest = together(read if is_first() else lambda: (blank, None))
    rest = by_first(lambda: rest)
    # As bytes, because the broadcast is a sum, which would lose the sign of -0.0.
    as_bytes = jax.tree.map(lambda leaf: np.ravel(leaf).view(np.uint8), tree)
    found = multihost_utils.broadcast_one_to_all(as_bytes)

    def as_before(leaf: np.ndarray, found: np.ndarray) -> Array:
        return jnp.array(found.view(leaf.dtype).reshape(leaf.shape))

    return jax.tree.map(as_before, blank, found), rest


def total(counts: np.ndarray) -> np.ndarray:
    """All processes: the sum of their int64 `counts`, exact."""
    if jax.process_count() == 1:
        return counts
    # As int64, JAX would turn them into int32.
    halves = multihost_utils.process_allgather(counts.view(np.uint32))
    return halves.view(np.int64).sum(axis=0)


def _exchanged(text: str) -> list[str]:
    """All processes: the texts of all, in the order of the processes."""
    wait_for_all(str(next(_exchanges)), _PATIENCE)
    own = np.frombuffer(text.encode(errors="surrogateescape"), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(own)))
    if not lengths.any():
        return [""] * len(lengths)
    # A program is compiled for each size, and there are few powers of two.
    size = 1 << int(lengths.max()).bit_length()
    texts = multihost_utils.process_allgather(np.pad(own, (0, size - len(own))))
    return [
        bytes(row[:length]).decode(errors="surrogateescape")
        for row, length in zip(texts, lengths, strict=True)
    ]


class StopAgreement:
    """Lets all processes stop at the same step once any of them is asked to.

    Call it once in every step, in all processes. It costs an all-reduce of one number, for which
    nothing waits: its result is read in the next step. In a run of one process it is `requested()`.
    """

    def __init__(self, requested: Callable[[], bool]) -> None:
        """Compiles nothing yet.

        Args:
            requested: tells whether this process was asked to stop, for example by a signal.
        """
        self._requested = requested
        self._asked: Array | None = None
        self._any = jax.pmap(lambda flag: lax.pmax(flag, AXIS), AXIS, out_axes=None)

    def __call__(self) -> bool:
        """Whether to stop now: true in all processes in the same call, or in none."""
        if jax.process_count() == 1:
            return self._requested()
        before = self._asked
        self._asked = self._any(np.full(jax.local_device_count(), self._requested(), np.int32))
        return before is not None and bool(before)
