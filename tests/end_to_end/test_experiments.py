"""Every family of experiments, shrunk, through train and eval on files of the real formats."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from trees import (
    all_ids,
    write_cityscapes,
    write_crosscity,
    write_folders,
    write_gta5,
    write_image,
    write_synthia,
)

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.data.datasets.gta5 import _numbers
from msl_jax.methods.variants import ADVERSARIAL
from msl_jax.report.command import write_report

pytestmark = pytest.mark.usefixtures("shared_steps")

ROOT = Path(__file__).parents[2]
# Smaller still than `shrink` makes them: two steps of each stage.
QUICK = {"source_steps": 2, "steps": 2, "eval_every": 2, "log_every": 1}


def _config(name: str, variant: str, tmp_path: Path, **keys: Any):
    config = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"](variant)
    config.update_from_flattened_dict(
        {"shrink": True, "records_dir": str(tmp_path / "records"), **keys}
    )
    return config


def _write_folders(root: Path) -> Path:
    label = all_ids([4, 2, 0]).astype(np.uint8)
    write_folders(root, label, [f"{i:02}" for i in range(11)])
    entries = [("road", 4), ("sky", 2)]
    classes = [{"id": i, "name": name, "color": [i, i, i]} for name, i in entries]
    (root / "classes.yaml").write_text(yaml.safe_dump({"classes": classes, "ignored": [0]}))
    return root


def _write_source(name: str, root: Path) -> Path:
    if name == "gta5":
        numbers = _numbers()
        return write_gta5(root, [*numbers["train"][:3], *numbers["val"][:2]])
    if name == "synthia":
        return write_synthia(root, [0, 1, 2, 9000])
    return write_cityscapes(root)


@pytest.fixture(autouse=True)
def quick_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from msl_jax.config import presets

    steps = {**QUICK, "source_poly_steps": 2, "poly_steps": 2}
    monkeypatch.setattr(presets, "_SHRUNK_STEPS", steps)


# Every row of Tables 2 and 4, 3, and 6 that is of the paper's own making, with the oracle where
# the training images of the target have labels; and AdaptSegNet's and ADVENT's.
GTA5_ROWS = (
    *("minent", "minent_iw", "max_square", "max_square_iw"),
    *("max_square_multi", "max_square_iw_multi", "oracle", *ADVERSARIAL),
)
SYNTHIA_ROWS = (
    *("minent", "max_square", "max_square_iw", "max_square_iw_multi", "oracle"),
    *("adaptsegnet", "minent_advent"),
)
CITIES = ("Rome", "Rio", "Tokyo", "Taipei")
SOURCES: list[dict[str, Any]] = [
    {"name": "gta5"},
    {"name": "synthia"},
    {"name": "synthia", "num_classes": 13},
    {"name": "crosscity"},
]
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    *(("gta5", row, {}) for row in GTA5_ROWS),
    *(("synthia", row, {}) for row in SYNTHIA_ROWS),
    ("synthia", "max_square_iw", {"num_classes": 13}),
    *(
        ("crosscity", row, {"city": city})
        for city in CITIES
        for row in ("max_square", "max_square_iw")
    ),
    ("crosscity", "adaptsegnet", {"city": "Rome"}),
]
# One of each family that is run each time.
QUICK_ROWS = {
    ("gta5", "max_square_iw_multi", "Rome"),
    ("gta5", "advent", "Rome"),
    ("synthia", "max_square", "Rome"),
    ("crosscity", "max_square_iw", "Rome"),
}
CLASSES = {"gta5": 19, "synthia": 16, "crosscity": 13}
# Training and evaluation images of the source, those of the target, and the shrunk source size.
SOURCE_ROWS: dict[str, list[Any]] = {
    "gta5": ["gta5/train", "gta5/val_500", "cityscapes/train", "cityscapes/val", [90, 160]],
    "synthia": ["synthia/train", "synthia/val", "cityscapes/train", "cityscapes/val", [95, 160]],
    "crosscity": [
        *("cityscapes/train", "cityscapes/val", "crosscity/Rome_train", "crosscity/Rome_test"),
        [64, 128],
    ],
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, dict[str, str]]:
    """Configuration's name -> the files of its domains, and one folder for all records."""
    folder = tmp_path_factory.mktemp("data")
    cityscapes = write_cityscapes(folder / "cityscapes")
    pairs = {
        "gta5": (_write_source("gta5", folder / "gta5"), cityscapes),
        "synthia": (_write_source("synthia", folder / "synthia"), cityscapes),
        "crosscity": (cityscapes, write_crosscity(folder / "nthu", CITIES)),
    }
    return {
        name: {
            "source_root": str(source),
            "target_root": str(target),
            "records_dir": str(folder / "records"),
        }
        for name, (source, target) in pairs.items()
    }


def _train_and_evaluate(config, workdir: Path) -> None:
    """Trains, and holds what the files say against the configuration and a second evaluation."""
    results = train(config, str(workdir))
    for domain in ("target", "source"):
        metrics = results["final"][domain]
        assert len(metrics["iou"]) == config.num_classes
        assert ("miou_13" in metrics) == (config.num_classes == 16)
    again = evaluate(config, str(workdir), f"{workdir}-eval")
    assert again["final"] == results["final"]


