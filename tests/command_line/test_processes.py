"""The three commands as a user starts them, and what they do with a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
CAMVID = f"--config={ROOT / 'configs' / 'camvid.py'}"


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
    tiny_flags: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run's folder and the process that made it."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["--config", "configs/camvid.py:source", f"--workdir={workdir}"]
    return workdir, _process("train.py", *arguments, *tiny_flags())


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
    assert f"{workdir} (run camvid:source, source step 4): these weights do not fit" in message
    assert "config.num_classes is 10, the weights need 11" in message


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
    refused, trained, tiny_flags: Callable[..., list[str]], snapshot
) -> None:
    workdir, _ = trained
    before = snapshot(workdir)
    arguments = tiny_flags(momentum=0.8)
    message = refused("train.py", f"{CAMVID}:source", *arguments, f"--workdir={workdir}")
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
    assert f"checkpoint {copy}/source/4 is damaged (variables/" in message
    assert f"take {copy}:2, or copy it again" in message
