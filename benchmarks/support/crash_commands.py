"""The commands whose crash points `benchmarks.crash_points` visits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.support.measuring import ROOT


class Command(NamedTuple):
    """A command whose crash points are visited.

    Attributes:
        name: how it is reported.
        script: file below the project, or a module.
        arguments: of its command line.
        begins: folder that is copied to the working folder first; None for an empty one.
        stops: parts of paths; the traced command is stopped (SIGTERM) at the second opening of
            such a file to write and started again, once for each.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    begins: Path | None = None
    stops: tuple[str, ...] = ()


def draw_photos(folder: Path) -> Path:
    """Photos of two classes in two domains, the second one not sorted."""
    rng = np.random.default_rng(0)
    for domain, shade in (("shop", 1.0), ("home", 0.6)):
        for index, name in enumerate(("mug", "pen")):
            inner = folder / domain / (name if domain == "shop" else "")
            inner.mkdir(parents=True, exist_ok=True)
            for place in range(3):
                pixels = shade * rng.normal(80 + 80 * index, 20, (24, 24, 3))
                picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                picture.save(inner / f"{name}{place}.png")
    return folder


def segmenter_training(workdir: Path, records: Path) -> Command:
    """Trains, for a moment, a network that segments; its crash points are not visited."""
    steps = {"source_steps": 2, "eval_every": 2, "records_dir": records}
    return Command(
        "segmenter",
        "train.py",
        (
            *("--config=demo:source", "--config.shrink=true", f"--workdir={workdir}"),
            *(f"--config.{key}={value}" for key, value in steps.items()),
        ),
    )


def commands(work: Path, photos: Path, finished: Path, segmenter: Path) -> list[Command]:
    """The five commands.

    Args:
        work: the folder that they write to.
        photos: of `draw_photos`.
        finished: where the finished training of a classification is to be copied.
        segmenter: a run that segments; it predicts, since its results are many files.
    """
    keys = {
        "name": "drawn",
        "data_root": photos,
        "num_classes": 2,
        "model.network": "classifier",
        "model.depth": 14,
        "model.width": 4,
        **{f"{d}_size": "(16,16)" for d in ("source", "target")},
        **{f"{d}_augmentation.crop": "(16,16)" for d in ("source", "target")},
        **{f"source_{use}": "class_folders/shop" for use in ("train", "eval")},
        **{f"target_{use}": "class_folders/home" for use in ("train", "eval")},
        "batch_size": 2,
        "eval_batch_size": 2,
        "source_steps": 4,
        "steps": 4,
        "eval_every": 2,
        "log_every": 1,
    }
    config = f"--config={ROOT / 'configs' / 'office31.py'}"
    flags = [config, *(f"--config.{key}={value}" for key, value in keys.items())]
    places = [f"--workdir={work / 'run'}", f"--config.records_dir={work.parent / 'records'}"]
    run = str(finished / "run")
    return [
        Command(
            "train",
            "train.py",
            (*flags, *places),
            stops=("logs/source/metrics.jsonl", "logs/adapt/metrics.jsonl"),
        ),
        Command(
            "prepare",
            "msl_jax.data.prepare",
            ("class_folders", f"--data_root={photos}", f"--records_dir={work}", "--size=16,16"),
        ),
        Command("convert", "msl_jax.convert", (run, str(work / "converted"))),
        Command(
            "predict",
            "predict.py",
            (
                *(f"--checkpoint={segmenter}", f"--input={photos / 'home'}"),
                *(f"--output={work / 'found'}", "--write=labels,shares,legend,classes"),
            ),
        ),
        Command("report", "msl_jax.report", (f"--workdir={work / 'run'}",), begins=finished),
    ]
