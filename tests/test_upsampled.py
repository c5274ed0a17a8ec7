"""Losses of up-sampled logits in tiles against up-sampling first and then `msl_jax.losses`."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from msl_jax import losses
from msl_jax.losses import tiles
from msl_jax.losses.equations import target_loss
from msl_jax.losses.upsampled import LossSum, cross_entropy_sums, target_sums
from msl_jax.models import resize_align_corners

CLASSES, THRESHOLD = 6, 0.7
# (h, w), (H, W): tiles that divide the image, that do not, an enlargement that is no whole number,
# one source cell, and no enlargement at all.
SIZES = [((5, 8), (33, 57)), ((5, 8), (31, 41)), ((1, 3), (8, 64)), ((7, 9), (7, 9))]
# Keywords of `target_sums`.
TERMS: dict[str, dict] = {
    "entropy": {"loss": "minent"},
    "entropy_iw": {"loss": "minent", "iw_alpha": 0.2, "rule": "paper"},
    "max_square": {"loss": "max_square", "normalization": "paper"},
    "max_square_iw": {"loss": "max_square", "iw_alpha": 0.2},
    "max_square_iw_paper": {"loss": "max_square", "iw_alpha": 0.5, "normalization": "paper"},
    "hard": {"loss": "hard"},
}


@pytest.fixture
def small_tiles(monkeypatch):
    """Many tiles, some of which overlap, where images would fit into one."""
    monkeypatch.setattr(tiles, "_WIDTH_UNIT", 16)
    monkeypatch.setattr(tiles, "CPU_TILE", 16 * 5 * CLASSES)


def random_heads(shape=(2, 5, 8), dtype=np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(3 * rng.standard_normal((*shape, CLASSES))).astype(dtype) for _ in range(2)]


def random_labels(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    labels = rng.integers(CLASSES, size=shape)
    return np.where(rng.random(shape) < 0.3, losses.IGNORE, labels).astype(np.uint8)


def tiled_target(terms: dict, size, final, low) -> list[jax.Array]:
    return [s.mean for s in target_sums(final, low, size, **{"threshold": THRESHOLD, **terms})]


def full_size_target(terms: dict, size, final, low) -> list[jax.Array]:
    final, low = resize_align_corners(final, size), resize_align_corners(low, size)
    keys = dict(terms)
    name, rule = keys.pop("loss"), keys.pop("rule", "official")
    if name == "hard":
        loss = losses.cross_entropy(final, losses.pseudo_labels(final, THRESHOLD))
    else:
        loss = {"minent": losses.entropy, "max_square": losses.max_square}[name](final, **keys)
    labels = losses.guidance_labels(final, low, THRESHOLD, rule=rule)
    return [loss, losses.cross_entropy(low, labels)]


def tiled_cross_entropy(labels, *heads) -> list[jax.Array]:
    return [s.mean for s in cross_entropy_sums(heads, labels)]


def full_size_cross_entropy(labels, *heads) -> list[jax.Array]:
    size = labels.shape[1:]
    return [losses.cross_entropy(resize_align_corners(head, size), labels) for head in heads]


def values_and_gradients(function, *heads):
    """Values, and the gradients of unequally weighted losses: of one, of the other, of both."""

    @jax.jit
    def compiled(heads):
        values, backward = jax.vjp(lambda heads: jnp.stack(function(*heads)), heads)
        weights = jnp.array([[1, 0], [0, 1], [0.3, -2]], values.dtype)
        return values, [backward(weight)[0] for weight in weights]

    return compiled(tuple(heads))


def assert_close(found, expected, tolerance: float) -> None:
    """Largest error over largest value, in each array."""
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        scale = np.abs(np.asarray(y, np.float64)).max()
        assert np.abs(np.asarray(x, np.float64) - np.asarray(y, np.float64)).max() <= (
            tolerance * scale
        )


@pytest.mark.usefixtures("x64", "small_tiles")
@pytest.mark.parametrize("name", TERMS)
def test_target_losses_equal_those_of_full_size_logits(name):
    size, heads = (33, 57), random_heads()
    found, expected = (
        values_and_gradients(functools.partial(loss, TERMS[name], size), *heads)
        for loss in (tiled_target, full_size_target)
    )
    assert all(np.any(gradient) for gradient in expected[1][2])  # else it would prove nothing
    assert_close(found, expected, 1e-12)


@pytest.mark.usefixtures("x64", "small_tiles")
@pytest.mark.parametrize(("small", "size"), SIZES)
def test_cross_entropy_equals_that_of_full_size_logits(small, size):
    heads, labels = random_heads((2, *small)), random_labels(2, *size)
    found, expected = (
        values_and_gradients(functools.partial(loss, labels), *heads)
        for loss in (tiled_cross_entropy, full_size_cross_entropy)
    )
    assert_close(found, expected, 1e-12)


def test_one_tile_and_many_agree_in_float32(monkeypatch):
    """At a size of many tiles, with those of a program for the CPU and those of another."""
    size, heads = (150, 322), random_heads((1, 19, 41), np.float32)
    found = values_and_gradients(
        functools.partial(tiled_target, TERMS["max_square_iw"], size), *heads
    )
    monkeypatch.setattr(tiles, "CPU_TILE", tiles.OTHER_TILE)
    one = values_and_gradients(
        functools.partial(tiled_target, TERMS["max_square_iw"], size), *heads
    )
    assert_close(found, one, 1e-6)
    with jax.enable_x64(True):
        exact = values_and_gradients(
            functools.partial(full_size_target, TERMS["max_square_iw"], size),
            *(head.astype(np.float64) for head in heads),
        )
    rounded = jax.tree.map(lambda x: np.asarray(x, np.float32), exact)
    assert_close(found, rounded, 1e-6)


@pytest.mark.parametrize(
    ("source", "target", "longest", "unit"),
    [
        (5, 33, 8, 1),
        (8, 57, 16, 16),
        (91, 720, 20, 1),
        (161, 1280, 64, 16),
        (7, 7, 3, 1),
        (1, 9, 4, 1),
    ],
)
def test_tiles_count_every_cell_once_and_interpolate_as_the_resize(source, target, longest, unit):
    cut = tiles._cut(source, target, longest, unit)
    length, patch = cut.weights.shape[1:]
    assert length <= longest
    assert length % unit == 0
    cells = cut.starts[:, None] + np.arange(length)
    np.testing.assert_array_equal(cells[cut.counted], np.arange(target))
    x = np.random.default_rng(0).standard_normal(source).astype(np.float32)
    expected = resize_align_corners(x[None, :, None, None], (target, 1))[0, :, 0, 0]
    assert cut.sources.min() >= 0
    assert cut.sources.max() + patch <= source
    for cell, start, weights in zip(cells, cut.sources, cut.weights, strict=True):
        np.testing.assert_allclose(weights @ x[start : start + patch], expected[cell], atol=1e-6)


@pytest.mark.usefixtures("x64", "small_tiles")
def test_devices_add_up_to_the_whole_batch():
    size, heads, labels = (33, 57), random_heads(), random_labels(2, 33, 57)
    terms = TERMS["max_square_iw"]

    def total(heads, labels, devices: bool):
        sums = [*cross_entropy_sums(heads, labels), *target_sums(*heads, size, **terms)]
        if devices:
            counts = lax.psum([loss.count for loss in sums], "devices")
            sums = [LossSum(loss.total, count) for loss, count in zip(sums, counts, strict=True)]
        return sum(loss.mean for loss in sums)

    value, gradient = jax.jit(jax.value_and_grad(functools.partial(total, devices=False)))(
        heads, labels
    )
    values, gradients = jax.pmap(
        jax.value_and_grad(functools.partial(total, devices=True)), "devices"
    )([head[:, None] for head in heads], labels[:, None])
    assert_close(values.sum(), value, 1e-12)
    assert_close([g[:, 0] for g in gradients], gradient, 1e-12)


@pytest.mark.usefixtures("small_tiles")
def test_loss_without_any_pixel_that_counts_is_exactly_zero():
    labels = np.full((2, 33, 57), losses.IGNORE, np.uint8)
    heads = random_heads(dtype=np.float32)
    values, gradients = values_and_gradients(functools.partial(tiled_cross_entropy, labels), *heads)
    assert not np.any(values)
    assert not any(np.any(gradient) for gradient in jax.tree.leaves(gradients))
    unsure = {"loss": "hard", "threshold": 1.0}
    values, gradients = values_and_gradients(
        functools.partial(tiled_target, unsure, (33, 57)), *heads
    )
    assert not np.any(values)
    assert not any(np.any(gradient) for gradient in jax.tree.leaves(gradients))


@pytest.mark.usefixtures("small_tiles")
def test_extreme_logits():
    """Huge ones give finite results; what interpolation makes no number of is not hidden."""
    huge = [np.where(head > 0, np.float32(1e4), np.float32(-1e4)) for head in random_heads()]
    labels = random_labels(2, 33, 57)
    for function in (
        functools.partial(tiled_cross_entropy, labels),
        *(
            functools.partial(tiled_target, TERMS[name], (33, 57))
            for name in ("entropy_iw", "hard")
        ),
    ):
        assert all(
            np.all(np.isfinite(x)) for x in jax.tree.leaves(values_and_gradients(function, *huge))
        )
    final, low = random_heads(dtype=np.float32)
    final[0, 0, 0, 1] = -np.inf
    values, _ = values_and_gradients(functools.partial(tiled_cross_entropy, labels), final, low)
    assert np.isnan(values[0])
    assert np.isfinite(values[1])


@pytest.mark.parametrize("label", [-1, CLASSES, 254])
def test_a_label_that_is_no_class_is_reported_as_nan(label):
    labels = random_labels(2, 33, 57).astype(np.int32)
    labels[1, 20, 30] = label
    heads = [jnp.asarray(head, jnp.float32) for head in random_heads()]
    assert all(np.isnan(jnp.stack(jax.jit(tiled_cross_entropy)(labels, *heads))))


def test_labels_of_any_integer_type(x64):
    heads, labels = random_heads(), random_labels(2, 33, 57)
    labels[labels == losses.IGNORE] = 0
    compiled = jax.jit(tiled_cross_entropy)
    expected = jnp.stack(compiled(labels, *heads))
    for dtype in (np.int8, np.int64):
        assert_close(jnp.stack(compiled(labels.astype(dtype), *heads)), expected, 1e-15)


def test_bfloat16_logits_are_computed_in_float32():
    heads = [jnp.asarray(head, jnp.bfloat16) for head in random_heads()]
    function = functools.partial(tiled_target, TERMS["max_square_iw"], (33, 57))
    values, gradients = values_and_gradients(function, *heads)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(gradients))
    in_float32, _ = values_and_gradients(function, *(head.astype(jnp.float32) for head in heads))
    assert values.dtype == jnp.float32
    np.testing.assert_array_equal(values, in_float32)


@pytest.mark.usefixtures("x64", "small_tiles")
def test_weights_of_pixels_scale_their_losses_and_leave_the_count():
    size, heads, labels = (33, 57), random_heads(), random_labels(2, 33, 57)
    weights = np.random.default_rng(2).random((2, *size))

    def tiled(weights, *heads):
        return [s.mean for s in cross_entropy_sums(heads, labels, weights)]

    def full_size(weights, *heads):
        counted = jnp.asarray(labels != losses.IGNORE)
        log_p = [jax.nn.log_softmax(resize_align_corners(head, size)) for head in heads]
        picked = jnp.where(counted, labels, 0).astype(jnp.int32)[..., None]
        values = [-jnp.take_along_axis(lp, picked, -1)[..., 0] for lp in log_p]
        count = float(np.sum(labels != losses.IGNORE))
        return [jnp.sum(jnp.where(counted, weights * value, 0)) / count for value in values]

    found, expected = (
        values_and_gradients(functools.partial(function, weights), *heads)
        for function in (tiled, full_size)
    )
    assert_close(found, expected, 1e-12)
    gradient = jax.grad(lambda w: sum(tiled(w, *heads)))(jnp.asarray(weights))
    assert not np.any(gradient)
    with pytest.raises(ValueError, match="One value is needed for each pixel"):
        cross_entropy_sums(heads, labels, weights[:, 1:])


def test_counts_are_pixels_images_and_what_passes():
    final, low = (jnp.asarray(head, jnp.float32) for head in random_heads())
    full = [resize_align_corners(head, (33, 57)) for head in (final, low)]
    guided = int(np.sum(losses.guidance_labels(*full, THRESHOLD) != losses.IGNORE))
    sure = int(np.sum(losses.pseudo_labels(full[0], THRESHOLD) != losses.IGNORE))
    assert 0 < sure < guided < 2 * 33 * 57
    expected = {"entropy": 2 * 33 * 57, "max_square_iw": 2, "hard": sure}
    for name, number in expected.items():
        terms = {"threshold": THRESHOLD, **TERMS[name]}
        found = jax.jit(functools.partial(target_sums, size=(33, 57), **terms))(final, low)
        assert [int(loss.count) for loss in found] == [number, guided]
        assert all(loss.count.dtype == jnp.int32 for loss in found)
    alone = target_sums(final, None, (33, 57), **TERMS["max_square_iw"])
    assert len(alone) == 1


def test_mistakes_are_named():
    head = jnp.zeros((1, 2, 3, 4))
    with pytest.raises(ValueError, match="minent, max_square, hard; found 'entropy'"):
        target_sums(head, None, (8, 8), loss="entropy")
    with pytest.raises(ValueError, match="minent, max_square; found 'hard'"):
        target_loss("hard", head)
    with pytest.raises(ValueError, match="official, paper; found 'mean'"):
        target_sums(head, None, (8, 8), normalization="mean")
    with pytest.raises(ValueError, match="official, paper; found 'both'"):
        target_sums(head, head, (8, 8), rule="both")
    with pytest.raises(ValueError, match="no image-wise weighting of pseudo labels"):
        target_sums(head, None, (8, 8), loss="hard", iw_alpha=0.2)
    with pytest.raises(ValueError, match="heads must agree"):
        target_sums(head, head[:, :1], (8, 8))
    for labels in (np.zeros((1, 8, 8), np.float32), np.zeros((8, 8), np.uint8)):
        with pytest.raises(ValueError, match="labels must be integers"):
            cross_entropy_sums([head], labels)
    with pytest.raises(ValueError, match=r"\(1, 8, 8\); found \(2, 8, 8\)"):
        cross_entropy_sums([head], np.zeros((2, 8, 8), np.uint8))
    many = jnp.zeros((1, 2, 3, 256))
    with pytest.raises(ValueError, match="255 classes"):
        cross_entropy_sums([many], np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="255 classes"):
        target_sums(many, None, (8, 8), loss="hard")
