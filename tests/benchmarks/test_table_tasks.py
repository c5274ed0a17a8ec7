"""Table 1's layout for made-up results: the figures, and the exact files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.tables.files import copy_results, expect_room, read_results, write_tables
from benchmarks.tables.markdown import files
from benchmarks.tables.paper import OFFICE31
from benchmarks.tables.results import MEAN, Spread
from benchmarks.tables.runs import TASK_ROWS, Run
from msl_jax.runtime.errors import UserError

# Target accuracy by task, row and seed.
DIGITS: dict[str, dict[str, dict[int, float]]] = {
    "mnist-uci": {
        "source": {0: 0.50, 1: 0.60},
        "target_statistics": {0: 0.60, 1: 0.65},
        "max_square": {0: 0.70, 1: 0.80},
        "oracle": {0: 0.90, 1: 0.90},
    },
    "uci-mnist": {
        "source": {0: 0.30, 1: 0.20},
        "target_statistics": {0: 0.40, 1: 0.30},
        "max_square": {0: 0.40},
    },
}


def _results(config: str, row: str, seed: int, accuracy: float) -> dict[str, Any]:
    found = {"target": {"accuracy": accuracy}, "source": {"accuracy": 0.9}}
    adapted = row not in ("source", "oracle")
    return {
        **{"config": config, "variant": row, "seed": seed},
        "source_only": found if adapted else None,
        "final": {**found, "step": 4},
        "best": {"target": {"accuracy": accuracy}, "step": 4},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that writes results as the command keeps them, or as runs leave them."""

    def written(accuracy: Any = DIGITS, name: str = "digits", runs: bool = False) -> Path:
        folder = tmp_path / ("w" if runs else "results")
        for task, rows in accuracy.items():
            for row, seeds in rows.items():
                for seed, value in seeds.items():
                    path = folder / task / f"{row}-seed{seed}.json"
                    if runs:
                        path = folder / task / f"seed{seed}" / row / "results.json"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps(_results(f"{name}-{task}", row, seed, value)))
        return folder

    return written


ACCURACY = """\
| row | n | MNIST to UCI | UCI to MNIST | mean |
| --- | --- | --- | --- | --- |
| source | 2 | 55.0 ± 7.1 | 25.0 ± 7.1 | 40.0 ± 0.0 |
| target_statistics | 2 | 62.5 ± 3.5 | 35.0 ± 7.1 | 48.8 ± 1.8 |
| dann | - | - | - | - |
| minent | - | - | - | - |
| max_square | 2 | 75.0 ± 7.1 | 40.0 (n=1) | 55.0 (n=1) |
| oracle | 2 | 90.0 ± 0.0 | - | - |
"""

OVER_CONTROL = """\
| row | n | MNIST to UCI | UCI to MNIST | mean |
| --- | --- | --- | --- | --- |
| max_square | 2 | +12.5 ± 3.5 | +0.0 (n=1) | +5.0 (n=1) |
"""

DIFFERENCES = """\
| difference, seed by seed | MNIST to UCI | UCI to MNIST | mean |
| --- | --- | --- | --- |
| target_statistics - source | +7.5 ± 3.5 (higher in 2 of 2) | +10.0 ± 0.0 (higher in 2 of 2)\
 | +8.8 ± 1.8 (higher in 2 of 2) |
| max_square - target_statistics | +12.5 ± 3.5 (higher in 2 of 2) | +0.0 (higher in 0 of 1)\
 | +5.0 (higher in 1 of 1) |
"""


def test_markdown(write) -> None:
    """The mean is over the tasks for each seed, for the seeds that all tasks have."""
    text = files(read_results(write()))["tables.md"]
    first, second, third = text.split("\n\n### ")
    assert first.startswith("### digits: target accuracy\n\nIn percent, after the last step: mean")
    assert first.endswith(f"over these seeds.\n\n{ACCURACY}".rstrip())
    assert second.startswith("digits: target accuracy over the control\n\n")
    assert second.endswith(f"\n\n{OVER_CONTROL}".rstrip())
    assert third.startswith("digits: differences\n\nIn points of percent, of the seeds that both")
    assert third.endswith(f"\n\n{DIFFERENCES}")
    assert "paper" not in text.lower()


