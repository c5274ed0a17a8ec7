"""A method that carries a teacher and trains a second network with an optimizer of its own."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msl_jax.methods.method import Training
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.training.nonfinite import NotFinite, searching
from msl_jax.training.optimizer import Group, parameter_groups, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import replicate, train_step

DEVICES, RATE, ADAM_RATE, DECAY = 2, 0.1, 0.03, 0.75
X = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)


def _pass(params, stats, batch, context):
    """Pulls the network to its teacher, more in every step; the critic to the network."""
    pull = (context.step + 1).astype(jnp.float32) * batch["x"].sum()
    teacher = context.carried["teacher"]["params"]["network"]
    loss = pull * (params["network"] - teacher - 1) ** 2
    critic = (params["critic"] - jax.lax.stop_gradient(params["network"])) ** 2
    metrics = {"pull": pull, "distance": params["network"] - teacher}
    return loss + critic, ({"mean": stats["mean"] + 1}, metrics)


def _teacher(carried, variables, step):
    decay = jnp.minimum(1 - 1 / (step.astype(jnp.float32) + 1), DECAY)
    old = carried["teacher"]
    return {
        "teacher": jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, old, variables),
        "steps": carried["steps"] + 1,
    }


def _variables():
    params = {"network": jnp.float32(3), "critic": jnp.float32(-1)}
    return {"params": params, "batch_stats": {"mean": jnp.float32(0)}}


def _training() -> Training:
    rules = [("critic", "critic"), ("", "network")]
    optimizer = sgd(
        parameter_groups(_variables()["params"], rules),
        {"network": Group()},
        optax.constant_schedule(RATE),
        momentum=0.0,
        weight_decay=0.0,
        others={"critic": optax.adam(ADAM_RATE)},
    )
    return Training(
        (_pass,),
        optimizer,
        _teacher,
        lambda variables: {"teacher": variables, "steps": jnp.int32(0)},
    )


def _by_hand(steps: int) -> dict[str, float]:
    network, teacher, mean, teacher_mean = 3.0, 3.0, 0.0, 0.0
    for step in range(steps):
        network -= RATE * 2 * (step + 1) * X.sum() * (network - teacher - 1)
        mean += 1
        decay = min(1 - 1 / (step + 2), DECAY)
        teacher = decay * teacher + (1 - decay) * network
        teacher_mean = decay * teacher_mean + (1 - decay) * mean
    return {"network": network, "teacher": teacher, "teacher_mean": teacher_mean}


def _assert_as_by_hand(state: TrainState, steps: int) -> None:
    expected = _by_hand(steps)
    carried = state.carried["teacher"]
    found = {
        "network": float(state.params["network"]),
        "teacher": float(carried["params"]["network"]),
        "teacher_mean": float(carried["batch_stats"]["mean"]),
    }
    assert found == pytest.approx(expected, rel=1e-4)
    assert int(state.carried["steps"]) == int(state.step) == steps


def test_teacher_follows_the_network_and_passes_see_it_and_the_step() -> None:
    training = _training()
    step, state = training.step(), replicate(training.start(_variables()))
    for made in range(3):
        expected = _by_hand(made)
        state, metrics = step(state, {"x": X / 12})
        assert float(metrics["pull"]) == pytest.approx((made + 1) * X.sum() / 12, rel=1e-6)
        if made == 0:
            distance = expected["network"] - expected["teacher"]
            assert float(metrics["distance"]) == pytest.approx(DEVICES * distance, abs=1e-6)
    assert int(state.carried["steps"]) == 3


def test_equal_to_the_equations_written_out() -> None:
    training = _training()
    step, state = training.step(), replicate(training.start(_variables()))
    for _ in range(3):
        state, _ = step(state, {"x": X})
    _assert_as_by_hand(state, 3)


def test_the_other_network_has_its_own_optimizer() -> None:
    """Adam's first step is its rate, whatever the gradient."""
    training = _training()
    state, _ = training.step()(replicate(training.start(_variables())), {"x": X})
    assert float(state.params["critic"]) == pytest.approx(-1 + ADAM_RATE, rel=1e-4)


