"""Sums over pixels against loops in NumPy, and what follows from them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax import losses
from msl_jax.analysis import class_statistics, difficulty
from msl_jax.analysis.pixel_statistics import add_up, pixel_sums

CLASSES, BINS = 4, 5


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 2, (2, 6, 8, CLASSES)).astype(np.float32)


@pytest.fixture
def labels(rng: np.random.Generator) -> np.ndarray:
    labels = rng.integers(0, CLASSES, (2, 6, 8)).astype(np.uint8)
    labels[:, :2] = losses.IGNORE
    return labels


@pytest.fixture
def sums(logits, labels):
    return add_up([pixel_sums(logits, labels, bins=BINS)])


def test_counts(sums, logits, labels) -> None:
    p = np.asarray(jax.nn.softmax(logits))
    confidence, prediction = p.max(-1), p.argmax(-1)
    for k in range(BINS):
        inside = (confidence >= k / BINS) & (confidence < (k + 1) / BINS)
        assert sums.pixels_by_bin[k] == inside.sum()
    for c in range(CLASSES):
        assert sums.pixels_by_class[c] == (prediction == c).sum()
        expected = confidence[prediction == c].sum()
        assert sums.confidence_by_class[c] == pytest.approx(expected, rel=1e-5)
    assert sums.confusion.sum() == (labels != 255).sum()
    assert np.trace(sums.confusion) == (labels == prediction).sum()


@pytest.mark.parametrize("name", ["entropy", "max_square"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_those_of_the_losses(sums, logits, name, weighted) -> None:
    """Their sum is the size of the gradient that the paper's loss sends into the network."""
    loss = getattr(losses, name)
    alpha = 0.2 if weighted else None
    gradient = jax.grad(lambda z: loss(z, iw_alpha=alpha, normalization="paper"))(
        jnp.asarray(logits)
    )
    sizes = np.linalg.norm(gradient, axis=-1) * logits[..., 0].size
    prediction = logits.argmax(-1)
    key = f"{name}_iw" if weighted else name
    for c in range(CLASSES):
        expected = sizes[prediction == c].sum()
        assert sums.gradient_by_class[key][c] == pytest.approx(expected, rel=1e-4)
    assert sums.gradient_by_bin[key].sum() == pytest.approx(sizes.sum(), rel=1e-4)


def test_batches_add_up(sums, logits, labels) -> None:
    parts = add_up(
        pixel_sums(logits[i : i + 1], labels[i : i + 1], bins=BINS) for i in range(len(logits))
    )
    for found, expected in zip(jax.tree.leaves(parts), jax.tree.leaves(sums), strict=True):
        assert found.dtype in (np.int64, np.float64)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="nothing"):
        add_up([])


def test_certain_pixels_are_in_the_last_bin() -> None:
    logits = np.zeros((1, 1, 1, CLASSES), np.float32)
    logits[..., 2] = 1000
    sums = pixel_sums(logits, np.full((1, 1, 1), 2, np.uint8), bins=BINS)
    assert sums.pixels_by_bin.tolist() == [0, 0, 0, 0, 1]


def test_one_prediction_an_image(logits, labels, sums) -> None:
    """As in classification: no axes of an image, and no weights within it."""
    flat = add_up(
        [pixel_sums(logits.reshape(-1, CLASSES), labels.ravel(), bins=BINS, iw_alpha=None)]
    )
    assert set(flat.gradient_by_bin) == set(flat.gradient_by_class) == {"entropy", "max_square"}
    for name, expected in sums._asdict().items():
        found = getattr(flat, name)
        for key, values in found.items() if isinstance(found, dict) else [("", found)]:
            np.testing.assert_allclose(values, expected[key] if key else expected, rtol=1e-5)


def test_class_table(sums, logits, labels) -> None:
    table = class_statistics.class_table(sums)
    for c in range(CLASSES):
        of_class = labels == c
        assert table.accuracy[c] == pytest.approx((logits.argmax(-1) == c)[of_class].mean())
        # Fig. 4 is of the labels, whatever is predicted.
        assert table.frequency[c] == pytest.approx(of_class.sum() / (labels != losses.IGNORE).sum())
    assert ((table.confidence > 0.25) & (table.confidence < 1)).all()


def test_correlation_needs_three_classes() -> None:
    values = np.array([1.0, 2.0, np.nan])
    assert np.isnan(class_statistics.correlation(values, values))
    assert class_statistics.correlation(np.arange(4.0), -np.arange(4.0)) == -1
    assert class_statistics.shares(np.zeros(3)).tolist() == [0, 0, 0]


def test_sums_of_a_large_image_are_exact() -> None:
    """A single float32 sum over it is 1.3 % off."""
    logits = np.broadcast_to(np.array([4.0, 0, 0], np.float32), (1, 1024, 2048, 3))
    found = pixel_sums(logits, np.zeros((1, 1024, 2048), np.uint8), iw_alpha=None)
    confidence = np.exp(4) / (np.exp(4) + 2)
    mean = float(found.confidence_by_class[0]) / (1024 * 2048)
    assert mean == pytest.approx(confidence, rel=1e-4)


def test_pixels_are_divided_as_samples_are(rng: np.random.Generator) -> None:
    """Even where float32 rounds the probability to 1; pixels without a label do not count."""
    first = rng.normal(0, 16, (3, 20, 30, CLASSES)).astype(np.float32)
    confidence = np.asarray(jax.nn.softmax(first)).max(-1)
    assert (confidence > 0.999).mean() > 0.5
    then = first + rng.normal(0, 16, first.shape).astype(np.float32)
    labels = np.where(rng.random(first.shape[:3]) < 0.6, first.argmax(-1), 1).astype(np.uint8)
    labels[confidence > np.quantile(confidence, 0.9)] = losses.IGNORE
    batches = zip(first, then, labels, strict=True)
    counts = add_up(difficulty.confidence_counts(*batch) for batch in batches)
    found = difficulty.accuracies_of(counts)

    others = np.sort(first.astype(np.float64), axis=-1)
    sure = others[..., -1] - np.log(np.exp(others[..., :-1]).sum(-1))  # log-odds
    counted = labels != losses.IGNORE
    sets = difficulty.difficulty_sets(sure[counted])
    expected = difficulty.accuracies((then.argmax(-1) == labels)[counted], sets)
    assert found["all"] == expected["all"]
    assert found == pytest.approx(expected, abs=0.01)  # a bin holds few pixels
    assert counts.labelled.sum() == counted.sum()


def test_no_labelled_pixel() -> None:
    logits, labels = np.zeros((1, 2, CLASSES), np.float32), np.full((1, 2), losses.IGNORE, np.uint8)
    found = difficulty.accuracies_of(add_up([difficulty.confidence_counts(logits, logits, labels)]))
    assert np.isnan(list(found.values())).all()


def test_difficulty() -> None:
    confidence = np.array([0.5, 0.9, 0.1, 0.7, 0.3, 0.8, 0.2, 0.6, 0.4, 1.0])
    sets = difficulty.difficulty_sets(confidence)
    assert confidence[sets.top].min() == 0.8
    assert confidence[sets.bottom].max() == 0.3
    assert sets.top.sum() == sets.bottom.sum() == 3
    correct = confidence > 0.25
    found = difficulty.accuracies(correct, sets)
    assert found == {"all": 0.8, "top": 1.0, "bottom": pytest.approx(1 / 3)}
    with pytest.raises(ValueError, match=r"0\.6"):
        difficulty.difficulty_sets(confidence, 0.6)


def test_equal_confidences_are_still_split() -> None:
    sets = difficulty.difficulty_sets(np.ones(10))
    assert sets.top.sum() == sets.bottom.sum() == 3
    assert not (sets.top & sets.bottom).any()
