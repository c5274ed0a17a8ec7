"""Tables of made-up results: the figures, and the files exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import table_text
from benchmarks.table_files import (
    copy_results,
    expect_room,
    read_results,
    result_file,
    write_tables,
)
from benchmarks.table_paper import published
from benchmarks.table_results import TWO_HEADS, Results, figure, sensitivity
from benchmarks.table_rows import Run
from msl_jax.errors import UserError

# Target mIoU by row and seed: before (None where the row adapts nothing), after.
MIOU = {
    "source": {0: (None, 0.20), 1: (None, 0.30)},
    "target_statistics": {0: (0.20, 0.24), 1: (0.30, 0.36)},
    "max_square": {0: (0.20, 0.30), 1: (0.30, 0.35)},
    "max_square_multi": {1: (0.25, 0.40)},
    "oracle": {0: (None, 0.60), 1: (None, 0.50)},
}


def _metrics(miou: float) -> dict[str, Any]:
    return {"miou": miou, "iou": {"road": 1 - miou, "train": None}, "pixel_accuracy": 0.5}


def _results(row: str, seed: int, before: float | None, after: float) -> dict[str, Any]:
    return {
        "config": "camvid",
        "variant": row.partition("-")[0],
        "seed": seed,
        "source_only": before and {"target": _metrics(before), "source": _metrics(0.7)},
        "final": {"target": _metrics(after), "source": _metrics(0.6), "step": 9},
        "best": {"target": _metrics(after + 0.01), "step": 8},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes results of rows into a folder, those of `MIOU` by default."""

    def written(miou: Any = MIOU, **other: Any) -> Path:
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        for row, seeds in miou.items():
            for seed, pair in seeds.items():
                text = json.dumps({**_results(row, seed, *pair), **other})
                result_file(folder, Run(row, seed)).write_text(text)
        return folder

    return written


@pytest.fixture
def results(write) -> Results:
    return read_results(write())


def _mean(results: Results, row: str, name: str) -> Any:
    cell = figure(results, row, name, "miou")
    return cell and (cell.n, pytest.approx(cell.mean))


def test_figures(results: Results) -> None:
    assert _mean(results, "max_square", "target") == (2, 32.5)
    assert _mean(results, "max_square", "best") == (2, 33.5)
    assert _mean(results, "max_square", "source") == (2, 60)
    assert _mean(results, "max_square", "over_source_only") == (2, 7.5)
    assert _mean(results, "max_square", "over_control") == (2, (6 - 1) / 2)
    # Of each seed, then averaged: 10 of 40 and 5 of 20 points; not 15 of 60 and not of the means.
    assert _mean(results, "max_square", "gap_closed") == (2, 25)
    assert _mean(results, "target_statistics", "gap_closed") == (2, (10 + 30) / 2)
    assert _mean(results, "target_statistics", "over_control") is None
    assert _mean(results, "oracle", "over_source_only") == (2, 30)
    assert _mean(results, "oracle", "gap_closed") is None
    assert _mean(results, "source", "over_source_only") is None
    assert _mean(results, "minent", "target") is None


def test_multi_rows_count_from_their_own_source_only_network(results: Results) -> None:
    assert _mean(results, "max_square_multi", "over_source_only") == (1, 15)
    assert _mean(results, "max_square_multi", "gap_closed") == (1, 60)
    assert _mean(results, TWO_HEADS, "target") == (1, 25)
    assert _mean(results, TWO_HEADS, "source") == (1, 70)
    assert _mean(results, TWO_HEADS, "best") is None
    assert _mean(results, TWO_HEADS, "over_source_only") is None


def test_no_gap_where_the_oracle_is_no_better(write) -> None:
    folder = write({**MIOU, "oracle": {0: (None, 0.20), 1: (None, 0.45)}})
    cell = figure(read_results(folder), "max_square", "gap_closed", "miou")
    assert cell is not None
    assert (cell.n, cell.deviation) == (1, None)


