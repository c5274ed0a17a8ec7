"""Bad images, labels and data roots: `train.py` names the file, writes and changes nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
CAMVID = f"--config={ROOT / 'configs' / 'camvid_scratch.py'}"
NAME = "0016E5_00000.png"
PHOTO, IDS = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)

Damage = Callable[[Path], object]


def _save(pixels: np.ndarray | Image.Image, **options: object) -> Damage:
    """Function that replaces a file by a picture."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return lambda file: image.save(file, **options)


def _cut(length: int) -> Damage:
    return lambda file: file.write_bytes(file.read_bytes()[:length])


def _write(content: bytes) -> Damage:
    return lambda file: file.write_bytes(content)


def _flip(place: float, mask: int = 1) -> Damage:
    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[int(place * len(content))] ^= mask
        file.write_bytes(content)

    return damage


def _replace_by(make: Callable[[Path], object]) -> Damage:
    def damage(file: Path) -> None:
        file.unlink()
        make(file)

    return damage


def _declare_size(width: int, height: int) -> Damage:
    """A header that promises another size, with its checksum."""

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        file.write_bytes(content)

    return damage


def _eps() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\n"


def _write_grey4(file: Path) -> None:
    """A grey PNG of 4 bits a pixel, by hand: Pillow writes 8."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 64, 48, 4, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(range(32))) * 48)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


ANIMATED = {"save_all": True, "append_images": [Image.new("RGB", (64, 48), "red")]}

IMAGES: dict[str, tuple[Damage, str]] = {
    "truncated": (_cut(1000), "not a readable image"),
    "only the end mark is missing": (_cut(-12), "not a readable image"),
    "header alone": (_cut(33), "not a readable image"),
    "empty": (_cut(0), "not a readable image"),
    "text": (_write(b"not an image\n"), "not a readable image"),
    "a web page": (_write(b"<!DOCTYPE html><html>404</html>"), "not a readable image"),
    "flipped bit in the pixels": (_flip(0.5), "not a readable image"),
    "flipped bit in the header": (_flip(20.5 / 9500), "not a readable image"),
    "truncated JPEG": (
        lambda file: (_save(PHOTO, format="JPEG")(file), _cut(500)(file)),
        "not a readable image",
    ),
    "16-bit grey": (_save(np.zeros((48, 64), np.uint16)), "8 bits a channel expected"),
    "floating point": (
        _save(np.zeros((48, 64), np.float32), format="TIFF"),
        "8 bits a channel expected, found an image of mode 'F'",
    ),
    "animated": (
        _save(Image.fromarray(PHOTO), **ANIMATED),
        "one picture expected, found 2 (an animation, or pages)",
    ),
    "decompression bomb": (_declare_size(60000, 60000), "too large"),
    "just too large": (_declare_size(8193, 8192), "too large (8193x8192 pixels): images of at mos"),
    "zero pixels": (_declare_size(0, 48), "not a readable image"),
    "Encapsulated PostScript, a program": (_write(_eps()), "not a readable image"),
    "a folder": (_replace_by(Path.mkdir), "have no image"),
    "a link to nowhere": (_replace_by(lambda file: file.symlink_to("gone.png")), "have no image"),
    "a pipe, which would never end": (_replace_by(os.mkfifo), "have no image"),
    "another size than its label": (_save(PHOTO[:-1]), "has 64x47 pixels but its label"),
}

LABELS: dict[str, tuple[Damage, str]] = {
    "missing": (Path.unlink, "have no label"),
    "a folder": (_replace_by(Path.mkdir), "have no label"),
    "empty": (_cut(0), "not a readable image"),
    "truncated": (_cut(100), "not a readable image"),
    "flipped bit": (_flip(0.5), "not a readable image"),
    "another size than its image": (_save(IDS[::2, ::2]), "but its label"),
    "colours": (_save(PHOTO), "ids expected, found an RGB image"),
    "colours and transparency": (
        _save(np.zeros((48, 64, 4), np.uint8)),
        "ids expected, found an RGBA image",
    ),
    "16 bits": (_save(IDS.astype(np.uint16)), "ids expected, found an image of mode 'I;16'"),
    "1 bit": (_save(IDS > 0), "ids expected, found a 1-bit image"),
    "4 bits, which Pillow would multiply by 17": (
        _write_grey4,
        "ids expected, found grey numbers of another depth",
    ),
    "a JPEG, which has changed the ids": (
        _save(IDS, format="JPEG"),
        "PNG or BMP or TIFF or GIF expected, found JPEG",
    ),
    "unknown id": (_save(IDS + 77), "unknown label id 77; known ids are 0-11"),
    "Cityscapes' ids in a CamVid folder": (
        _save((np.arange(48 * 64) % 34).astype(np.uint8).reshape(48, 64)),
        "unknown label id 12-33; known ids are 0-11",
    ),
    "animated": (
        _save(Image.fromarray(IDS), append_images=[Image.new("L", (64, 48), 9)], save_all=True),
        "one picture expected, found 2",
    ),
}


def _refused_file(refused, tiny_flags, tree: Path, file: Path, damage: Damage, words: str) -> None:
    damage(file)
    message = refused("train.py", CAMVID, *tiny_flags(data_root=tree), "--workdir=run")
    assert str(file) in message
    assert words in message
    assert "config.on_bad_example=skip" in message


@pytest.mark.parametrize("kind", IMAGES)
def test_bad_image(refused, tiny_flags, camvid_tree: Path, kind: str) -> None:
    file = camvid_tree / "train" / NAME
    _refused_file(refused, tiny_flags, camvid_tree, file, *IMAGES[kind])


@pytest.mark.parametrize("kind", LABELS)
def test_bad_label(refused, tiny_flags, camvid_tree: Path, kind: str) -> None:
    file = camvid_tree / "trainannot" / NAME
    _refused_file(refused, tiny_flags, camvid_tree, file, *LABELS[kind])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_file_that_may_not_be_read(refused, tiny_flags, camvid_tree: Path, folder: str) -> None:
    file = camvid_tree / folder / NAME
    message = "not a readable image (PermissionError"
    _refused_file(refused, tiny_flags, camvid_tree, file, lambda path: path.chmod(0), message)


# Data roots.


def _elsewhere(tree: Path) -> Path:
    return tree / "elsewhere"


def _empty(tree: Path) -> Path:
    (tree / "empty").mkdir()
    return tree / "empty"


def _file(tree: Path) -> Path:
    return tree / "train" / NAME


def _folder_inside(tree: Path) -> Path:
    return tree / "train"


def _folder_around(tree: Path) -> Path:
    return tree.parent


def _without_images(tree: Path) -> Path:
    for path in (tree / "train").iterdir():
        path.unlink()
    return tree


def _unknown_drive(tree: Path) -> Path:
    shutil.copy(tree / "train" / NAME, tree / "train" / "holiday.png")
    return tree


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (_elsewhere, ["elsewhere is not a folder", "train, trainannot", "data_root"]),
        (_empty, ["empty lacks the folders train, trainannot", "SegNet"]),
        (_file, [f"{NAME} is not a folder"]),
        (_folder_inside, ["lacks the folders train, trainannot"]),
        (_folder_around, ["lacks the folders", "they seem to be in", "give that folder instead"]),
        (_without_images, ["nothing of train_day among", "PNG"]),
        (_unknown_drive, ["holiday.png has an unknown drive", "0001TP, 0016E5"]),
    ],
)
def test_bad_root(
    refused, tiny_flags, camvid_tree: Path, change: Callable[[Path], Path], parts: list[str]
) -> None:
    message = refused("train.py", CAMVID, *tiny_flags(data_root=change(camvid_tree)))
    for part in parts:
        assert part in message


def test_root_that_is_not_given(refused) -> None:
    message = refused("train.py", CAMVID, "--workdir=run")
    assert "camvid/train_day is read from files" in message
    assert "--config.data_root=DIR" in message


def test_number_of_classes_that_the_data_do_not_have(refused, shared_camvid_tree: Path) -> None:
    root = f"--config.data_root={shared_camvid_tree}"
    message = refused("train.py", CAMVID, root, "--config.num_classes=19")
    assert "camvid cannot be read with 19 classes" in message
    assert "set config.num_classes to one of: 11 (sky, " in message


def test_too_many_bad_files_to_leave_out(refused, tiny_flags, camvid_tree: Path) -> None:
    for number in range(100, 111):
        _write(b"bad")(camvid_tree / "train" / f"0016E5_{number:05}.png")
    flags = tiny_flags(data_root=camvid_tree, on_bad_example="skip")
    message = refused("train.py", CAMVID, *flags)
    assert "11 examples cannot be used so far, more than the 10 of 19 that may be" in message
    assert message.count("\n  ") == 5  # the first ones, by name
    assert f"{camvid_tree}/train/0016E5_00100.png" in message


def test_names_that_are_no_utf8(command, tmp_path: Path) -> None:
    """They are printed, escaped, where the console cannot show them."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "stra\udcdfe.png").write_bytes(b"bad")
    (tmp_path / "classes.yaml").write_text("classes: [{id: 0, name: road, color: [1, 2, 3]}]")
    outcome = command("msl_jax/data/prepare.py", "folders", "--data_root", tmp_path, "--check_only")
    assert outcome.code == 0
    assert r"images/stra\udcdfe.png: not a readable image" in outcome.out


