"""The axis that a step's devices form, under `jax.shard_map`, `jax.pmap` and `jax.vmap`.

`jax.shard_map` keeps track, unless ``check_vma=False``, of which arrays may differ between devices.
The gradient with respect to one that does not is summed over the devices by JAX itself. A step
that sums its gradients, as it has to elsewhere, would count each of them once for every device.
"""

from __future__ import annotations

from typing import Any

import jax
from jax import Array, lax


def index_of_device(axis_name: str | None) -> Array | int:
    """The number of this device on the axis; 0 where there is none.

    Raises:
        ValueError: there is no axis of this name here.
    """
    if axis_name is None:
        return 0
    try:
        return lax.axis_index(axis_name)
    except NameError:
        raise ValueError(
            f"axis_name={axis_name!r}: the step does not run on a device axis of this name. Under"
            " jax.jit alone, sharded or not, give axis_name=None to the step and to its passes;"
            " under jax.shard_map, jax.pmap or jax.vmap give both the name of the axis over which"
            " the batch is divided."
        ) from None


def expect_divided_over(axis_name: str | None, state: Any, batch: Any) -> None:
    """Refuses a batch that is divided over more axes than gradients are summed over.

    It can only be seen where JAX keeps track of what differs between devices.

    Raises:
        ValueError: the batch differs along other axes, and the state does not.
    """
    divided = _axes(batch) - _axes(state) - {axis_name}
    if divided:
        raise ValueError(
            f"axis_name={axis_name!r}: the batch is divided over {', '.join(sorted(divided))}, too,"
            " so that the step would take each part for a batch of its own and add up their means."
            " Give the step and its passes the name of the one axis over which the batch is"
            " divided; a batch over several axes needs a mesh of one axis, or jax.jit without"
            " jax.shard_map and axis_name=None."
        )


def as_varying(tree: Any, axis_name: str | None) -> Any:
    """The same values, as ones that may differ between the devices: gradients are not summed."""
    if axis_name is None or axis_name not in _axes(lax.axis_index(axis_name)):
        return tree  # JAX does not keep track

    def varying(leaf: Array) -> Array:
        return leaf if axis_name in _axes(leaf) else lax.pcast(leaf, axis_name, to="varying")

    return jax.tree.map(varying, tree)


def as_equal(tree: Any, axis_name: str | None) -> Any:
    """The same values, which are equal on all devices, as ones that JAX knows to be."""

    def equal(leaf: Array) -> Array:
        # The largest of equal values is exact; their mean is not.
        return lax.pmax(leaf, axis_name) if axis_name in _axes(leaf) else leaf

    return tree if axis_name is None else jax.tree.map(equal, tree)


def _axes(tree: Any) -> set[str]:
    """The axes along which JAX knows an array of the tree to differ."""
    return {
        axis for leaf in jax.tree.leaves(tree) for axis in jax.typeof(leaf).manual_axis_type.varying
    }
