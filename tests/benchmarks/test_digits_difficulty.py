"""The figures and plots of `python -m benchmarks.digits_difficulty`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks import digits_difficulty
from benchmarks.tables.runs import TASKS

ACCURACY = {"minent": 0.5, "max_square": 0.75}


def _course(after: float) -> dict[str, Any]:
    accuracy = [dict.fromkeys(("all", "top", "bottom"), value) for value in (0.25, after)]
    return {"steps": [0, 20], "accuracy": accuracy}


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From existing measurements; nothing is trained."""
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is missing")
    matplotlib.use("agg")
    for direction in TASKS["digits"]:
        (tmp_path / direction).mkdir()
        for loss, after in ACCURACY.items():
            for seed in (0, 1):
                text = json.dumps(_course(after + seed / 8))
                (tmp_path / direction / f"{loss}-seed{seed}.json").write_text(text)
    digits_difficulty.main([f"--workdir={tmp_path}", f"--output={tmp_path}", "--seeds=0,1"])
    found = json.loads(capsys.readouterr().out)["accuracy"]
    bottom = found["uci-mnist"]["max_square"]["bottom"]
    assert bottom == {"before": 0.25, "after": 0.8125, "gain": 0.5625}
    assert found["mnist-uci"]["minent"]["seeds"] == 2
    assert {path.name for path in tmp_path.glob("*.*g")} == {
        *("mnist-uci.png", "mnist-uci.svg", "uci-mnist.png", "uci-mnist.svg")
    }


def test_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both losses, starting from the source-only networks of the tables' command; none twice."""
    measured = []

    class Course(NamedTuple):
        steps: list[int]

    def watch(config: Any, every: int) -> Course:
        measured.append((config.name, config.variant, config.seed, config.init_from))
        return Course([0, every])

    monkeypatch.setattr("msl_jax.analysis.adaptation.watched_classification", watch)
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "out" / "uci-mnist" / "minent-seed3.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    digits_difficulty.measure_all(Path("w"), [3], Path("out"))
    assert [run[:3] for run in measured] == [
        ("digits-mnist-uci", "minent", 3),
        ("digits-mnist-uci", "max_square", 3),
        ("digits-uci-mnist", "max_square", 3),
    ]
    assert measured[2][3] == str(tmp_path / "w" / "uci-mnist" / "seed3" / "source")
    assert kept.read_text() == "{}"
    assert (tmp_path / "out/mnist-uci/max_square-seed3.json").exists()
