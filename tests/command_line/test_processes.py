"""The three commands as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest
import quick_compilation
from PIL import Image

ROOT = Path(__file__).parents[2]


def _process(*args: object) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        **quick_compilation.environment(),
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
    arguments = ["--config", "configs/camvid_scratch.py:source", f"--workdir={workdir}"]
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
    assert "camvid_scratch:source, seed 0" in process.stdout
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
        with Image.open(tmp_path / kind / "a.png") as picture:
            assert picture.size == (30, 20)


def test_process_that_fails(tmp_path: Path) -> None:
    args = ["train.py", f"--workdir={tmp_path / 'run'}", "--config.steps=0"]
    process = _process(*args, "--config.debug=true")
    assert process.returncode == 1
    assert "Traceback" in process.stderr
    assert "check_config" in process.stderr
    assert not (tmp_path / "run").exists()
