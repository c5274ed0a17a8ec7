"""Guidance and pseudo labels against the official labels and the two rules' definitions."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax import losses
from msl_jax.losses import guidance

GOLDENS = Path(__file__).parent / "goldens" / "official_losses.npz"


def random_logits(*shape: int, seed: int = 0) -> np.ndarray:
    return 3 * np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_guidance_labels_are_the_official_ones():
    with np.load(GOLDENS) as goldens, jax.enable_x64(True):
        found = losses.guidance_labels(goldens["final_logits"], goldens["low_logits"], 0.95)
        expected = goldens["guidance_0.95/labels"]
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, np.where(expected < 0, losses.IGNORE, expected))


def test_the_two_rules_differ_where_the_sure_head_loses_the_vote():
    # Pixel 0: the final head is sure of class 0, and so is the mean. Pixel 1: the final head is
    # just sure of class 0, the mean's winner is class 1, of which neither head is sure.
    final = jnp.log(jnp.array([[0.96, 0.02, 0.02], [0.51, 0.46, 0.03]]))
    low = jnp.log(jnp.array([[0.40, 0.30, 0.30], [0.05, 0.48, 0.47]]))
    for heads in ((final, low), (low, final)):  # either head may be the sure one
        assert losses.guidance_labels(*heads, 0.5).tolist() == [0, 1]
        assert losses.guidance_labels(*heads, 0.5, rule="paper").tolist() == [0, 255]
        assert losses.guidance_labels(*heads, 0.97).tolist() == [255, 255]


def test_the_threshold_must_be_exceeded():
    even = jnp.zeros((1, 2))
    assert losses.pseudo_labels(even, 0.5).tolist() == [255]
    assert losses.pseudo_labels(even, 0.49).tolist() == [0]
    for rule in guidance.GUIDANCE_RULES:
        assert losses.guidance_labels(even, even, 0.5, rule=rule).tolist() == [255]
        assert losses.guidance_labels(even, even, 0.49, rule=rule).tolist() == [0]


@pytest.mark.parametrize("rule", guidance.GUIDANCE_RULES)
def test_the_loss_is_zero_where_no_pixel_passes(rule):
    @jax.jit
    def loss_and_gradient(final, low):
        labels = losses.guidance_labels(final, low, 0.95, rule=rule)
        return labels, jax.value_and_grad(losses.cross_entropy)(low, labels)

    final, low = jnp.zeros((1, 2, 3, 4)), jnp.full((1, 2, 3, 4), 2.0)
    labels, (value, gradient) = loss_and_gradient(final, low)
    assert np.all(labels == losses.IGNORE)
    assert value == 0
    assert not np.any(gradient)
    assert np.all(losses.pseudo_labels(final, 0.95) == losses.IGNORE)


@pytest.mark.parametrize("rule", guidance.GUIDANCE_RULES)
def test_extreme_logits_give_labels(rule):
    final, low = jnp.array([[1e4, -1e4, 0.0]]), jnp.array([[0.0, -1e4, 0.0]])
    assert losses.guidance_labels(final, low, 0.95, rule=rule).tolist() == [0]
    assert losses.pseudo_labels(final, 0.95).tolist() == [0]


@pytest.mark.parametrize("rule", guidance.GUIDANCE_RULES)
def test_vmap_agrees_with_the_batch(rule):
    final, low = random_logits(3, 4, 5, 6), random_logits(3, 4, 5, 6, seed=1)
    label = jax.jit(functools.partial(losses.guidance_labels, threshold=0.9, rule=rule))
    together = label(final, low)
    assert 0 < np.mean(together == losses.IGNORE) < 1
    np.testing.assert_array_equal(jax.jit(jax.vmap(label))(final, low), together)


def test_bfloat16_heads_are_compared_in_float32():
    logits = jnp.asarray(random_logits(8, 4), jnp.bfloat16)
    expected = losses.pseudo_labels(logits.astype(jnp.float32), 0.8)
    np.testing.assert_array_equal(losses.pseudo_labels(logits, 0.8), expected)
    np.testing.assert_array_equal(losses.guidance_labels(logits, logits, 0.8), expected)


def test_labels_carry_no_gradient():
    def guided(final, low):
        return losses.cross_entropy(low, losses.guidance_labels(final, low, 0.5))

    gradients = jax.jit(jax.grad(guided, argnums=(0, 1)))
    from_final, from_low = gradients(random_logits(8, 4), random_logits(8, 4, seed=1))
    assert not np.any(from_final)
    assert np.any(from_low)


def test_mistakes_are_named():
    logits = jnp.zeros((1, 2, 3, 4))
    with pytest.raises(ValueError, match="official, paper; found 'mean'"):
        losses.guidance_labels(logits, logits, 0.95, rule="mean")
    with pytest.raises(ValueError, match="two heads"):
        losses.guidance_labels(logits, logits[:, :1], 0.95)
    too_many = jnp.zeros((2, 256))
    with pytest.raises(ValueError, match="255 classes"):
        losses.guidance_labels(too_many, too_many, 0.9)
    with pytest.raises(ValueError, match="255 classes"):
        losses.pseudo_labels(too_many, 0.9)
