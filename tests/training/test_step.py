"""The step itself, on passes that do no more than show what it does with them."""

from __future__ import annotations

import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate


class Passes:
    """Two terms in one parameter, whose statistics tell their order; counts its tracings."""

    def __init__(self) -> None:
        self.traced = 0

    def first(self, params, stats, batch, context):
        self.traced += 1
        loss = (params["w"] * batch["x"]).sum()
        return loss, ({"mean": 0.5 * stats["mean"] + batch["x"].mean()}, {"first": loss})

    def second(self, params, stats, batch, context):
        loss = (params["w"] ** 2).sum() * batch["x"].sum()
        metrics = {"second": loss, "devices": lax.axis_index("devices") + 1}
        return loss, ({"mean": 0.5 * stats["mean"] + 10.0}, metrics)


class TestSteps:
    X = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)

    def _start(self, optimizer) -> TrainState:
        variables = {
            "params": {"w": jnp.full((), 3.0, jnp.float32)},
            "batch_stats": {"mean": jnp.full((), 8.0, jnp.float32)},
        }
        return replicate(TrainState.create(variables, optimizer))

    def test_sums_gradients_and_metrics_averages_statistics(self):
        terms, optimizer = Passes(), optax.sgd(0.01)
        step = parallel_train_step((terms.first, terms.second), optimizer)
        state, metrics = step(self._start(optimizer), {"x": self.X})
        # Gradients: x summed, and 2 w x summed; x sums up to 12.
        np.testing.assert_allclose(state.params["w"], 3 - 0.01 * (12 + 2 * 3 * 12), rtol=1e-6)
        np.testing.assert_allclose(metrics["first"], 3 * 12, rtol=1e-6)
        np.testing.assert_allclose(metrics["second"], 9 * 12, rtol=1e-6)
        assert metrics["devices"] == 1 + 2
        # First, then second, on each device (means 1.5 and 4.5); then the mean.
        np.testing.assert_allclose(state.batch_stats["mean"], 0.5 * (0.5 * 8 + 3) + 10, rtol=1e-6)
        assert state.step == 1

    def test_order_of_the_passes_matters(self):
        terms, optimizer = Passes(), optax.sgd(0.01)
        step = parallel_train_step((terms.second, terms.first), optimizer)
        state, _ = step(self._start(optimizer), {"x": self.X})
        np.testing.assert_allclose(state.batch_stats["mean"], 0.5 * (0.5 * 8 + 10) + 3, rtol=1e-6)

    def test_second_step_compiles_nothing(self, caplog):
        terms, optimizer = Passes(), optax.sgd(0.01, momentum=0.9)
        step = parallel_train_step((terms.first, terms.second), optimizer)
        batches = [jax.device_put({"x": factor * self.X}) for factor in (1, 2, 3)]
        state = self._start(optimizer)

        def compiled() -> list[str]:
            found = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
            caplog.clear()
            return found

        with jax.log_compiles(), caplog.at_level(logging.WARNING, logger="jax"):
            state, _ = step(state, batches[0])
            assert compiled()
            traced = terms.traced
            for batch in batches[1:]:
                state, _ = step(state, batch)
            assert compiled() == []
        assert terms.traced == traced
        assert int(state.step) == 3

    def test_state_is_on_all_devices(self):
        terms, optimizer = Passes(), optax.sgd(0.01)
        step = parallel_train_step((terms.first, terms.second), optimizer)
        start = self._start(optimizer)
        placed = jax.tree.map(lambda leaf: leaf.sharding.device_set, start)
        state, _ = step(start, {"x": self.X})
        found = jax.tree.map(lambda leaf: leaf.sharding.device_set, state)
        assert set(map(len, jax.tree.leaves(found, is_leaf=lambda s: isinstance(s, set)))) == {2}
        assert found == placed
        assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(state))

    def test_state_is_given_away(self):
        terms, optimizer = Passes(), optax.sgd(0.01)
        step = parallel_train_step((terms.first, terms.second), optimizer)
        start = self._start(optimizer)
        step(start, {"x": self.X})
        assert start.params["w"].is_deleted()
