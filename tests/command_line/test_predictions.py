"""predict.py: its options, and what it can write."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import LabelClass, LabelSet
from msl_jax.evaluation import windows
from msl_jax.runs.classes import CLASSES, keep_classes
from msl_jax.tasks import photo_maps

CAMVID = LABEL_SETS["camvid"]


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_photos_of_one_name(predict, photos: Path, tmp_path: Path) -> None:
    """Both are kept, and a PNG has its own name."""
    Image.new("RGB", (9, 9)).save(photos / "p0.png")
    predict(photos, tmp_path / "out", "--write=labels")
    assert {path.name for path in (tmp_path / "out" / "labels").iterdir()} == {
        *("p0.png", "p0_jpg.png", "p1.png", "p2.png", "p3.png", "p4.png"),
    }


@pytest.fixture
def listed(tiny_run: tuple[Path, Any], tmp_path: Path) -> Path:
    """A run whose classes have ids of their own: 20, 22 and so on."""
    run = Path(shutil.copytree(tiny_run[0], tmp_path / "run"))
    classes = tuple(label._replace(id=20 + 2 * i) for i, label in enumerate(CAMVID.classes))
    (run / CLASSES).unlink(missing_ok=True)
    keep_classes(run, LabelSet("folders", classes))
    return run


def test_everything_that_can_be_written(
    predict, photos: Path, listed: Path, tmp_path: Path
) -> None:
    kinds = "labels,colors,overlays,confidence,shares,legend,classes"
    outcome = predict(
        photos,
        tmp_path / "out",
        f"--write={kinds}",
        "--label_ids=classes",
        "--opacity=0",
        of=listed,
    )
    assert (outcome.code, outcome.err) == (0, "")
    predict(photos, tmp_path / "train", "--write=labels", of=listed)
    with (tmp_path / "out" / "shares.csv").open(newline="") as file:
        shares = {row.pop("file"): row for row in csv.DictReader(file)}
    exact = json.loads((tmp_path / "out" / "shares.json").read_text())
    for i in range(5):
        folder, name = tmp_path / "out", f"p{i}.png"
        train_ids = _pixels(tmp_path / "train" / "labels" / name)
        np.testing.assert_array_equal(_pixels(folder / "labels" / name), 20 + 2 * train_ids)
        colors = CAMVID.palette[train_ids]
        np.testing.assert_array_equal(_pixels(folder / "colors" / name), colors)
        photo = _pixels(photos / f"p{i}.jpg")
        np.testing.assert_array_equal(_pixels(folder / "overlays" / name), photo)
        confidence = _pixels(folder / "confidence" / name)
        assert confidence.shape == train_ids.shape
        assert confidence.min() >= 255 // 11
        counted = np.bincount(train_ids.ravel(), minlength=11) / train_ids.size
        assert list(exact[f"p{i}.jpg"]) == list(CAMVID.names)
        np.testing.assert_allclose(list(exact[f"p{i}.jpg"].values()), counted)
        found = [float(share) for share in shares[f"p{i}.jpg"].values()]
        np.testing.assert_allclose(found, counted, atol=1e-6)
    legend = (tmp_path / "out" / "legend.svg").read_text()
    assert all(f">{name}</text>" in legend for name in CAMVID.names)
    classes = yaml.safe_load((tmp_path / "out" / "classes.yaml").read_text())["classes"]
    assert [tuple(entry.values()) for entry in classes] == [
        (20 + 2 * i, label.name, list(label.color)) for i, label in enumerate(CAMVID.classes)
    ]


def test_cityscapes_ids(predict, photos: Path, listed: Path, tmp_path: Path) -> None:
    cityscapes = LABEL_SETS["cityscapes19"].classes[:11]
    (listed / CLASSES).unlink()
    keep_classes(listed, LabelSet("folders", cityscapes))
    predict(photos, tmp_path / "out", "--label_ids=cityscapes", of=listed)
    predict(photos, tmp_path / "train", of=listed)
    ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23])
    for name in ("p0.png", "p3.png"):
        found, train_ids = (_pixels(tmp_path / o / "labels" / name) for o in ("out", "train"))
        np.testing.assert_array_equal(found, ids[train_ids])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--label_ids=cityscapes"], "the class 'bicyclist' is no class of Cityscapes"),
        (["--label_ids=classes"], "the class 'sky' has no id: none was kept with the network"),
        (["--label_ids=ids"], "expected one of train, classes, cityscapes"),
        (["--write=labels,maps"], "--write=labels,maps: expected some of labels, colors"),
        (["--write="], "expected some of labels"),
        (["--opacity=2"], "--opacity=2.0: expected a number in [0, 1]"),
        (["--window=100"], "--window=100: expected HEIGHT,WIDTH"),
        (["--window=100,20"], "--window=100,20: expected HEIGHT,WIDTH in pixels, at least 64"),
        (["--input=nothing"], "nothing does not exist"),
    ],
)
def test_wrong_options(refused, predict, photos: Path, arguments: list[str], words: str) -> None:
    assert words in predict(photos, "out", *arguments, using=refused)


def test_several_inputs(predict, photos: Path, tmp_path: Path, results) -> None:
    """What is in a folder has its name first."""
    (tmp_path / "b").mkdir()
    (photos / "p0.jpg").rename(tmp_path / "b" / "p1.jpg")
    (photos / "p2.jpg").rename(tmp_path / "alone.jpg")
    more = (f"--input={tmp_path / 'b'}", f"--input={tmp_path / 'alone.jpg'}")
    assert predict(photos, tmp_path / "out", "--write=labels", *more).code == 0
    assert set(results(tmp_path / "out" / "labels")) == {
        *("photos/p1.png", "photos/p3.png", "photos/p4.png", "b/p1.png", "alone.png"),
    }


def test_inputs_of_one_name(refused, predict, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "c" / "photos").mkdir(parents=True)
    (photos / "p0.jpg").rename(tmp_path / "c" / "photos" / "p1.jpg")
    message = predict(photos, "out", f"--input={tmp_path / 'c' / 'photos'}", using=refused)
    assert "would both be named photos/p1.jpg" in message


def test_windows_of_a_large_photo(predict, tmp_path: Path, monkeypatch) -> None:
    """No larger image enters the network."""
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    seen, original = set(), windows.view_logits
    monkeypatch.setattr(
        windows,
        "view_logits",
        lambda p, v, images: seen.add(images.shape) or original(p, v, images),
    )
    arguments = ("--window=64,96", "--config.photo_size=own", "--write=labels")
    assert predict(tmp_path / "large.png", tmp_path / "out", *arguments).code == 0
    assert seen == {(1, 64, 96, 3)}
    assert _pixels(tmp_path / "out" / "labels" / "large.png").shape == (150, 200)


@pytest.mark.parametrize(
    ("how", "sizes"),
    [
        ("target", {(16, 32)}),
        ("shorter", {(16, 24), (16, 23), (16, 22), (24, 16)}),
        ("default", {(16, 24), (16, 23), (16, 22), (24, 16)}),
        ("longer", {(21, 32), (22, 32), (23, 32), (32, 21)}),
        ("own", {(20, 30), (21, 30), (22, 30), (30, 20)}),
    ],
)
def test_size_of_photos_in_the_network(
    predict, photos: Path, tmp_path: Path, monkeypatch, how: str, sizes: set[tuple[int, int]]
) -> None:
    Image.new("RGB", (20, 30)).save(photos / "tall.jpg")
    seen, original = set(), photo_maps.view_logits
    monkeypatch.setattr(
        photo_maps,
        "view_logits",
        lambda p, v, images: seen.add(images.shape[1:3]) or original(p, v, images),
    )
    given = [] if how == "default" else [f"--config.photo_size={how}"]
    outcome = predict(photos, tmp_path / "out", *given, "--write=labels")
    assert outcome.code == 0
    assert seen == sizes
    assert outcome.err == ""  # a run keeps what its training did
    assert _pixels(tmp_path / "out" / "labels" / "tall.png").shape == (30, 20)


def test_photos_that_are_squeezed_as_the_trainings_were(
    predict, photos: Path, tiny_run: tuple[Path, Any], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run[0], tmp_path / "run"))
    kept = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**kept, "photo_size": "target"}))
    Image.new("RGB", (20, 30)).save(photos / "tall.jpg")
    outcome = predict(photos, tmp_path / "out", "--write=labels", of=run)
    assert "note: images enter the network at 32x16 (target_size), stretched by" in outcome.err
    assert "a factor of up to 3.0" in outcome.err
    asked = ("--write=labels", "--config.photo_size=target")
    assert predict(photos, tmp_path / "asked", *asked, of=run).err == ""


def test_weights_of_no_run_do_not_know_what_the_training_did(
    predict, photos: Path, tiny_run: tuple[Path, Any], command, tmp_path: Path
) -> None:
    file = tmp_path / "weights"
    assert command("msl_jax/convert/__main__.py", tiny_run[0], file).code == 0
    arguments = ("--write=labels", "--config=camvid_scratch", "--config.target_size=16,32")
    outcome = predict(photos, tmp_path / "out", *arguments, of=file)
    assert "the images keep their proportions; if the training stretched its own to" in outcome.err


def test_ids_of_classes_in_a_run() -> None:
    kept = LabelSet("x", (LabelClass("a", (1, 2, 3)), LabelClass("b", (1, 2, 4), id=7))).to_json()
    assert [found.id for found in LabelSet.from_json(kept).classes] == [None, 7]
    for wrong in (-1, 256, "a"):
        with pytest.raises(ValueError, match="id"):
            LabelSet.from_json({**kept, "classes": [{**kept["classes"][0], "id": wrong}]})
