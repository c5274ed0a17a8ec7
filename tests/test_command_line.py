"""The three commands as a user starts them.

Wrong command lines run in this process, since each process takes seconds to import JAX.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from absl import flags
from PIL import Image

from msl_jax.errors import UserError

ROOT = Path(__file__).parent.parent
CAMVID = f"--config={ROOT / 'configs' / 'camvid.py'}"


def _flags(keys: dict[str, Any]) -> list[str]:
    return [f"--config.{key}={value}" for key, value in keys.items()]


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Function that runs a script with arguments, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(script: str, *args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", [script, *map(str, args)])
        known = set(flags.FLAGS)
        capsys.readouterr()
        code: Any = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as exit_:
            code = exit_.code or 0
        finally:
            # Flags are global: the next script defines its own again.
            flags.FLAGS.unparse_flags()
            for name in set(flags.FLAGS) - known:
                delattr(flags.FLAGS, name)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(command, tmp_path: Path, snapshot) -> Callable[..., str]:
    """Function that runs a command that must fail with one message, which it returns."""

    def run(script: str, *args: object, code: int = 1) -> str:
        before = snapshot(tmp_path)
        outcome = command(script, *args)
        assert outcome.code == code
        assert outcome.out == ""
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("error: ") == 1
        assert "Traceback" not in outcome.err
        assert snapshot(tmp_path) == before  # no workdir, no output, data left as they were
        return outcome.err

    return run


# The command line itself.


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("--config.lamda_target=1", ["--config.lamda_target:", "did you mean lambda_target?"]),
        ("--config.model.wdth=1", ["--config.model.wdth:", "did you mean width?"]),
        ("--config.zzz=1", ["--config.zzz: no such key", "msl_jax/config.py"]),
        ("--config.steps.x=1", ["--config.steps.x: no such key"]),
        ("--config=configs/nothing.py", ["configs/nothing.py", "configs/camvid.py, configs/demo"]),
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
    message = refused("train.py", "--config.steps=0", "--config.preset=x", "--config.momentum=2")
    assert "steps: expected at least 1, found 0" in message
    assert "preset: expected one of 'official', 'paper', found 'x'" in message
    assert "momentum: expected a number in [0, 1], found 2.0" in message


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
        (_remove, ["elsewhere is not a folder", "train, trainannot", "--config.data_root"]),
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
    tiny_keys: dict[str, Any],
    damage: Callable[[Path], Path],
    parts: list[str],
) -> None:
    keys = {**tiny_keys, "data_root": damage(camvid_tree)}
    message = refused("train.py", CAMVID, *_flags(keys), "--workdir=run")
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
    assert "config.num_classes is 19, but camvid/train_day has 11 classes: sky, " in message


# Processes.


def _process(*args: object) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    }
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def trained(
    tiny_keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run's folder and the process that made it."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["--config", "configs/camvid.py:source", f"--workdir={workdir}"]
    return workdir, _process("train.py", *arguments, *_flags(tiny_keys))


def _assert_quiet(process: subprocess.CompletedProcess[str]) -> None:
    assert process.returncode == 0, process.stderr
    for word in ("Traceback", "Warning", "WARNING", "Error"):
        assert word not in process.stderr


def test_training(trained) -> None:
    workdir, process = trained
    _assert_quiet(process)
    results = json.loads((workdir / "results.json").read_text())
    miou = results["final"]["target"]["miou"]
    assert "camvid:source, seed 0" in process.stdout
    assert f"{100 * miou:.1f}" in process.stdout
    assert str(workdir) in process.stdout
    assert "source-only 4/4" in process.stderr
    config = json.loads((workdir / "config.json").read_text())
    assert {key: config[key] for key in ("source_size", "steps")} == {
        "source_size": [24, 32],
        "steps": 4,
    }
    assert config["target_augmentation"]["crop"] == []


def test_evaluation(trained, tmp_path: Path) -> None:
    workdir, _ = trained
    process = _process("eval.py", f"--checkpoint={workdir}", f"--output={tmp_path}")
    _assert_quiet(process)
    results = json.loads((tmp_path / "results.json").read_text())
    expected = json.loads((workdir / "results.json").read_text())
    assert results["final"] == expected["final"]
    assert str(tmp_path / "results.json") in process.stdout


def test_prediction(trained, tmp_path: Path) -> None:
    workdir, _ = trained
    photo = tmp_path / "a.jpg"
    Image.new("RGB", (30, 20), (90, 120, 150)).save(photo)
    process = _process(
        "predict.py", f"--checkpoint={workdir}:best", f"--input={photo}", f"--output={tmp_path}"
    )
    _assert_quiet(process)
    for kind in ("labels", "colors", "overlays"):
        with Image.open(tmp_path / kind / "a_jpg.png") as picture:
            assert picture.size == (30, 20)


def test_process_that_fails(tmp_path: Path) -> None:
    args = ["train.py", f"--workdir={tmp_path / 'run'}", "--config.steps=0"]
    process = _process(*args, "--config.debug=true")
    assert process.returncode == 1
    assert "Traceback" in process.stderr
    assert "check_config" in process.stderr
    assert not (tmp_path / "run").exists()


# Checkpoints.


def test_checkpoint_of_another_class_count(refused, trained) -> None:
    workdir, _ = trained
    message = refused(
        "eval.py", f"--checkpoint={workdir}", "--output=out", "--config.num_classes=10"
    )
    assert f"{workdir}/source/4 holds another network" in message
    assert (
        "params/final_head/conv0/kernel: expected (3, 3, 128, 10), found (3, 3, 128, 11)" in message
    )
    assert "config.num_classes" in message


def test_checkpoint_that_does_not_exist(refused, trained) -> None:
    workdir, _ = trained
    message = refused("eval.py", f"--checkpoint={workdir}:77", "--output=out")
    assert "no checkpoint '77'" in message
    assert "choose a step of [" in message


def test_no_run_yet(refused) -> None:
    message = refused("eval.py", f"{CAMVID}:hard")
    assert "no run of camvid:hard below" in message
    assert "python train.py --config configs/camvid.py:hard" in message


def test_workdir_of_another_configuration(
    refused, trained, tiny_keys: dict[str, Any], snapshot
) -> None:
    workdir, _ = trained
    before = snapshot(workdir)
    keys = {**tiny_keys, "momentum": 0.8}
    message = refused("train.py", f"{CAMVID}:source", *_flags(keys), f"--workdir={workdir}")
    assert f"{workdir} holds a run of another configuration" in message
    assert "differs in\n  momentum: 0.9 -> 0.8\n" in message
    assert snapshot(workdir) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing does not exist; give a photo"),
        ("here", "here: no photo in this folder"),
    ],
)
def test_input_without_photos(refused, trained, tmp_path: Path, name: str, message: str) -> None:
    workdir, _ = trained
    args = [f"--checkpoint={workdir}", f"--input={tmp_path / name}", "--output=out"]
    assert message in refused("predict.py", *args)


def test_photo_that_is_none(refused, trained, tmp_path: Path) -> None:
    workdir, _ = trained
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")  # not written either
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    args = [f"--checkpoint={workdir}", f"--input={tmp_path}", "--output=out"]
    assert "broken.png: not a readable image" in refused("predict.py", *args)


def test_photos_of_one_result(refused, trained, tmp_path: Path) -> None:
    workdir, _ = trained
    for name in ("a.jpg", "a_jpg.png"):
        Image.new("RGB", (30, 20)).save(tmp_path / name)
    args = [f"--checkpoint={workdir}", f"--input={tmp_path}", "--output=out"]
    message = refused("predict.py", *args)
    assert "a.jpg and " in message
    assert "a_jpg.png would both be written to out/labels/a_jpg.png" in message


def test_results_of_training_are_not_replaced(refused, trained) -> None:
    workdir, _ = trained
    message = refused("eval.py", f"--checkpoint={workdir}", f"--output={workdir}")
    assert f"--output {workdir} is a run's workdir" in message


@pytest.mark.parametrize("script", ["eval.py", "predict.py"])
def test_output_that_is_a_file(refused, trained, tmp_path: Path, script: str) -> None:
    workdir, _ = trained
    (tmp_path / "file").write_text("mine")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 48)).save(photo)
    args = [f"--input={photo}"] if script == "predict.py" else []
    output = f"--output={tmp_path / 'file'}"
    message = refused(script, f"--checkpoint={workdir}", *args, output)
    assert f"--output {tmp_path / 'file'}: cannot be written" in message


def test_damaged_checkpoint(refused, trained, tmp_path: Path) -> None:
    workdir, _ = trained
    copy = tmp_path / "copy"
    shutil.copytree(workdir, copy)
    shutil.rmtree(copy / "source" / "4" / "variables")
    message = refused("eval.py", f"--checkpoint={copy}", "--output=out")
    assert f"checkpoint {copy}/source/4 is damaged or incomplete" in message
