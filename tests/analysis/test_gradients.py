"""The gradients of Fig. 1 by automatic differentiation against the paper's closed forms."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax import losses
from msl_jax.analysis import gradients

pytestmark = pytest.mark.usefixtures("x64")

P = np.concatenate([np.linspace(0.001, 0.999, 201), [1e-9, 1 - 1e-9]])


def test_closed_forms() -> None:
    """Eq. 5 and Eq. 8."""
    found = gradients.gradient_size(gradients.binary_entropy, P)
    np.testing.assert_allclose(found, gradients.entropy_gradient_size(P), rtol=1e-9, atol=1e-12)
    found = gradients.gradient_size(gradients.binary_max_square, P)
    np.testing.assert_allclose(found, gradients.max_square_gradient_size(P), atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.1, 0.5])
def test_scaled_entropy(gamma: float) -> None:
    curve = functools.partial(gradients.binary_scaled_entropy, gamma=gamma)
    found = gradients.gradient_size(curve, P)
    expected = gradients.scaled_entropy_gradient_size(P, gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_two_classes_are_the_losses_of_two_logits() -> None:
    """What the notebooks plot is what training computes."""
    logits = jnp.log(jnp.stack([P, 1 - P], -1))
    for p, pair in zip(P, logits, strict=True):
        entropy = losses.entropy(pair[None], normalization="paper")
        assert entropy == pytest.approx(float(gradients.binary_entropy(p)), abs=1e-12)
        scaled = losses.scaled_entropy(pair[None], 0.1, normalization="paper")
        assert scaled == pytest.approx(float(gradients.binary_scaled_entropy(p, 0.1)), abs=1e-12)
        square = losses.max_square(pair[None], normalization="paper")  # Eq. 7 has no 1/2
        assert 2 * square == pytest.approx(float(gradients.binary_max_square(p)), abs=1e-12)


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 3, (4, 5, 7))


def test_gradients_with_respect_to_logits(logits) -> None:
    p = jax.nn.softmax(jnp.asarray(logits))
    entropy = -(p * jnp.log(p)).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        gradients.logit_gradients("entropy", logits), -p * (jnp.log(p) + entropy), atol=1e-12
    )
    squares = (p**2).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        gradients.logit_gradients("max_square", logits), -p * (p - squares), atol=1e-12
    )


def test_one_sure_class() -> None:
    p = jax.nn.softmax(gradients.one_sure_class(np.array([0.25, 0.6, 0.999]), 4))
    np.testing.assert_allclose(p[:, 0], [0.25, 0.6, 0.999], rtol=1e-12)
    np.testing.assert_allclose(p[:, 1], (1 - p[:, 0]) / 3, rtol=1e-9)


def test_chi_square_is_maximum_squares(logits) -> None:
    """Eq. 9 against Eq. 10 and Eq. 6."""
    p = jax.nn.softmax(jnp.asarray(logits))
    found = gradients.chi_square(p)
    np.testing.assert_allclose(found, 7 * (p**2).sum(-1) - 1, atol=1e-12)
    loss = losses.max_square(logits, normalization="paper")
    assert jnp.mean(found) == pytest.approx(float(-2 * 7 * loss - 1), abs=1e-12)
    assert gradients.chi_square(np.full(7, 1 / 7)) == pytest.approx(0, abs=1e-12)
    assert gradients.chi_square(np.eye(7)[0]) == pytest.approx(6)
