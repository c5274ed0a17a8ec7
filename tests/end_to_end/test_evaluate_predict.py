"""Evaluations and predictions of a finished run, against its network asked directly."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.prepared.records import prepare
from msl_jax.evaluation import iou
from msl_jax.evaluation.confusion import confusion_matrix
from msl_jax.models import DeepLabV2, ResNet, resize_align_corners
from msl_jax.models.inputs import TORCHVISION
from msl_jax.runtime.errors import UserError

# The tiny configuration's.
MODEL = DeepLabV2(11, ResNet(14, 4), aspp_dilations=(1, 2), active_dilations=(1,))
SPLITS = {"source": ("val_day", (24, 32)), "target": ("test_dusk", (16, 32))}


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_evaluation_gives_the_numbers_of_training(whole) -> None:
    results = evaluate(whole.config, str(whole.workdir))
    written = _read(whole.workdir / "eval" / "results.json")
    assert written == results
    assert results == {
        "config": "camvid_scratch",
        "variant": "max_square_iw_multi",
        "seed": 0,
        "final": whole.results["final"],
        "eval_size": "network",
        "flip": False,
        "scales": [1.0],
    }


def test_evaluation_of_other_checkpoints(whole, tmp_path: Path) -> None:
    best = evaluate(whole.config, f"{whole.workdir}:best", str(tmp_path / "best"))
    assert {key: best["final"][key] for key in ("target", "step")} == whole.results["best"]
    baseline = evaluate(whole.config, f"{whole.workdir}:source", str(tmp_path / "source"))
    assert baseline["final"] == {**whole.results["source_only"], "step": 4}
    assert _read(tmp_path / "source" / "results.json") == baseline


def test_one_domain_alone(whole, tiny_keys: dict[str, Any], tmp_path: Path) -> None:
    """The other one's files may be anywhere."""
    keys = {"source_root": str(tmp_path / "gone"), "target_root": tiny_keys["data_root"]}
    with pytest.raises(UserError, match=r"gone .*\(--domain=target or --domain=source evaluates"):
        evaluate(whole.config, str(whole.workdir), str(tmp_path / "both"), keys)
    results = evaluate(whole.config, str(whole.workdir), str(tmp_path), keys, "target")
    assert results["final"] == {**whole.results["final"], "source": None}
    step = whole.workdir / "adapt" / str(whole.results["final"]["step"])  # as eval.py prints it
    assert evaluate(whole.config, str(step), str(tmp_path), keys, "target") == results
    assert not (tmp_path / "both").exists()


@functools.partial(jax.jit, static_argnames=("size", "flip", "scales"))
def _probabilities(
    variables: Any,
    images: Any,
    size: tuple[int, int],
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
) -> Any:
    """Mean over all views of the images, up-sampled before the softmax."""
    found = []
    for scale in scales:
        height, width = (max(16, round(side * scale)) for side in images.shape[1:3])
        view = resize_align_corners(TORCHVISION.prepare(images), (height, width))
        for mirrored in (False, True) if flip else (False,):
            turn = slice(None, None, -1 if mirrored else 1)
            logits, _ = MODEL.apply(variables, view[:, :, turn], train=False)
            found.append(jax.nn.softmax(resize_align_corners(logits[:, :, turn], size)))
    return sum(found) / len(found)


