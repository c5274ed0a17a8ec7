"""Several micro-batches in one step: means of gradients, statistics in order, memory of one."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from msl_jax import losses
from msl_jax.config import base_config
from msl_jax.config.keys import check_config
from msl_jax.config.presets import complete
from msl_jax.methods.segmentation import Objective, passes
from msl_jax.models.inputs import TORCHVISION
from msl_jax.models.layers import BatchNorm, Conv
from msl_jax.runtime.errors import UserError
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate, train_step

DEVICES, COUNT, SIZE, CLASSES = 2, 3, (17, 25), 3


class FrozenNetwork(nn.Module):
    """A head on one normalised layer, in float64; the running statistics stay as they are."""

    input_convention = TORCHVISION

    @nn.compact
    def __call__(self, images, train: bool = False, low_head: bool = True):
        x = Conv(6, 1, 8, param_dtype=jnp.float64, name="conv")(images.astype(jnp.float64))
        x = nn.relu(BatchNorm(param_dtype=jnp.float64, name="bn")(x, use_running_average=True))
        head = functools.partial(Conv, CLASSES, use_bias=True, param_dtype=jnp.float64)
        return head(name="final_head")(x), head(name="low_head")(x) if low_head else None


MODEL = FrozenNetwork()
ONE_HEAD = Objective("max_square", lambda_target=0.5, iw_alpha=0.2)
BOTH_HEADS = Objective("max_square", multi=True, lambda_target=0.5, guidance_threshold=0.95)


@functools.cache
def _variables():
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, *SIZE, 3)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0.7, 0.5, leaf.shape) ** 2, shapes)


@functools.cache
def _batch(ignored: float):
    """`COUNT` examples on each device; a share of their labels is ignored, most in the last."""
    rng = np.random.default_rng(1)
    shape = (DEVICES, COUNT, *SIZE)
    labels = rng.integers(0, CLASSES, shape).astype(np.uint8)
    share = ignored * np.linspace(0.1, 1, DEVICES * COUNT).reshape(DEVICES, COUNT, 1, 1)
    labels[rng.random(shape) < share] = losses.IGNORE
    images = rng.integers(0, 256, (2, *shape, 3)).astype(np.uint8)
    return {"source": {"image": images[0], "label": labels}, "target": {"image": images[1]}}


def _state(optimizer) -> TrainState:
    return replicate(TrainState.create(jax.tree.map(jnp.array, _variables()), optimizer))


@functools.cache
def _step(objective: Objective, accumulate: int):
    terms = passes(MODEL, objective, adapt=True)
    return parallel_train_step(terms, optax.sgd(1.0), accumulate=accumulate)


def _gradient_and_metrics(objective: Objective, batch, accumulate: int):
    """What a step takes off the parameters, and its metrics."""
    state, metrics = _step(objective, accumulate)(_state(optax.sgd(1.0)), batch)
    gradient = jax.tree.map(lambda old, new: old - new, _variables()["params"], state.params)
    return jax.device_get((gradient, metrics))


def _assert_close(found, expected) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("x64")
class TestMicroBatches:
    def test_are_one_batch_where_the_norms_are_frozen_and_all_pixels_count(self):
        batch = _batch(ignored=0.0)
        found = _gradient_and_metrics(ONE_HEAD, batch, COUNT)
        expected = _gradient_and_metrics(ONE_HEAD, batch, 1)
        _assert_close(found, expected)
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(found[0])) > 1e-3

    def test_each_is_normalised_by_its_own_pixels_on_all_devices(self):
        """The mean of the steps that each would make alone, with ignored and guided pixels."""
        batch = _batch(ignored=0.9)
        found = _gradient_and_metrics(BOTH_HEADS, batch, COUNT)
        assert 0.05 < found[1]["target/guided_share"] < 0.95
        micros = [jax.tree.map(lambda leaf, i=i: leaf[:, i : i + 1], batch) for i in range(COUNT)]
        alone = [_gradient_and_metrics(BOTH_HEADS, micro, 1) for micro in micros]
        _assert_close(found, jax.tree.map(lambda *values: np.mean(values, axis=0), *alone))
        together = _gradient_and_metrics(BOTH_HEADS, batch, 1)
        difference = found[1]["source/final"] / together[1]["source/final"] - 1
        assert abs(difference) > 1e-3  # the counts do differ


def _first(params, stats, batch, context):
    loss = (params["w"] * batch["x"]).sum()
    return loss, ({"mean": 0.5 * stats["mean"] + batch["x"].mean()}, {"first": loss})


def _second(params, stats, batch, context):
    loss = (params["w"] ** 2).sum() * batch["x"].sum()
    return loss, ({"mean": 0.5 * stats["mean"] + 10.0}, {"second": loss})


def _toy_state(optimizer) -> TrainState:
    return TrainState.create(
        {
            "params": {"w": jnp.full((), 3.0, jnp.float32)},
            "batch_stats": {"mean": jnp.full((), 8.0, jnp.float32)},
        },
        optimizer,
    )


def test_statistics_flow_through_all_micro_batches() -> None:
    """Passes of the first, then passes of the second micro-batch; one optimizer step."""
    optimizer = optax.sgd(0.01)
    step = jax.jit(
        functools.partial(train_step, (_first, _second), optimizer, accumulate=2, axis_name=None)
    )
    state, metrics = step(_toy_state(optimizer), {"x": np.array([1, 2, 5, 6], np.float32)})
    mean = 8.0
    for micro in (1.5, 5.5):
        mean = 0.5 * (0.5 * mean + micro) + 10.0
    assert state.batch_stats["mean"] == np.float32(mean)
    # Sums of x: 3 and 11; gradients x and 2 w x.
    np.testing.assert_allclose(state.params["w"], 3 - 0.01 * (1 + 2 * 3) * 7, rtol=1e-6)
    np.testing.assert_allclose(metrics["first"], 3 * 7, rtol=1e-6)
    np.testing.assert_allclose(metrics["second"], 9 * 7, rtol=1e-6)
    assert state.step == 1


def test_one_micro_batch_is_the_plain_step() -> None:
    """Bit for bit the sum of the passes' gradients, as without accumulation."""
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(5, 5)).astype(np.float32)}
    batch = {"x": rng.normal(size=(4, 5)).astype(np.float32)}

    def term(power: int, params, stats, batch, context=None):
        loss = jnp.sin(batch["x"] @ params["w"]).sum() ** power
        return loss, (stats, {str(power): loss})

    terms = [functools.partial(term, power) for power in (1, 2)]
    optimizer = optax.sgd(0.1, momentum=0.9)

    @jax.jit
    def expected(state):
        gradients = jax.tree.map(jnp.zeros_like, state.params)
        for single in terms:
            gradient = jax.grad(single, has_aux=True)(state.params, {}, batch)[0]
            gradients = jax.tree.map(jnp.add, gradients, gradient)
        updates, _ = optimizer.update(gradients, state.opt_state, state.params)
        return optax.apply_updates(state.params, updates)

    state = TrainState.create({"params": params, "batch_stats": {}}, optimizer)
    step = functools.partial(train_step, terms, optimizer, accumulate=1, axis_name=None)
    found, _ = jax.jit(step)(state, batch)
    np.testing.assert_array_equal(found.params["w"], expected(state)["w"])
    assert "while" not in jax.jit(step).lower(state, batch).as_text()


