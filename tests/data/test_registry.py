"""Names of splits in configurations."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import write_cityscapes

from msl_jax.data.datasets.registry import names, open_dataset, open_label_set, open_split
from msl_jax.runtime.errors import UserError


def test_camvid(camvid_tree: Path) -> None:
    dataset, split = open_split("camvid/train_day", camvid_tree)
    assert (dataset.name, split) == ("camvid", "train_day")
    assert len(dataset.examples(split)) == 8


def test_class_sets_follow_the_number_of_classes(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    for number in (19, 16, 13):
        dataset, _ = open_split("cityscapes/val", root, number)
        assert dataset.label_set == open_label_set("cityscapes/val", number)
        assert dataset.label_set.num_classes == number
    assert open_split("cityscapes/val", root)[0].label_set.num_classes == 19
    assert open_label_set("synthia/train").num_classes == 16
    assert open_label_set("gta5/train").num_classes == 19
    assert open_label_set("crosscity/Rio_test").num_classes == 13
    assert open_split("demo/source_val", num_classes=10)[0].label_set.num_classes == 10


@pytest.mark.parametrize("name", ["demo/source_val", "cityscapes/val", "crosscity/Rio_test"])
def test_wrong_number_of_classes(name: str, tmp_path: Path) -> None:
    message = r"cannot be read with 12 classes; set config.num_classes to one of: 1\d \(road, "
    with pytest.raises(UserError, match=message):
        open_split(name, tmp_path, 12)
    with pytest.raises(UserError, match=message):
        open_label_set(name, 12)


@pytest.mark.parametrize(
    ("name", "root", "message"),
    [
        ("kitti/train", ".", "Unknown data set in 'kitti/train'.*camvid.*demo"),
        ("camvid", ".", "Unknown split 'camvid'; choose one of .*camvid/train_day"),
        ("camvid/train", ".", "Unknown split 'camvid/train'; choose one of .*camvid/train_day"),
        ("camvid/train_day", None, "--config.data_root"),
        ("camvid/train_day", "nowhere", "nowhere is not a folder"),
    ],
)
def test_wrong_names(name: str, root: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_split(name, root)


def test_data_sets_by_name(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    assert open_dataset("cityscapes", root, 13).label_set.num_classes == 13
    assert open_dataset("demo").name == "demo"
    assert "demo" in names()
    with pytest.raises(UserError, match=r"Unknown data set 'x'; choose one of .*'gta5'"):
        open_dataset("x")
