"""`python predict.py`: what a trained network makes of ordinary photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_collections.config_dict import ConfigDict
from rich.console import Console
from rich.progress import track

from msl_jax.data.datasets.registry import open_label_set
from msl_jax.data.images import PHOTO_SUFFIXES, read_image
from msl_jax.data.splits import classes_file
from msl_jax.runs import workdir
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model, task_of
from msl_jax.weights.trained import open_trained


def predict(
    config: ConfigDict,
    checkpoint: str,
    input_path: str,
    output: str,
    overrides: dict[str, Any] | None = None,
) -> list[Path]:
    """Writes the predictions of a photo or a folder of photos.

    Segmentation writes ``labels/``, ``colors/`` and ``overlays/``: each photo is resized to the
    network's target size (bicubic), its logits are up-sampled to its own size. Labels are train
    ids, 8-bit PNG. Folders inside the input keep their structure; links to folders are not
    followed.

    Classification writes ``predictions.csv``: file, class and probability of each photo, resized to
    the network's target size.

    Args:
        config: names the classes where the checkpoint belongs to no run.
        checkpoint: a path as `msl_jax.weights.find.find` takes it.
        input_path: a photo, or a folder searched with all its subfolders.
        output: folder for the results, not inside a folder of photos; files that lie there already
            are not overwritten.
        overrides: keys to set differently from the run's configuration.

    Returns:
        The label files, in order; of classification the one file.

    Raises:
        UserError: no photo, an unreadable one, or an output that exists or lies in the input.
    """
    weights, config = open_trained(checkpoint, config, overrides or {})
    label_set = open_label_set(config.target_eval, config.num_classes, classes_file(config))
    photos = find_photos(Path(input_path))
    _refuse_inside(Path(input_path), Path(output))
    model = build_model(config)
    names = {name: path for path, name in photos}
    results = task_of(config).photo_results(config, model, label_set, names, Path(output))
    for path, _ in photos:
        read_image(path, upright=True)  # a damaged one ends the command before anything is written
    variables = weights.load(model)
    workdir.make_folder(Path(output), "--output")
    console = Console(stderr=True)
    for path, name in track(
        photos,
        description="predicting",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        results.add(name, read_image(path, upright=True), variables)
    files, where = results.close()
    print(f"{len(photos)} photos: {where}")
    return files


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


def _refuse_inside(source: Path, output: Path) -> None:
    """Results among the photos would be taken for photos the next time."""
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"--output {output} lies in --input {source}: its pictures would be mixed up with the"
            " photos; give a folder elsewhere"
        )
