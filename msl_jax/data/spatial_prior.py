"""Where in an image each class is found, counted in the labels of the source: CBST-SP's prior.

    q_c(n) = smoothed(count_c)(n) / its mean over all pixels n

with the number count_c(n) of labels that have class c at pixel n. Since each class has the mean 1,
q tells where it is, not how frequent it is; a class that no label has is 1 everywhere. The Gaussian
ends at three standard deviations; at the edges of the image it is a mean of what lies inside.

Reference: Zou et al. "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
Self-Training", ECCV 2018, where a Gaussian of 70x70 pixels smooths images of 2048x1024. Neither its
standard deviation nor the array nor its code have been published: here it is a sixth of 70 pixels,
in proportion to the width.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msl_jax.data.images import resize_label
from msl_jax.data.prepared.records import Records
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write, expect_readable
from msl_jax.runtime.progress import Bar
from msl_jax.runtime.text import one_line

_SIGMA = 70 / 6 / 2048  # of the width
_THREADS = 4
_MOST_OF_OTHERS = 2**20  # bytes of the names of the classes, and the like


class SpatialPrior(NamedTuple):
    """A prior as a file keeps it.

    Attributes:
        values: q, float32 `[H, W, C]`, 0 or more.
        names: of the classes.
        origin: DATASET/SPLIT of the labels.
        sigma: standard deviation of the Gaussian in pixels.
    """

    values: np.ndarray
    names: tuple[str, ...]
    origin: str
    sigma: float


def default_sigma(width: int) -> float:
    """Standard deviation for images of that width, in pixels."""
    return _SIGMA * width


def of_records(
    records: Records, names: tuple[str, ...], origin: str, size: tuple[int, int], sigma: float
) -> SpatialPrior:
    """The prior of prepared records.

    Args:
        records: with label maps.
        names: of the classes.
        origin: DATASET/SPLIT of the records.
        size: (H, W) of the prior.
        sigma: see `normalised`.
    """
    with (
        ThreadPoolExecutor(_THREADS) as threads,
        Bar("counting where classes are", len(records)) as bar,
    ):
        labels = bar.each(_labels(threads, records))
        counts = class_counts(labels, len(names), size)
    return SpatialPrior(normalised(counts, sigma), names, origin, sigma)


def _labels(threads: ThreadPoolExecutor, records: Records) -> Iterator[np.ndarray]:
    """All labels in order, of which a few are read ahead."""
    for start in range(0, len(records), 8 * _THREADS):
        numbers = range(start, min(start + 8 * _THREADS, len(records)))
        yield from threads.map(lambda number: records[number]["label"], numbers)


def class_counts(
    labels: Iterable[np.ndarray], num_classes: int, size: tuple[int, int]
) -> np.ndarray:
    """How many labels have each class at each pixel.

    Args:
        labels: uint8 `[h, w]` of any size, resized by nearest neighbour; 255 counts nowhere.
        num_classes: C.
        size: (H, W).

    Returns:
        int32 `[H, W, C]`.
    """
    counts = np.zeros((size[0] * size[1], num_classes), np.int32)
    for label in labels:
        ids = resize_label(label, size).ravel()
        (places,) = np.nonzero(ids < num_classes)
        counts[places, ids[places]] += 1
    return counts.reshape(*size, num_classes)


def normalised(counts: np.ndarray, sigma: float) -> np.ndarray:
    """Q of the module's head, float32 `[H, W, C]`.

    Args:
        counts: `[H, W, C]`.
        sigma: of the Gaussian in pixels; 0 leaves the counts as they are.
    """
    down, across = (_smoothing(length, sigma) for length in counts.shape[:2])
    found = np.einsum("Hh,hwc,Ww->HWc", down, counts.astype(np.float32), across, optimize=True)
    mean = found.mean(axis=(0, 1))
    return np.where(mean > 0, found / np.where(mean > 0, mean, 1), 1).astype(np.float32)


def _smoothing(length: int, sigma: float) -> np.ndarray:
    """Weights float32 `[length, length]` of a Gaussian along one side; each row adds up to 1."""
    if sigma == 0:
        return np.eye(length, dtype=np.float32)
    distance = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    weights = np.where(distance <= 3 * sigma, np.exp(-(distance**2) / (2 * sigma**2)), 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def save(path: Path, prior: SpatialPrior) -> None:
    """Writes a file, `.npz` whatever its name.

    Raises:
        UserError: there is something of that name, or it cannot be written.
    """
    if path.exists():
        raise UserError(f"{path} exists; give another name, or remove it to make it anew")
    try:
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **prior._asdict())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def load(path: Path, names: tuple[str, ...], size: tuple[int, int]) -> SpatialPrior:
    """Reads the prior of these classes, of images of this size.

    Raises:
        UserError: there is none, or it is one of other classes or another size.
    """
    make = "msl-jax prior makes one (msl-jax prior --help)"
    expect_readable(path)
    try:
        shape, dtype = _claimed(path)
        fits = dtype == np.float32 and shape == (*size, len(names))
        with np.load(path, allow_pickle=False) as arrays:
            values = arrays["values"] if fits else np.empty(0)
            found = tuple(map(str, arrays["names"].tolist()))
            prior = SpatialPrior(values, found, str(arrays["origin"]), float(arrays["sigma"]))
    except Exception as error:  # a damaged archive can raise nearly anything
        raise UserError(
            f"{path}: expected a spatial prior, found something else or a damaged one"
            f" ({type(error).__name__}: {error}); {make}"
        ) from error
    if found != names:
        raise UserError(
            f"config.method.spatial_prior={path}: expected the classes {', '.join(names)}, found"
            f" {one_line(', '.join(found))}; {make}"
        )
    if not fits:
        raise UserError(
            f"config.method.spatial_prior={path}: expected a prior of {size[0]}x{size[1]} (height x"
            f" width, config.target_size) in float32, found {'x'.join(map(str, shape[:2]))} in"
            f" {dtype}; {make}"
        )
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise UserError(f"{path}: expected finite values of at least 0, found others; {make}")
    return prior


def _claimed(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the values in a prior's file, of which nothing is unpacked.

    Raises:
        ValueError: something else in it is large.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename != "values.npy" and entry.file_size > _MOST_OF_OTHERS:
                raise ValueError(f"{entry.filename} has {entry.file_size:,} bytes")
        with archive.open("values.npy") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype
