"""N devices equal one that computes their parts one after the other and adds them up."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from on_devices import BATCH, COUNTS, IGNORED, SIZE, STEPS, batch, named
from test_objective_step import MODEL, MULTI, _optimizer, _variables
from with_devices import results_with_devices

from msl_jax.losses import IGNORE
from msl_jax.methods.segmentation import passes
from msl_jax.training.state import TrainState
from msl_jax.training.step import Context


@pytest.fixture(scope="module")
def on_devices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The results of `on_devices`, from a process with four devices."""
    path = tmp_path_factory.mktemp("devices") / "results.npz"
    return results_with_devices("on_devices.py", max(COUNTS), path)


@functools.cache
def _part(adapt: bool):
    """Weighted metrics of one device's part, with gradient: no collectives, no second device."""
    terms = passes(MODEL, MULTI, adapt=adapt, axis_name=None)

    def run(params, stats, part, weights):
        metrics = {}
        for term in terms:
            _, (stats, found) = term(params, stats, part, Context(jnp.int32(0), {}))
            metrics |= found
        weighted = {name: weights.get(name, 1.0) * value for name, value in metrics.items()}
        objective = sum(value for name, value in weighted.items() if name in weights)
        return objective, (stats, metrics, weighted)

    return jax.jit(jax.value_and_grad(run, has_aux=True))


def _numbers(part, metrics) -> dict[str, float]:
    """How many pixels, or images, each loss of a part is a mean of."""
    labelled = (part["source"]["label"] != IGNORE).sum()
    numbers = {"source/final": labelled, "source/low": labelled}
    if "target/final" in metrics:
        numbers["target/final"] = BATCH
        numbers["target/guidance"] = float(metrics["target/guided_share"]) * BATCH * np.prod(SIZE)
    return {name: float(value) for name, value in numbers.items()}


def _one_by_one(state: TrainState, parts: list, adapt: bool) -> tuple[TrainState, dict]:
    """The step on the parts, one after the other."""
    unweighted = dict.fromkeys(
        ("source/final", "source/low", "target/final", "target/guidance"), 1.0
    )
    run = functools.partial(_part(adapt), state.params, state.batch_stats)
    numbers = [_numbers(part, run(part, unweighted)[0][1][1]) for part in parts]
    totals = {name: sum(number[name] for number in numbers) for name in numbers[0]}
    gradients, stats, metrics = [], [], []
    for part, number in zip(parts, numbers, strict=True):
        weights = {name: number[name] / max(totals[name], 1) for name in totals}
        (_, (new, _, weighted)), gradient = run(part, weights)
        if adapt:
            weighted["target/guided_share"] /= len(parts)
        gradients.append(gradient)
        stats.append(new)
        metrics.append(weighted)

    def add(*leaves):
        return sum(leaves[1:], start=leaves[0])

    gradient = jax.tree.map(add, *gradients)
    updates, opt_state = _optimizer().update(gradient, state.opt_state, state.params)
    return TrainState(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=jax.tree.map(lambda *leaves: add(*leaves) / len(parts), *stats),
        opt_state=opt_state,
    ), jax.tree.map(add, *metrics)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("adapt", [False, True], ids=["source step", "adaptation step"])
@pytest.mark.parametrize("count", COUNTS)
def test_devices_equal_one_that_adds_up(on_devices, count: int, adapt: bool) -> None:
    state = TrainState.create(jax.tree.map(jnp.array, _variables()), _optimizer())
    for number in range(STEPS):
        whole = batch(count, number)
        parts = [jax.tree.map(lambda leaf, i=i: leaf[i], whole) for i in range(count)]
        state, metrics = _one_by_one(state, parts, adapt)
    prefix = f"{adapt}, {count}"
    expected = named(state, metrics, prefix)
    found = {name: value for name, value in on_devices.items() if name.startswith(prefix)}
    assert found.keys() == expected.keys()
    assert {"source/final" in name for name in found} == {True, False}
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        error = np.abs(found[name] - value).max() / max(np.abs(value).max(), 1e-3)
        assert error < 1e-7, (name, error)
    if adapt:
        assert 0.05 < metrics["target/guided_share"] < 0.95


def test_parts_differ() -> None:
    """Else a mean of the parts' means would pass for the mean over all pixels."""
    ignored = (batch(4, 0)["source"]["label"] == IGNORE).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(ignored, IGNORED, atol=0.05)
    assert ignored[:2].tolist() == [0, 1]
