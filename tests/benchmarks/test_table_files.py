"""Files of the tables, and results that cannot be read."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import MIOU, SENSITIVITY, results_of, write_results
from PIL import Image

from benchmarks.tables.files import (
    copy_results,
    expect_room,
    read_results,
    result_file,
    write_tables,
)
from benchmarks.tables.runs import Run
from msl_jax.runtime.errors import UserError


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    return functools.partial(write_results, tmp_path / "results")


def test_files_are_the_same_for_the_same_results(write, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = read_results(write({**MIOU, **SENSITIVITY}))
    names = ["tables.md", "table.csv", "differences.csv", "classes.csv", "sensitivity.csv"]
    names += ["table.png", "table.svg", "sensitivity.png", "sensitivity.svg"]
    for folder in ("first", "second"):
        write_tables(results, tmp_path / folder)
        assert {path.name for path in (tmp_path / folder).iterdir()} == set(names)
    for name in names:
        first, second = (tmp_path / folder / name for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    with Image.open(tmp_path / "first" / "table.png") as picture:
        assert len(picture.convert("L").getcolors() or []) > 20
    svg = (tmp_path / "first" / "table.svg").read_text()
    assert svg.count('<g id="line2d') > 20
    assert str(tmp_path) not in svg


def _finish(workdir: Path, row: str, seed: int, **keys: Any) -> None:
    folder = workdir / f"seed{seed}" / row
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results_of(row, seed, None, 0.2)))
    config = {"name": "camvid", "task": "segmentation", "variant": row.partition("-")[0], **keys}
    (folder / "config.json").write_text(json.dumps(config))


def test_results_are_copied(tmp_path: Path, snapshot) -> None:
    workdir, output = tmp_path / "w", tmp_path / "tables"
    with pytest.raises(UserError, match=r"w: no finished run, expected seedS/ROW/results\.json"):
        copy_results(workdir, output)
    assert not output.exists()
    _finish(workdir, "max_square", 0, lambda_target=4.0)
    _finish(workdir, "max_square-lambda_target=8", 0)
    for name in ("my_own_trial", "max_square-lambda_target=x", "max_square_old"):
        _finish(workdir, name, 0)
    before = snapshot(workdir)
    copy_results(workdir, output)
    assert sorted(path.name for path in output.iterdir()) == [
        "max_square-lambda_target=8-seed0.json",
        "max_square-seed0.json",
        "own_values.json",
    ]
    assert read_results(output).own == {"lambda_target": 4.0}
    kept = snapshot(output)
    (workdir / "seed0" / "max_square" / "results.json").write_text("{}")
    with pytest.raises(UserError, match=r"max_square-seed0\.json holds other results than"):
        copy_results(workdir, output)
    assert {k: v for k, v in snapshot(output).items() if "seed" in k} == {
        k: v for k, v in kept.items() if "seed" in k
    }
    assert snapshot(workdir).keys() == before.keys()


def test_room_for_results(write) -> None:
    folder = write({"source": {0: (None, 0.2)}})
    expect_room(folder, [Run("source", 1)], "camvid")
    with pytest.raises(UserError, match=r"source-seed0\.json exists, but its run is not finished"):
        expect_room(folder, [Run("source", 0)], "camvid")
    with pytest.raises(UserError, match="results of camvid, not of demo"):
        expect_room(folder, [], "demo")
    expect_room(folder / "none", [Run("source", 0)], "demo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"cannot read .*source-seed0\.json"),
        (
            "[]",
            r"source-seed0\.json: not a run's results: config, final, seed, source_only, v",
        ),
        (
            json.dumps({**results_of("source", 0, None, 0.2), "final": {}}),
            r"final: expected metrics",
        ),
        (json.dumps(results_of("source", 1, None, 0.2)), r"seed: expected 0, found 1"),
        (json.dumps(results_of("oracle", 0, None, 0.2)), r"variant: expected 'source', found 'o"),
    ],
)
def test_damaged_results(write, text: str, message: str) -> None:
    folder = write({"source": {0: (None, 0.2)}})
    result_file(folder, Run("source", 0)).write_text(text)
    with pytest.raises(UserError, match=message):
        read_results(folder)


def test_results_that_cannot_be_compared(write) -> None:
    folder = write({"source": {0: (None, 0.2)}})
    write({"oracle": {0: (None, 0.2)}}, config="demo")
    with pytest.raises(UserError, match="results of several configurations: camvid, demo"):
        read_results(folder)
    with pytest.raises(UserError, match="none: no results, expected files ROW-seedS"):
        read_results(folder / "none")


def test_target_without_labels(write) -> None:
    folder = write({"source": {0: (None, 0.2)}}, final={"target": None, "source": None, "step": 9})
    with pytest.raises(UserError, match="nothing was measured on the target in these runs"):
        read_results(folder)
    nothing = {"miou": None, "iou": {"road": None}, "pixel_accuracy": None}
    final = {"target": nothing, "source": nothing, "step": 9}
    write({"source": {0: (None, 0.2)}}, final=final)
    with pytest.raises(UserError, match="nothing was measured on the target in these runs"):
        read_results(folder)
