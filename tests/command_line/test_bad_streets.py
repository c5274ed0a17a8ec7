"""Bad files of configs/cityscapes_idd.py: `train.py` names them, writes and changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import write_cityscapes_pix2pix, write_idd_lite, write_side_by_side

ROOT = Path(__file__).parents[2]
CONFIG = f"--config={ROOT / 'configs' / 'cityscapes_idd.py'}"
CITYSCAPES, IDD = "cityscapes/train/2.jpg", "idd/gtFine/val/7/1_label.png"
BACK = ("--config.source=idd_lite", "--config.target=cityscapes_pix2pix")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with both data sets."""
    write_cityscapes_pix2pix(tmp_path / "data" / "cityscapes")
    write_idd_lite(tmp_path / "data" / "idd")
    return tmp_path / "data"


@pytest.fixture
def refusal(command, data: Path, tiny_flags, snapshot) -> Callable[..., str]:
    """Function that runs a training that must be refused, and returns the message."""

    def run(*flags: str, source: str = "cityscapes", target: str = "idd") -> str:
        roots = {"source_root": data / source, "target_root": data / target, "data_root": ""}
        before = snapshot(data.parent)
        outcome = command("train.py", CONFIG, *tiny_flags(**roots), *flags, "--workdir=run")
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.count("error: ") == 1  # perhaps after how many images are there
        assert "Traceback" not in outcome.err
        assert snapshot(data.parent) == before
        return outcome.err.partition("error: ")[2]

    return run


def _other_shape(path: Path) -> None:
    Image.new("RGB", (600, 300)).save(path)


def _unknown_colour(path: Path) -> None:
    colors = np.full((256, 256, 3), (128, 64, 128), np.uint8)
    colors[40:80, 60:100] = (0, 250, 0)
    write_side_by_side(path, colors, 95)


def _swapped(path: Path) -> None:
    Image.fromarray(np.roll(np.array(Image.open(path)), 256, axis=1)).save(path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _unknown_id(path: Path) -> None:
    Image.fromarray(np.full((12, 20), 26, np.uint8)).save(path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_other_shape, "512x256 pixels expected, a photo and its colour label side by side, found"),
        (_unknown_colour, "the label has an area of the colour ("),
        (_swapped, "its halves are swapped"),
        (_cut, "not a readable image"),
    ],
)
def test_bad_pair_side_by_side(refusal, data: Path, damage, words: str) -> None:
    damage(data / CITYSCAPES)
    message = refusal()
    assert message.startswith(f"{data / CITYSCAPES}: ")
    assert words in message


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, "1 of 2 examples of val have no label"),
        (_unknown_id, "unknown label id 26; known ids are 0-6, 255"),
        (_cut, "not a readable image"),
    ],
)
def test_bad_label_of_idd(refusal, data: Path, damage, words: str) -> None:
    damage(data / IDD)
    message = refusal()
    assert str(data / IDD) in message
    assert words in message


def test_idd_without_labels(refusal, data: Path) -> None:
    shutil.rmtree(data / "idd" / "gtFine")
    assert "IDD-Lite: 2 of 2 examples of val have no label" in refusal()
    assert "idd_lite/train has no labels, but this variant trains on them" in refusal(
        *BACK, source="idd", target="cityscapes"
    )


def test_roots_exchanged(refusal) -> None:
    message = refusal(*BACK)
    assert message.startswith("IDD-Lite: ")
    assert "cityscapes lacks the folders leftImg8bit" in message


def test_classes_that_one_of_them_does_not_have(refusal) -> None:
    message = refusal("--config.num_classes=19")
    assert "idd_lite cannot be read with 19 classes" in message
    assert "one of: 7 (drivable, non-drivable, " in message
