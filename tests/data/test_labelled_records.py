"""Labels from files of their own: read, refused, and cropped round rare classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msl_jax.data.augment import Augmentation, augment
from msl_jax.data.labelled_records import Chosen, LabelledRecords, Mining
from msl_jax.data.pipeline import TrainingBatches, example_keys
from msl_jax.runtime.errors import UserError

PLAIN = Augmentation(mirror=False, blur=False)
HEIGHT, WIDTH, RARE = 24, 32, 7


def _write(folder: Path, records: Any, numbers: list[int]) -> list[Path]:
    """A file for each record, whose first pixel is its number; one pixel in each is rare."""
    files = [folder / f"{number}.png" for number in numbers]
    for number, file in zip(numbers, files, strict=True):
        label = np.full((HEIGHT, WIDTH), 255, np.uint8)
        label[0, 0], label[20, 30 - number] = number, RARE
        image = Image.fromarray(label)
        image.putpalette(bytes(range(256)) * 3)
        image.save(file)
    return files


def test_labels_go_with_their_images(prepared, tmp_path: Path) -> None:
    records, numbers = prepared("train_day"), [5, 0, 3]
    made = LabelledRecords(records, numbers, _write(tmp_path, records, numbers))
    batches = TrainingBatches(
        *(prepared("train_day"), made),
        **{"batch_size": 1, "seed": 0},
        source_augmentation=PLAIN,
        target_augmentation=PLAIN,
    )
    seen = set()
    for key in example_keys(made, "target", 0, 6, seed=0):
        target = next(batches)["target"]
        number = int(target["label"][0, 0, 0])
        assert records[number]["key"] == key
        np.testing.assert_array_equal(target["image"][0], records[number]["image"])
        seen.add(number)
    batches.close()
    assert seen == set(numbers)


def test_source_does_not_depend_on_labels_of_the_target(prepared, tmp_path: Path) -> None:
    records = prepared("train_day")
    made = LabelledRecords(
        records, [1], _write(tmp_path, records, [1]), Mining(classes=(RARE,), chance=0.5)
    )
    sources = []
    for target in (made, records, None):
        batches = TrainingBatches(records, target, batch_size=2, seed=0)
        sources.append([next(batches)["source"] for _ in range(3)])
        batches.close()
    for batch, *others in zip(*sources, strict=True):
        for other in others:
            np.testing.assert_array_equal(batch["image"], other["image"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "not a readable image"),
        (
            lambda path: Image.fromarray(np.zeros((8, 9), np.uint8)).save(path),
            r"expected labels of 32x24 pixels, found uint8 of shape \(8, 9\)",
        ),
    ],
)
def test_damaged_file_is_named(prepared, tmp_path: Path, damage: Any, message: str) -> None:
    records = prepared("train_day")
    made = LabelledRecords(records, [2], _write(tmp_path, records, [2]))
    assert made[0]["label"][0, 0] == 2
    damage(tmp_path / "2.png")
    with pytest.raises(UserError, match=rf"2\.png.*{message}"):
        made[0]


def test_chosen_records(prepared) -> None:
    records = prepared("train_day")
    chosen = Chosen(records, [4, 1])
    assert len(chosen) == 2
    assert [chosen[i]["key"] for i in (0, 1)] == [records[i]["key"] for i in (4, 1)]


@pytest.mark.parametrize("layers", [False, True])
def test_mining(layers: bool) -> None:
    """A present class of the list, each as often, and a pixel of it."""
    label = np.zeros((6, 5), np.uint8)
    label[1, 2:4], label[5, 0] = 3, 4
    given = np.stack([label, label * 0, label * 0], axis=-1) if layers else label
    mining, rng = Mining(classes=(9, 3, 4), chance=0.75), np.random.default_rng(0)
    drawn = [mining.draw(rng, given) for _ in range(2000)]
    counts = {place: drawn.count(place) / 2000 for place in set(drawn)}
    assert counts.keys() == {None, (1, 2), (1, 3), (5, 0)}
    for place, share in {None: 0.25, (5, 0): 0.375, (1, 2): 0.1875, (1, 3): 0.1875}.items():
        assert counts[place] == pytest.approx(share, abs=0.04)


def test_mining_takes_as_many_draws_whatever_comes_out() -> None:
    for mining in (Mining(), Mining((0,), 1.0), Mining((8,), 1.0)):
        rng, other = np.random.default_rng(0), np.random.default_rng(0)
        mining.draw(rng, np.zeros((2, 2), np.uint8))
        other.random(3)
        assert rng.random() == other.random()


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.7, 1.5), (2.0, 2.0)])
def test_crop_round_a_pixel(scale: tuple[float, float]) -> None:
    """In its middle, or as near as the image allows."""
    options = Augmentation(mirror=False, blur=False, scale=scale, crop=(16, 16))
    for seed, centre in enumerate([(0, 0), (20, 30), (12, 16), (23, 0)]):
        label = np.full((HEIGHT, WIDTH), 255, np.uint8)
        rows, columns = (slice(max(c - 1, 0), c + 2) for c in centre)
        label[rows, columns] = RARE
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        _, cropped = augment(np.random.default_rng(seed), image, label, options, centre)
        assert cropped is not None
        found = np.argwhere(cropped == RARE)
        assert len(found), (scale, centre)
        if centre == (12, 16):
            assert np.abs(found.mean(axis=0) - 7.5).max() <= 1


def test_crop_without_a_pixel_is_as_it_was() -> None:
    options = Augmentation(scale=(0.7, 1.5), crop=(16, 16))
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    label = image[..., 0]
    layers = np.stack([label, label, label], axis=-1)
    for seed in range(10):
        found, of_label = augment(np.random.default_rng(seed), image, label, options)
        same, of_layers = augment(np.random.default_rng(seed), image, layers, options)
        assert of_layers is not None
        np.testing.assert_array_equal(found, same)
        np.testing.assert_array_equal(of_layers, np.stack([of_label] * 3, axis=-1))
