"""Labels of whole images in records and batches, compared with those of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.dataset import Kind
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.pipeline import TrainingBatches, evaluation_batches
from msl_jax.data.prepared.records import Records, prepare


@dataclass(frozen=True)
class Plain:
    """An image of one grey value; the class is the number's last digit."""

    number: int

    @property
    def key(self) -> str:
        return f"plain {self.number}"

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full((6, 9, 3), self.number, np.uint8), np.array(self.number % 10, np.uint8)


@dataclass(frozen=True)
class Plains:
    name: str = "plains"
    kind: Kind = "classes"
    fingerprint: str = "0"
    splits: tuple[str, ...] = ("some",)
    label_set = LABEL_SETS["demo"]

    def examples(self, split: str, *, missing_ok: bool = False) -> list[Plain]:
        return [Plain(number) for number in range(7, 18)]

    def labelled(self, split: str) -> bool:
        return True

    def expect_encoding(self, split: str) -> None:
        pass


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return prepare(Plains(), "some", (8, 8), tmp_path, progress=False, num_processes=1)


def test_records_hold_the_class(records: Records) -> None:
    for index, number in enumerate(range(7, 18)):
        record = records[index]
        assert record["image"].shape == (8, 8, 3)
        assert (record["label"].dtype, record["label"].shape) == (np.uint8, ())
        assert record["label"] == number % 10
    assert records[-1]["label"] == 7


def test_training_batches_keep_image_and_class_together(records: Records) -> None:
    """However an image is cropped, its class stays."""
    crop = Augmentation(blur=False, scale=(0.5, 2.0), crop=(4, 6))
    batches = TrainingBatches(
        records,
        records,
        batch_size=4,
        seed=0,
        source_augmentation=crop,
        target_augmentation=crop,
        threads=0,
    )
    for _ in range(4):
        batch = next(batches)
        assert batch["source"]["image"].shape == (4, 4, 6, 3)
        assert batch["source"]["label"].shape == (4,)
        numbers = batch["source"]["image"][:, 0, 0, 0]
        np.testing.assert_array_equal(batch["source"]["label"], numbers % 10)
        assert set(batch["target"]) == {"image"}


def test_evaluation_batches_are_filled_up_with_ignored_ones(records: Records) -> None:
    first, second = evaluation_batches(records, 8, threads=0)
    assert first["label"].tolist() == [7, 8, 9, 0, 1, 2, 3, 4]
    assert second["label"].tolist() == [5, 6, 7, 255, 255, 255, 255, 255]
    assert second["count"] == 3