MAIN_ROWS = """\
| row | n | target mIoU | best † | over source-only | over the control | gap closed | source mIoU\
 | paper | paper: gap closed |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| source | 2 | 25.0 ± 7.1 [20.0, 30.0] | 26.0 ± 7.1 | - | - | - | 60.0 ± 0.0 | 36.9 | - |
| source (two heads) | 1 | 25.0 | - | - | - | - | 70.0 | - | - |
| target_statistics | 2 | 30.0 ± 8.5 [24.0, 36.0] | 31.0 ± 8.5 | +5.0 ± 1.4 | - | 10.0 (n=1)\
 | 60.0 ± 0.0 | - | - |
| minent | - | - | - | - | - | - | - | 42.2 | 18.8 |
| minent_iw | - | - | - | - | - | - | - | 43.5 | 23.4 |
| max_square | 2 | 32.5 ± 3.5 [30.0, 35.0] | 33.5 ± 3.5 | +7.5 ± 3.5 | +2.5 ± 4.9 | 25.0 (n=1)\
 | 60.0 ± 0.0 | 44.3 | 26.2 |
| max_square_iw | - | - | - | - | - | - | - | 45.2 | 29.4 |
| max_square_multi | 1 | 40.0 | 41.0 | +15.0 | +4.0 | - | 60.0 | 45.2 | 29.4 |
| max_square_iw_multi | - | - | - | - | - | - | - | 46.4 | 33.7 |
| oracle | 1 | 60.0 | 61.0 | +40.0 | - | - | 60.0 | 65.1 | - |
"""

DIFFERENCES = """\
| difference, seed by seed | mIoU |
| --- | --- |
| target_statistics - source | +5.0 ± 1.4 (higher in 2 of 2) |
| max_square - target_statistics | +2.5 ± 4.9 (higher in 1 of 2) |
| max_square_multi - target_statistics | +4.0 (higher in 1 of 1) |
| max_square_multi - max_square | +5.0 (higher in 1 of 1) |
"""

BY_CLASS = """\
### camvid: target IoU by class

Mean over n seeds, in percent.

| class | source | source (two heads) | target_statistics | max_square | max_square_multi | oracle |
| --- | --- | --- | --- | --- | --- | --- |
| n | 2 | 1 | 2 | 2 | 1 | 1 |
| road | 75.0 | 75.0 | 70.0 | 67.5 | 60.0 | 40.0 |
| train | - | - | - | - | - | - |
| **mIoU** | 25.0 | 25.0 | 30.0 | 32.5 | 40.0 | 60.0 |
"""


def test_markdown(write) -> None:
    """A figure of fewer seeds than its row says so; missing cells are dashes."""
    results = read_results(write({**MIOU, "oracle": {0: (None, 0.60)}}))
    text = table_text.markdown(results)
    assert text.startswith("### camvid: mIoU\n\nIn percent, after the last step: mean over n seeds")
    assert "Paper: GTA5 to Cityscapes, Tables 2 and 4, another experiment.\n\n" in text
    after = text.partition("another experiment.\n\n")[2]
    main, _, rest = after.partition("\n### camvid: differences\n\nIn points of percent")
    assert main == MAIN_ROWS
    assert rest.partition("of two heads.\n\n")[2] == f"{DIFFERENCES}\n{BY_CLASS}"


