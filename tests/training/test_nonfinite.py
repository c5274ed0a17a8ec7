"""Where a loss that is not finite begins."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msl_jax.losses import cross_entropy
from msl_jax.training import nonfinite
from msl_jax.training.nonfinite import (
    NotFinite,
    expect_finite,
    finite_variables,
    first_operation,
    searching,
)
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate, train_step


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


def _loss(params: Any, stats: Any, batch: Any, context: Any):
    logits = params["scale"] * jnp.log(batch["x"])
    loss = cross_entropy(logits, jnp.zeros(logits.shape[:-1], jnp.int32))
    return loss, (stats, {"source/final": jax.lax.psum(loss, "devices")})


def test_step_that_searches() -> None:
    """It computes what the step computes, until there is something to find."""
    optimizer = optax.sgd(0.1)
    step = parallel_train_step([_loss], optimizer)
    checked = searching(step, functools.partial(train_step, [_loss], optimizer))

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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["params", "batch_stats"])
def test_one_number_of_the_network_that_is_not_finite(part: str, value: float) -> None:
    arrays = {"w": jnp.arange(6.0).reshape(2, 3), "v": jnp.ones(())}
    state = TrainState.create({"params": arrays, "batch_stats": arrays}, optax.sgd(0.1))
    assert finite_variables(state)
    broken = {**arrays, "w": arrays["w"].at[1, 2].set(value)}
    assert not finite_variables(state.replace(**{part: broken}))
    expect_finite({"a": jnp.float32(1.0)}, 3, finite_variables(state))
    with pytest.raises(NotFinite, match=r"^the new parameters are not finite at step 3: a = 1$"):
        expect_finite({"a": jnp.float32(1.0)}, 3, jnp.asarray(False))


def _root(params: Any, stats: Any, batch: Any, context: Any):
    """Finite at 0, with a gradient that is not."""
    loss = jnp.sqrt(params["scale"] * batch["x"].sum())
    return loss, (stats, {"loss": jax.lax.psum(loss, "devices")})


def test_search_begins_before_the_step_whose_gradient_is_not_finite() -> None:
    optimizer = optax.sgd(0.1)
    step = searching(
        parallel_train_step([_root], optimizer), functools.partial(train_step, [_root], optimizer)
    )
    variables = {"params": {"scale": jnp.float32(1.0)}, "batch_stats": {}}
    state = replicate(TrainState.create(variables, optimizer))
    x = np.ones((jax.local_device_count(), 2), np.float32)
    state, _ = step(state, {"x": x})
    with pytest.raises(NotFinite, match=r"new parameters are not finite at step 2: loss = 0$") as e:
        step(state, {"x": 0 * x})
    assert "encountered in mul" in (e.value.operation or "")


def test_a_derivative_is_named_by_the_line_that_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(x: Any) -> Any:
        nothing = 0 * x
        return jnp.sqrt(nothing)

    monkeypatch.setattr(nonfinite, "_PACKAGE", Path(__file__).parent)
    found = first_operation(jax.value_and_grad(loss), jnp.float32(1.0)) or ""
    assert re.search(r"in mul at training/test_nonfinite.py:\d+ in loss: nothing = 0 \* x$", found)


def test_nan_of_labels_that_are_no_class_is_not_blamed_for_others() -> None:
    """The cross entropy writes it into its code; it counts only where there is such a label."""
    logits = jnp.ones((1, 2))
    labels = jnp.zeros((1,), jnp.int32)
    assert first_operation(jax.grad(cross_entropy), logits, labels) is None
    found = first_operation(lambda x: cross_entropy(jnp.sqrt(x), labels), -logits)
    assert "encountered in sqrt" in (found or "")
    assert first_operation(cross_entropy, logits, labels + 7) is not None
