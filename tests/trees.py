"""Writes small trees of files in the layouts and formats of the data sets."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (12, 20)


def write_image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """Writes an RGB photo of (height, width) pixels, always the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


def write_ids(path: Path, ids: np.ndarray, *, palette: bool = False) -> Path:
    """Writes 8-bit ids, grey or as the indices of a palette in which no colour is its index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids.astype(np.uint8))
    if palette:
        image.putpalette(np.arange(768).astype(np.uint8)[::-1].tobytes())
        assert image.mode == "P"
    image.save(path)
    return path


def write_folders(
    root: Path, label: np.ndarray | Image.Image | None = None, names: Sequence[str] = "ab"
) -> Path:
    """Writes photos, all of the label map if there is one, in the layout of `folders`."""
    for name in names:
        write_image(root / "images" / f"{name}.jpg")
        if label is not None:
            (root / "labels").mkdir(exist_ok=True)
            image = label if isinstance(label, Image.Image) else Image.fromarray(label)
            image.save(root / "labels" / f"{name}.png")
    return root


def write_rgb16(path: Path, channels: np.ndarray) -> Path:
    """Writes `[H, W, 3]` as a 16-bit RGB PNG, by hand: Pillow cannot."""
    height, width = channels.shape[:2]
    rows = channels.astype(">u2").reshape(height, -1).view(np.uint8)
    up = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # bytes wrap around, as PNG wants
    filtered = [
        bytes([2]) + up[y].tobytes() if y % 2 else bytes([0]) + rows[y].tobytes()
        for y in range(height)
    ]
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(filtered))), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    return path


def all_ids(ids: Iterable[int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Returns a label map `[H, W]` in which every one of `ids` occurs, in turn."""
    return np.resize(np.array(list(ids)), size)


def mapped(ids: np.ndarray, train_ids: dict[int, int]) -> np.ndarray:
    """Returns the train ids that `ids` must become, 255 where `train_ids` has none, slowly."""
    return np.array([[train_ids.get(int(i), 255) for i in row] for row in ids], np.uint8)


def write_cityscapes(root: Path, size: tuple[int, int] = SIZE) -> Path:
    """Writes two cities of train, one of val and one of test, all with labels."""
    names = {
        "train": ("aachen_000000_000019", "aachen_000001_000019", "ulm_000002_000019"),
        "val": ("lindau_000000_000019",),
        "test": ("bonn_000000_000019",),
    }
    for split, stems in names.items():
        for stem in stems:
            place = Path(split) / stem.split("_")[0]
            write_image(root / "leftImg8bit" / place / f"{stem}_leftImg8bit.png", size)
            label = root / "gtFine" / place / f"{stem}_gtFine_labelIds.png"
            write_ids(label, all_ids(range(34), size))
            write_ids(label.with_name(f"{stem}_gtFine_instanceIds.png"), all_ids([0], size))
    return root


def write_side_by_side(path: Path, colors: np.ndarray, quality: int = 75) -> Path:
    """Writes a photo and the colours `[256, 256, 3]` of its label as the pix2pix download has them.

    The photo gets brighter downwards, and bluer to the right.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.arange(256, dtype=np.uint8)
    photo = np.stack(np.broadcast_arrays(ramp[:, None], np.uint8(90), ramp[None]), -1)
    pair = np.concatenate([photo, colors.astype(np.uint8)], 1)
    Image.fromarray(pair).save(path, format="JPEG", quality=quality)
    return path


def write_cityscapes_pix2pix(root: Path, train: Sequence[int] = (1, 2, 10)) -> Path:
    """Writes files of train, and two of val, half road and half sky."""
    colors = np.zeros((256, 256, 3), np.uint8)
    colors[:128], colors[128:] = (70, 130, 180), (128, 64, 128)
    for split, numbers in (("train", train), ("val", (1, 3))):
        for number in numbers:
            write_side_by_side(root / split / f"{number}.jpg", colors)
    return root


def write_idd_lite(root: Path) -> Path:
    """Writes three frames of train and two of val with labels, and one of test without."""
    frames = {
        "train": ("0/024541", "0/frame9", "12/024541"),
        "val": ("7/1", "7/2"),
        "test": ("9/3",),
    }
    for split, names in frames.items():
        for name in names:
            write_image(root / "leftImg8bit" / split / f"{name}_image.jpg")
            if split != "test":
                label = root / "gtFine" / split / f"{name}_label.png"
                write_ids(label, all_ids([*range(7), 255]))
                write_ids(label.with_name(label.name.replace("label", "inst_label")), all_ids([0]))
    return root


def write_gta5(root: Path, numbers: Iterable[int]) -> Path:
    """Writes the images and labels of `numbers`."""
    for number in numbers:
        write_image(root / "images" / f"{number:05}.png")
        write_ids(root / "labels" / f"{number:05}.png", all_ids(range(35)), palette=True)
    return root


def write_synthia(root: Path, numbers: Iterable[int]) -> Path:
    """Writes the images and labels of `numbers`, with instances beyond one byte."""
    for number in numbers:
        write_image(root / "RGB" / f"{number:07}.png")
        instances = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) * 250
        label = np.stack([all_ids(range(23)), instances, np.zeros(SIZE, int)], -1)
        write_rgb16(root / "GT" / "LABELS" / f"{number:07}.png", label)
    return root


CROSSCITY_IDS = (7, 8, 11, 19, 20, 21, 23, 24, 25, 26, 28, 32, 33)


def write_crosscity(root: Path, cities: Sequence[str] = ("Rome",)) -> Path:
    """Writes cities, train without labels and test with labels, and their lists."""
    names = {"train": ("pano_2_0", "pano_1_180", "pano_3_0"), "test": ("pano_9_0", "pano_8_0")}
    for city in (root / name for name in cities):
        for part, stems in names.items():
            for stem in stems:
                write_image(city / "Images" / part.title() / f"{stem}.jpg")
                if part == "test":
                    label = city / "Labels" / "Test" / f"{stem}_eval.png"
                    write_ids(label, all_ids(CROSSCITY_IDS))
            (city / "List").mkdir(exist_ok=True)
            (city / "List" / f"{part}.txt").write_text("\n".join(stems) + "\n")
    return root


def write_domains(
    root: Path, domains: Sequence[str], classes: Iterable[str], number: int = 2, inner: str = ""
) -> Path:
    """Writes photos of every class in every domain, `DOMAIN/[inner/]CLASS/frame_0001.jpg`."""
    for name in classes:
        for domain in domains:
            for place in range(number):
                write_image(root / domain / inner / name / f"frame_{place + 1:04}.jpg")
    return root