@pytest.fixture(scope="module")
def labelled(whole, tiny_keys: dict[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each domain's images as they enter the network, and their labels at full size."""
    found = {}
    for domain, (split, size) in SPLITS.items():
        records = prepare(
            CamVid(tiny_keys["data_root"]),
            split,
            size,
            tiny_keys["records_dir"],
            keep_label_size=True,
        )
        rows = [records[i] for i in range(len(records))]
        arrays = (np.stack([row[key] for row in rows]) for key in ("image", "label"))
        found[domain] = images, labels = tuple(arrays)
        assert (images.shape[1:3], labels.shape[1:]) == (size, (48, 64))
    return found


@pytest.mark.parametrize(
    "keys", [{}, {"eval_size": "full"}, {"flip": True}, {"scales": (0.75, 1.0)}]
)
def test_keys_of_the_evaluation(whole, labelled, keys: dict[str, Any], tmp_path: Path) -> None:
    """Each alone, against the network on all images at once."""
    results = evaluate(whole.config, str(whole.workdir), str(tmp_path), keys)
    asked = dict(keys)
    full = asked.pop("eval_size", "network") == "full"
    for domain, (images, labels) in labelled.items():
        if not full:
            labels = np.stack([resize_label(label, SPLITS[domain][1]) for label in labels])
        found = _probabilities(whole.variables(), images, labels.shape[1:], **asked)
        expected = iou(confusion_matrix(labels, np.asarray(found).argmax(-1), 11))
        measured = list(results["final"][domain]["iou"].values())
        np.testing.assert_allclose(measured, expected, atol=2e-3)
    said = {key: results[key] for key in ("eval_size", "flip", "scales")}
    assert said == {"eval_size": "network", "flip": False, "scales": [1.0]} | {
        key: list(value) if key == "scales" else value for key, value in keys.items()
    }


def test_evaluation_takes_the_newest_run(
    source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/camvid_scratch-source-seed0").symlink_to(source.workdir)
    results = evaluate(source.config, output="here")
    assert results["final"] == source.results["final"]
    assert _read(tmp_path / "here" / "results.json") == results


# Prediction.


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    (folder / "deep" / "er").mkdir(parents=True)
    noise = rng.integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(folder / "street.png")
    Image.fromarray(noise[:33, :21]).save(folder / "deep" / "street.JPG")
    Image.fromarray(noise[:17, :45, 0]).save(folder / "deep" / "er" / "grey.png")
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_prediction_of_a_folder(whole, photos: Path, tmp_path: Path, snapshot) -> None:
    before = snapshot(photos)
    output = tmp_path / "out"
    written = predict(whole.config, str(whole.workdir), str(photos), str(output))
    expected = {
        "deep/er/grey.png": ("deep/er/grey.png", (17, 45)),
        "deep/street.png": ("deep/street.JPG", (33, 21)),
        "street.png": ("street.png", (40, 50)),
    }
    assert written == [output / "labels" / name for name in expected]
    palette = LABEL_SETS["camvid"].palette
    for name, (original, size) in expected.items():
        labels, colors, overlay = (
            _pixels(output / kind / name) for kind in ("labels", "colors", "overlays")
        )
        assert labels.shape == size
        assert labels.max() < len(LABEL_SETS["camvid"].names)
        np.testing.assert_array_equal(colors, palette[labels])
        photo = _pixels(photos / original)
        photo = photo if photo.ndim == 3 else photo[..., None]
        np.testing.assert_allclose(overlay, (photo / 2 + colors / 2), atol=0.5)
    assert sum(path.is_file() for path in output.rglob("*")) == 9
    assert snapshot(photos) == before


@pytest.mark.parametrize("keys", [{}, {"target_size": (24, 40)}])
def test_photos_have_the_size_of_the_target(
    whole, photos: Path, keys: dict[str, Any], tmp_path: Path
) -> None:
    """In the network, whatever their own; the result is up-sampled to that."""
    keys, street = {"photo_size": "target", **keys}, photos / "street.png"
    (written,) = predict(whole.config, str(whole.workdir), str(street), str(tmp_path / "out"), keys)
    small = resize_image(_pixels(street), keys.get("target_size", (16, 32)))
    expected = _probabilities(whole.variables(), small[None], (40, 50))[0].argmax(-1)
    assert (_pixels(written) == np.asarray(expected)).mean() > 0.995


def test_default_folder_of_a_relative_path(whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the path is written, results go beside the run, apart for each checkpoint."""
    monkeypatch.chdir(whole.workdir.parent)
    for path, domain, folder in (
        (f"./{whole.workdir.name}/", None, "eval"),
        (f"./{whole.workdir.name}/", "target", "eval-target"),  # does not replace that of both
        (f"./{whole.workdir.name}:best", None, "eval-best"),
    ):
        evaluate(whole.config, path, domain=domain)
        written = _read(whole.workdir / folder / "results.json")
        assert (written["final"]["source"] is None) == (domain == "target")
