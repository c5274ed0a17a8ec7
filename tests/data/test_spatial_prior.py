"""The spatial prior: counted by hand, smoothed, kept."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from msl_jax.data import spatial_prior
from msl_jax.data.spatial_prior import SpatialPrior, class_counts, normalised
from msl_jax.runtime.errors import UserError

LABELS = [
    np.array([[0, 0, 1], [2, 255, 1]], np.uint8),
    np.array([[0, 1, 1], [2, 2, 255]], np.uint8),
]


def test_counts() -> None:
    found = class_counts(LABELS, 4, (2, 3))
    assert found[..., 0].tolist() == [[2, 1, 0], [0, 0, 0]]
    assert found[..., 1].tolist() == [[0, 1, 2], [0, 0, 1]]
    assert found[..., 2].tolist() == [[0, 0, 0], [2, 1, 0]]
    assert not found[..., 3].any()


def test_labels_of_any_size() -> None:
    large = [label.repeat(4, 0).repeat(4, 1) for label in LABELS]
    np.testing.assert_array_equal(class_counts(large, 4, (2, 3)), class_counts(LABELS, 4, (2, 3)))


def test_each_class_has_the_mean_1() -> None:
    counts = class_counts(LABELS, 4, (2, 3))
    found = normalised(counts, 0)
    np.testing.assert_allclose(found[..., 0], [[4, 2, 0], [0, 0, 0]])
    np.testing.assert_allclose(found.mean((0, 1)), 1, rtol=1e-6)
    np.testing.assert_array_equal(found[..., 3], 1)


def test_smoothing() -> None:
    """A Gaussian along both sides, that of the pixels inside at an edge."""
    counts, sigma = np.zeros((30, 40, 1)), 1.5
    counts[12, 20] = 1
    found = normalised(counts, sigma)[..., 0]
    for down, across in ((0, 0), (1, 0), (2, 3), (4, 4)):
        expected = np.exp(-(down**2 + across**2) / (2 * sigma**2))
        assert found[12 + down, 20 - across] / found[12, 20] == pytest.approx(expected, rel=1e-4)
    assert found[12, 25] == 0  # beyond three standard deviations
    even = normalised(np.ones((30, 40, 2)), sigma)
    np.testing.assert_allclose(even, 1, rtol=1e-5)


def test_kept(tmp_path: Path) -> None:
    values = normalised(class_counts(LABELS, 3, (2, 3)), 1.0)
    prior = SpatialPrior(values, ("a", "b", "c"), "x/train", 1.0)
    path = tmp_path / "prior"
    spatial_prior.save(path, prior)
    found = spatial_prior.load(path, ("a", "b", "c"), (2, 3))
    np.testing.assert_array_equal(found.values, values)
    assert found[1:] == prior[1:]
    with pytest.raises(UserError, match="exists; give another name"):
        spatial_prior.save(path, prior)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.full((2, 3, 2), -1, np.float32)}, "of at least 0"),
        ({"values": np.ones((2, 3, 2))}, "in float32, found 2x3 in float64"),
        ({"values": np.ones((3, 2, 2), np.float32)}, "expected a prior of 2x3 .* found 3x2"),
        ({"names": np.array(["b", "a"])}, "expected the classes a, b, found b, a"),
    ],
)
def test_others_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    prior = SpatialPrior(np.ones((2, 3, 2), np.float32), ("a", "b"), "x/train", 1.0)
    with (tmp_path / "prior").open("wb") as file:
        np.savez(file, **{**prior._asdict(), **change})
    with pytest.raises(UserError, match=message):
        spatial_prior.load(tmp_path / "prior", ("a", "b"), (2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((2**12, 2**12, 2), np.float32)}, "of 2x3 .* found 4096x4096"),
        ({"names": np.array(["a", "b" * 2**24])}, "prior, .* names.npy has 134,217,856 bytes"),
    ],
)
def test_nothing_large_is_unpacked(tmp_path: Path, change: dict, message: str) -> None:
    """130 MB that take 1 MB or less in the file."""
    prior = SpatialPrior(np.ones((2, 3, 2), np.float32), ("a", "b"), "x/train", 1.0)
    np.savez_compressed(tmp_path / "prior.npz", **{**prior._asdict(), **change})
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            spatial_prior.load(tmp_path / "prior.npz", ("a", "b"), (2, 3))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
