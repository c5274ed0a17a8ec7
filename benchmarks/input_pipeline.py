"""Images per second of the training pipeline and of the official way to load them.

    python -m benchmarks.input_pipeline [--images N] [--camvid DIR] [--no_blur]

Ours: prepared records, flipped, blurred, batched and put on the device. Official: Pillow opens the
original files and resizes, flips, blurs and converts them, in PyTorch's DataLoader with a process
per core. Both load the same real frames, enlarged to the size of GTA5's, and take turns in one run.
Prints one JSON object with the median and the extremes over the rounds.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from PIL import Image

from benchmarks.support import official_loader, reporting
from benchmarks.support.measuring import progress
from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.dataset import FileExample, Kind
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import LabelSet, id_lookup
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prefetch import Prefetch
from msl_jax.data.prepared.records import Records, prepare

CAMVID = Path(__file__).parents[2] / "shared" / "camvid"
ORIGINAL_SIZE = (1052, 1914)  # (height, width) of most GTA5 frames
RECORD_SIZE = (720, 1280)
PACKAGES = ("jax", "grain", "array_record", "numpy", "pillow", "torch")

_CLASSES = 11
_LOOKUP = id_lookup({i: i if i < _CLASSES else 255 for i in range(_CLASSES + 1)})


@dataclass(frozen=True)
class Pairs:
    """Image and label files as a data set with one split, "train"."""

    pairs: tuple[official_loader.Pair, ...]
    name: str = "enlarged"
    fingerprint: str = ""
    splits: tuple[str, ...] = ("train",)
    kind: Kind = "pixels"
    label_set: LabelSet = LABEL_SETS["camvid"]

    def examples(self, split: str, *, missing_ok: bool = False) -> Sequence[FileExample]:
        """One per pair."""
        return [FileExample(image.stem, image, label, _LOOKUP) for image, label in self.pairs]

    def labelled(self, split: str) -> bool:
        """Always true."""
        return True

    def expect_encoding(self, split: str) -> None:
        """They are CamVid's."""


def enlarge(camvid: Path, folder: Path, count: int, size: tuple[int, int]) -> Pairs:
    """Writes frames of CamVid at `size` as PNG files.

    Args:
        camvid: folder with `train/` and `trainannot/`.
        folder: where to create `images/` and `labels/`.
        count: number of frames, evenly spread over those available.
        size: (height, width).

    Raises:
        FileNotFoundError: there are fewer than that.
    """
    frames = sorted((camvid / "train").glob("*.png"))
    if len(frames) < count:
        raise FileNotFoundError(f"{len(frames)} frames in {camvid / 'train'}, {count} are needed")
    chosen = [frames[i * len(frames) // count] for i in range(count)]
    kinds = (
        ("images", "train", Image.Resampling.BICUBIC),
        ("labels", "trainannot", Image.Resampling.NEAREST),
    )
    for name, _, _ in kinds:
        (folder / name).mkdir(parents=True)

    def write(frame: Path) -> official_loader.Pair:
        for name, part, resample in kinds:
            picture = Image.open(camvid / part / frame.name)
            picture.resize(size[::-1], resample).save(folder / name / frame.name)
        return folder / "images" / frame.name, folder / "labels" / frame.name

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return Pairs(tuple(threads.map(write, chosen)))


def train_on(records: Records, images: int, seed: int, blur: bool) -> None:
    """Takes `images` from a new training pipeline, batch by batch as a step would."""
    augmentation = Augmentation(blur=blur)
    devices = jax.local_devices()[:1]
    batches = Prefetch(
        TrainingBatches(records, None, batch_size=1, seed=seed, source_augmentation=augmentation),
        devices=devices,
    )
    for _ in range(images):
        jax.block_until_ready(next(batches))
    batches.close()


def seconds_per_image(
    contestants: dict[str, Callable[[int], object]], images: int, rounds: int
) -> dict[str, list[float]]:
    """Runs all in turns, passing each the round's number, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run(number)
            taken = (time.perf_counter() - start) / images
            if number:
                seconds[name].append(taken)
                progress(f"round {number}, {name}: {1 / taken:.1f} images/s")
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Median and extremes of seconds per image and of images per second.

    >>> summary([0.5, 0.25, 0.125])["images_per_second"]
    {'median': 4.0, 'spread': [2.0, 8.0]}
    """
    result = reporting.summary(seconds)
    low, high = result["spread"]
    rates = {"median": 1 / result["seconds"], "spread": [1 / high, 1 / low]}
    return {**result, "images_per_second": rates}


def measure(
    camvid: Path,
    images: int,
    *,
    rounds: int = 5,
    blur: bool = True,
    original_size: tuple[int, int] = ORIGINAL_SIZE,
    record_size: tuple[int, int] = RECORD_SIZE,
) -> dict[str, Any]:
    """Runs the comparison and returns the JSON object; sizes are (height, width)."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = enlarge(camvid, Path(folder), images, original_size)
        records = prepare(dataset, "train", record_size, Path(folder) / "records")
        loader = official_loader.loader(dataset.pairs, record_size, reporting.CORES, blur=blur)
        seconds = seconds_per_image(
            {
                "official": lambda _: collections.deque(loader, maxlen=0),
                "ours": lambda number: train_on(records, images, number, blur),
            },
            images,
            rounds,
        )
        original = sum(path.stat().st_size for pair in dataset.pairs for path in pair) / images
        stored = sum(p.stat().st_size for p in records.folder.rglob("*") if p.is_file()) / images
    ours, official = summary(seconds["ours"]), summary(seconds["official"])
    return {
        "benchmark": "input_pipeline",
        "ours": ours,
        "official": official,
        "ratio": {
            "seconds": ours["seconds"] / official["seconds"],
            "images_per_second": official["seconds"] / ours["seconds"],
            "bytes_per_image": stored / original,
        },
        "bytes_per_image": {"original": round(original), "records": round(stored)},
        "sizes": {"original": original_size, "records": record_size, "images": images},
        "blur": blur,
        "platform": jax.default_backend(),
        **reporting.surroundings(PACKAGES),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.input_pipeline",
        description="Images per second of the training pipeline and of the official way.",
    )
    count = reporting.at_least_one
    parser.add_argument("--images", type=count, default=96, help="per round, default: %(default)s")
    parser.add_argument("--rounds", type=count, default=5, help="default: %(default)s")
    parser.add_argument("--camvid", type=Path, default=CAMVID, help="default: %(default)s")
    parser.add_argument("--no_blur", action="store_true", help="only flip, on both sides")
    options = parser.parse_args(arguments)
    try:
        result = measure(
            options.camvid, options.images, rounds=options.rounds, blur=not options.no_blur
        )
    except FileNotFoundError as error:
        parser.error(f"{error}; name a folder of CamVid with --camvid=DIR")
    except ModuleNotFoundError as error:
        parser.error(f"{error}; the official way needs PyTorch: pip install -e '.[convert]'")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
