"""`python predict.py`: label maps, colours and overlays for ordinary photos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ml_collections.config_dict import ConfigDict
from PIL import Image
from rich.console import Console
from rich.progress import track

from msl_jax import runs
from msl_jax.commands.trained import open_trained
from msl_jax.data import open_label_set
from msl_jax.data.images import PHOTO_SUFFIXES, read_image, resize_image
from msl_jax.errors import UserError
from msl_jax.evaluation import pictures
from msl_jax.evaluation.segmentation import predict as predict_labels
from msl_jax.files import written_whole
from msl_jax.parts import build_model, build_predictor, classes_file


def predict(
    config: ConfigDict,
    checkpoint: str,
    input_path: str,
    output: str,
    overrides: dict[str, Any] | None = None,
) -> list[Path]:
    """Writes ``labels/``, ``colors/`` and ``overlays/`` for a photo or a folder of photos.

    Each photo is resized to the network's target size (bicubic), its logits are up-sampled to its
    own size. Labels are train ids, 8-bit PNG. Folders inside the input keep their structure; links
    to folders are not followed.

    Args:
        config: names the classes where the checkpoint belongs to no run.
        checkpoint: a path as `msl_jax.weights.find` takes it.
        input_path: a photo, or a folder searched with all its subfolders.
        output: folder for the results, not inside a folder of photos; files that lie there already
            are not overwritten.
        overrides: keys to set differently from the run's configuration.

    Returns:
        The label files, in order.

    Raises:
        UserError: no photo, an unreadable one, or an output that exists or lies in the input.
    """
    weights, config = open_trained(checkpoint, config, overrides or {})
    label_set = open_label_set(config.target_eval, config.num_classes, classes_file(config))
    photos = find_photos(Path(input_path))
    _refuse_inside(Path(input_path), Path(output))
    targets = [_targets(Path(output), name) for _, name in photos]
    _refuse_overwriting(photos, targets)
    for path, _ in photos:
        read_image(path, upright=True)  # a damaged one ends the command before anything is written
    model = build_model(config)
    predictor, variables = build_predictor(config, model), weights.load(model)
    runs.make_folder(Path(output), "--output")
    console = Console(stderr=True)
    for (path, _), files in track(
        list(zip(photos, targets, strict=True)),
        description="predicting",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        image = read_image(path, upright=True)
        small = resize_image(image, tuple(config.target_size))
        labels, _ = predict_labels(predictor, variables, small[None], image.shape[:2])
        colors = pictures.colorize(labels[0], label_set.palette)
        results = (labels[0], colors, pictures.overlay(image, colors))
        for file, result in zip(files, results, strict=True):
            with written_whole(file) as partial:
                Image.fromarray(result).save(partial, "PNG")
    print(f"{len(photos)} photos: label maps, colours and overlays are in {output}")
    return [files[0] for files in targets]


def find_photos(path: Path) -> list[tuple[Path, Path]]:
    """Photos at `path` with their names below it, sorted.

    Raises:
        UserError: nothing there, or no photo in the folder.
    """
    if path.is_file():
        return [(path, Path(path.name))]
    if not path.is_dir():
        raise UserError(f"--input {path} does not exist; give a photo or a folder of photos")
    found = sorted(
        p for p in path.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES and not p.is_dir()
    )
    if not found:
        raise UserError(
            f"--input {path}: no photo in this folder; looked for {', '.join(PHOTO_SUFFIXES)}"
        )
    return [(photo, photo.relative_to(path)) for photo in found]


def _targets(output: Path, name: Path) -> tuple[Path, ...]:
    """Files of one photo; the old suffix stays in the name, so that a.jpg and a.png both fit."""
    file = name.with_name(f"{name.stem}_{name.suffix[1:].lower()}.png")
    if name.suffix.lower() == ".png":
        file = name.with_suffix(".png")
    return tuple(output / kind / file for kind in ("labels", "colors", "overlays"))


def _refuse_inside(source: Path, output: Path) -> None:
    """Results among the photos would be taken for photos the next time."""
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"--output {output} lies in --input {source}: its pictures would be mixed up with the"
            " photos; give a folder elsewhere"
        )


def _refuse_overwriting(photos: list[tuple[Path, Path]], targets: list[tuple[Path, ...]]) -> None:
    existing = [file for files in targets for file in files if os.path.lexists(file)]
    if existing:
        raise UserError(
            f"--output: {existing[0]} and {len(existing) - 1} more files exist already; give"
            " another folder or remove them, nothing is overwritten"
        )
    first: dict[Path, Path] = {}
    for (photo, _), (label, *_) in zip(photos, targets, strict=True):
        if label in first:
            raise UserError(
                f"--input: {first[label]} and {photo} would both be written to {label}; rename one"
            )
        first[label] = photo
