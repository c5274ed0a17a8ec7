"""The plan and the summary of `python -m benchmarks.digits`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import digits_difficulty
from benchmarks.digits import DIRECTIONS, VARIANTS, main, plan


def test_plan_begins_with_what_the_others_need(tmp_path: Path) -> None:
    runs = list(plan(tmp_path, [3, 4]))
    assert len(runs) == 2 * len(DIRECTIONS) * len(VARIANTS)
    assert len({folder for folder, _ in runs}) == len(runs)
    assert {config.seed for _, config in runs[: len(runs) // 2]} == {3}
    before: set[str] = set()
    for folder, config in runs:
        alone = config.variant in ("source", "oracle")
        assert config.init_from == ("" if alone else str(folder.parent / "source"))
        assert alone or config.init_from in before
        before.add(str(folder))
    folder, config = runs[0]
    assert folder == tmp_path / "mnist-uci" / "seed3" / "source"
    assert config.target_eval == "digits/uci_test"


def test_report_of_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results" / "mnist-uci"
    folder.mkdir(parents=True)
    for seed, accuracy in enumerate((0.5, 0.75)):
        result = {"variant": "dann", "seed": seed, "final": {"target": {"accuracy": accuracy}}}
        (folder / f"dann-seed{seed}.json").write_text(json.dumps(result))
    (folder / "other.json").write_text("no results")
    main(["--workdir", str(tmp_path), "--report_only"])
    found = json.loads(capsys.readouterr().out)
    row = found["accuracy"]["mnist-uci"]["dann"]
    assert row == {
        "mean": 0.625,
        "standard_deviation": pytest.approx(0.125 * 2**0.5),
        "range": [0.5, 0.75],
        "seeds": 2,
    }


def test_difficulty_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of measurements that are there already; nothing is trained."""
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is missing")
    matplotlib.use("agg")
    for folder, config in plan(tmp_path, [0, 1]):
        direction, seed, variant = folder.parts[-3:]
        after = {"minent": 0.5, "max_square": 0.75}.get(variant, 0.0) + config.seed / 8
        course = {
            "steps": [0, 20],
            "accuracy": [dict.fromkeys(("all", "top", "bottom"), v) for v in (0.25, after)],
        }
        file = tmp_path / direction / f"{variant}-{seed}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(course))
    digits_difficulty.main([f"--workdir={tmp_path}", f"--output={tmp_path}", "--seeds=0,1"])
    found = json.loads(capsys.readouterr().out)["accuracy"]
    bottom = found["uci-mnist"]["max_square"]["bottom"]
    assert bottom == {"before": 0.25, "after": 0.8125, "gain": 0.5625}
    assert found["mnist-uci"]["minent"]["seeds"] == 2
    assert {path.name for path in tmp_path.glob("*.*g")} == {
        *("mnist-uci.png", "mnist-uci.svg", "uci-mnist.png", "uci-mnist.svg")
    }
