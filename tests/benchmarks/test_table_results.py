"""Tables of made-up results: the figures, and the exact texts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import MIOU, SENSITIVITY, write_results

from benchmarks.tables.files import read_results, result_file
from benchmarks.tables.markdown import files
from benchmarks.tables.paper import published
from benchmarks.tables.results import TWO_HEADS, Results
from benchmarks.tables.runs import Run
from benchmarks.tables.sensitivity import sensitivity


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    return functools.partial(write_results, tmp_path / "results")


@pytest.fixture
def results(write) -> Results:
    return read_results(write())


def _mean(results: Results, row: str, name: str) -> Any:
    cell = results.cell(row, name, "miou")
    return (cell.n, pytest.approx(cell.mean)) if cell.n else None


def test_figures(results: Results) -> None:
    assert _mean(results, "max_square", "target") == (2, 32.5)
    assert _mean(results, "max_square", "best") == (2, 33.5)
    assert _mean(results, "max_square", "source") == (2, 60)
    assert _mean(results, "max_square", "over_source_only") == (2, 7.5)
    assert _mean(results, "max_square", "over_control") == (2, (6 - 1) / 2)
    # Per seed, then averaged: 10 of 40 and 5 of 20 points; not 15 of 60, and not of the means.
    assert _mean(results, "max_square", "gap_closed") == (2, 25)
    assert _mean(results, "target_statistics", "gap_closed") == (2, (10 + 30) / 2)
    assert _mean(results, "target_statistics", "over_control") is None
    assert _mean(results, "oracle", "over_source_only") == (2, 30)
    assert _mean(results, "oracle", "gap_closed") is None
    assert _mean(results, "source", "over_source_only") is None
    assert _mean(results, "minent", "target") is None


def test_multi_rows_count_from_their_own_source_only_network_and_control(results: Results) -> None:
    assert _mean(results, "max_square_multi", "over_source_only") == (1, 15)
    assert _mean(results, "max_square_multi", "gap_closed") == (1, 60)
    assert _mean(results, "max_square_multi", "over_control") == (1, 3)
    assert _mean(results, "target_statistics_multi", "over_control") is None
    assert _mean(results, TWO_HEADS, "target") == (1, 25)
    assert _mean(results, TWO_HEADS, "source") == (1, 70)
    assert _mean(results, TWO_HEADS, "best") is None
    assert _mean(results, TWO_HEADS, "over_source_only") is None


def test_control_of_another_length_is_none(write) -> None:
    """A row whose method has steps of its own, as DACS has on CamVid."""
    folder = write()
    path = result_file(folder, Run("target_statistics", 1))
    values = json.loads(path.read_text())
    values["final"]["step"] += 1
    path.write_text(json.dumps(values))
    assert _mean(read_results(folder), "max_square", "over_control") == (1, 6)


def test_no_gap_where_the_oracle_is_no_better(write) -> None:
    folder = write({**MIOU, "oracle": {0: (None, 0.20), 1: (None, 0.45)}})
    cell = read_results(folder).cell("max_square", "gap_closed", "miou")
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
| target_statistics_multi | 1 | 37.0 | 38.0 | +12.0 | - | - | 60.0 | - | - |
| max_square_multi | 1 | 40.0 | 41.0 | +15.0 | +3.0 | - | 60.0 | 45.2 | 29.4 |
| max_square_iw_multi | - | - | - | - | - | - | - | 46.4 | 33.7 |
| oracle | 1 | 60.0 | 61.0 | +40.0 | - | - | 60.0 | 65.1 | - |
"""

DIFFERENCES = """\
| difference, seed by seed | mIoU |
| --- | --- |
| target_statistics - source | +5.0 ± 1.4 (higher in 2 of 2) |
| target_statistics_multi - source (two heads) | +12.0 (higher in 1 of 1) |
| max_square - target_statistics | +2.5 ± 4.9 (higher in 1 of 2) |
| max_square_multi - target_statistics | +4.0 (higher in 1 of 1) |
| max_square_multi - target_statistics_multi | +3.0 (higher in 1 of 1) |
| max_square_multi - max_square | +5.0 (higher in 1 of 1) |
"""

BY_CLASS = """\
### camvid: target IoU by class

Mean over n seeds, in percent.

| class | source | source (two heads) | target_statistics | max_square | target_statistics_multi\
 | max_square_multi | oracle |
| --- | --- | --- | --- | --- | --- | --- | --- |
| n | 2 | 1 | 2 | 2 | 1 | 1 | 1 |
| road | 75.0 | 75.0 | 70.0 | 67.5 | 63.0 | 60.0 | 40.0 |
| train | - | - | - | - | - | - | - |
| **mIoU** | 25.0 | 25.0 | 30.0 | 32.5 | 37.0 | 40.0 | 60.0 |
"""


