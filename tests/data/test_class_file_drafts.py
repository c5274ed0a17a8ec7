"""The prepare command on folders without a class file: what it drafts, names and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from disks import fill
from PIL import Image
from trees import write_folders

from msl_jax.data import prepare as prepare_command

COLORS = np.zeros((12, 20, 3), np.uint8)
COLORS[:, 5:] = (128, 64, 128)
PALETTE = Image.fromarray(np.resize(np.array([0, 0, 0, 7], np.uint8), (12, 20)))
PALETTE.putpalette([9 * number % 256 for number in range(3 * 8)])


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        (
            np.resize(np.array([0, 0, 0, 7, 255], np.uint8), (12, 20)),
            [
                "  - {id: 0, name: , color: [230, 80, 80]}  # 60.00%",
                "  - {id: 7, name: , color: [80, 230, 80]}  # 20.00%",
                "# 255 never counts: 20.00%",
            ],
        ),
        (
            COLORS,
            [
                "  - {id: 0, name: , color: [128, 64, 128]}  # 75.00%",
                "  - {id: 1, name: , color: [0, 0, 0]}  # 25.00%",
            ],
        ),
        (
            PALETTE,
            [
                "  - {id: 0, name: , color: [0, 9, 18]}  # 75.00%",
                "  - {id: 7, name: , color: [189, 198, 207]}  # 25.00%",
            ],
        ),
    ],
    ids=["ids", "colours", "palette"],
)
def test_class_file_is_drafted(run_prepare, tmp_path: Path, label, lines: list[str]) -> None:
    root = write_folders(tmp_path / "mine", label)
    file = root / "classes.yaml"
    code, out, err = run_prepare("folders", "--data_root", root, "--check_only")
    assert (code, file.exists()) == (1, False)
    assert out.splitlines()[3:-1] == [f"{x} of the pixels, in 2 of 2 labels" for x in lines]
    assert f"{file}: the file that lists the classes of the labels is missing; a draft is" in err
    code, again, err = run_prepare("folders", "--data_root", root)
    assert (code, again, file.read_text()) == (1, out, out.removesuffix("\n"))
    assert "a draft has been written there" in err
    code, out, err = run_prepare("folders", "--data_root", root)
    assert (code, out) == (1, "")
    assert "has no name for the class of id 0" in err
    file.write_text(file.read_text().replace("name: ", "name: x1").replace("x1", "x2", 1))
    code, out, _ = run_prepare("folders", "--data_root", root, "--check_only")
    assert code == 0
    assert "folders/target_eval: 2 images, 2 labels, no problem" in out


def test_draft_on_a_full_disk(run_prepare, mounted, tmp_path: Path) -> None:
    """An empty class file would be taken for the user's."""
    place = mounted("size=1m")
    root = write_folders(place / "mine", np.zeros((12, 20), np.uint8))
    fill(place / "filler")
    code, out, err = run_prepare("folders", "--data_root", root)
    assert (code, "{id: 0, name: , color" in out) == (1, True)
    assert "is missing; a draft is above" in err
    assert sorted(path.name for path in root.iterdir()) == ["images", "labels"]


def test_class_file_that_is_written_meanwhile(run_prepare, tmp_path: Path, monkeypatch) -> None:
    root = write_folders(tmp_path / "mine", np.zeros((12, 20), np.uint8))
    file = root / "classes.yaml"
    monkeypatch.setattr(
        prepare_command, "draft_classes", lambda _: file.write_text("mine") and "draft"
    )
    code, out, err = run_prepare("folders", "--data_root", root)
    assert (code, out, file.read_text()) == (1, "draft\n", "mine")
    assert "a draft is above" in err


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("classes.yml", "Rename"),
        ("../classes.yaml", "Move"),  # of all domains
        ("labels/classes.yaml", "Move"),
    ],
)
def test_class_file_of_another_spelling_or_place_is_named(
    run_prepare, tmp_path: Path, name: str, advice: str
) -> None:
    """Neither is it passed over nor is another one drafted."""
    root = write_folders(tmp_path / "mine", np.zeros((12, 20), np.uint8))
    there = (root / name).resolve()
    there.write_text("classes: []")
    code, out, err = run_prepare("folders", "--data_root", root)
    assert (code, out, (root / "classes.yaml").exists()) == (1, "", False)
    assert f"no such file; there is {there}. {advice} it, or name it as classes_file" in err


def test_label_maps_that_no_class_file_can_describe(run_prepare, tmp_path: Path) -> None:
    root = write_folders(
        tmp_path / "mine", np.arange(12 * 20 * 3).astype(np.uint8).reshape(12, 20, 3)
    )
    Image.fromarray(np.zeros((12, 20), np.uint8)).save(root / "labels" / "b.png")
    code, _, err = run_prepare("folders", "--data_root", root, "--check_only")
    assert (code, "b.png: some label maps before it hold ids and others colours" in err) == (
        1,
        True,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (12, 30, 3), np.uint8)
    Image.fromarray(pixels).save(root / "labels" / "a.png")
    code, _, err = run_prepare("folders", "--data_root", root, "--check_only")
    assert (code, "a.png: more than 255 colours in the label maps so far" in err) == (1, True)


def test_photos_without_classes(run_prepare, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "photos")
    (root / "images" / "c.jpg").write_bytes(b"x")
    code, out, err = run_prepare("folders", "--data_root", root)
    assert (code, err) == (0, "")
    assert f"folders: no classes.yaml in {root}: its photos are checked, no records made" in out
    assert "folders/target_train: 3 images, no labels, 1 with a problem" in out
    assert not (tmp_path / "records").exists()


def test_class_file_of_elsewhere(run_prepare, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "mine", np.zeros((12, 20), np.uint8))
    (tmp_path / "c.yaml").write_text("classes: [{id: 0, name: all, color: [1, 2, 3]}]")
    given = ("--classes_file", tmp_path / "c.yaml", "--check_only")
    code, out, _ = run_prepare("folders", "--data_root", root, *given)
    assert (code, "        0  all " in out) == (0, True)
