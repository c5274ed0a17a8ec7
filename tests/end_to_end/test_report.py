"""The report of whole runs."""

from __future__ import annotations

import base64
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from html_pages import Node, expect_self_contained, read_page, rows_of
from PIL import Image

from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.evaluation import confusion_matrix, summary
from msl_jax.report import __main__ as report_command
from msl_jax.report.command import main, write_report
from msl_jax.runs.arrays import digest
from msl_jax.runtime.errors import UserError

CAMVID = LABEL_SETS["camvid"]
NAMES = CAMVID.names


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Function that gives a copy of a run, to be changed."""

    def copy(workdir: Path) -> Path:
        return Path(shutil.copytree(workdir, tmp_path / "copy"))

    return copy


def _written(workdir: Path, **arguments: object) -> Node:
    path = workdir.parent / "written.html"
    assert write_report(workdir, path, **{"images": 2, **arguments}) == path
    text = path.read_text()
    expect_self_contained(text)
    return read_page(text)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _tables(root: Node) -> dict[str, dict[str, list[str]]]:
    return {table.one("caption").text: rows_of(table) for table in root.find("table")}


def _titles(root: Node) -> list[str]:
    item = next(root.one("ol").find("li"))
    return [caption.text for caption in item.find("figcaption")]


def test_whole_run(whole, tmp_path: Path, capsys: pytest.CaptureFixture[str], snapshot) -> None:
    before = snapshot(whole.workdir)
    output = tmp_path / "new" / "page.html"
    main([f"--workdir={whole.workdir}", f"--output={output}"])
    assert f"Report: {output}" in capsys.readouterr().out
    assert snapshot(whole.workdir) == before
    expect_self_contained(output.read_text())
    root = read_page(output.read_text())
    results = json.loads((whole.workdir / "results.json").read_text())
    for domain in ("target", "source"):
        rows = _tables(root)[f"{domain}: IoU in %"]
        source_only, final = results["source_only"][domain], results["final"][domain]
        for name in NAMES:
            expected = [_percent(m["iou"][name]) for m in (source_only, final)]
            assert rows[name][:2] == expected
        assert rows["mIoU"][:2] == [_percent(m["miou"]) for m in (source_only, final)]
        if domain == "target":
            assert rows["mIoU"][3] == _percent(results["best"]["target"]["miou"])
    # Both stages were logged, and the adaptation begins with the baseline.
    titles = [chart.children[0].text for chart in root.find("svg")]
    assert any(title.startswith("source-only: source/final") for title in titles)
    assert any(title.startswith("max_square_iw_multi: target/guidance") for title in titles)
    (miou,) = (title for title in titles if title.startswith("max_square_iw_multi: mIoU"))
    assert f"target: {100 * results['source_only']['target']['miou']:.3g} at step 0" in miou
    assert len(list(root.one("ol").find("li"))) == 5
    assert _titles(root) == ["image", "label", "source-only", "adapted", "confidence"]
    links = [link.attributes["data-class"] for link in root.one("nav").find("a")]
    assert links == ["", *NAMES]
    depth = _tables(root)["Network"]["model.depth"]
    assert depth == ["14", "101"]
    assert not list(root.find("p", class_="warning"))


def _classes(item: Node, title: str) -> np.ndarray:
    """The train ids that a map of the gallery shows, 255 where ignored."""
    (figure,) = (f for f in item.find("figure") if f.one("figcaption").text == title)
    content = base64.b64decode(figure.one("img").attributes["src"].partition("base64,")[2])
    with Image.open(io.BytesIO(content)) as picture:
        colors = np.array(picture.convert("RGB"))
    found = np.full(colors.shape[:2], 255, np.uint8)
    for train_id in range(len(NAMES)):
        found[(colors == CAMVID.palette[train_id]).all(-1)] = train_id
    return found


def test_pictures_give_the_numbers_of_the_results(whole) -> None:
    """The gallery of the whole split holds what was evaluated, before and after."""
    items = list(_written(whole.workdir, images=1000).one("ol").find("li"))
    assert len(items) == 5
    for title, results in (("source-only", "source_only"), ("adapted", "final")):
        confusion = sum(
            np.asarray(confusion_matrix(_classes(item, "label"), _classes(item, title), len(NAMES)))
            for item in items
        )
        assert summary(confusion, NAMES) == whole.results[results]["target"]


def test_default_output_and_its_replacement(source, copied) -> None:
    workdir = copied(source.workdir)
    assert write_report(workdir, images=0) == workdir / "report.html"
    write_report(workdir, images=0)
    with (workdir / "report.html").open("a") as file:
        file.write("my own words")
    with pytest.raises(UserError, match="nothing is overwritten"):
        write_report(workdir, images=0)


@pytest.mark.parametrize("part", ["/adapt/4", "/adapt", "/pictures", ":best", ":source"])
def test_a_part_of_a_run_stands_for_it(
    whole, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    """Other commands print such paths."""
    given, pages = f"{whole.workdir}{part}", []
    for path in (whole.workdir, given):
        pages.append(write_report(path, tmp_path / "page.html", images=0).read_text())
    assert pages[0] == pages[1]
    note = f"note: {given} is a part of {whole.workdir}; the report is of that run\n"
    assert note in capsys.readouterr().err


def test_a_misspelt_path_stands_for_no_run(whole) -> None:
    with pytest.raises(UserError, match=r"/typo is not a run: .* \(it does not exist\)"):
        write_report(whole.workdir / "typo", images=0)


def test_run_without_an_adaptation(source) -> None:
    root = _written(source.workdir)
    assert _tables(root)["target: IoU in %"]["class"] == ["final", "best*"]
    assert _titles(root) == ["image", "label", "source-only", "confidence"]
    assert root.one("ol").attributes["data-order"] == "most wrong first"


def test_unfinished_run(whole, copied) -> None:
    workdir = copied(whole.workdir)
    (workdir / "results.json").unlink()
    root = _written(workdir)
    assert "Not finished: evaluated up to step 4 of 4 of the adaptation." in root.text
    rows = _tables(root)["target: IoU in %"]
    assert rows["class"] == ["source-only", "step 4", "change", "best so far*"]
    assert rows["mIoU"][1] == _percent(whole.results["final"]["target"]["miou"])


def test_run_that_began_with_weights(whole, copied, capsys: pytest.CaptureFixture[str]) -> None:
    """The source-only network lies in another run, which may have gone."""
    workdir = copied(whole.workdir)
    shutil.rmtree(workdir / "source")
    config = json.loads((workdir / "config.json").read_text())
    for start, found in ((f"{whole.workdir}:source", True), (str(workdir / "gone.pth"), False)):
        config["init_from"] = start
        (workdir / "config.json").write_text(json.dumps(config))
        root = _written(workdir)
        assert ("source-only" in _titles(root)) == found
        order = f"most {'changed' if found else 'wrong'} first"
        assert root.one("ol").attributes["data-order"] == order
        warnings = [node.text for node in root.find("p", class_="warning")]
        assert ["gone.pth" in text for text in warnings] == ([] if found else [True])
        assert ("gone.pth" in capsys.readouterr().err) == (not found)


def test_data_that_have_changed_since(whole, copied, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of some labels beside a gallery of others would show one run that never was."""
    workdir = copied(whole.workdir)
    kept = json.loads((workdir / "data.json").read_text())
    kept["target_eval"]["labels"] = "0" * 64
    (workdir / "data.json").write_text(json.dumps(kept))
    root = _written(workdir)
    (warning,) = root.find("p", class_="warning")
    assert warning.text.startswith("This page has no gallery. It would not be of what this run")
    assert f"target_eval ({kept['target_eval']['split']}): other labels" in warning.text
    assert warning.text in capsys.readouterr().err
    assert not list(root.find("ol"))
    assert "target: IoU in %" in _tables(root)


