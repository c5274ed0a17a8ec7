"""The comparisons with PyTorch: what they run and what they print, with tiny sizes."""

from __future__ import annotations

import json
import os
import tempfile
import time

import pytest

from benchmarks import evaluate, scaling, startup, train_step
from benchmarks.support import our_steps
from benchmarks.support.measuring import Measured, Prepared
from benchmarks.support.work import TrainingWork

TINY = {"depth": 14, "width": 4}
TINY_OPTIONS = ["--depth=14", "--width=4", "--size=16,32", "--rounds=2"]


@pytest.fixture
def needs_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch, and quick compilation in the processes, where it takes most of the time."""
    pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} {quick}")


def _check(result: dict, name: str) -> None:
    assert result["benchmark"] == name
    for side in ("ours", "torch"):
        low, high = result[side]["spread"]
        assert 0 < low <= result[side]["seconds"] <= high
    assert result["ratio"]["seconds"] == result["ours"]["seconds"] / result["torch"]["seconds"]
    peaks = [result[side]["peak_memory_mb"] for side in ("ours", "torch")]
    if None not in peaks:
        assert min(peaks) > 0
        assert result["ratio"]["memory"] == peaks[0] / peaks[1]
    assert result["cores"] >= 1
    assert set(result["versions"]) == {"jax", "torch", "numpy"}


@pytest.mark.usefixtures("needs_torch")
def test_train_step(capsys):
    assert train_step.main([*TINY_OPTIONS, "--part=source"]) == 0
    result = json.loads(capsys.readouterr().out)
    _check(result, "train_step")
    for lap in ("build", "trace_and_lower", "compile"):
        assert result["ours"][f"{lap}_seconds"] > 0
    assert result["torch"]["memory_format"] == "channels_last"
    sizes = {key: result["sizes"][key] for key in ("part", "source_size", "depth", "rounds")}
    assert sizes == {"part": "source", "source_size": [16, 32], "depth": 14, "rounds": 2}


@pytest.mark.usefixtures("needs_torch")
def test_evaluate(capsys):
    assert evaluate.main(TINY_OPTIONS) == 0
    _check(json.loads(capsys.readouterr().out), "evaluate")


def test_startup_measures_ours(monkeypatch):
    laps = {"build_seconds": 1.0, "trace_and_lower_seconds": 2.0, "compile_seconds": 3.0}
    monkeypatch.setattr(our_steps, "training", lambda **work: Prepared(lambda: work, laps))
    prepared = startup.ours(started=time.time() - 1, depth=14)
    assert prepared.run() == {"depth": 14}
    assert list(prepared.facts) == ["interpreter", "import", "build", "trace_and_lower", "compile"]
    assert 1 < prepared.facts["interpreter"] < 2


@pytest.mark.usefixtures("needs_torch")
def test_startup_of_a_process():
    work = TrainingWork("source", (16, 32), (16, 32), **TINY)
    contestant = startup.Contestant("benchmarks.startup:torch", work.as_json())
    parts = startup.start(contestant)
    assert list(parts) == ["interpreter", "import", "build", "first_step", "total"]
    total = parts.pop("total")
    assert 0.8 * total < sum(parts.values()) < total


def test_startup_report(monkeypatch):
    caches = []

    def start(contestant):
        caches.append(contestant.environment.get("JAX_COMPILATION_CACHE_DIR"))
        # In each round 10 s cold, 4 s warm and 2 s for PyTorch, a second more every time.
        number, kind = divmod(len(caches) - 1, 3)
        return {"import": 1.0, "total": [10.0, 4.0, 2.0][kind] + number}

    monkeypatch.setattr(startup, "start", start)
    result = startup.measure(TrainingWork("adapt"), rounds=3)
    assert result["cold"] == {
        "seconds": 11.0,
        "spread": [10.0, 12.0],
        "parts": {"import": {"seconds": 1.0, "spread": [1.0, 1.0]}},
    }
    assert result["ratio"] == {"cold": 11 / 3, "warm": 5 / 3}
    assert caches[2::3] == [None] * 3
    cold, warm = caches[::3], caches[1::3]
    assert cold == warm  # the two processes of a round share a cache of their own
    assert len(set(cold)) == 3
    assert all(path.startswith(tempfile.gettempdir()) for path in cold)


def _fake_compare(contestants, rounds):
    """Seconds and memory in proportion to the pixels."""
    measured = {}
    for side, contestant in contestants.items():
        work = TrainingWork.from_json(
            {k: v for k, v in contestant.arguments.items() if k != "memory_format"}
        )
        pixels = work.batch_size * work.source_size[0] * work.source_size[1]
        seconds = {"ours": 1e-3, "torch": 2e-3}[side] * pixels
        measured[side] = Measured([seconds] * rounds, 1.0, 1e-2 * pixels, {})
    return measured


def test_scaling_with_pixels(monkeypatch):
    monkeypatch.setattr(scaling, "compare", _fake_compare)
    result = scaling.measure("pixels", [(8, 16), (16, 32)], 2, **TINY)
    first, second = result["points"]
    assert [point["size"] for point in (first, second)] == [(8, 16), (16, 32)]
    assert second["ours"]["seconds"] == pytest.approx(4 * first["ours"]["seconds"])
    for point in (first, second):
        assert point["ours"]["seconds_per_megapixel"] == pytest.approx(500)  # two images per step
        assert point["ours"]["relative"] == pytest.approx(1)
        assert point["ratio"] == {"seconds": pytest.approx(0.5), "memory": pytest.approx(1)}


@pytest.mark.parametrize("part", ["batch", "devices"])
def test_scaling_on_one_machine(monkeypatch, part):
    seen = []

    def compare(contestants, rounds):
        seen.append(contestants["ours"])
        return _fake_compare(contestants, rounds)

    monkeypatch.setattr(scaling, "compare", compare)
    monkeypatch.setenv("XLA_FLAGS", "--xla_of_the_user=1")
    result = scaling.measure(part, [(8, 16)], 1, **TINY)
    assert all("torch" not in point for point in result["points"])
    counts = [(point["batch_size"], point["devices"]) for point in result["points"]]
    batches, devices = [(1, 1), (2, 1), (4, 1)], [(1, 1), (1, 2), (1, 4)]
    assert counts == (batches if part == "batch" else devices)
    for contestant, (batch_size, count) in zip(seen, counts, strict=True):
        assert contestant.arguments["batch_size"] == batch_size
        flags = f"--xla_of_the_user=1 --xla_force_host_platform_device_count={count}"
        assert contestant.environment["XLA_FLAGS"] == flags


@pytest.mark.parametrize("command", [train_step, evaluate, startup])
def test_wrong_size(command, capsys):
    with pytest.raises(SystemExit):
        command.main(["--size=big"])
    assert "--size" in capsys.readouterr().err