def test_differences_as_csv(write) -> None:
    lines = files(read_results(write()))["differences.csv"].splitlines()
    assert lines[0] == "row,minus,task,n,mean,deviation,low,high,higher"
    assert len(lines) == 1 + 2 * 3
    assert "max_square,target_statistics,mnist-uci,2,12.500,3.536,10.000,15.000,2" in lines
    assert "max_square,target_statistics,uci-mnist,1,0.000,,0.000,0.000,0" in lines


def test_no_file_of_differences_of_one_row(write) -> None:
    results = read_results(write({"mnist-uci": {"oracle": {0: 0.5}}}))
    texts = files(results)
    assert set(texts) == {"tables.md", "table.csv"}
    assert "seed by seed" not in texts["tables.md"]


def test_mean_over_tasks(write) -> None:
    results = read_results(write())
    mean = {"metric": "accuracy", "task": MEAN}
    assert results.of_seeds("source", "target", **mean) == pytest.approx({0: 0.4, 1: 0.4})
    assert results.of_seeds("source", "over_control", **mean) == {0: None, 1: None}
    assert results.of_seeds("oracle", "target", **mean) == {}
    assert results.cell("source", "over_control", **mean) == Spread()


def test_papers_figures_stand_below_ours(write) -> None:
    results = read_results(write({"amazon-webcam": {"max_square": {0: 0.5}}}, "office31"))
    texts = files(results)
    text = texts["tables.md"]
    assert text.startswith("### office31: target accuracy\n")
    assert "Paper: Office-31, Table 1.\n" in text
    assert "| row | n | A-W | D-W | W-D | A-D | D-A | W-A | mean |" in text
    assert (
        "| max_square | 1 | 50.0 | - | - | - | - | - | - |\n"
        "| max_square, paper |  | 92.4 ± 0.5 | 99.1 ± 0.1 | 100.0 | 90.0 ± 0.2 | 68.1 ± 0.4"
        " | 64.2 ± 0.2 | 85.6 |\n"
    ) in text
    assert text.count(", paper |") == len(OFFICE31.cells) == 4
    lines = texts["table.csv"].splitlines()
    assert lines[0] == "row,task,figure,n,mean,deviation,low,high,paper,paper_deviation"
    assert "max_square,amazon-webcam,target,1,50.000,,50.000,50.000,92.400,0.500" in lines
    assert "max_square,amazon-webcam,source,1,90.000,,90.000,90.000,," in lines
    assert "minent,webcam-dslr,target,0,,,,,100.000," in lines
    assert "dann,mean,target,0,,,,,82.200," in lines
    assert len(lines) == 1 + len(TASK_ROWS) * 7 * 6


@pytest.mark.parametrize("row", OFFICE31.cells)
def test_papers_means(row: str) -> None:
    """The last column is the mean of the others, so that a mistyped figure is found."""
    *tasks, mean = (cell[0] for cell in OFFICE31.cells[row].values())
    assert sum(tasks) / 6 == pytest.approx(mean, abs=0.0501)


def test_task_that_the_paper_lacks(write) -> None:
    results = read_results(write({"home-shop": {"source": {0: 0.5}}}, "photos"))
    text = files(results)["tables.md"]
    assert "| row | n | home-shop | mean |" in text
    assert "| source | 1 | 50.0 | 50.0 |" in text


