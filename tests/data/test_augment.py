"""Augmentation keeps pixels and labels together and draws the same numbers for all options."""

from __future__ import annotations

import numpy as np
import pytest

from msl_jax.data.augment import Augmentation, augment
from msl_jax.data.labels import IGNORE

NOTHING = Augmentation(mirror=False, blur=False)
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 60, 3), np.uint8)
LABEL = RNG.integers(0, 5, (40, 60), np.uint8)


def _blocks() -> tuple[np.ndarray, np.ndarray]:
    """An image whose colours are its labels; ids are not adjacent, so that none is a mixture."""
    label = 40 * RNG.integers(0, 6, (4, 6), np.uint8).repeat(10, 0).repeat(10, 1)
    return np.stack([label] * 3, -1), label


def test_nothing_changes_nothing() -> None:
    image, label = augment(np.random.default_rng(1), IMAGE, LABEL, NOTHING)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(label, LABEL)


def test_mirror_flips_half_of_the_pairs() -> None:
    options = Augmentation(blur=False)
    flipped = 0
    for seed in range(200):
        image, label = augment(np.random.default_rng(seed), IMAGE, LABEL, options)
        if (image == IMAGE).all():
            np.testing.assert_array_equal(label, LABEL)
        else:
            np.testing.assert_array_equal(image, IMAGE[:, ::-1])
            np.testing.assert_array_equal(label, LABEL[:, ::-1])
            flipped += 1
    assert 70 < flipped < 130


def test_blur_softens_half_of_the_images_and_no_label() -> None:
    options = Augmentation(mirror=False)
    changed = 0
    for seed in range(200):
        image, label = augment(np.random.default_rng(seed), IMAGE, LABEL, options)
        np.testing.assert_array_equal(label, LABEL)
        if (image != IMAGE).any():
            changed += 1
            assert image.std() < IMAGE.std()
    # A radius close to 0 changes nothing, so a little less than half.
    assert 50 < changed < 130


@pytest.mark.parametrize("scale", [(1.5, 1.5), (0.6, 0.6), (1.0, 1.0), (0.5, 2.0)])
def test_scale_moves_labels_with_the_pixels(scale: tuple[float, float]) -> None:
    options = Augmentation(mirror=False, blur=False, scale=scale)
    image, label = _blocks()
    places = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
    agreement = dict.fromkeys(places, 0)
    for seed in range(20):
        new_image, new_label = augment(np.random.default_rng(seed), image, label, options)
        assert new_image.shape == image.shape
        assert new_label.shape == label.shape
        counted = new_label != IGNORE
        # Labels are moved, never mixed.
        assert set(np.unique(new_label[counted])) <= set(np.unique(label))
        if scale[0] >= 1:
            assert counted.all()
        grey = new_image[..., 0].astype(int)
        for place in places:
            agreement[place] += (np.abs(grey - np.roll(new_label, place, (0, 1))) <= 20).sum()
        # Blocks stay blocks but for the pixels that bicubic interpolation mixes at their edges.
        assert (np.abs(grey - new_label) <= 20)[counted].mean() > 0.85
    # Labels that lay a pixel beside theirs would fit less.
    assert max(agreement, key=agreement.__getitem__) == (0, 0)


def test_scale_down_pads_with_the_mean_and_ignored_labels() -> None:
    options = Augmentation(mirror=False, blur=False, scale=(0.5, 0.5))
    image, label = augment(np.random.default_rng(0), IMAGE, LABEL, options)
    outside = label == IGNORE
    assert outside.sum() == 40 * 60 - 20 * 30
    np.testing.assert_allclose(image[outside].mean(0), IMAGE.mean((0, 1)), atol=0.51)


def test_scale_up_shows_a_larger_part_of_the_middle() -> None:
    options = Augmentation(mirror=False, blur=False, scale=(2, 2))
    label = np.arange(60, dtype=np.uint8)[None].repeat(40, 0)
    _, new = augment(np.random.default_rng(0), IMAGE, label, options)
    columns = new[0].astype(int)
    assert columns[-1] - columns[0] == pytest.approx(29, abs=1)
    assert (np.diff(columns) >= 0).all()


def test_jitter_changes_colors_alone_and_grows_with_its_strength() -> None:
    def change(strength: float) -> float:
        options = Augmentation(mirror=False, blur=False, jitter=strength)
        differences = []
        for seed in range(20):
            image, label = augment(np.random.default_rng(seed), IMAGE, LABEL, options)
            np.testing.assert_array_equal(label, LABEL)
            differences.append(np.abs(image.astype(float) - IMAGE).mean())
        return float(np.mean(differences))

    assert 0.5 < change(0.05) < change(0.2) < change(0.5)


def test_jitter_keeps_the_order_of_greys() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    options = Augmentation(mirror=False, blur=False, jitter=0.8)
    for seed in range(20):
        image, _ = augment(np.random.default_rng(seed), ramp, None, options)
        grey = image[..., 0].ravel().astype(int)
        assert (np.diff(grey) >= 0).all()
        np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_options_do_not_disturb_each_other() -> None:
    alone = Augmentation(blur=False)
    more = Augmentation(blur=True, jitter=0.3)
    for seed in range(20):
        rng, other = np.random.default_rng(seed), np.random.default_rng(seed)
        _, label = augment(rng, IMAGE, LABEL, alone)
        _, same = augment(other, IMAGE, LABEL, more)
        np.testing.assert_array_equal(label, same)
        assert rng.random() == other.random()


def test_without_label() -> None:
    options = Augmentation(scale=(0.5, 2), jitter=0.5)
    image, label = augment(np.random.default_rng(0), IMAGE, None, options)
    with_label, _ = augment(np.random.default_rng(0), IMAGE, LABEL, options)
    assert label is None
    np.testing.assert_array_equal(image, with_label)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        augment(np.random.default_rng(0), IMAGE, LABEL[1:], NOTHING)
    with pytest.raises(ValueError, match="scale"):
        Augmentation(scale=(2.0, 1.0))
    with pytest.raises(ValueError, match="jitter"):
        Augmentation(jitter=1.5)
