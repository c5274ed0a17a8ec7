"""A training that is killed twice, in processes of its own; and how runs are compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import quick_compilation

from benchmarks import kill_resume

ROOT = Path(__file__).parents[2]


def test_killed_training_ends_as_one_left_alone(
    tiny_keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in quick_compilation.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kill_resume.random, "Random", _Numbers)
    keys = {**tiny_keys, "source_steps": 12, "eval_every": 3, "log_every": 1}
    arguments = [f"--config={ROOT / 'configs' / 'camvid_scratch.py'}:source"]
    arguments += [f"--config.{key}={value}" for key, value in keys.items()]
    report = kill_resume.measure(arguments, tmp_path, kills=2, control=False)
    assert report["identical"], json.dumps(report)
    assert report["kills"] == 2
    assert [kill["while_saving"] for kill in report["fallen"]] == [True, True]
    logs = [tmp_path / name / "logs" / "source" for name in ("whole", "run0")]
    assert len(list(logs[1].glob("events.*"))) == 3
    logged = [_lines(folder / "metrics.jsonl") for folder in logs]
    assert logged[0] == logged[1]  # each step once, in the same order
    assert len(logged[0]) == 12 + 4


def _lines(path: Path) -> list[dict[str, float]]:
    """What was logged, without speeds."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in lines]


class _Numbers:
    """Instead of random ones: at once when the next checkpoint is being written."""

    def __init__(self, seed: int) -> None:
        pass

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float) -> float:
        return low


def _remove_checkpoint(workdir: Path) -> None:
    shutil.rmtree(workdir / "source" / "4")


def _change_results(workdir: Path) -> None:
    results = json.loads((workdir / "results.json").read_text())
    results["final"]["source"]["miou"] += 1e-16
    (workdir / "results.json").write_text(json.dumps(results, indent=2) + "\n")


def _add_labels(workdir: Path) -> None:
    (workdir / "labels" / "round_00").mkdir(parents=True)
    (workdir / "labels" / "round_00" / "round.json").write_text("{}")


def _other_place(workdir: Path) -> None:
    path = workdir / "adapt" / "4" / "input" / "metadata"
    path.write_text(path.read_text().replace("8", "9"))


def _of_other_stage(item: str) -> Callable[[Path], None]:
    def change(workdir: Path) -> None:
        shutil.rmtree(workdir / "adapt" / "4" / item)
        shutil.copytree(workdir / "source" / "4" / item, workdir / "adapt" / "4" / item)

    return change


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (lambda workdir: None, set()),
        (_change_results, {"results.json"}),
        (_add_labels, {"labels"}),
        (_of_other_stage("variables"), {"parameters", "statistics"}),
        (_of_other_stage("optimizer"), {"optimizer"}),
        (_other_place, {"input"}),
        (_of_other_stage("metrics"), {"metrics"}),
        (
            _remove_checkpoint,
            {"checkpoints", "parameters", "statistics", "optimizer", "input", "metrics"},
        ),
    ],
)
def test_differences_are_seen(
    whole, tmp_path: Path, change: Callable[[Path], None], differing: set[str]
) -> None:
    shutil.copytree(whole.workdir, tmp_path / "copy")
    change(tmp_path / "copy")
    same = kill_resume.identical(whole.workdir, tmp_path / "copy")
    assert {name for name, equal in same.items() if not equal} == differing