def test_files_are_the_same_for_the_same_results(write, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = read_results(write())
    for folder in ("first", "second"):
        assert write_tables(results, tmp_path / folder) == files(results)["tables.md"]
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert names == {"tables.md", "table.csv", "differences.csv", "table.png", "table.svg"}
    for name in names:
        first, second = (tmp_path / folder / name for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    with Image.open(tmp_path / "first" / "table.png") as picture:
        assert len(picture.convert("L").getcolors() or []) > 20


def test_picture_of_office31_with_tasks_still_to_be_run(write, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = write({"amazon-webcam": {"max_square": {0: 0.5, 1: 0.6}}}, "office31")
    write_tables(read_results(folder), tmp_path / "out")
    assert (tmp_path / "out" / "table.svg").read_text().count('<g id="axes_') == 6


def test_picture_of_office31_with_a_task_that_the_paper_lacks(write, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = write({"shop-home": {"max_square": {0: 0.5}}}, "office31")
    write_tables(read_results(folder), tmp_path / "out")
    assert (tmp_path / "out" / "table.svg").read_text().count('<g id="axes_') == 7


def test_results_are_copied(write, tmp_path: Path, snapshot) -> None:
    workdir, output = write(runs=True), tmp_path / "tables"
    # The user's own: another sweep below, and a run of another configuration.
    write({"my-trial": {"source": {0: 0.1}}}, runs=True)
    path = workdir / "my-trial" / "seed0" / "source" / "results.json"
    path.write_text(path.read_text().replace("digits-my-trial", "digits-mnist-uci"))
    before = snapshot(workdir)
    copy_results(workdir, output)
    assert sorted(map(str, (path.relative_to(output) for path in output.rglob("*.json")))) == [
        *("mnist-uci/max_square-seed0.json", "mnist-uci/max_square-seed1.json"),
        *("mnist-uci/oracle-seed0.json", "mnist-uci/oracle-seed1.json"),
        *("mnist-uci/source-seed0.json", "mnist-uci/source-seed1.json"),
        *("mnist-uci/target_statistics-seed0.json", "mnist-uci/target_statistics-seed1.json"),
        "uci-mnist/max_square-seed0.json",
        *("uci-mnist/source-seed0.json", "uci-mnist/source-seed1.json"),
        *("uci-mnist/target_statistics-seed0.json", "uci-mnist/target_statistics-seed1.json"),
    ]
    assert snapshot(workdir) == before
    assert read_results(output) == read_results(write())
    (workdir / "mnist-uci" / "seed1" / "oracle" / "results.json").write_text(
        json.dumps(_results("digits-mnist-uci", "oracle", 1, 0.1))
    )
    with pytest.raises(UserError, match=r"mnist-uci/oracle-seed1\.json holds other results than"):
        copy_results(workdir, output)


def test_runs_without_a_task_come_first(write, tmp_path: Path) -> None:
    """A sweep of segmentation stays readable whatever other folders are there."""
    workdir = write(runs=True)
    folder = workdir / "seed0" / "source"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(_results("camvid", "source", 0, 0.5)))
    copy_results(workdir, tmp_path / "tables")
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["source-seed0.json"]


def test_room_for_results(write) -> None:
    folder = write()
    expect_room(folder, [Run("dann", 0, task="mnist-uci")], "digits")
    with pytest.raises(UserError, match=r"mnist-uci/oracle-seed0\.json exists, but its run is not"):
        expect_room(folder, [Run("oracle", 0, task="mnist-uci")], "digits")
    with pytest.raises(UserError, match="results of digits, not of camvid"):
        expect_room(folder, [], "camvid")


def test_results_in_the_folder_of_another_task(write) -> None:
    folder = write()
    kept = folder / "mnist-uci" / "source-seed0.json"
    kept.write_text((folder / "uci-mnist" / "source-seed0.json").read_text())
    message = r"source-seed0\.json: config: expected one of 'mnist-uci', found 'digits-uci-mnist'"
    with pytest.raises(UserError, match=message):
        read_results(folder)


def test_results_that_cannot_be_compared(write) -> None:
    folder = write({"amazon-webcam": {"source": {0: 0.5}}}, "office31")
    write()
    with pytest.raises(UserError, match="results of several configurations: digits, office31"):
        read_results(folder)
