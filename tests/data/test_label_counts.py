"""What is counted in labels, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import write_ids, write_image

from msl_jax.data import splits
from msl_jax.data.datasets.folders import Folders
from msl_jax.data.label_counts import LabelCounts, count_label
from msl_jax.data.labels import IGNORE, LabelClass, LabelSet
from msl_jax.data.prepared.records import Records, prepare
from msl_jax.runtime.errors import UserError

CRACKS = LabelSet("x", (LabelClass("background", (0, 0, 0)), LabelClass("crack", (255, 0, 0))))
CLASSES = "classes:\n  - {id: 0, name: background, color: [0, 0, 0]}\n"
CLASSES += "  - {id: 1, name: crack, color: [255, 0, 0]}"


def _count(*labels: Sequence[int]) -> LabelCounts:
    counts = LabelCounts()
    for place, label in enumerate(labels):
        counts.add(count_label(np.array([label], np.uint8), f"key {place}"))
    return counts


@pytest.mark.parametrize(
    ("labels", "lines"),
    [
        ([], []),
        ([[0, 1], [0, 0]], []),
        ([[0, 0], [0, 0]], ["1 of 2 classes in no label: crack"]),
        (
            [[0, 255], [0, 0]],
            [
                "1 of 2 classes in no label: crack",
                "25.0% of the pixels in 2 labels ignored: masks of 0 and 255? Write the id of a"
                " class in place of 255.",
            ],
        ),
        (
            [[0, 1], [255, 255], [255, 255]],
            [
                "66.7% of the pixels in 3 labels ignored",
                "2 labels without a pixel that counts: key 1",
            ],
        ),
    ],
)
def test_what_is_said(labels: list[list[int]], lines: list[str]) -> None:
    assert _count(*labels).lines("mine/train", CRACKS) == [f"mine/train: {line}" for line in lines]


def test_labels_that_teach_nothing() -> None:
    _count().expect_any("mine/train")
    _count([255, 255], [255, 0]).expect_any("mine/train")
    with pytest.raises(UserError, match="mine/train: not one pixel counts in 2 labels"):
        _count([255, 255], [255, 255]).expect_any("mine/train")


def test_counts_are_kept() -> None:
    counts = _count([0, 255], [255, 255], [3, 3])
    assert LabelCounts.from_json(json.loads(json.dumps(counts.as_json()))) == counts
    assert dict(counts.pixels) == {0: 1, 3: 2, IGNORE: 3}
    assert dict(counts.occurs) == {0: 1, 3: 1, IGNORE: 2}


def test_labels_of_whole_images_and_none() -> None:
    counts = count_label(np.array(1, np.uint8), "a")
    assert (counts.labels, counts.counted, counts.absent(CRACKS)) == (1, 1, ["background"])
    assert count_label(None, "a") == LabelCounts()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Masks of 0 and 255."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "classes.yaml").write_text(CLASSES)
    for name in ("a", "b", "c"):
        write_image(tmp_path / "mine" / "images" / f"{name}.jpg")
        write_ids(tmp_path / "mine" / "labels" / f"{name}.png", np.resize([0, 0, 0, 255], (12, 20)))
    return tmp_path / "mine"


def _prepare(root: Path, **keys: object) -> Records:
    dataset = Folders(root, root / "classes.yaml")
    return prepare(dataset, "source_train", (6, 10), root.parent / "records", **keys)


@pytest.mark.parametrize("processes", [1, 2])
def test_records_count_the_labels_that_were_read(root: Path, processes: int) -> None:
    """At their own size, in the order of the examples."""
    write_ids(root / "labels" / "b.png", np.full((12, 20), 255))
    records = _prepare(root, num_processes=processes)
    assert records.counts.labels == len(records) == 2
    assert dict(records.counts.pixels) == {0: 180, 255: 60 + 240}
    assert records.counts.examples == {"without a pixel that counts": "b.jpg"}
    assert _prepare(root).counts == records.counts  # read again


def test_labels_of_photos_that_are_not_stored_upright(root: Path) -> None:
    """Said by training as well: what lies over what decides what is learnt."""
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(root / "images" / "c.jpg").save(root / "images" / "c.jpg", exif=exif)
    dataset = Folders(root, root / "classes.yaml")
    (*_, line) = _prepare(root).counts.lines("mine", dataset.label_set)
    assert line == (
        "mine: 1 label of photos with an EXIF orientation, fitting both ways: taken to lie on the"
        " upright photo: c.jpg"
    )


@pytest.mark.parametrize(("size", "stretched"), [((24, 32), True), ((24, 40), False)])
def test_training_says_that_it_stretches_photos(
    root: Path, tiny_config, size: tuple[int, int], stretched: bool
) -> None:
    """Photos of 20x12; their run then squeezes what it predicts, too."""
    config = tiny_config(
        "source",
        **{"source_train": "folders/source_train", "source_root": str(root), "num_classes": 2},
        source_size=size,
    )
    split = splits.load_labelled(config, "source_train")
    assert split.stretched == stretched
    assert any("stretched by a factor of 1.2" in text for text in split.remarks) == stretched


def test_training_names_what_the_labels_lack(root: Path, tiny_config, capsys) -> None:
    config = tiny_config(
        "source",
        **{"source_train": "folders/source_train", "source_root": str(root), "num_classes": 2},
        source_size=(24, 40),  # of the photos' proportions
    )
    split = splits.load_labelled(config, "source_train")
    splits.say([split, split])
    assert capsys.readouterr().err.splitlines() == [
        "folders/source_train: 1 of 2 classes in no label: crack",
        "folders/source_train: 25.0% of the pixels in 2 labels ignored: masks of 0 and 255? Write"
        " the id of a class in place of 255.",
    ]
    for path in (root / "labels").iterdir():
        write_ids(path, np.full((12, 20), 255))
    with pytest.raises(UserError, match="folders/source_train: not one pixel counts in 2 labels"):
        splits.load_labelled(config, "source_train")