@pytest.mark.parametrize("same", [True, False])
def test_weights_that_have_changed_since(whole, copied, same: bool) -> None:
    workdir = copied(whole.workdir)
    shutil.rmtree(workdir / "source")
    config, kept = (json.loads((workdir / f"{n}.json").read_text()) for n in ("config", "data"))
    config["init_from"] = start = f"{whole.workdir}:source"
    began = digest(whole.variables(":source")) if same else "0" * 64
    kept["init_from"] = {"split": start, "weights": began}
    for name, content in (("config", config), ("data", kept)):
        (workdir / f"{name}.json").write_text(json.dumps(content))
    root = _written(workdir)
    assert ("source-only" in _titles(root)) == same
    warnings = [node.text for node in root.find("p", class_="warning")]
    assert [f"init_from ({start}): other weights" in text for text in warnings] == [True] * (
        not same
    )


def test_damaged_checkpoint(whole, copied) -> None:
    """All but the gallery needs no network; the page says what is wrong."""
    workdir = copied(whole.workdir)
    file = max((workdir / "adapt/4/variables").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    root = _written(workdir)
    (warning,) = root.find("p", class_="warning")
    assert warning.text.startswith("This page has no gallery. ")
    assert "adapt/4" in warning.text
    assert not list(root.find("ol"))
    expected = _percent(whole.results["final"]["target"]["miou"])
    assert _tables(root)["target: IoU in %"]["mIoU"][1] == expected


@pytest.mark.parametrize("exists", [True, False])
def test_no_run(
    tmp_path: Path,
    exists: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = tmp_path / "run"
    if exists:
        workdir.mkdir()
    monkeypatch.setattr(sys, "argv", ["report", f"--workdir={workdir}"])
    with pytest.raises(SystemExit, match="1"):
        report_command.main()
    error = capsys.readouterr().err
    assert error.startswith(f"error: --workdir {workdir} is not a run")
    assert ("it does not exist" in error) == (not exists)
    assert list(tmp_path.rglob("*")) == [workdir] * exists
