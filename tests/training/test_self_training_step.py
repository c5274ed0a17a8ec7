"""One step of self-training with all its ingredients, on two devices, in parts and in one."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_accumulation import MODEL as FROZEN_MODEL
from test_accumulation import _variables as _frozen_variables
from test_objective_step import MODEL as NORMALIZING_MODEL
from test_objective_step import _variables as _normalizing_variables

from msl_jax.losses import IGNORE, image_weights
from msl_jax.methods.draws import drawing
from msl_jax.methods.method import Training
from msl_jax.methods.segmentation import Objective
from msl_jax.methods.self_training import passes, preparation
from msl_jax.methods.self_training_keys import Settings
from msl_jax.methods.teacher import STUDENT, TEACHER, exchanged, following
from msl_jax.models import resize_align_corners
from msl_jax.models.inputs import augmented_input, network_input
from msl_jax.training.step import Context, replicate, train_step

DEVICES, SIZE, CLASSES, STEPS = 2, (17, 25), 3, 2
GOAL = Objective(
    "none", multi=True, lambda_target=0.7, lambda_low=0.4, iw_alpha=0.3, normalization="paper"
)
DACS = Settings(confidence=0.6, jitter=0.2)
ALL = Settings(
    confidence=0.6,
    jitter=0.2,
    target_loss="max_square",
    image_weights=True,
    max_square_below=True,
    lambda_masked=0.8,
    mask_cell=4,
)

pytestmark = pytest.mark.usefixtures("x64", "quick_compilation")


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Compilation takes most of the time; the results are the same."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def _training(model: Any, settings: Settings, axis_name: str | None) -> Training:
    draw = drawing(1, CLASSES, jitter=settings.jitter, blur=settings.blur, cell=settings.mask_cell)
    return Training(
        passes(model, settings, GOAL, axis_name=axis_name),
        optax.sgd(0.05),
        following(0.9, axis_name=axis_name),
        lambda variables: {TEACHER: jax.tree.map(jnp.copy, variables)},
        preparation(model, settings, draw, axis_name=axis_name),
        exchanged,
    )


def _batch(step: int, count: int) -> Any:
    """`count` examples on each of two devices; many labels of the second one are ignored."""
    rng = np.random.default_rng(step)
    shape = (DEVICES, count, *SIZE)
    labels = rng.integers(0, CLASSES, shape).astype(np.uint8)
    labels[rng.random(shape) < np.reshape([0.1, 0.7], (2, 1, 1, 1))] = IGNORE
    images = rng.integers(0, 256, (2, *shape, 3)).astype(np.uint8)
    return {"source": {"image": images[0], "label": labels}, "target": {"image": images[1]}}


def _on_devices(training: Training, variables: Any, *, accumulate: int = 1) -> tuple[Any, Any]:
    step, metrics = training.step(accumulate=accumulate), {}
    state = replicate(training.start(jax.tree.map(jnp.array, variables)))
    for number in range(STEPS):
        state, metrics = step(state, _batch(number, 2))
    return jax.device_get((state, metrics))


def _on_one(training: Training, variables: Any) -> tuple[Any, Any]:
    step = jax.jit(
        functools.partial(
            train_step,
            training.passes,
            training.optimizer,
            prepare=training.prepare,
            carry=training.carry,
            axis_name=None,
        )
    )
    state, metrics = training.start(variables), {}
    for number in range(STEPS):
        whole = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), _batch(number, 2))
        state, metrics = step(state, whole)
    return jax.device_get((state, metrics))


def _assert_close(found: Any, expected: Any, limit: float = 1e-6) -> None:
    """Images are augmented in float32, in which programs round differently."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)

    def check(path: Any, a: Any, b: Any) -> None:
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)
        assert error < limit, (jax.tree_util.keystr(path), error)

    jax.tree_util.tree_map_with_path(check, found, expected)


@functools.cache
def _alone(settings: Settings) -> tuple[Any, Any]:
    """Without normalisation by the batch: what all four examples give together."""
    return _on_one(_training(FROZEN_MODEL, settings, None), _frozen_variables())


@pytest.mark.parametrize("settings", [DACS, ALL], ids=["dacs", "all"])
def test_two_devices_are_one_with_the_whole_batch(settings: Settings) -> None:
    """Draws, the share and all losses; student and teacher."""
    training = _training(FROZEN_MODEL, settings, "devices")
    state, metrics = _on_devices(training, _frozen_variables())
    expected, expected_metrics = _alone(settings)
    assert 0.05 < metrics["teacher/confident_share"] < 0.95
    _assert_close(metrics, expected_metrics)
    _assert_close(state, expected)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), state.params, _frozen_variables()["params"]
    )
    assert moved["final_head"]["kernel"] > 1e-4
    assert moved["low_head"]["kernel"] > 1e-5


def test_each_ingredient_has_its_term() -> None:
    names = {"source/final", "source/low", "mixed/final", "mixed/low", "teacher/confident_share"}
    names |= {f"teacher/labels/{label}_share" for label in range(CLASSES)}
    assert set(_alone(DACS)[1]) == names
    more = {"mixed/max_square", "masked/final", "target/max_square"}
    assert set(_alone(ALL)[1]) == names | more


def _upsampled(variables: Any, inputs: Any) -> list[Any]:
    """Logits of both heads at the images' size."""
    return [resize_align_corners(z, SIZE) for z in FROZEN_MODEL.apply(variables, inputs)]


