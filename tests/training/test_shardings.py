"""A step is the same however its batch is divided, or is refused in words."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from on_shardings import COUNTS, SHARD_MAPS, TEACHING
from with_devices import results_with_devices

from msl_jax.losses.upsampled import cross_entropy_sums, target_sums
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.state import TrainState
from msl_jax.training.step import train_step


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The results of `on_shardings`, from a process with four devices."""
    path = tmp_path_factory.mktemp("shardings") / "results.npz"
    return results_with_devices("on_shardings.py", max(COUNTS), path, quick=True)


def _equal(results: dict[str, np.ndarray], name: str, expected: str) -> None:
    found, wanted = (
        {key.removeprefix(of): value for key, value in results.items() if key.startswith(f"{of}[")}
        for of in (name, expected)
    )
    assert found.keys() == wanted.keys()
    assert len(found) > 20
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype, key
        error = np.abs(found[key] - value).max() / max(np.abs(value).max(), 1e-3)
        assert error < 1e-7, (name, key, error)


@pytest.mark.parametrize("name", SHARD_MAPS)
@pytest.mark.parametrize("count", COUNTS)
def test_shard_map_equals_pmap(results, count: int, name: str) -> None:
    _equal(results, f"{count}, {name}", f"{count}, pmap")


@pytest.mark.parametrize("name", SHARD_MAPS)
def test_shard_map_with_a_teacher_and_micro_batches_equals_pmap(results, name: str) -> None:
    _equal(results, f"2, {TEACHING}{name}", f"2, {TEACHING}pmap")


@pytest.mark.parametrize("count", COUNTS)
def test_sharded_batch_under_jit_equals_one_device(results, count: int) -> None:
    _equal(results, f"{count}, jit", f"{count}, one device")


def test_convolutions_refuse_an_explicit_mesh(results) -> None:
    text = str(results["refused"])
    assert "explicit axis of a mesh (found float64[4@devices,17,25,3] and" in text
    assert "Run the step under jax.shard_map with axis_name" in text


@functools.cache
def _mesh(kind: AxisType = AxisType.Explicit):
    return jax.make_mesh((2,), (AXIS,), axis_types=(kind,))


def _total(final, low, labels):
    """A sum of losses of all kinds, whose count is that of the whole batch."""
    source = cross_entropy_sums((final, low), labels)
    target = target_sums(final, low, labels.shape[1:], iw_alpha=0.2, threshold=0.3)
    return sum(loss.mean for loss in (*source, *target))


def test_tiled_losses_on_an_explicit_mesh(rng: np.random.Generator) -> None:
    final, low = jnp.asarray(rng.normal(0, 2, (2, 4, 3, 4, 5)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 5, (4, 9, 13)), jnp.uint8)
    both = jax.value_and_grad(_total, argnums=(0, 1))
    expected = jax.jit(both)(final, low, labels)
    with jax.set_mesh(_mesh()):
        arrays = jax.device_put((final, low, labels), jax.NamedSharding(_mesh(), P(AXIS)))
        found = jax.jit(both)(*arrays)
        assert jax.typeof(found[1][0]).sharding.spec[0] == AXIS
    for value, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-7)


def test_tiled_losses_refuse_sharded_rows() -> None:
    with jax.set_mesh(_mesh()):
        logits = jax.device_put(jnp.zeros((2, 4, 3, 5)), jax.NamedSharding(_mesh(), P(None, AXIS)))
        with pytest.raises(ValueError, match=r"may be sharded along the batch alone.*'devices'"):
            cross_entropy_sums((logits,), jnp.zeros((2, 9, 13), jnp.uint8))


def _no_step(axis_name: str | None):
    return functools.partial(train_step, (), None, axis_name=axis_name)


STATE = TrainState(jnp.int32(0), {"w": jnp.ones(3)}, {}, {})


def test_axis_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"axis_name='devices': .*give axis_name=None"):
        jax.jit(_no_step(AXIS))(STATE, jnp.zeros((2, 3)))


@pytest.mark.parametrize("axis_name", [None, "rows"])
def test_batch_divided_over_another_axis_is_refused(axis_name: str | None) -> None:
    mesh = jax.make_mesh((2, 1), (AXIS, "rows"), axis_types=(AxisType.Auto,) * 2)
    step = jax.shard_map(
        _no_step(axis_name), mesh=mesh, in_specs=(P(), P(mesh.axis_names)), out_specs=P()
    )
    divided = "devices, too" if axis_name else "devices, rows, too"
    with pytest.raises(ValueError, match=f"axis_name={axis_name!r}: .*over {divided}"):
        jax.jit(step)(STATE, jnp.zeros((2, 3)))
