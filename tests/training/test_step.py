"""One step on two devices against the objective of the whole batch written out."""

from __future__ import annotations

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax import lax

from msl_jax import losses
from msl_jax.models import resize_align_corners
from msl_jax.models.layers import BatchNorm, Conv
from msl_jax.tasks.segmentation import Objective, network_input, passes
from msl_jax.training.optimizer import Group, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate, train_step

DEVICES, BATCH, SIZE, CLASSES = 2, 2, (17, 25), 3


class TwoHeads(nn.Module):
    """DeepLabv2 as far as a step knows it, in float64.

    1x1 convolutions alone: XLA takes seconds to compile each larger one in float64 on a CPU.
    """

    @nn.compact
    def __call__(self, images, train: bool = False, low_head: bool = True):
        def norm(name: str, x):
            module = BatchNorm(param_dtype=jnp.float64, name=name)
            return nn.relu(module(x, use_running_average=not train))

        def conv(name: str, features: int, x, stride: int = 1):
            layer = Conv(features, 1, stride, use_bias=True, param_dtype=jnp.float64, name=name)
            return layer(x)

        stage3 = norm("bn1", conv("conv1", 6, images.astype(jnp.float64), stride=8))
        stage4 = norm("bn2", conv("conv2", 8, stage3))
        low = conv("low_head", CLASSES, stage3) if low_head else None
        return conv("final_head", CLASSES, stage4), low


