"""The losses against the official code's values, finite differences and the paper's identities."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from msl_jax import losses

GOLDENS = Path(__file__).parent / "goldens" / "official_losses.npz"
# Largest error over largest value.
TOLERANCE = {np.float64: 1e-6, np.float32: 1e-5}

# Name in the goldens: loss of (final logits, low logits, labels).
OFFICIAL = {
    "cross_entropy": lambda final, low, labels: losses.cross_entropy(final, labels),
    "entropy": lambda final, low, labels: losses.entropy(final),
    "iw_entropy": lambda final, low, labels: losses.entropy(final, iw_alpha=0.2),
    "max_square": lambda final, low, labels: losses.max_square(final),
    "iw_max_square": lambda final, low, labels: losses.max_square(final, iw_alpha=0.2),
    "hard_pseudo_label_0.95": lambda final, low, labels: losses.cross_entropy(
        final, losses.pseudo_labels(final, 0.95)
    ),
    "guidance_0.95": lambda final, low, labels: losses.cross_entropy(
        low, losses.guidance_labels(final, low, 0.95)
    ),
}

# Every loss of logits alone; the paper's normalization only differs by a factor, tested below.
TARGET_LOSSES = {
    "entropy": jax.jit(losses.entropy),
    "iw_entropy": jax.jit(functools.partial(losses.entropy, iw_alpha=0.2)),
    "scaled_entropy": jax.jit(functools.partial(losses.scaled_entropy, gamma=0.1)),
    "unscaled_entropy": jax.jit(functools.partial(losses.scaled_entropy, gamma=0.0)),
    "max_square": jax.jit(losses.max_square),
    "iw_max_square": jax.jit(functools.partial(losses.max_square, iw_alpha=0.2)),
}
each_target_loss = pytest.mark.parametrize("loss", TARGET_LOSSES.values(), ids=TARGET_LOSSES)


@pytest.fixture(scope="module")
def goldens() -> dict[str, np.ndarray]:
    with np.load(GOLDENS) as archive:
        arrays = dict(archive)
    for name in ("labels", "guidance_0.95/labels"):
        arrays[name] = np.where(arrays[name] < 0, losses.IGNORE, arrays[name]).astype(np.uint8)
    return arrays


def random_logits(*shape: int) -> np.ndarray:
    return 3 * np.random.default_rng(0).standard_normal(shape)


def relative_error(found, expected) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def values_and_gradients(logits):
    """Returns all target losses `[L]` and their gradients `[L, ...]`, as one compiled program."""

    def all_losses(logits):
        return jnp.stack([loss(logits) for loss in TARGET_LOSSES.values()])

    return all_losses(logits), jax.jacrev(all_losses)(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OFFICIAL)
def test_values_and_gradients_are_the_official_ones(goldens, name, dtype):
    with jax.enable_x64(dtype == np.float64):
        final, low = (goldens[f"{head}_logits"].astype(dtype) for head in ("final", "low"))
        loss = jax.jit(jax.value_and_grad(OFFICIAL[name], argnums=(0, 1)))
        value, gradients = loss(final, low, goldens["labels"])
        assert value.dtype == dtype
        assert relative_error(value, goldens[f"{name}/value"]) <= TOLERANCE[dtype]
        for head, gradient in zip(("final", "low"), gradients, strict=True):
            expected = goldens.get(f"{name}/grad_{head}")
            if expected is None:  # the official loss does not depend on this head
                assert not np.any(gradient)
            else:
                assert relative_error(gradient, expected) <= TOLERANCE[dtype]


@each_target_loss
def test_gradients_of_target_losses_are_finite_differences(x64, loss):
    check_grads(loss, (random_logits(2, 3, 4, 5),), order=1, modes=["rev"])


def test_target_losses_survive_extreme_logits():
    mild = random_logits(1, 4, 5, 6).astype(np.float32)
    extreme = np.where(mild > 0, np.float32(1e4), np.float32(-1e4))
    class_ruled_out = np.where(np.arange(6) == 0, np.float32(-np.inf), mild)
    compiled = jax.jit(values_and_gradients)
    for logits in (extreme, class_ruled_out):
        values, gradients = compiled(logits)
        assert np.all(np.isfinite(values))
        assert np.all(np.isfinite(gradients))


def test_entropy_of_certain_predictions_is_zero():
    certain = jnp.array([[1e4, -1e4, -1e4]])
    for name in ("entropy", "unscaled_entropy"):
        assert TARGET_LOSSES[name](certain) == 0


def test_official_and_paper_normalization_differ_by_the_stated_factors(x64):
    num_classes, logits = 7, random_logits(2, 3, 4, 7)

    @jax.jit
    def ratios(logits):
        loss_pairs = (
            [loss(logits, normalization=normalization) for normalization in ("paper", "official")]
            for loss in (
                losses.entropy,
                functools.partial(losses.entropy, iw_alpha=0.2),
                functools.partial(losses.scaled_entropy, gamma=0.1),
                losses.max_square,
                functools.partial(losses.max_square, iw_alpha=0.2),
            )
        )
        return jnp.stack([paper / official for paper, official in loss_pairs])

    np.testing.assert_allclose(ratios(logits), [num_classes] * 4 + [num_classes / 2])


def test_paper_normalization_is_the_equations_as_printed(x64):
    logits, alpha, gamma = random_logits(3, 4, 5, 6), 0.3, 0.1
    p, n = softmax(logits), 4 * 5
    eq_3 = -np.sum(p * np.log(p)) / (3 * n)
    eq_6 = -np.sum(p**2) / (2 * 3 * n)
    weights = np.zeros(p.shape[:-1])  # Eq. 11 and 12, pixel by pixel
    for b, i, j in np.ndindex(*weights.shape):
        n_c = np.sum(p[b].argmax(-1) == p[b, i, j].argmax())
        weights[b, i, j] = 1 / (n_c**alpha * n ** (1 - alpha))
    eq_13 = -np.sum(weights[..., None] * p**2) / 2 / 3
    iw_entropy = -np.sum(weights[..., None] * p * np.log(p)) / 3
    s = (1 - 2 * gamma) * p + gamma
    scaled = -np.sum(s * np.log(s)) / (3 * n)

    @jax.jit
    def as_printed(logits):
        paper = {"normalization": "paper"}
        return (
            losses.entropy(logits, **paper),
            losses.max_square(logits, **paper),
            losses.image_weights(jax.nn.softmax(logits), alpha),
            losses.max_square(logits, iw_alpha=alpha, **paper),
            losses.entropy(logits, iw_alpha=alpha, **paper),
            losses.scaled_entropy(logits, gamma, **paper),
            losses.scaled_entropy(logits, 0.0, **paper),
        )

    expected = (eq_3, eq_6, weights, eq_13, iw_entropy, scaled, eq_3)
    for found, number in zip(as_printed(logits), expected, strict=True):
        np.testing.assert_allclose(found, number, rtol=1e-12)


def test_images_of_a_batch_are_weighted_as_each_alone(x64):
    bias = np.array([0, 0, 3.0, 0, -9.0])[:, None, None, None] * np.eye(5)[0]
    p = softmax(random_logits(5, 6, 7, 5) + bias)
    weights = jax.jit(functools.partial(losses.image_weights, alpha=0.2))
    together = weights(p)
    alone = [weights(image[None])[0] for image in p]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, jax.jit(jax.vmap(weights))(p))
    assert len({float(w.sum()) for w in alone}) > 1
    for name in ("iw_entropy", "iw_max_square"):
        loss = TARGET_LOSSES[name]
        one_by_one = [loss(np.log(image[None])) for image in p]
        np.testing.assert_allclose(loss(np.log(p)), np.mean(one_by_one))


def test_image_weights_at_both_ends_of_alpha(x64):
    p = softmax(random_logits(2, 6, 7, 5))
    np.testing.assert_allclose(losses.image_weights(p, 0.0), np.full((2, 6, 7), 1 / 42))
    present = [len(np.unique(image.argmax(-1))) for image in p]
    np.testing.assert_allclose(losses.image_weights(p, 1.0).sum((1, 2)), present)


def test_no_gradient_flows_through_the_weights(x64):
    p = softmax(random_logits(1, 3, 4, 5))
    gradient = jax.grad(lambda q: losses.image_weights(q, 0.2).sum())(jnp.asarray(p))
    assert not np.any(gradient)


@each_target_loss
def test_vmap_and_jit_agree_with_a_loop(x64, loss):
    logits = random_logits(3, 2, 4, 5, 6)
    expected = [loss(batch) for batch in logits]
    np.testing.assert_allclose(jax.jit(jax.vmap(loss))(logits), expected)
    np.testing.assert_allclose(loss(logits), np.mean(expected))  # any leading axes


def test_bfloat16_logits_are_computed_in_float32():
    logits = jnp.asarray(random_logits(1, 4, 5, 6), jnp.bfloat16)
    values, gradients = jax.jit(values_and_gradients)(logits)
    assert values.dtype == jnp.float32
    assert gradients.dtype == jnp.bfloat16
    in_float32 = logits.astype(jnp.float32)
    np.testing.assert_array_equal(values, jax.jit(values_and_gradients)(in_float32)[0])
    assert losses.image_weights(logits, 0.2).dtype == jnp.float32


def test_classification_logits_are_pixels_without_an_image(x64):
    logits = random_logits(6, 5)
    for name in ("entropy", "scaled_entropy", "max_square"):
        loss = TARGET_LOSSES[name]
        np.testing.assert_allclose(loss(logits), loss(logits.reshape(1, 2, 3, 5)))


def test_max_square_is_the_chi_square_divergence_from_uniform(x64):
    """Eq. 9 and 10: chi2 = sum_c u ((p/u)^2 - 1) = C sum_c p^2 - 1, so MS = -(chi2 + 1) / (2 C)."""
    num_classes, logits = 5, random_logits(8, 5)
    uniform = 1 / num_classes
    chi_square = np.sum(uniform * ((softmax(logits) / uniform) ** 2 - 1), axis=-1).mean()
    found = losses.max_square(logits, normalization="paper")
    np.testing.assert_allclose(found, -(chi_square + 1) / (2 * num_classes))


def test_two_class_gradients_are_the_printed_curves(x64):
    """Eq. 5, and Eq. 8 with the 1/2 of Eq. 6, which Eq. 7 and 8 leave out."""
    p = np.linspace(0.01, 0.99, 25)

    def slopes(loss):
        of_p = lambda q: loss(jnp.log(jnp.stack([q, 1 - q])), normalization="paper")  # noqa: E731
        return np.abs(jax.jit(jax.vmap(jax.grad(of_p)))(p))

    np.testing.assert_allclose(slopes(losses.entropy), np.abs(np.log(p) - np.log(1 - p)), atol=1e-9)
    np.testing.assert_allclose(slopes(losses.max_square), np.abs(4 * p - 2) / 2, atol=1e-9)


def test_mistakes_are_named():
    logits = jnp.zeros((1, 2, 3, 4))
    scaled_entropy = functools.partial(losses.scaled_entropy, gamma=0.1)
    for loss in (losses.entropy, losses.max_square, scaled_entropy):
        with pytest.raises(ValueError, match="official, paper; found 'Paper'"):
            loss(logits, normalization="Paper")
    for loss in (losses.entropy, losses.max_square):
        with pytest.raises(ValueError, match="iw_alpha=None"):
            loss(jnp.zeros((6, 4)), iw_alpha=0.2)
        for alpha in (-0.1, 2):
            with pytest.raises(ValueError, match=rf"alpha must lie in \[0, 1\]; found {alpha}"):
                loss(logits, iw_alpha=alpha)
    with pytest.raises(ValueError, match="gamma"):
        losses.scaled_entropy(logits, 0.6)
