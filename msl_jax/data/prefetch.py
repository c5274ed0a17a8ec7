"""Batches that are on the devices before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np

Batch = dict[str, Any]


class StatefulIterator(Protocol):
    """Iterator over batches whose position can be saved as JSON and restored."""

    def __next__(self) -> Batch:
        """Returns the next batch."""
        ...

    def get_state(self) -> dict[str, Any]:
        """Returns the position after the batches returned so far."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at `state`."""
        ...


class Prefetch:
    """Puts batches on this process's devices before they are needed.

    Yields trees of arrays `[D, N / D, ...]`, one slice for each of D devices, as `jax.pmap` expects
    with `in_axes=0`. `device_put` does not wait: the next batches are copied during the current
    step.
    """

    def __init__(
        self,
        batches: StatefulIterator,
        depth: int = 2,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            batches: iterator over trees of arrays `[N, ...]`, N a multiple of D.
            depth: number of batches on the devices before they are needed.
            devices: default is all local devices.
        """
        devices = list(devices or jax.local_devices())
        mesh = jax.sharding.Mesh(np.array(devices), ("device",))
        self._sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))
        self._batches = batches
        self._depth = depth
        self._queue: deque[tuple[Batch, dict[str, Any]]] = deque()
        self._state = batches.get_state()

    def __iter__(self) -> Prefetch:
        """Returns itself."""
        return self

    def __next__(self) -> Batch:
        """Returns the next batch on the devices."""
        self._fill()
        if not self._queue:
            raise StopIteration
        batch, self._state = self._queue.popleft()
        return batch

    def peek(self) -> Batch | None:
        """Returns what the next batch will be, which is not given out yet; None at the end."""
        self._fill()
        return self._queue[0][0] if self._queue else None

    def _fill(self) -> None:
        while len(self._queue) <= self._depth:
            try:
                batch = next(self._batches)
            except StopIteration:
                break
            self._queue.append((jax.tree.map(self._put, batch), self._batches.get_state()))

    def _put(self, array: np.ndarray) -> jax.Array:
        count = self._sharding.num_devices
        if len(array) % count:
            raise ValueError(f"a batch of {len(array)} cannot be split over {count} devices")
        return jax.device_put(array.reshape(count, -1, *array.shape[1:]), self._sharding)

    def get_state(self) -> dict[str, Any]:
        """Returns the position after the batches returned; those read ahead do not count."""
        return self._state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at `state`; drops what was read ahead."""
        self._queue.clear()
        self._batches.set_state(state)
        self._state = state

    def close(self) -> None:
        """Frees the batches read ahead and stops the reading threads."""
        self._queue.clear()
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()