def _cross_entropy(logits: Any, labels: Any) -> Any:
    """Of each pixel; 0 where it is ignored."""
    one_hot = jax.nn.one_hot(jnp.asarray(labels), CLASSES, dtype=logits.dtype)
    return -jnp.sum(one_hot * jax.nn.log_softmax(logits), axis=-1)


def test_terms_written_out() -> None:
    """Every ingredient, with a teacher that differs from the student."""
    training, student = _training(FROZEN_MODEL, ALL, None), _frozen_variables()
    teacher = jax.tree.map(lambda leaf: leaf * 0.8, student)
    batch = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), _batch(0, 2))
    context = Context(jnp.int32(0), {TEACHER: teacher})
    made, _ = training.prepare(batch, context)
    metrics: dict[str, Any] = {}
    for single in training.passes:
        params, stats = student["params"], student["batch_stats"]
        metrics |= single(params, stats, made, context)[1][1]

    clean = network_input(FROZEN_MODEL, batch["target"]["image"])
    q = jax.nn.softmax(_upsampled(teacher, clean)[0])
    label, confident = q.argmax(-1), q.max(-1) >= ALL.confidence
    share = confident.mean(dtype=float)
    assert 0.05 < share < 0.95
    mask = np.asarray(made["mixed"]["pasted"])
    labels = np.where(mask, batch["source"]["label"], label)
    final, low = _upsampled(student, augmented_input(FROZEN_MODEL, made["mixed"]["image"]))
    weights = image_weights(q, 0.3)
    products = -jnp.sum(q * jax.nn.softmax(final), axis=-1)
    weighted = (_cross_entropy(low, labels) * jnp.where(mask, 1, share)).mean()
    inputs = augmented_input(FROZEN_MODEL, made["masked"]["image"])
    hidden, _ = _upsampled(student, inputs * made["masked"]["kept"][..., None].astype(inputs.dtype))
    p = jax.nn.softmax(_upsampled(student, clean)[0])
    squares = -jnp.sum(p**2, axis=-1) / 2 * image_weights(p, 0.3)
    expected = {
        "mixed/final": (_cross_entropy(final, labels) * mask.astype(float)).mean(),
        "mixed/max_square": 0.7
        * jnp.sum(weights * products * (~mask).astype(float), (1, 2)).mean(),
        "mixed/low": 0.4 * weighted,
        "masked/final": 0.8 * share * _cross_entropy(hidden, label).mean(),
        "target/max_square": 0.7 * jnp.sum(squares * (~confident).astype(float), (1, 2)).mean(),
        "teacher/confident_share": share,
        **{f"teacher/labels/{c}_share": (label == c).mean(dtype=float) for c in range(CLASSES)},
    }
    for name, value in expected.items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=1e-6), name


def test_micro_batches_draw_what_the_whole_batch_draws() -> None:
    """Where no share or count of pixels ties the images of a micro-batch together."""
    settings = Settings(confidence=0.0, target_loss="max_square", jitter=0.2)
    assert _alone(settings)[1]["teacher/confident_share"] == 1
    goal = Settings(confidence=0.0, target_loss="max_square", jitter=0.2)
    training = _training(FROZEN_MODEL, goal, "devices")
    # The source's own cross entropy is a mean over the pixels of a micro-batch that are labelled.
    without_source = training._replace(passes=training.passes[1:])
    state, metrics = _on_devices(without_source, _frozen_variables(), accumulate=2)
    alone = _training(FROZEN_MODEL, goal, None)
    expected = _on_one(alone._replace(passes=alone.passes[1:]), _frozen_variables())
    _assert_close((state, metrics), expected)


def test_teacher_has_statistics_of_clean_target_images() -> None:
    """Its own, averaged over the devices; the student's are those of other images."""
    variables = _normalizing_variables()
    training = _training(NORMALIZING_MODEL, DACS, "devices")
    state = replicate(training.start(jax.tree.map(jnp.array, variables)))
    state, _ = training.step()(state, _batch(0, 2))
    images = _batch(0, 2)["target"]["image"]

    def of_device(images: Any) -> Any:
        inputs = network_input(NORMALIZING_MODEL, images)
        return NORMALIZING_MODEL.apply(variables, inputs, train=True, mutable=["batch_stats"])[1]

    stats = jax.tree.map(lambda leaf: leaf.mean(axis=0), jax.vmap(of_device)(images)["batch_stats"])
    _assert_close(jax.device_get(state.carried[TEACHER]["batch_stats"]), jax.device_get(stats))
    differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.batch_stats, stats)
    assert min(jax.tree.leaves(differences)) > 1e-6


def test_first_step_copies_the_student_and_later_ones_follow_it() -> None:
    variables = _normalizing_variables()
    training = _training(NORMALIZING_MODEL, DACS, "devices")
    step = training.step()
    state, _ = step(replicate(training.start(jax.tree.map(jnp.array, variables))), _batch(0, 2))
    first = jax.device_get(state.params)
    _assert_close(jax.device_get(state.carried[TEACHER]["params"]), first, 1e-15)
    state, _ = step(state, _batch(1, 2))
    mean = jax.tree.map(lambda a, b: (a + b) / 2, first, jax.device_get(state.params))
    _assert_close(jax.device_get(state.carried[TEACHER]["params"]), mean, 1e-12)


def test_exchange_is_its_own_inverse() -> None:
    state = _alone(DACS)[0]
    other = exchanged(state)
    assert set(other.carried) == {STUDENT}
    _assert_close(other.variables, state.carried[TEACHER], 1e-15)
    _assert_close(other.carried[STUDENT], state.variables, 1e-15)
    _assert_close(exchanged(other), state, 1e-15)