def _many_activations(params, stats, batch, context):
    """Keeps an array as large as the batch in every layer for the backward pass."""
    x = batch["x"]
    for name in sorted(params):
        x = jnp.tanh(x @ params[name])
    return (x**2).mean(), (stats, {})


def _memory(accumulate: int):
    params = {f"w{i}": jax.ShapeDtypeStruct((16, 16), jnp.float32) for i in range(12)}
    optimizer = optax.sgd(0.1, momentum=0.9)
    state = jax.eval_shape(
        lambda params: TrainState.create({"params": params, "batch_stats": {}}, optimizer), params
    )
    batch = {"x": jax.ShapeDtypeStruct((DEVICES, 4, 4096, 16), jnp.float32)}
    step = parallel_train_step((_many_activations,), optimizer, accumulate=accumulate)
    return step.lower(state, batch).compile().memory_analysis(), state


def test_memory_is_that_of_one_micro_batch() -> None:
    whole, cut = (_memory(accumulate)[0].temp_size_in_bytes for accumulate in (1, 4))
    assert whole > 4 * 4096 * 16 * 4 * 6  # it does keep activations
    assert cut < 0.4 * whole


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_new_state_takes_the_memory_of_the_old(accumulate: int) -> None:
    analysis, state = _memory(accumulate)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert analysis.alias_size_in_bytes >= size


@pytest.mark.parametrize("value", [0, -1])
def test_wrong_number_of_micro_batches(value: int) -> None:
    config = complete(base_config("x"))
    config.accumulate = value
    with pytest.raises(UserError, match=f"accumulate: expected .*, found {value}"):
        check_config(config)
