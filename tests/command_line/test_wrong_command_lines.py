"""Wrong command lines and data: one message, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msl_jax.errors import UserError

ROOT = Path(__file__).parents[2]
CAMVID = f"--config={ROOT / 'configs' / 'camvid.py'}"


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("--config.lamda_target=1", ["--config.lamda_target:", "did you mean lambda_target?"]),
        ("--config.model.wdth=1", ["--config.model.wdth:", "did you mean width?"]),
        ("--config.zzz=1", ["--config.zzz: no such key", "msl_jax/config.py"]),
        ("--config.steps.x=1", ["--config.steps.x: no such key"]),
        (
            "--config=configs/nothing.py",
            ["configs/nothing.py", "camvid.py, configs/crosscity"],
        ),
        ("--config=configs", ["--config=configs: cannot be read", "configs/NAME.py[:VARIANT]"]),
        ("--config.steps=many", ["--config.steps=many", "int()"]),
        ("--config.flip=maybe", ["--config.flip=maybe", "boolean"]),
        ("--config.steps", ["Missing value for flag --config.steps"]),
        ("--wrkdir=x", ["'wrkdir'", "workdir"]),
        ("camvid", ["unexpected argument 'camvid'"]),
    ],
)
def test_wrong_command_line(refused, argument: str, parts: list[str]) -> None:
    message = refused("train.py", argument, code=2)
    for part in parts:
        assert part in message
    assert "python train.py [--config" in message  # how it should be


@pytest.mark.parametrize("script", ["eval.py", "predict.py"])
def test_wrong_flag_of_the_other_commands(refused, script: str) -> None:
    args = ["--checkpoint=x", "--output=y"]
    message = refused(script, *args, "--workdir=z", code=2)
    assert "'workdir'" in message
    assert f"python {script}" in message


@pytest.mark.parametrize("name", ["checkpoint", "input", "output"])
def test_flag_that_is_missing(refused, name: str) -> None:
    given = {"checkpoint": "a", "input": "b", "output": "c"}
    del given[name]
    message = refused("predict.py", *(f"--{k}={v}" for k, v in given.items()), code=2)
    assert f"--{name}" in message


def test_unknown_variant_lists_all(refused) -> None:
    message = refused("train.py", f"{CAMVID}:max_squares")
    assert "'max_squares'" in message
    assert "minent, minent_iw, hard, max_square, max_square_iw" in message


def test_wrong_values_are_listed_together(refused) -> None:
    message = refused("train.py", "--config.steps=0", "--config.momentum=2")
    assert "steps: expected at least 1, found 0" in message
    assert "momentum: expected a number in [0, 1], found 2.0" in message


def test_unknown_preset_lists_all(refused) -> None:
    message = refused("train.py", "--config.preset=x")
    assert "preset: expected one of official, paper, found 'x'" in message


@pytest.mark.parametrize("script", ["train.py", "eval.py", "predict.py"])
def test_help(command, script: str) -> None:
    outcome = command(script, "--help")
    assert outcome.code == 0
    assert f"python {script}" in outcome.out
    assert "--config.KEY=VALUE" in outcome.out
    assert outcome.err == ""


def test_debug_shows_where(command) -> None:
    with pytest.raises(UserError, match="nowhere is no run"):
        command("eval.py", "--checkpoint=nowhere", "--config.debug=true")


# Data.


def _remove(tree: Path) -> Path:
    return tree / "elsewhere"


def _empty(tree: Path) -> Path:
    (tree / "empty").mkdir()
    return tree / "empty"


def _without_images(tree: Path) -> Path:
    for path in (tree / "train").iterdir():
        path.unlink()
    return tree


def _truncate(tree: Path) -> Path:
    image = tree / "train" / "0016E5_00000.png"
    image.write_bytes(image.read_bytes()[:1000])
    return tree


def _shrink_label(tree: Path) -> Path:
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(tree / "trainannot" / "0016E5_00000.png")
    return tree


def _unknown_id(tree: Path) -> Path:
    label = np.full((48, 64), 77, np.uint8)
    Image.fromarray(label).save(tree / "trainannot" / "0016E5_00000.png")
    return tree


def _remove_label(tree: Path) -> Path:
    (tree / "trainannot" / "0016E5_00000.png").unlink()
    return tree


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (_remove, ["elsewhere is not a folder", "train, trainannot", "data_root"]),
        (_empty, ["empty lacks the folders train, trainannot", "SegNet"]),
        (_without_images, ["no frames for train_day", "PNG"]),
        (_truncate, ["train/0016E5_00000.png: not a readable image", "Fetch it again"]),
        (_shrink_label, ["train/0016E5_00000.png has 64x48", "trainannot/", "32x24", "Fix"]),
        (_unknown_id, ["trainannot/0016E5_00000.png: unknown label id 77", "known ids are 0-11"]),
        (_remove_label, ["trainannot/0016E5_00000.png", "no label"]),
    ],
)
def test_damaged_data(
    refused,
    camvid_tree: Path,
    tiny_flags: Callable[..., list[str]],
    damage: Callable[[Path], Path],
    parts: list[str],
) -> None:
    arguments = tiny_flags(data_root=damage(camvid_tree))
    message = refused("train.py", CAMVID, *arguments, "--workdir=run")
    for part in parts:
        assert part in message


def test_data_root_that_is_not_given(refused) -> None:
    message = refused("train.py", CAMVID, "--workdir=run")
    assert "camvid/train_day is read from files" in message
    assert "--config.data_root=DIR" in message


def test_number_of_classes_that_the_data_do_not_have(refused, shared_camvid_tree: Path) -> None:
    message = refused(
        "train.py", CAMVID, f"--config.data_root={shared_camvid_tree}", "--config.num_classes=19"
    )
    assert "camvid cannot be read with 19 classes" in message
    assert "set config.num_classes to one of: 11 (sky, " in message
