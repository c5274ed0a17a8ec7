"""`losses.cross_entropy`: what counts, what does not, and how parts add up to the whole."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from msl_jax import losses


def random_logits(*shape: int) -> np.ndarray:
    return 3 * np.random.default_rng(0).standard_normal(shape)


def random_labels(*shape: int, num_classes: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    labels = rng.integers(num_classes, size=shape)
    return np.where(rng.random(shape) < 0.3, losses.IGNORE, labels).astype(np.uint8)


def value_and_grad(*arguments):
    return jax.jit(jax.value_and_grad(losses.cross_entropy))(*arguments)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_gradient_is_finite_differences(x64):
    labels = random_labels(2, 3, 4, num_classes=5)
    loss = jax.jit(functools.partial(losses.cross_entropy, labels=labels))
    check_grads(loss, (random_logits(2, 3, 4, 5),), order=1, modes=["rev"])


def test_loss_of_extreme_logits_is_their_distance():
    value, gradient = value_and_grad(jnp.array([[1e4, -1e4, 0.0]]), np.array([1]))
    assert value == 2e4
    np.testing.assert_array_equal(gradient, [[1.0, -1.0, 0.0]])


def test_loss_without_any_pixel_that_counts_is_exactly_zero():
    labels = np.full((1, 2, 3), losses.IGNORE, np.uint8)
    for logits in (random_logits(1, 2, 3, 4), 1e4 * random_logits(1, 2, 3, 4)):
        value, gradient = value_and_grad(jnp.asarray(logits, jnp.float32), labels)
        assert value == 0
        assert not np.any(gradient)


def test_ignored_pixels_count_as_if_they_were_not_there(x64):
    logits, labels = random_logits(2, 5, 6, 7), random_labels(2, 5, 6, num_classes=7)
    subset = labels != losses.IGNORE
    assert 0 < subset.sum() < subset.size
    masked, gradient = value_and_grad(logits, labels)
    alone = jax.jit(losses.cross_entropy)(logits[subset], labels[subset])
    np.testing.assert_allclose(masked, alone)
    assert not np.any(gradient[~subset])


def test_sums_and_counts_of_parts_add_up_to_the_whole(x64):
    logits, labels = random_logits(4, 5, 6, 7), random_labels(4, 5, 6, num_classes=7)
    labels[0] = losses.IGNORE
    labels[1, 1:] = losses.IGNORE  # parts of unequal counts, where a mean of means would be wrong
    sums, counts = jax.jit(jax.vmap(losses.cross_entropy_sum))(logits, labels)
    assert counts.dtype == jnp.int32
    assert counts[0] == 0
    assert len(set(counts.tolist())) == 4
    mean = np.asarray(sums).sum() / np.asarray(counts).sum()
    np.testing.assert_allclose(mean, jax.jit(losses.cross_entropy)(logits, labels))


def test_counts_go_beyond_what_float32_can_count():
    pixels = 2**24 + 1
    count_only = jax.jit(lambda logits, labels: losses.cross_entropy_sum(logits, labels)[1])
    count = count_only(np.zeros((pixels, 1), jnp.bfloat16), np.zeros(pixels, np.uint8))
    assert count == pixels


@pytest.mark.parametrize("label", [-1, 4, 254])
def test_a_label_that_is_no_class_is_reported_as_nan(label):
    labels = np.array([0, label, losses.IGNORE], np.int32)
    assert np.isnan(jax.jit(losses.cross_entropy)(jnp.zeros((3, 4)), labels))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_labels_of_any_integer_type(x64, dtype):
    logits, labels = random_logits(6, 4), np.arange(6) % 4
    expected = -np.log(softmax(logits)[np.arange(6), labels]).mean()
    found = jax.jit(losses.cross_entropy)(logits, labels.astype(dtype))
    np.testing.assert_allclose(found, expected)


def test_bfloat16_logits_are_computed_in_float32():
    logits = jnp.asarray(random_logits(1, 4, 5, 6), jnp.bfloat16)
    labels = random_labels(1, 4, 5, num_classes=6)
    value, gradient = value_and_grad(logits, labels)
    assert value.dtype == jnp.float32
    assert gradient.dtype == jnp.bfloat16
    assert value == value_and_grad(logits.astype(jnp.float32), labels)[0]


def test_classification_logits_are_pixels_without_an_image(x64):
    logits, labels = random_logits(6, 5), random_labels(6, num_classes=5)
    loss = jax.jit(losses.cross_entropy)
    as_image = loss(logits.reshape(1, 2, 3, 5), labels.reshape(1, 2, 3))
    np.testing.assert_allclose(loss(logits, labels), as_image)


def test_mistakes_are_named():
    logits = jnp.zeros((1, 2, 3, 4))
    for labels in (np.zeros((1, 2, 3, 4), np.uint8), np.zeros((1, 2, 3), np.float32)):
        with pytest.raises(ValueError, match="labels must be integers"):
            losses.cross_entropy(logits, labels)
    with pytest.raises(ValueError, match="255 classes"):
        losses.cross_entropy(jnp.zeros((2, 256)), np.zeros(2, np.int32))
