"""Maximum squares with a teacher, and weights of pixels in the target losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.losses import image_weights
from msl_jax.losses.guidance import upsampled_labels
from msl_jax.losses.pixelwise import max_square, teacher_max_square
from msl_jax.losses.upsampled import target_sums, teacher_sums
from msl_jax.models import resize_align_corners

SIZE, SHAPE = (33, 41), (2, 5, 6, 4)

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture
def logits(rng) -> list[jax.Array]:
    """Of the network and of its teacher."""
    return [jnp.asarray(rng.normal(0, 2, SHAPE)) for _ in range(2)]


@pytest.fixture
def weights(rng) -> np.ndarray:
    return rng.random((SHAPE[0], *SIZE)) < 0.4


@pytest.mark.parametrize("normalization", ["official", "paper"])
@pytest.mark.parametrize("iw_alpha", [None, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_with_itself_as_teacher_its_gradient_is_that_of_maximum_squares(
    logits, weights, normalization, iw_alpha, weighted
) -> None:
    options = {
        "iw_alpha": iw_alpha,
        "normalization": normalization,
        "weights": weights if weighted else None,
    }
    final, _ = logits
    found = jax.grad(lambda z: teacher_sums(z, final, SIZE, **options).mean)(final)
    expected = jax.grad(lambda z: target_sums(z, None, SIZE, **options)[0].mean)(final)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)
    assert np.abs(expected).max() > 1e-6


@pytest.mark.parametrize("iw_alpha", [None, 0.3])
def test_equal_to_the_equation_written_out(logits, weights, iw_alpha) -> None:
    """-1/N sum_n w_n sum_c q p, or the mean over images of the sums with the teacher's weights."""
    final, teacher = logits

    def written_out(final):
        p, q = (jax.nn.softmax(resize_align_corners(z, SIZE)) for z in (final, teacher))
        of_pixel = -jnp.sum(p * q, axis=-1) * weights.astype(float)
        if iw_alpha is None:
            return of_pixel.mean()
        return jnp.sum(of_pixel * image_weights(q, iw_alpha), axis=(1, 2)).mean()

    def by_tiles(final):
        options = {"iw_alpha": iw_alpha, "normalization": "paper", "weights": weights}
        return teacher_sums(final, teacher, SIZE, **options).mean

    found, expected = (jax.value_and_grad(f)(final) for f in (by_tiles, written_out))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9, atol=1e-15)


def test_teacher_has_no_gradient(logits) -> None:
    final, teacher = logits
    gradient = jax.grad(lambda q: teacher_sums(final, q, SIZE, iw_alpha=0.3).mean)(teacher)
    np.testing.assert_array_equal(gradient, 0)


def test_a_sure_teacher_leaves_a_bounded_gradient() -> None:
    """Of 1 - p for the teacher's class: at most 1/4, and none where the network is sure too."""
    teacher = jnp.array([50.0, 0.0])
    for z in np.linspace(-8, 8, 9):
        gradient = jax.grad(lambda z: teacher_max_square(jnp.stack([z, 0 * z]), teacher))(z)
        p = 1 / (1 + np.exp(-z))
        assert float(gradient) == pytest.approx(-p * (1 - p), abs=1e-12)


@pytest.mark.parametrize("loss", ["max_square", "minent", "hard"])
def test_weights_of_pixels(logits, weights, loss) -> None:
    """A pixel of weight 0 has no part in the loss; the count stays that of all pixels."""
    final, _ = logits
    options = {"loss": loss, "threshold": 0.4, "normalization": "paper"}
    (some,) = target_sums(final, None, SIZE, weights=weights, **options)
    (others,) = target_sums(final, None, SIZE, weights=~weights, **options)
    (all_of_them,) = target_sums(final, None, SIZE, **options)
    assert some.count == others.count == all_of_them.count
    assert float(some.total + others.total) == pytest.approx(float(all_of_them.total), rel=1e-12)
    if loss == "max_square":
        of_pixel = max_square(resize_align_corners(final, SIZE))
        expected = float((of_pixel * weights.astype(float)).sum())
        assert float(some.total) == pytest.approx(expected, rel=1e-12)


def test_upsampled_labels(logits) -> None:
    labels, probability = upsampled_labels(logits[0], SIZE)
    p = jax.nn.softmax(resize_align_corners(logits[0], SIZE))
    np.testing.assert_array_equal(labels, p.argmax(-1))
    np.testing.assert_allclose(probability, p.max(-1), rtol=1e-12)
    assert labels.dtype == np.uint8


def test_label_where_a_logit_is_not_a_number(logits) -> None:
    labels, _ = upsampled_labels(logits[0].at[0, 2, 3, 1].set(jnp.nan), SIZE)
    assert (np.asarray(labels)[0] == SHAPE[-1]).any()
    assert (np.asarray(labels)[1] < SHAPE[-1]).all()
