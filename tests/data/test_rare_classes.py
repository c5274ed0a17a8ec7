"""Rare class sampling: which images are drawn how often, where they are cropped, and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batches import Indices, equal, take

from msl_jax.data.augment import Augmentation
from msl_jax.data.pipeline import TrainingBatches, example_keys
from msl_jax.data.rare_classes import COUNTS, RareClasses, class_pixels, class_probabilities
from msl_jax.runtime.errors import UserError

GOLDENS = Path(__file__).parents[1] / "goldens" / "peers" / "daformer_mic.npz"
# Of three classes in five images; the last class is nowhere seen well enough.
PIXELS = np.array([[90, 0, 0], [80, 10, 9], [70, 30, 0], [99, 1, 0], [0, 0, 10]])


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_probabilities(temperature: float) -> None:
    """Those of DAFormer's code, which are in float32 there."""
    with np.load(GOLDENS) as goldens:
        found = class_probabilities(goldens["rcs/counts"], temperature)
        np.testing.assert_allclose(found, goldens[f"rcs/{temperature}"], rtol=1e-6)


def test_classes_and_their_images() -> None:
    rare = RareClasses(PIXELS, temperature=1.0, least=9, seed=3)
    drawn = [rare(number) for number in range(4000)]
    images = {label: {d.record for d in drawn if d.label == label} for label in range(3)}
    assert images == {0: {0, 1, 2, 3}, 1: {1, 2}, 2: {4}}
    expected = class_probabilities(PIXELS.sum(axis=0), 1.0)
    found = [np.mean([d.label == label for d in drawn]) for label in range(3)]
    np.testing.assert_allclose(found, expected, atol=0.03)
    of_first = [d.record for d in drawn if d.label == 0]
    np.testing.assert_allclose(
        [of_first.count(i) / len(of_first) for i in range(4)], 0.25, atol=0.05
    )


def test_class_without_images_is_never_drawn() -> None:
    rare = RareClasses(PIXELS, temperature=0.01, least=10, seed=3)
    assert {rare(number).label for number in range(500)} == {1}  # the rarest that has images
    assert rare.never_drawn == (2,)
    with pytest.raises(UserError, match=r"rare_class_share: no image .* than 99 .* are 99"):
        RareClasses(PIXELS, 0.01, 99, 0)


def test_draws_depend_on_seed_and_number_alone() -> None:
    first = [RareClasses(PIXELS, 1.0, 9, seed=0)(number) for number in range(50)]
    rare = RareClasses(PIXELS, 1.0, 9, seed=0)
    assert [rare(number) for number in reversed(range(50))] == first[::-1]
    assert [RareClasses(PIXELS, 1.0, 9, seed=1)(number) for number in range(50)] != first


def test_pixels_are_counted_once(prepared) -> None:
    records = prepared("train_day")
    path = records.folder / COUNTS
    path.unlink(missing_ok=True)
    found = class_pixels(records, 11)
    expected = [[(records[i]["label"] == c).sum() for c in range(11)] for i in range(len(records))]
    np.testing.assert_array_equal(found, expected)
    np.save(path, found + 1)
    np.testing.assert_array_equal(class_pixels(records, 11), found + 1)
    path.write_bytes(b"no array")
    np.testing.assert_array_equal(class_pixels(records, 11), found)
    np.testing.assert_array_equal(class_pixels(records, 5), found[:, :5])
    path.unlink()


class _Corner:
    """Records whose class 1 is one corner of the image."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, object]:
        label = np.zeros((32, 32), np.uint8)
        label[:8, :8] = 1
        return {"key": str(index), "image": np.stack([label] * 3, axis=-1), "label": label}


def test_images_are_cropped_where_the_class_is() -> None:
    """Few crops hold half of the corner; of ten tries often one does."""
    rare = RareClasses(np.full((4, 2), 64), 1.0, 62, 0)
    options = Augmentation(mirror=False, blur=False, crop=(16, 16))
    shares = []
    for rare_classes in (rare, None):
        batches = TrainingBatches(
            _Corner(),
            None,
            batch_size=400,
            seed=0,
            source_augmentation=options,
            rare_classes=rare_classes,
        )
        labels = next(batches)["source"]["label"]
        shares.append(np.mean([(label == 1).sum() > 31 for label in labels]))
        batches.close()
    # Half of the draws are of class 0, which is everywhere: p / 2 + (1 - (1 - p)^10) / 2.
    p = 0.035
    assert shares[1] == pytest.approx(p, abs=0.02)
    assert shares[0] == pytest.approx(p / 2 + (1 - (1 - p) ** 10) / 2, abs=0.05)


def _batches(rare: RareClasses, **options) -> TrainingBatches:
    return TrainingBatches(
        Indices(5), Indices(7), batch_size=2, seed=1, rare_classes=rare, **options
    )


def test_batches_continue_where_they_were() -> None:
    rare = RareClasses(PIXELS, 1.0, 9, seed=1)
    batches = _batches(rare)
    whole = take(batches, 8)
    batches.set_state({"examples": 6})
    assert equal(take(batches, 5), whole[3:])
    assert batches.get_state() == {"examples": 16}


def test_processes_share_the_draws() -> None:
    rare = RareClasses(PIXELS, 1.0, 9, seed=1)
    whole = take(_batches(rare), 6)
    for process in range(2):
        assert equal(take(_batches(rare, process=(process, 2)), 3), whole[process::2])


def test_keys_of_examples() -> None:
    rare = RareClasses(PIXELS, 1.0, 9, seed=1)
    keys = example_keys(Indices(5), "source", 3, 4, seed=1, rare_classes=rare)
    assert keys == [str(rare(number).record) for number in range(3, 7)]
    images = [i for b in take(_batches(rare), 4) for i in b["source"]["image"][:, 0, 0, 0]]
    assert [str(index) for index in images[3:7]] == keys
    other = example_keys(Indices(7), "target", 0, 7, seed=1, rare_classes=rare)
    assert other == example_keys(Indices(7), "target", 0, 7, seed=1)