def test_markdown(write) -> None:
    """A figure from fewer seeds than its row says so; missing cells are dashes."""
    results = read_results(write({**MIOU, "oracle": {0: (None, 0.60)}}))
    text = files(results)["tables.md"]
    assert text.startswith("### camvid: mIoU\n\nIn percent, after the last step: mean over n seeds")
    assert "Paper: GTA5 to Cityscapes, Tables 2 and 4, another experiment.\n\n" in text
    after = text.partition("another experiment.\n\n")[2]
    main, _, rest = after.partition("\n### camvid: differences\n\nIn points of percent")
    assert main == MAIN_ROWS
    assert rest.partition("target_statistics_multi.\n\n")[2] == f"{DIFFERENCES}\n{BY_CLASS}"


def test_csv(results: Results) -> None:
    texts = files(results)
    lines = texts["table.csv"].splitlines()
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
    by_class = texts["classes.csv"].splitlines()
    assert by_class[:2] == [
        "row,class,n,mean,deviation,low,high",
        "source,road,2,75.000,7.071,70.000,80.000",
    ]
    assert "source,train,0,,,," in by_class
    differences = texts["differences.csv"].splitlines()
    assert differences[0] == "row,minus,metric,n,mean,deviation,low,high,higher"
    assert "max_square,target_statistics,miou,2,2.500,4.950,-1.000,6.000,1" in differences


SENSITIVITY_ROWS = """\
| parameter | row | value | n | target mIoU | paper |
| --- | --- | --- | --- | --- | --- |
| lambda_T | max_square | 4 (own) | 2 | 32.5 ± 3.5 [30.0, 35.0] | 44.3 |
| lambda_T | max_square | 2 | 2 | 32.0 ± 1.4 [31.0, 33.0] | 43.7 |
| lambda_T | max_square | 0.8 | 1 | 22.0 | 43.0 |
"""


def test_sensitivity(write) -> None:
    folder = write({**MIOU, **SENSITIVITY})
    assert [line.own for line in sensitivity(read_results(folder))] == [False, False, True]
    (folder / "own_values.json").write_text('{"lambda_target": 4.0}')
    results = read_results(folder)
    texts = files(results)
    assert texts["tables.md"].endswith(f"Table 5.\n\n{SENSITIVITY_ROWS}")
    miou = {**MIOU, "max_square-lambda_target=2": {1: (0.3, 0.33)}}
    other = read_results(write_results(folder.with_name("other"), miou))
    assert [line.target.n for line in sensitivity(other) if line.target.n] == [1, 1]
    assert texts["sensitivity.csv"].splitlines()[1:3] == [
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
    text = files(read_results(folder))["tables.md"]
    assert "| source | 1 | 30.0 | 31.0 | - | - | - | 60.0 | 30.1 | - |" in text
    assert "### synthia: mIoU* (13 classes)" in text
    assert "| source | 1 | 35.0 | - | - | - | - | - | 34.3 | - |" in text
    assert "seed by seed" not in text
    assert "another experiment" not in text


def test_published_rows_that_have_not_been_run(write) -> None:
    """They come last; of another network, without a share of this one's gap."""
    folder = write({"source": {0: (None, 0.3)}, "cbst": {0: (0.3, 0.4)}}, config="gta5")
    text = files(read_results(folder))["tables.md"].partition("\n### gta5: target IoU")[0]
    assert "AdvEnt+MinEnt 44.8. Of a wider ResNet-38: its cbst and cbst_sp.\n\n" in text
    assert "| cbst | 1 | 40.0 | 41.0 | +10.0 | - | - | 60.0 | 45.2 | - |\n" in text
    nothing = " | - | - | - | - | - | - | - |"
    assert text.splitlines()[-3:] == [
        f"| adaptsegnet{nothing} 42.4 | 19.5 |",
        f"| minent_advent{nothing} 42.3 | 19.1 |",
        f"| cbst_sp{nothing} 46.2 | - |",
    ]


def test_published_share_of_the_gap() -> None:
    assert published("gta5", "miou").gap_closed("max_square_iw_multi") == pytest.approx(
        33.7, abs=0.05
    )
    assert published("synthia", "miou").gap_closed("max_square_iw_multi") is None  # no oracle


def test_picture_of_table_5(write) -> None:
    """Only GTA5's figures share an axis with the paper's."""
    plot = pytest.importorskip("benchmarks.tables.plot", reason="matplotlib is missing")
    for config, axes in (("gta5", 1), ("synthia", 2)):
        folder = write({**MIOU, **SENSITIVITY}, config=config)
        (folder / "own_values.json").write_text('{"lambda_target": 4.0}')
        pictures = dict(plot.pictures(read_results(folder)))
        assert len(pictures["sensitivity"].axes) == axes
