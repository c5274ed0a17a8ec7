"""Where a loss that is not finite begins."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msl_jax.losses import cross_entropy
from msl_jax.training.nonfinite import NotFinite, expect_finite, first_operation, searching
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_names_step_and_all_parts(value: float) -> None:
    expect_finite({"a": jnp.float32(1.0)}, 3)
    with pytest.raises(NotFinite, match=rf"not finite at step 3: a = 1, b = {value:g}$"):
        expect_finite({"a": jnp.float32(1.0), "b": jnp.float32(value)}, 3)


def test_first_operation_is_the_one_that_makes_the_first_nan() -> None:
    found = first_operation(lambda x: jnp.exp(jnp.log(x) + 1), jnp.float32(-1.0))
    assert found is not None
    assert "nan" in found
    assert "log" in found


def test_infinity_counts_where_there_is_no_nan() -> None:
    found = first_operation(lambda x: 1 / x, jnp.float32(0.0))
    assert found is not None
    assert "inf" in found
    assert "div" in found


def test_nothing_found() -> None:
    assert first_operation(lambda x: x + 1, jnp.float32(0.0)) is None


def _loss(params: Any, stats: Any, batch: Any):
    logits = params["scale"] * jnp.log(batch["x"])
    loss = cross_entropy(logits, jnp.zeros(logits.shape[:-1], jnp.int32))
    return loss, (stats, {"source/final": jax.lax.psum(loss, "devices")})


def test_step_that_searches() -> None:
    """It computes what the step computes, until there is something to find."""
    optimizer = optax.sgd(0.1)
    step = parallel_train_step([_loss], optimizer)
    checked = searching(step, [_loss], optimizer)

    def start() -> TrainState:
        variables = {"params": {"scale": jnp.float32(1.0)}, "batch_stats": {}}
        return replicate(TrainState.create(variables, optimizer))

    x = np.full((jax.local_device_count(), 2, 3), 2.0, np.float32)
    expected, expected_metrics = step(start(), {"x": x})
    state, metrics = checked(start(), {"x": x})
    for a, b in zip(
        jax.tree.leaves((state, metrics)),
        jax.tree.leaves((expected, expected_metrics)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    x[-1, 1, 2] = -1.0
    with pytest.raises(NotFinite, match="at step 2: source/final = nan") as caught:
        checked(state, {"x": x})
    assert caught.value.operation is not None
    assert "encountered in log" in caught.value.operation
