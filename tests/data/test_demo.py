"""The demo data set: reproducible, disjoint, rich enough to learn from, with a real domain gap."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from msl_jax.data.demo import dataset, scene, style
from msl_jax.data.demo.dataset import Demo
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import IGNORE
from msl_jax.runtime.errors import UserError

NAMES = LABEL_SETS["demo"].names
SAMPLE = 24


@pytest.fixture(scope="module")
def pictures():
    """The first pictures of every split, stacked: images `[N, H, W, 3]`, labels `[N, H, W]`."""
    data = Demo()
    read = {s: [e.read() for e in data.examples(s)[:SAMPLE]] for s in data.splits}
    return {s: tuple(np.stack(arrays) for arrays in zip(*read[s], strict=True)) for s in read}


def test_default_counts_and_unique_keys():
    data = Demo()
    counts = {split: len(data.examples(split)) for split in data.splits}
    keys = [example.key for split in data.splits for example in data.examples(split)]
    assert counts == {
        "source_train": 400,
        "target_train": 400,
        "source_val": 100,
        "target_val": 100,
    }
    assert len(set(keys)) == len(keys)


def test_same_picture_in_any_order_and_after_pickling():
    examples = Demo().examples("target_train")[:4]
    forward = [example.read() for example in examples]
    backward = [pickle.loads(pickle.dumps(example)).read() for example in examples[::-1]][::-1]
    for (image, label), (image_again, label_again) in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(label, label_again)


def test_does_not_touch_the_global_random_state():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    Demo().examples("source_val")[0].read()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_larger_counts_append():
    few = Demo(counts={"source_train": 3}).examples("source_train")
    assert Demo().examples("source_train")[:3] == few


def test_no_picture_is_in_two_splits(pictures):
    data = Demo()
    seeds = [example.seed for split in data.splits for example in data.examples(split)]
    assert len(set(seeds)) == len(seeds)
    drawn = [image.tobytes() for images, _ in pictures.values() for image in images]
    assert len(set(drawn)) == len(drawn)


def test_other_seed_other_pictures():
    one, other = (Demo(seed=seed).examples("source_train")[0].read() for seed in (0, 1))
    assert np.any(one[0] != other[0])
    assert np.any(one[1] != other[1])


def test_types_and_label_range(pictures):
    for images, labels in pictures.values():
        assert images.shape == (SAMPLE, 96, 160, 3)
        assert labels.shape == (SAMPLE, 96, 160)
        assert images.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {*range(len(NAMES)), IGNORE}
        assert 0 < np.mean(labels == IGNORE) < 0.06


def test_every_split_has_every_class_in_street_like_shares(pictures):
    for _, labels in pictures.values():
        counts = np.bincount(labels.ravel(), minlength=256)[: len(NAMES)]
        share = dict(zip(NAMES, counts / labels.size, strict=True))
        rare = [share[name] for name in ("traffic sign", "person", "bicycle")]
        assert min(share["road"], share["building"]) > 0.15
        assert share["sky"] > 0.06
        assert min(rare) > 0.003
        assert max(rare) < 0.03
        assert 0.01 < share["pole"] < 0.04
        assert max(share.values()) / min(rare) > 10


def test_rare_classes_are_in_many_pictures(pictures):
    for _, labels in pictures.values():
        for name in ("pole", "traffic sign", "person", "bicycle"):
            present = (labels == NAMES.index(name)).any(axis=(1, 2))
            assert present.mean() > 0.4, name


def test_both_domains_show_the_same_street_for_the_same_seed():
    source, target = (scene.render((3, 4), domain) for domain in ("source", "target"))
    np.testing.assert_array_equal(source[1], target[1])
    assert np.abs(source[0].astype(int) - target[0]).mean() > 10


def _pairs(style_names, count=16):
    """Images of the same streets in two styles, each channel standardised over its domain."""
    stacks = []
    for name in style_names:
        drawn = [scene.render((9, i), name) for i in range(count)]
        images = np.stack([image for image, _ in drawn]).astype(np.float64)
        stacks.append((images - images.mean((0, 1, 2))) / images.std((0, 1, 2)))
    return stacks, np.stack([label for _, label in drawn])


def test_gap_is_more_than_an_affine_change_of_the_channels():
    (source, target), labels = _pairs(("source", "target"))
    # What the best affine map of each channel leaves, for identical streets.
    correlation = (source * target).mean((0, 1, 2))
    assert np.all(1 - correlation**2 > 0.2)
    # And it differs between classes: their mean colours move apart, in other directions.
    shifts = {
        name: target[labels == i].mean(0) - source[labels == i].mean(0)
        for i, name in enumerate(NAMES)
    }
    assert np.linalg.norm(shifts["vegetation"] - shifts["sky"]) > 0.3
    assert max(np.linalg.norm(shift) for shift in shifts.values()) > 0.3


def test_target_light_varies_within_and_between_pictures():
    within, casts = [], []
    for index in range(12):
        (source, label), (target, _) = (scene.render((5, index), d) for d in ("source", "target"))
        gain = np.log((target + 8.0) / (source + 8.0))
        # Squares of 16 pixels that show road alone: one material under one sun in the source.
        squares = gain.reshape(6, 16, 10, 16, 3).mean((1, 3))
        road = (label == 0).reshape(6, 16, 10, 16).all((1, 3))
        if road.sum() > 2:
            within.append(squares[road].mean(-1).std())
            casts.append(squares[road].mean(0) - squares[road].mean())
    assert len(within) > 4
    # A mere change of gain and offset leaves about 0.01 of this.
    assert np.mean(within) > 0.06
    assert np.std(casts, axis=0).mean() > 0.03


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (97, 161), (180, 320), (120, 60)])
@pytest.mark.parametrize("domain", ["source", "target"])
def test_other_sizes(size, domain):
    for index in range(3):
        image, label = scene.render((1, index), domain, size)
        assert image.shape == (*size, 3)
        assert label.shape == size
        assert image.std() > 5
        assert len(np.unique(label)) >= 4


def test_fingerprint_tells_seed_size_counts_version_and_style(monkeypatch):
    prints = {
        Demo().fingerprint,
        Demo(seed=1).fingerprint,
        Demo(size=(64, 96)).fingerprint,
        Demo(counts={"source_val": 7}).fingerprint,
    }
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "GENERATOR_VERSION", dataset.GENERATOR_VERSION + 1)
        prints.add(Demo().fingerprint)
    other = dataclasses.replace(style.TARGET, noise=0.5)
    monkeypatch.setitem(style.STYLES, "target", other)
    prints.add(Demo().fingerprint)
    assert len(prints) == 6


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"seed": -1}, "seed"),
        ({"size": (96, 8)}, "width"),
        ({"size": (96,)}, "height, width"),
        ({"counts": {"source_test": 3}}, "source_train"),
        ({"counts": {"source_val": 0}}, "source_val"),
        ({"counts": {"source_val": 1.5}}, "1.5"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(UserError, match=named):
        Demo(**arguments)


def test_unknown_split_lists_the_choices():
    with pytest.raises(UserError, match="target_val"):
        Demo().examples("test")
