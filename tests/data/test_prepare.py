"""The prepare command: what it prints, what it makes, and its exit codes."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trees import write_crosscity, write_folders, write_gta5, write_ids, write_image

from msl_jax.data import prepare
from msl_jax.data.datasets.gta5 import GTA5
from msl_jax.data.datasets.registry import default_size, names
from msl_jax.data.prepared.records import prepare as prepare_records

PROJECT = Path(__file__).resolve().parents[2]
TRAIN, VAL = (1, 2, 10, 16), 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_gta5(tmp_path / "gta5", (*TRAIN, 11))


def _folders(tmp_path: Path) -> list[str]:
    return sorted(path.parent.name for path in tmp_path.glob("records/*/*/3.2.0"))


def test_check_only_makes_nothing(run_prepare, root: Path, tmp_path: Path, snapshot) -> None:
    before = snapshot(root)
    code, out, err = run_prepare("gta5", "--data_root", root, "--check_only")
    assert (code, err) == (0, "")
    assert "gta5/train: 4 images of 12,402 expected, 4 labels, no problem" in out
    assert re.search(r"    7  road +\d+\.\d+% +4\n", out)
    assert "gta5/val: 0 images, skipped" in out
    assert "gta5/test: 1 images of 6,155 expected" in out
    assert "gta5/all" not in out
    assert not (tmp_path / "records").exists()
    assert snapshot(root) == before


def test_records_are_those_that_training_looks_for(run_prepare, root: Path, tmp_path: Path) -> None:
    code, out, _ = run_prepare("gta5", "--data_root", root, "--size", "6,10")
    assert code == 0
    records = prepare_records(GTA5(root), "train", (6, 10), tmp_path / "records")
    assert f"gta5/train: 4 records of 6x10 (height x width), 0 MB, in {records.folder}\n" in out
    assert [name.rpartition("_")[0] for name in _folders(tmp_path)] == ["gta5_train_6x10"]


def test_pairs_with_a_problem_are_left_out_and_named(
    run_prepare, root: Path, tmp_path: Path
) -> None:
    (root / "labels" / "00002.png").unlink()
    write_image(root / "images" / "00010.png", (13, 20))
    given = ("gta5", "--data_root", root, "--size", "6,10", "--split", "train")
    code, out, err = run_prepare(*given)
    assert code == 0
    assert "4 images of 12,402 expected, 3 labels, 2 with a problem" in out
    assert out.count("labels/00002.png: no such file") == 1
    assert out.count("images/00010.png has 20x13 pixels") == 1
    assert "gta5/train: 2 records of 6x10" in out
    assert "2 pairs have a problem and are skipped. Fix them, or train with --config.on_bad" in out
    assert err.startswith("gta5/train: 4 of the 12402 published")
    shutil.rmtree(tmp_path / "records")
    code, out, err = run_prepare(*given, "--strict")
    assert (code, err) == (1, "error: 2 pairs have a problem, which --strict does not allow.\n")
    assert "labels/00002.png: no such file" in out
    assert _folders(tmp_path) == []


def test_checked_in_parallel_alike(run_prepare, root: Path) -> None:
    (root / "labels" / "00002.png").write_bytes(b"no image")
    given = ("gta5", "--data_root", root, "--check_only", "--num_processes")
    assert run_prepare(*given, 1) == run_prepare(*given, 2)


def test_labels_without_image_are_named(run_prepare, root: Path) -> None:
    for number in range(20, 34):
        shutil.copy(root / "labels" / "00001.png", root / "labels" / f"{number:05}.png")
    _, out, _ = run_prepare("gta5", "--data_root", root, "--check_only", "--strict")
    found = f"gta5: 14 labels without an image below {root}:"
    assert f"{found} labels/00020.png, labels/00021.png, labels/00022.png, ...\n" in out


def test_labels_that_hold_nothing_are_refused(run_prepare, root: Path) -> None:
    for path in (root / "labels").iterdir():
        write_ids(path, np.zeros((12, 20)), palette=True)
    code, out, err = run_prepare("gta5", "--data_root", root, "--check_only", "--split", "train")
    assert code == 1
    assert "gta5/train: 19 of 19 classes in no label: road, sidewalk, building" in out
    assert "gta5/train: 100.0% of the pixels in 4 labels ignored\n" in out
    assert "gta5/train: 4 labels without a pixel that counts: 00001\n" in out
    assert err == (
        "error: gta5/train: not one pixel counts in 4 labels; all are ignored (255 never counts)."
        " Fix the labels, or remove them if there are none to be used.\n"
    )


def test_label_maps_of_jpeg_are_refused_by_name(run_prepare, tmp_path: Path) -> None:
    """By the check as by the preparation: compression has changed their ids."""
    root = write_folders(tmp_path / "mine")
    (root / "classes.yaml").write_text("classes: [{id: 0, name: all, color: [1, 2, 3]}]")
    shutil.copytree(root / "images", root / "labels")
    for flags in (("--check_only",), ("--size", "6,10")):
        code, out, err = run_prepare("folders", "--data_root", root, *flags)
        assert code == 1
        assert f"{root}/labels/a.jpg: PNG or BMP or TIFF or GIF expected, found JPEG." in out
        assert "not one of 1 label can be used; the first one:" in err
        assert "no problem" not in out.split("target_train")[0]
    assert _folders(tmp_path) == []


def test_evaluation_splits_keep_the_size_of_labels(run_prepare, tmp_path: Path) -> None:
    root = write_crosscity(tmp_path / "crosscity")
    code, out, _ = run_prepare("crosscity", "--data_root", root, "--size", "6,10")
    assert code == 0
    assert "crosscity/Tokyo_test: 0 images, skipped" in out
    assert [name.rpartition("_")[0] for name in _folders(tmp_path)] == [
        "crosscity_Rome_test_6x10_full_labels",
        "crosscity_Rome_train_6x10",
    ]


def test_generated_data(run_prepare) -> None:
    code, out, _ = run_prepare("demo", "--check_only")
    assert code == 0
    assert "demo/source_train: 400 images, generated when they are read" in out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere"], 2, "invalid choice: 'nowhere'; choose one of "),
        (["folder"], 2, "invalid choice: 'folder'; did you mean folders? choose one of "),
        (["gta5"], 2, "give their folder with --data_root DIR"),
        (["gta5", "--data_root", "ROOT", "--size", "720x1280"], 2, "argument --size"),
        (["gta5", "--data_root", "ROOT", "--size", "0,5"], 2, "argument --size"),
        (["gta5", "--data_root", "ROOT/images"], 1, "error: GTA5: "),
        (["gta5", "--data_root", "ROOT", "--split", "vla"], 1, "error: GTA5 has no split 'vla'"),
        (
            ["gta5", "--data_root", "ROOT", "--split", "val"],
            1,
            "nothing of val among 10 files below",
        ),
        (["gta5", "--data_root", "ROOT", "--num_classes", "5"], 1, "cannot be read with 5 classes"),
        (["gta5", "--data_root", "ROOT", "--num_processes", "0"], 1, "num_processes must be"),
    ],
)
def test_errors(run_prepare, root: Path, arguments: list[str], code: int, text: str) -> None:
    found, _, err = run_prepare(*(word.replace("ROOT", str(root)) for word in arguments))
    assert found == code
    assert text in err
    assert "Traceback" not in err


def test_empty_root(run_prepare, root: Path) -> None:
    for path in root.rglob("*.png"):
        path.unlink()
    code, _, err = run_prepare("gta5", "--data_root", root)
    assert code == 1
    assert err.startswith(f"error: GTA5: no files below {root}. Expected images/NNNNN.png")


def test_every_data_set_has_a_size(capsys) -> None:
    with pytest.raises(SystemExit):
        prepare.main(["--help"])
    page = " ".join(capsys.readouterr().out.split())
    for name in names():
        height, width = default_size(name)
        assert f"{name} {height},{width}" in page


def test_splits_of_the_same_name_are_not_passed_over_everywhere(
    run_prepare, tmp_path: Path
) -> None:
    """GTA5's `all` repeats its other splits; a domain of photos with this name does not."""
    for domain in ("all", "home"):
        (tmp_path / "photos" / domain / "mug").mkdir(parents=True)
        write_image(tmp_path / "photos" / domain / "mug" / "a.png", (8, 8))
    code, out, _ = run_prepare("class_folders", "--data_root", tmp_path / "photos", "--check_only")
    assert code == 0
    assert "class_folders/all: 1 images" in out
    assert "class_folders/home: 1 images" in out


@pytest.mark.parametrize("name", ["camvid", "demo", "digits", "folders", "office31"])
def test_size_is_that_of_the_configuration(name: str) -> None:
    """Otherwise the command would not prepare the records that training needs."""
    config = runpy.run_path(str(PROJECT / "configs" / f"{name}.py"))["get_config"]()
    assert default_size(name) == config.source_size == config.target_size


def test_as_a_module(root: Path) -> None:
    (root / "labels" / "00002.png").unlink()
    command = [sys.executable, "-m", "msl_jax.data.prepare", "gta5", "--check_only", "--strict"]
    result = subprocess.run(
        [*command, "--data_root", root], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr == "error: 1 pairs have a problem, which --strict does not allow.\n"
    assert "missing label: 1\n" in result.stdout