def test_micro_batches_see_one_teacher_which_moves_once() -> None:
    training = _training()
    x = np.stack([X, X], axis=1).reshape(DEVICES, 4)
    step, state = training.step(accumulate=2), replicate(training.start(_variables()))
    for _ in range(3):
        state, _ = step(state, {"x": x})
    assert int(state.carried["steps"]) == 3
    assert float(state.batch_stats["mean"]) == 6  # two micro-batches a step
    assert float(state.params["network"]) == pytest.approx(_by_hand(3)["network"], rel=1e-4)


def test_continued_run_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    training = _training()
    step, state = training.step(), replicate(training.start(_variables()))
    batches = [{"x": X * np.float32(factor)} for factor in (0.011, 0.023, 0.017, 0.029)]
    for batch in batches[:2]:
        state, _ = step(state, batch)
    checkpoints = Checkpoints(tmp_path / "adapt")
    checkpoints.save(state, {"examples": 2}, {"target": {}})
    for batch in batches[2:]:
        state, _ = step(state, batch)
    again, place = checkpoints.restore(2, training.start(_variables()))
    assert place == {"examples": 2}
    continued = replicate(again)
    for batch in batches[2:]:
        continued, _ = step(continued, batch)
    assert jax.tree.structure(continued) == jax.tree.structure(state)
    for found, expected in zip(jax.tree.leaves(continued), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(found, expected)


def _numbered_pass(params, stats, batch, context):
    seen = batch["prepared"] * context.carried["seen"].astype(jnp.float32)
    metrics = {"prepared": batch["prepared"].sum(), "seen": seen.sum()}
    return params["network"] * 0, (stats, metrics)


def _prepare(batch, context):
    """Remembers how many micro-batches it has seen, and where."""
    numbers = context.part * len(batch["x"]) + jnp.arange(len(batch["x"]), dtype=jnp.int32)
    wanted = numbers.astype(jnp.float32) == batch["x"]
    carried = {**context.carried, "seen": context.carried["seen"] + 1}
    return {**batch, "prepared": wanted.astype(jnp.float32)}, carried


@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_is_prepared_is_seen_by_passes_and_carried_on(accumulate: int) -> None:
    """Examples have the numbers that they have in the whole batch, however it is cut."""

    def carry(carried, variables, step):
        return {"seen": carried["seen"] + 100}

    training = Training(
        (_numbered_pass,),
        _training().optimizer,
        carry,
        lambda variables: {"seen": jnp.int32(0)},
        _prepare,
    )
    x = np.arange(DEVICES * 6, dtype=np.float32).reshape(DEVICES, 6)
    step = training.step(accumulate=accumulate)
    state, metrics = step(replicate(training.start(_variables())), {"x": x})
    assert float(metrics["prepared"]) == pytest.approx(12 / accumulate)
    mean_seen = (1 + accumulate) / 2  # the first micro-batch sees 1, the last one all
    assert float(metrics["seen"]) == pytest.approx(mean_seen * 12 / accumulate)
    assert int(state.carried["seen"]) == accumulate + 100


def test_search_for_a_number_that_is_not_finite_prepares_and_carries() -> None:
    def carry(carried, variables, step):
        return {**_teacher(carried, variables, step), "teacher": carried["teacher"]}

    def prepare(batch, context):
        return {"negative": -batch["x"].sum()}, context.carried

    def not_finite(params, stats, batch, context):
        loss = jnp.log(context.carried["teacher"]["params"]["network"] * batch["negative"])
        return loss * params["network"], (stats, {"loss": loss})

    training = _training()._replace(passes=(not_finite,), carry=carry, prepare=prepare)
    step = searching(training.step(), training.on_device())
    with pytest.raises(NotFinite) as caught:
        step(replicate(training.start(_variables())), {"x": X})
    assert "log" in (caught.value.operation or "")


def test_without_devices_and_without_carry_the_state_is_carried_on() -> None:
    training = _training()
    step = jax.jit(
        functools.partial(train_step, training.passes, training.optimizer, axis_name=None)
    )
    state, _ = step(training.start(_variables()), {"x": X})
    assert int(state.carried["steps"]) == 0
    assert float(state.carried["teacher"]["params"]["network"]) == 3


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_passes_with_a_metric_of_one_name(accumulate: int) -> None:
    """One of them would not be logged, and not be checked."""
    training = _training()._replace(passes=(_pass, _pass))
    with pytest.raises(ValueError, match="metrics of two passes have one name: distance, pull"):
        training.step(accumulate=accumulate)(
            replicate(training.start(_variables())), {"x": np.concatenate([X, X], axis=1)}
        )
