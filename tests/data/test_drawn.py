"""Drawn streets as a source of real ones: both looks, none of them the demo's own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from msl_jax.data.datasets.cityscapes_pix2pix import CityscapesPix2pix
from msl_jax.data.datasets.drawn import Drawn
from msl_jax.data.datasets.registry import open_split
from msl_jax.data.demo.dataset import Demo
from msl_jax.data.label_sets import LABEL_SETS, cityscapes_ids
from msl_jax.runtime.errors import UserError


def test_splits() -> None:
    dataset, split = open_split("drawn/train", num_classes=10)
    assert split == "train"
    examples = {split: dataset.examples(split) for split in dataset.splits}
    assert {split: len(found) for split, found in examples.items()} == {"train": 2000, "val": 200}
    keys = [example.key for found in examples.values() for example in found]
    assert len(set(keys)) == len(keys)
    with pytest.raises(UserError, match=r"no split 'source_train'; choose one of \['train', 'val"):
        Drawn().examples("source_train")


def test_looks_take_turns() -> None:
    for split in ("train", "val"):
        looks = [example.domain for example in Drawn().examples(split)]
        assert looks == ["source", "target"] * (len(looks) // 2)


def test_no_street_twice() -> None:
    """Not in another look, not in another split, not in the demo."""
    seeds = [e.seed for split in Drawn.splits for e in Drawn().examples(split)]
    assert len(set(seeds)) == len(seeds)
    demo = {e.seed for split in Demo.splits for e in Demo().examples(split)}
    assert not demo & set(seeds)
    assert Drawn().fingerprint != Demo().fingerprint


def test_pictures() -> None:
    pictures = [pickle.loads(pickle.dumps(e)).read() for e in Drawn().examples("train")[:16]]
    images, labels = map(np.stack, zip(*pictures, strict=True))
    assert images.shape == (16, 224, 400, 3)
    assert labels.shape == (16, 224, 400)
    assert images[::2].mean() > images[1::2].mean()  # day, dusk
    assert set(np.unique(labels)) - {255} == set(range(10))


def test_classes_are_those_of_the_target() -> None:
    """All of them are Cityscapes', in one order."""
    target = CityscapesPix2pix.find_label_set(10, None)
    assert target == Drawn.label_set == LABEL_SETS["demo"]
    assert sorted(set(cityscapes_ids(target).values())) == [*range(10), 255]
