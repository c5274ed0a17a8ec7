"""A soak test of a few steps, and the summary of its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import quick_compilation

from benchmarks.soak import Sample, summary, watch

ROOT = Path(__file__).parents[2]


def test_samples_of_a_training(tiny_keys: dict[str, Any], tmp_path: Path) -> None:
    keys = {**tiny_keys, "steps": 30, "source_steps": 1, "eval_every": 2, "log_every": 2}
    arguments = [
        f"--config={ROOT / 'configs' / 'camvid_scratch.py'}",
        f"--workdir={tmp_path / 'run'}",
    ]
    arguments += [f"--config.{key}={value}" for key, value in keys.items()]
    samples = watch(arguments, quick_compilation.environment(), every=4)
    steps = [sample.step for sample in samples]
    assert len(steps) >= 3
    assert steps == sorted(steps)
    assert all(sample.seconds_per_step > 0 for sample in samples)
    assert all(50 < sample.memory_mb < 5000 for sample in samples)
    assert all(sample.threads > 1 for sample in samples)
    files = [sample.open_files for sample in samples]
    assert min(files) > 3
    assert max(files) - files[0] <= 2  # a checkpoint may be open
    assert (tmp_path / "run" / "results.json").is_file()


def test_summary_tells_growth_from_a_warm_up() -> None:
    warm = [Sample(10, 9.0, 900.0, 99, 99)] * 10
    samples = warm + [Sample(100 + 10 * i, 0.5, 200.0 + i, 20, 8) for i in range(90)]
    found = summary(samples)
    level = {"start": 20, "middle": 20, "end": 20, "largest": 20}
    assert {k: v for k, v in found["open_files"].items() if k in level} == level
    assert found["open_files"]["slope_per_1000_steps"] == pytest.approx(0, abs=1e-9)
    memory = found["memory_mb"]
    assert memory["slope_per_1000_steps"] == pytest.approx(100)
    assert memory["start"] < memory["middle"] < memory["end"] < memory["largest"]


def test_failed_training_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"status 1:(.|\n)*steps: expected at least 1"):
        watch(["--config.steps=0", f"--workdir={tmp_path / 'run'}"], {}, every=1)
