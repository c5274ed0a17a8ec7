"""One step on two devices against the objective of the whole batch written out."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from msl_jax import losses
from msl_jax.methods.segmentation import Objective, passes
from msl_jax.models import resize_align_corners
from msl_jax.models.inputs import TORCHVISION
from msl_jax.models.layers import BatchNorm, Conv
from msl_jax.training.optimizer import Group, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate, train_step

DEVICES, BATCH, SIZE, CLASSES = 2, 2, (17, 25), 3


class TwoHeads(nn.Module):
    """DeepLabv2 as far as a step knows it, in float64.

    1x1 convolutions alone: XLA takes seconds to compile each larger one in float64 on a CPU.
    """

    input_convention = TORCHVISION

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


pytestmark = pytest.mark.usefixtures("x64")


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
    return parallel_train_step(passes(MODEL, objective, adapt=True), _optimizer())


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

    `vmap` over the devices' parts gives each its own batch-norm statistics; the losses see all
    pixels at once.
    """

    def forward(stats, images):
        def single(stats, images):
            (final, low), updates = MODEL.apply(
                {"params": params, "batch_stats": stats},
                TORCHVISION.prepare(images),
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
    """`target_loss="none"`: target images only change the batch-norm statistics."""

    @staticmethod
    @functools.cache
    def _both():
        """States after one step with and without the target images, and the metrics."""
        one_device = jax.tree.map(lambda array: array[0], _batch())

        def step(adapt: bool):
            terms = passes(MODEL, Objective("none"), adapt=adapt, axis_name=None)
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
