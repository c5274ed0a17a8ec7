"""What predict.py writes is read by a training on folders, without renaming anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict
from PIL import Image

from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.data.datasets.folders import Folders
from msl_jax.runs.classes import saved_classes
from msl_jax.tasks.photos import PhotoOptions

CLASSES = """classes:
  - {id: 10, name: car, color: [0, 0, 142]}
  - {id: 20, name: sky, color: [70, 130, 180]}
  - {id: 30, name: road, color: [128, 64, 128]}
"""
IDS = np.array([10, 20, 30], np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Labelled images with ids of their own, and photos of several sizes and suffixes."""
    root, rng = tmp_path_factory.mktemp("folders"), np.random.default_rng(0)
    for name in ("labelled/images", "labelled/labels", "photos/images/deep"):
        (root / name).mkdir(parents=True)
    for i in range(6):
        labels = IDS[rng.integers(0, 3, (6, 8))].repeat(8, 0).repeat(8, 1)
        noise = rng.integers(0, 60, (48, 64, 3), np.uint8) + 2 * labels[..., None]
        Image.fromarray(noise).save(root / "labelled" / "images" / f"{i}.png")
        Image.fromarray(labels).save(root / "labelled" / "labels" / f"{i}.png")
    (root / "labelled" / "classes.yaml").write_text(CLASSES)
    for i, name in enumerate(("a.jpg", "b.JPEG", "deep/c.webp", "deep/d.png", "e.jpg")):
        noise = rng.integers(0, 256, (40 + i, 60, 3), np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "e.jpg" else 1  # turned by a quarter
        Image.fromarray(noise).save(root / "photos" / "images" / name, exif=exif)
    return root / "labelled", root / "photos"


@pytest.fixture(scope="module")
def run(
    folders_config, folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ConfigDict, Path]:
    config, workdir = folders_config(*folders), tmp_path_factory.mktemp("run") / "run"
    train(config, str(workdir))
    return config, workdir


@pytest.mark.parametrize(
    ("options", "maps", "given"),
    [
        (PhotoOptions(("labels", "classes"), "classes"), "labels", "images"),
        (PhotoOptions(("labels", "classes"), "train"), "labels", ""),
        (PhotoOptions(("labels", "classes"), "cityscapes"), "labels", "images"),
        (PhotoOptions(("colors", "classes"), "train"), "colors", "images"),
    ],
)
def test_training_on_predictions(
    folders_config, folders, run, options: PhotoOptions, maps: str, given: str, tmp_path: Path
) -> None:
    """Whether the folder `images` is given or the one that it lies in."""
    labelled, photos = folders
    config, workdir = run
    output, root = tmp_path / "out", tmp_path / "root"
    predict(config, str(workdir), str(photos / given), str(output), options=options)
    shutil.copytree(photos / "images", root / "images")
    shutil.copytree(output / maps, root / "labels")
    shutil.copy(output / "classes.yaml", root)
    found = Folders.open(root, None, None)
    assert found.remarks() == []
    examples = found.examples("target_eval")
    assert len(examples) == 5
    assert all(example.label_path is not None for example in examples)
    train(folders_config(root, photos), str(tmp_path / "again"))
    known = saved_classes(tmp_path / "again")
    assert known is not None
    assert known.classes.names == ("car", "sky", "road")
    if options.label_ids == "cityscapes":
        assert [entry.id for entry in found.label_set.classes] == [26, 23, 7]
    if options.label_ids == "classes":
        assert (output / "classes.yaml").read_text() != CLASSES  # but says the same
        again = Folders.open(root, None, labelled / "classes.yaml")
        assert again.label_set == found.label_set
