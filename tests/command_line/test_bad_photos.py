"""What predict.py is given and refuses, and that its output stays where it belongs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    _photo(tmp_path / "photos" / "a.png")
    return tmp_path / "photos"


def _photo(path: Path, size: tuple[int, int] = (30, 20)) -> Path:
    Image.new("RGB", size, (90, 120, 150)).save(path)
    return path


def _broken(photos: Path) -> str:
    (photos / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    return "b.jpg: not a readable image"


def _link_to_nowhere(photos: Path) -> str:
    (photos / "b.jpg").symlink_to("gone.jpg")
    return "b.jpg: no such file"


def _pipe(photos: Path) -> str:
    os.mkfifo(photos / "b.jpg")
    return "b.jpg: not a file"


def _deep(photos: Path) -> str:
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(photos / "b.png")
    return "b.png: 8 bits a channel expected"


def _bomb(photos: Path) -> str:
    header = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    size = (50000).to_bytes(4, "little") * 2
    (photos / "b.bmp").write_bytes(header + size + b"\1\0\x18\0" + bytes(24))
    return "b.bmp: too large"


def _many_scans(photos: Path) -> str:
    Image.new("L", (64, 64)).save(photos / "b.jpg", progressive=True)
    content = (photos / "b.jpg").read_bytes()
    scan = content[content.rindex(b"\xff\xda") : -2]
    (photos / "b.jpg").write_bytes(content[:-2] + 300 * scan + content[-2:])
    return "b.jpg: a JPEG of 306 scans, more than the 200 that are read"


def _damaged_orientation(photos: Path) -> str:
    Image.new("RGB", (9, 9)).save(photos / "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\1")
    return "b.jpg: not a readable image"


def _one_result_of_two(photos: Path) -> str:
    for name in ("b.jpg", "b.png", "b_jpg.png"):
        _photo(photos / name)
    return "b_jpg.png would both be written to"


def _empty(photos: Path) -> str:
    (photos / "a.png").unlink()
    (photos / "notes.txt").write_text("no photo")
    return "no photo in this folder; 1 file below"


def _only_a_folder_with_such_a_name(photos: Path) -> str:
    (photos / "a.png").unlink()
    (photos / "b.png").mkdir()
    return "no photo in this folder"


def _only_beside_an_empty_folder_images(photos: Path) -> str:
    (photos / "images").mkdir()
    return (
        f"no photo in this folder; photos are those in {photos / 'images'}: 1 file beside it not"
        " read: 1 .png (a.png)"
    )


def _only_label_maps(photos: Path) -> str:
    (photos / "labels").mkdir()
    (photos / "a.png").rename(photos / "labels" / "a.png")
    return f"no photo in this folder; 1 label map in {photos / 'labels'} not predicted"


@pytest.mark.parametrize(
    "change",
    [
        _broken,
        _link_to_nowhere,
        _pipe,
        _deep,
        _bomb,
        _many_scans,
        _damaged_orientation,
        _one_result_of_two,
        _empty,
        _only_a_folder_with_such_a_name,
        _only_beside_an_empty_folder_images,
        _only_label_maps,
    ],
)
def test_bad_photo(refused, predict, photos: Path, change: Callable[[Path], str]) -> None:
    words = change(photos)
    assert words in predict(photos, "out", using=refused)


def test_input_that_does_not_exist(refused, predict) -> None:
    message = predict("nothing", "out", using=refused)
    assert "nothing does not exist; give a photo or a folder" in message


@pytest.mark.parametrize("place", ["", "out", "deep/out", "../photos/out"])
def test_output_among_the_photos(refused, predict, photos: Path, place: str) -> None:
    message = predict(photos, photos / place, using=refused)
    assert f"--output {os.path.abspath(photos / place)} is inside --input {photos}" in message


def test_output_that_is_a_file(refused, predict, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    message = predict(photos, tmp_path / "mine", using=refused)
    assert f"--output {tmp_path / 'mine'}: cannot be written" in message


@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
def test_output_that_exists(refused, predict, photos: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "out" / "colors" / "a.png"
    file.parent.mkdir(parents=True)
    if kind == "file":
        file.write_text("mine")
    else:
        file.symlink_to(tmp_path / "elsewhere.png")  # which would be made by writing to the link
    message = predict(photos, tmp_path / "out", using=refused)
    assert f"{file} exists already; nothing is overwritten" in message


def test_output_stays_in_its_folder(predict, photos: Path, tmp_path: Path) -> None:
    """Links are followed; the results have the links' names."""
    (tmp_path / "elsewhere").mkdir()
    original = _photo(tmp_path / "elsewhere" / "secret.png")
    (photos / "folder").symlink_to(tmp_path / "elsewhere")
    (photos / "link.png").symlink_to(original)
    (photos / "not UTF-8 \udce9.png").write_bytes(original.read_bytes())
    before = set(tmp_path.rglob("*"))
    outcome = predict(photos, tmp_path / "out \udce9")
    assert (outcome.code, outcome.err) == (0, "")
    assert r"overlays are in" in outcome.out
    new = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    expected = {"a.png", "folder/secret.png", "link.png", "not UTF-8 \udce9.png"}
    assert new == {
        tmp_path / "out \udce9" / kind / name
        for kind in ("labels", "colors", "overlays")
        for name in expected
    }


def test_full_disk(predict, photos: Path, tmp_path: Path, monkeypatch) -> None:
    """No half-written picture is left behind."""

    def fail(self, file, *args, **kwargs) -> None:
        Path(file).write_bytes(b"\x89PNG")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    outcome = predict(photos, tmp_path / "out")
    assert outcome.code == 1
    assert (
        outcome.err == f"error: [Errno 28] No space left on device: '{tmp_path}/out/labels/a.png'\n"
    )
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