@pytest.fixture(scope="module")
def source_only(tmp_path_factory, roots):
    """Trains the source-only row of a family once: `(name, classes) -> workdir`."""
    workdirs: dict[tuple[str, int], Path] = {}

    def trained(name: str, classes: int) -> Path:
        if (name, classes) not in workdirs:
            workdirs[name, classes] = workdir = tmp_path_factory.mktemp("runs") / "source"
            config = _config(name, "source", workdir, **roots[name], num_classes=classes)
            _train_and_evaluate(config, workdir)
        return workdirs[name, classes]

    return trained


@pytest.mark.parametrize("keys", SOURCES, ids=lambda keys: "-".join(map(str, keys.values())))
def test_source_only_rows(keys, source_only) -> None:
    name = keys["name"]
    classes = keys.get("num_classes", CLASSES[name])
    workdir = source_only(name, classes)
    results, config = (
        json.loads((workdir / file).read_text()) for file in ("results.json", "config.json")
    )
    assert (results["variant"], results["source_only"]) == ("source", None)
    assert results["final"]["step"] == results["best"]["step"] == 2
    for domain in ("source", "target"):
        assert len(results["final"][domain]["iou"]) == config["num_classes"] == classes
    roles = ("source_train", "source_eval", "target_train", "target_eval", "source_size")
    assert [config[role] for role in roles] == SOURCE_ROWS[name]
    assert (workdir / "source" / "2").is_dir()
    assert not (workdir / "adapt").exists()


def _row(name: str, variant: str, keys: dict[str, Any]) -> Any:
    quick = (name, variant, keys.get("city", "Rome")) in QUICK_ROWS and "num_classes" not in keys
    return pytest.param(name, variant, keys, marks=() if quick else pytest.mark.long)


@pytest.mark.parametrize(("name", "variant", "keys"), [_row(*row) for row in ROWS])
def test_adapted_rows(name, variant, keys, roots, source_only, tmp_path: Path) -> None:
    classes = keys.get("num_classes", CLASSES[name])
    # Rows with one head start from the source-only row, as the paper's do; the others, whose
    # low head learns in the source-only stage, and the oracle go through both stages; AdaptSegNet
    # and ADVENT train on both domains from the start.
    from_scratch = "multi" in variant or variant == "oracle" or variant in ADVERSARIAL
    start = {} if from_scratch else {"init_from": str(source_only(name, classes))}
    config = _config(name, variant, tmp_path, **{**roots[name], **keys, **start})
    assert config.num_classes == classes
    workdir = tmp_path / "run"
    _train_and_evaluate(config, workdir)
    written = json.loads((workdir / "config.json").read_text())
    # The recipe's figures: lambda of the official instructions, alpha and delta of the text.
    assert written["lambda_target"] == (0.09 if "multi" in variant else 0.1)
    assert written["iw_alpha"] == 0.2
    assert written["guidance_threshold"] == (0.98 if name == "crosscity" else 0.95)
    assert written["target_size"] == ([80, 160] if "multi" in variant else [64, 128])
    if variant in ADVERSARIAL:
        assert not (workdir / "source").exists()
        train_split = {"gta5": "gta5/all"}.get(name, SOURCE_ROWS[name][0])
        assert written["source_train"] == train_split
        for domain in ("source", "target"):
            augmentation = written[f"{domain}_augmentation"]
            # As their authors, where they have trained on the data set.
            augmented = name == "crosscity"
            assert (augmentation["mirror"], augmentation["blur"]) == (augmented, augmented)


def test_folders_with_unlabelled_photos(tmp_path: Path, capsys) -> None:
    labelled, photos = _write_folders(tmp_path / "labelled"), tmp_path / "photos"
    for i in range(3):
        write_image(photos / f"{i}.jpg")
    roots = {"source_root": str(labelled), "target_root": str(photos)}
    config = _config("folders", "max_square_iw", tmp_path, **roots, batch_size=1)
    config.source_augmentation.crop = config.target_augmentation.crop = ()
    workdir = tmp_path / "run"
    results = train(config, str(workdir))
    assert results["best"] is None
    assert results["final"]["target"] is None
    assert list(results["final"]["source"]["iou"]) == ["road", "sky"]
    assert (workdir / "pictures" / "adapt_target.png").is_file()  # to be looked at, at least
    page = write_report(workdir, images=0).read_text()
    assert "<code>shrink</code></th><td><b>True</b>" in page
    table, _, _ = capsys.readouterr().out.partition("Results, checkpoints")
    assert "source" in table
    assert "target" not in table
    assert evaluate(config, str(workdir), str(tmp_path / "eval"))["final"] == results["final"]
    written = predict(config, str(workdir), str(photos), str(tmp_path / "predicted"))
    assert [path.name for path in written] == ["0.png", "1.png", "2.png"]


def test_shrunk_runs_have_a_folder_of_their_own(tmp_path: Path) -> None:
    from msl_jax.runs.workdir import default_workdir

    config = _config("crosscity", "source", tmp_path, city="Rio")
    assert default_workdir(config) == Path("runs/small/crosscity-Rio-source-seed0")
    config.shrink = False
    assert default_workdir(config) == Path("runs/crosscity-Rio-source-seed0")