def test_csv(results: Results) -> None:
    lines = table_text.main_csv(results).splitlines()
    assert lines[0] == "metric,row,figure,n,mean,deviation,low,high,paper"
    assert len(lines) == 1 + 6 * len(results.rows)
    for line in (
        "miou,source,target,2,25.000,7.071,20.000,30.000,36.900",
        "miou,max_square,over_control,2,2.500,4.950,-1.000,6.000,",
        "miou,max_square,gap_closed,2,25.000,0.000,25.000,25.000,26.241",
        "miou,max_square_multi,target,1,40.000,,40.000,40.000,45.200",
        "miou,minent,target,0,,,,,42.200",
    ):
        assert line in lines
    by_class = table_text.class_csv(results).splitlines()
    assert by_class[:2] == [
        "row,class,n,mean,deviation,low,high",
        "source,road,2,75.000,7.071,70.000,80.000",
    ]
    assert "source,train,0,,,," in by_class
    differences = table_text.files(results)["differences.csv"].splitlines()
    assert differences[0] == "row,minus,metric,n,mean,deviation,low,high,higher"
    assert "max_square,target_statistics,miou,2,2.500,4.950,-1.000,6.000,1" in differences


SENSITIVITY = {
    "max_square-lambda_target=2": {0: (0.2, 0.31), 1: (0.3, 0.33)},
    "max_square-lambda_target=0.8": {0: (0.2, 0.22)},
}

SENSITIVITY_ROWS = """\
| parameter | row | value | n | target mIoU | paper |
| --- | --- | --- | --- | --- | --- |
| lambda_T | max_square | 4 (own) | 2 | 32.5 ± 3.5 [30.0, 35.0] | 44.3 |
| lambda_T | max_square | 2 | 2 | 32.0 ± 1.4 [31.0, 33.0] | 43.7 |
| lambda_T | max_square | 0.8 | 1 | 22.0 | 43.0 |
"""


def test_sensitivity(write) -> None:
    folder = write({**MIOU, **SENSITIVITY})
    assert [line.own for line in sensitivity(read_results(folder), "miou")] == [False, False, True]
    (folder / "own_values.json").write_text('{"lambda_target": 4.0}')
    results = read_results(folder)
    assert table_text.markdown(results).endswith(f"Table 5.\n\n{SENSITIVITY_ROWS}")
    assert table_text.sensitivity_csv(results).splitlines()[1:3] == [
        "lambda_target,max_square,4,yes,2,32.500,3.536,30.000,35.000,44.300",
        "lambda_target,max_square,2,no,2,32.000,1.414,31.000,33.000,43.700",
    ]
    assert "max_square-lambda_target=2" not in results.rows


def test_two_metrics_and_the_figures_that_belong_to_each(write) -> None:
    folder = write({"source": {0: (None, 0.3)}}, config="synthia")
    path = result_file(folder, Run("source", 0))
    values = json.loads(path.read_text())
    values["final"]["target"]["miou_13"] = 0.35
    path.write_text(json.dumps(values))
    text = table_text.markdown(read_results(folder))
    assert "| source | 1 | 30.0 | 31.0 | - | - | - | 60.0 | 30.1 | - |" in text
    assert "### synthia: mIoU* (13 classes)" in text
    assert "| source | 1 | 35.0 | - | - | - | - | - | 34.3 | - |" in text
    assert "seed by seed" not in text
    assert "another experiment" not in text


def test_published_share_of_the_gap() -> None:
    assert published("gta5", "miou").gap_closed("max_square_iw_multi") == pytest.approx(
        33.7, abs=0.05
    )
    assert published("synthia", "miou").gap_closed("max_square_iw_multi") is None  # no oracle


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
    (folder / "results.json").write_text(json.dumps(_results(row, seed, None, 0.2)))
    config = {"name": "camvid", "variant": row.partition("-")[0], **keys}
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
        ("[]", r"source-seed0\.json: no results of a run, config, final, seed, source_only, v"),
        (json.dumps({**_results("source", 0, None, 0.2), "final": {}}), r"final: expected metrics"),
        (json.dumps(_results("source", 1, None, 0.2)), r"seed: expected 0, found 1"),
        (json.dumps(_results("oracle", 0, None, 0.2)), r"variant: expected 'source', found 'o"),
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
    with pytest.raises(UserError, match="the target has no labels in these runs"):
        read_results(folder)
