"""The prepare command: what it prints, what it makes, and its exit codes."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import write_crosscity, write_gta5, write_image

from msl_jax.data import prepare
from msl_jax.data.datasets.gta5 import GTA5
from msl_jax.data.datasets.registry import DATASETS
from msl_jax.data.prepared.records import prepare as prepare_records

PROJECT = Path(__file__).resolve().parents[2]
TRAIN, VAL = (1, 2, 10, 16), 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_gta5(tmp_path / "gta5", (*TRAIN, 11))


@pytest.fixture
def run(capfd, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Function that runs the command here and gives its exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            prepare.main(
                [str(word) for word in (*arguments, "--records_dir", tmp_path / "records")]
            )
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capfd.readouterr()

    return call


def _folders(tmp_path: Path) -> list[str]:
    return sorted(path.parent.name for path in tmp_path.glob("records/*/*/2.0.0"))


def test_check_only_makes_nothing(run, root: Path, tmp_path: Path, snapshot) -> None:
    before = snapshot(root)
    code, out, err = run("gta5", "--data_root", root, "--check_only")
    assert (code, err) == (0, "")
    assert "gta5/train: 4 images of 12,403 expected, 4 labels, no problem" in out
    assert re.search(r"    7  road +\d+\.\d+% +4\n", out)
    assert "gta5/val: 0 images, passed over" in out
    assert "gta5/test: 1 images of 6,181 expected" in out
    assert "gta5/all" not in out
    assert not (tmp_path / "records").exists()
    assert snapshot(root) == before


def test_records_are_those_that_training_looks_for(run, root: Path, tmp_path: Path) -> None:
    code, out, _ = run("gta5", "--data_root", root, "--size", "6,10")
    assert code == 0
    records = prepare_records(GTA5(root), "train", (6, 10), tmp_path / "records")
    assert f"gta5/train: 4 records of 6x10 (height x width), 0 MB, in {records.folder}\n" in out
    assert [name.rpartition("_")[0] for name in _folders(tmp_path)] == ["gta5_train_6x10"]


def test_pairs_with_a_problem_are_left_out_and_named(run, root: Path, tmp_path: Path) -> None:
    (root / "labels" / "00002.png").unlink()
    write_image(root / "images" / "00010.png", (13, 20))
    given = ("gta5", "--data_root", root, "--size", "6,10", "--split", "train")
    code, out, err = run(*given)
    assert code == 0
    assert "4 images of 12,403 expected, 3 labels, 2 with a problem" in out
    assert out.count("labels/00002.png: no such file") == 1
    assert out.count("images/00010.png has 20x13 pixels") == 1
    assert "gta5/train: 2 records of 6x10" in out
    assert (
        "2 pairs have a problem and are left out. Mend them, or train with --config.on_bad" in out
    )
    assert err.startswith("gta5/train: 4 of the 12403 published")
    shutil.rmtree(tmp_path / "records")
    code, out, err = run(*given, "--strict")
    assert (code, err) == (1, "error: 2 pairs have a problem, and --strict refuses them.\n")
    assert "labels/00002.png: no such file" in out
    assert _folders(tmp_path) == []


def test_checked_in_parallel_alike(run, root: Path) -> None:
    (root / "labels" / "00002.png").write_bytes(b"no image")
    given = ("gta5", "--data_root", root, "--check_only", "--num_processes")
    assert run(*given, 1) == run(*given, 2)


def test_labels_without_image_are_named(run, root: Path) -> None:
    for number in range(20, 34):
        shutil.copy(root / "labels" / "00001.png", root / "labels" / f"{number:05}.png")
    _, out, _ = run("gta5", "--data_root", root, "--check_only", "--strict")
    assert "gta5: 14 labels have no image and are not used:" in out
    assert "00029.png\n    ...\n" in out
    assert "00030.png" not in out


def test_evaluation_splits_keep_the_size_of_labels(run, tmp_path: Path) -> None:
    root = write_crosscity(tmp_path / "crosscity")
    code, out, _ = run("crosscity", "--data_root", root, "--size", "6,10")
    assert code == 0
    assert "crosscity/Tokyo_test: 0 images, passed over" in out
    assert [name.rpartition("_")[0] for name in _folders(tmp_path)] == [
        "crosscity_Rome_test_6x10_full_labels",
        "crosscity_Rome_train_6x10",
    ]


def test_generated_data(run) -> None:
    code, out, _ = run("demo", "--check_only")
    assert code == 0
    assert "demo/source_train: 400 images, made when they are read" in out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere"], 2, "invalid choice: 'nowhere'"),
        (["gta5"], 2, "give their folder with --data_root DIR"),
        (["gta5", "--data_root", "ROOT", "--size", "720x1280"], 2, "argument --size"),
        (["gta5", "--data_root", "ROOT", "--size", "0,5"], 2, "argument --size"),
        (["gta5", "--data_root", "ROOT/images"], 1, "error: GTA5: "),
        (["gta5", "--data_root", "ROOT", "--split", "vla"], 1, "error: GTA5 has no split 'vla'"),
        (["gta5", "--data_root", "ROOT", "--split", "val"], 1, "error: GTA5: no images for val"),
        (["gta5", "--data_root", "ROOT", "--num_classes", "5"], 1, "cannot be read with 5 classes"),
        (["gta5", "--data_root", "ROOT", "--num_processes", "0"], 1, "num_processes must be"),
    ],
)
def test_errors(run, root: Path, arguments: list[str], code: int, text: str) -> None:
    found, _, err = run(*(word.replace("ROOT", str(root)) for word in arguments))
    assert found == code
    assert text in err
    assert "Traceback" not in err


def test_empty_root(run, root: Path) -> None:
    for path in root.rglob("*.png"):
        path.unlink()
    code, _, err = run("gta5", "--data_root", root)
    assert code == 1
    assert err.startswith(
        f"error: GTA5: no images for train below {root}. Expected images/NNNNN.png"
    )


def test_every_data_set_has_a_size() -> None:
    assert set(prepare._SIZES) == set(DATASETS)


@pytest.mark.parametrize("name", ["camvid", "demo", "digits", "folders", "office31"])
def test_size_is_that_of_the_configuration(name: str) -> None:
    """Else the records that are prepared are not those that a training looks for."""
    config = runpy.run_path(str(PROJECT / "configs" / f"{name}.py"))["get_config"]()
    assert prepare._SIZES[name] == config.source_size == config.target_size


def test_as_a_module(root: Path) -> None:
    (root / "labels" / "00002.png").unlink()
    command = [sys.executable, "-m", "msl_jax.data.prepare", "gta5", "--check_only", "--strict"]
    result = subprocess.run(
        [*command, "--data_root", root], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr == "error: 1 pairs have a problem, and --strict refuses them.\n"
    assert "missing label: 1\n" in result.stdout