def test_record_that_breaks_in_mid_run(command, tiny_flags, camvid_tree: Path) -> None:
    """Training stops where it reads the record; it names the file."""
    flags = tiny_flags(data_root=camvid_tree, records_dir=camvid_tree.parent / "records")
    prepare = ["--data_root", camvid_tree, "--records_dir", camvid_tree.parent / "records"]
    split = ["--split", "train_day", "--size", "24,32", "--num_processes", "1"]
    assert command("msl_jax/data/prepare.py", "camvid", *prepare, *split).code == 0
    (shard,) = camvid_tree.parent.glob("records/*/*/*/*array_record*")
    content = bytearray(shard.read_bytes())
    # Past the header, all records; the index at the end tells where they are.
    content[500:20_000] = bytes(19_500)
    shard.write_bytes(content)
    outcome = command("train.py", f"{CAMVID}:source", *flags, "--workdir=run")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert re.search(rf"error: Records in .* are damaged: example \d in {shard} \(", outcome.err)
    assert "Delete that folder, and the next run prepares them again." in outcome.err


def test_bad_example_of_an_evaluation(
    command, refused, tiny_run, camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Named with the key that leaves it out; then the others are evaluated, and it is named."""
    bad = camvid_tree / "test" / "0001TP_00800.png"
    _write(b"bad")(bad)
    records = f"--config.records_dir={tmp_path_factory.mktemp('records')}"
    data = (f"--config.data_root={camvid_tree}", records, "--domain=target")
    arguments = ("eval.py", f"--checkpoint={tiny_run[0]}", "--output=out", *data)
    message = refused(*arguments)
    assert str(bad) in message
    assert "config.on_bad_example=skip" in message
    outcome = command(*arguments, "--config.on_bad_example=skip")
    assert outcome.code == 0
    assert str(bad) in outcome.out + outcome.err
    assert json.loads(Path("out/results.json").read_text())["final"]["target"]["miou"] >= 0