MODEL = TwoHeads()
MULTI = Objective(
    "max_square",
    multi=True,
    lambda_target=0.5,
    lambda_source_low=0.3,
    lambda_low=0.25,
    iw_alpha=0.2,
    guidance_threshold=0.8,
)
HARD = Objective("hard", lambda_target=0.5, guidance_threshold=0.8)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@functools.cache
def _variables():
    """Random variables in float64, statistics included."""
    images = jnp.zeros((1, *SIZE, 3))
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), images)
    rng = np.random.default_rng(0)

    def draw(path, leaf) -> np.ndarray:
        name = path[-1].key
        if name == "kernel":
            return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:3])), leaf.shape)
        return rng.uniform(0.5, 1.5, leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@functools.cache
def _batch():
    """Two devices' examples; most labels of the second device are ignored."""
    rng = np.random.default_rng(1)
    shape = (DEVICES, BATCH, *SIZE)
    labels = rng.integers(0, CLASSES, shape).astype(np.uint8)
    labels[0][rng.random(shape[1:]) < 0.1] = losses.IGNORE
    labels[1][rng.random(shape[1:]) < 0.8] = losses.IGNORE
    images = rng.integers(0, 256, (2, *shape, 3)).astype(np.uint8)
    images[1, 1, :, :, :18] = 90  # half of it flat: fewer sure predictions
    return {"source": {"image": images[0], "label": labels}, "target": {"image": images[1]}}


def _optimizer():
    groups = jax.tree.map(lambda _: "all", _variables()["params"])
    schedule = poly_schedule(0.1, 10)
    return sgd(groups, {"all": Group()}, schedule, momentum=0.9, weight_decay=0.01)


@functools.cache
def _parallel_step(objective: Objective):
    return parallel_train_step(passes(MODEL, objective, "torchvision", adapt=True), _optimizer())


def _state() -> TrainState:
    """A fresh state: a step consumes it."""
    variables = jax.tree.map(jnp.array, _variables())
    return replicate(TrainState.create(variables, _optimizer()))


def _stepped(objective: Objective, batch=None):
    state, metrics = _parallel_step(objective)(_state(), batch or _batch())
    return jax.device_get(state), jax.device_get(metrics)


def _assert_trees_close(found, expected, **tolerance) -> None:
    """Largest error over largest value, in each array."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)

    def check(path, a, b) -> None:
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)
        assert error < tolerance.get("limit", 1e-6), (jax.tree_util.keystr(path), error)

    jax.tree_util.tree_map_with_path(check, found, expected)


def _whole_objective(params, stats, batch, objective: Objective):
    """Objective, statistics and metrics of the whole batch, on one device without collectives.

    `vmap` over the devices' parts gives each its own norm statistics; the losses see all
    pixels at once.
    """

    def forward(stats, images):
        def single(stats, images):
            (final, low), updates = MODEL.apply(
                {"params": params, "batch_stats": stats},
                network_input(images, "torchvision"),
                train=True,
                mutable=["batch_stats"],
            )
            final, low = (resize_align_corners(logits, SIZE) for logits in (final, low))
            return final, low, updates["batch_stats"]

        final, low, stats = jax.vmap(single)(stats, images)
        return final.reshape(-1, *final.shape[2:]), low.reshape(-1, *low.shape[2:]), stats

    stats = jax.tree.map(lambda leaf: jnp.stack([leaf] * DEVICES), stats)
    final, low, stats = forward(stats, batch["source"]["image"])
    labels = batch["source"]["label"].reshape(final.shape[:-1])
    parts = {"source/final": losses.cross_entropy(final, labels)}
    if objective.multi:
        parts["source/low"] = objective.lambda_source_low * losses.cross_entropy(low, labels)

    final, low, stats = forward(stats, batch["target"]["image"])
    threshold, weight = objective.guidance_threshold, objective.lambda_target
    if objective.target_loss == "hard":
        pseudo = losses.pseudo_labels(final, threshold)
        parts["target/final"] = weight * losses.cross_entropy(final, pseudo)
    else:
        loss = losses.max_square(final, iw_alpha=objective.iw_alpha)
        parts["target/final"] = weight * loss
    others = {}
    if objective.multi:
        guidance = losses.guidance_labels(final, low, threshold)
        loss = losses.cross_entropy(low, guidance)
        parts["target/guidance"] = objective.lambda_low * weight * loss
        others["target/guided_share"] = (guidance != losses.IGNORE).mean(dtype=final.dtype)
    made = guidance if objective.multi else pseudo
    counts = (made != losses.IGNORE).reshape(DEVICES, -1).sum(1)
    stats = jax.tree.map(lambda leaf: leaf.mean(0), stats)
    return sum(parts.values()), (stats, parts | others, counts)


@functools.cache
def _expected(objective: Objective):
    """(gradient, statistics, metrics, pixels with a made label per device) of the whole batch."""
    function = jax.jit(
        jax.grad(functools.partial(_whole_objective, objective=objective), has_aux=True)
    )
    variables = _variables()
    gradient, (stats, metrics, counts) = function(
        variables["params"], variables["batch_stats"], _batch()
    )
    return jax.device_get((gradient, stats, metrics, counts))


each_objective = pytest.mark.parametrize("objective", [MULTI, HARD], ids=["multi", "hard"])


class TestTwoDevices:
    def test_there_are_two(self):
        assert jax.local_device_count() == DEVICES

    @each_objective
    def test_parts_differ(self, objective):
        """Else a mean of the devices' means would pass for the mean over all pixels."""
        labelled = (_batch()["source"]["label"] != losses.IGNORE).sum((1, 2, 3))
        made = _expected(objective)[3]
        for counts in (labelled, made):
            assert counts.min() > 0
            assert counts.max() > 1.2 * counts.min()

    @each_objective
    def test_metrics_are_those_of_the_whole_batch(self, objective):
        _, metrics = _stepped(objective)
        expected = _expected(objective)[2]
        assert metrics.keys() == expected.keys()
        for name, value in metrics.items():
            assert value.shape == ()
            np.testing.assert_allclose(value, expected[name], rtol=1e-9, err_msg=name)

    @each_objective
    def test_parameters_follow_the_whole_gradient(self, objective):
        state, _ = _stepped(objective)
        gradient, params = _expected(objective)[0], _variables()["params"]
        rate = np.float64(np.float32(0.1))
        # From the first step on a velocity of zero.
        expected = jax.tree.map(lambda p, g: -rate * (g + 0.01 * p), params, gradient)
        found = jax.tree.map(lambda new, old: new - old, state.params, params)
        _assert_trees_close(found, expected)

    @each_objective
    def test_statistics_are_averaged(self, objective):
        """Source's first, then target's on top, on each device; then the mean over devices."""
        state, _ = _stepped(objective)
        _assert_trees_close(state.batch_stats, _expected(objective)[1], limit=1e-9)

    def test_state_is_not_stacked(self):
        state, _ = _stepped(MULTI)
        start = TrainState.create(_variables(), _optimizer())
        assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, start)
        assert state.step == 1

    def test_devices_may_swap_their_parts(self):
        batch = jax.tree.map(lambda array: array[::-1], _batch())
        found, metrics = _stepped(MULTI, batch)
        expected, expected_metrics = _stepped(MULTI)
        _assert_trees_close(found.params, expected.params, limit=1e-12)
        _assert_trees_close(metrics, expected_metrics, limit=1e-12)

    def test_nothing_labelled(self):
        batch = {**_batch(), "source": {**_batch()["source"]}}
        batch["source"]["label"] = np.full_like(batch["source"]["label"], losses.IGNORE)
        state, metrics = _stepped(MULTI, batch)
        assert metrics["source/final"] == metrics["source/low"] == 0
        assert metrics["target/final"] == pytest.approx(_expected(MULTI)[2]["target/final"])
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))

    def test_nothing_labelled_on_one_device(self):
        batch = {**_batch(), "source": {**_batch()["source"]}}
        labels = batch["source"]["label"].copy()
        labels[1] = losses.IGNORE
        batch["source"]["label"] = labels
        state, metrics = _stepped(MULTI, batch)
        assert metrics["source/final"] > 0.1
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


class TestTargetStatistics:
    """`target_loss="none"`: target images only move the norms' statistics."""

    @staticmethod
    @functools.cache
    def _both():
        """States after one step with and without the target images, and the metrics."""
        one_device = jax.tree.map(lambda array: array[0], _batch())

        def step(adapt: bool):
            terms = passes(MODEL, Objective("none"), "torchvision", adapt=adapt, axis_name=None)
            function = functools.partial(train_step, terms, _optimizer(), axis_name=None)
            state = TrainState.create(_variables(), _optimizer())
            return jax.device_get(jax.jit(function)(state, one_device))

        return step(True), step(False)

    def test_parameters_are_those_of_source_training(self):
        (adapted, _), (source_only, _) = self._both()
        _assert_trees_close(adapted.params, source_only.params, limit=1e-12)
        _assert_trees_close(adapted.opt_state, source_only.opt_state, limit=1e-12)

    def test_statistics_move(self):
        (adapted, _), (source_only, _) = self._both()
        for new, old in zip(
            jax.tree.leaves(adapted.batch_stats),
            jax.tree.leaves(source_only.batch_stats),
            strict=True,
        ):
            assert np.abs(new - old).max() > 1e-4 * np.abs(old).max()

    def test_no_metrics_of_the_target(self):
        (_, adapted), (_, source_only) = self._both()
        assert adapted == source_only
        assert adapted.keys() == {"source/final"}


class Passes:
    """Two terms in one parameter, whose statistics tell their order; counts its tracings."""

    def __init__(self) -> None:
        self.traced = 0

    def first(self, params, stats, batch):
        self.traced += 1
        loss = (params["w"] * batch["x"]).sum()
        return loss, ({"mean": 0.5 * stats["mean"] + batch["x"].mean()}, {"first": loss})

    def second(self, params, stats, batch):
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

    @pytest.fixture(autouse=True)
    def _float32(self, x64):
        with jax.enable_x64(False):
            yield

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
