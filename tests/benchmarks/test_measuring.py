"""Processes of a comparison: turns, memory, errors, and their end together with the parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.support.measuring import ROOT, Contestant, ContestantError, Process, compare


def _until(condition, seconds: float = 20.0) -> bool:
    """Whether the condition becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the module of fake contestants, which is on the path of their processes."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return "fake_contestants"


def test_rounds_in_turns_after_a_warm_up(fakes, tmp_path, capfd):
    log = tmp_path / "log"
    contestants = {
        name: Contestant(f"{fakes}:writes", {"log": str(log), "name": name}) for name in "ab"
    }
    measured = compare(contestants, rounds=3)
    # A first round, a turn that does not count, then turns of two rounds.
    assert log.read_text() == "ab" + "aabb" + 3 * "aabb"
    for name, figures in measured.items():
        assert len(figures.seconds) == 3
        assert all(0 < seconds < 1 for seconds in (*figures.seconds, figures.first_seconds))
        assert figures.facts == {"name": name}
    assert capfd.readouterr().out == ""  # reserved for the result


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="there is no /proc")
def test_peak_memory_is_that_of_the_rounds(fakes):
    peaks = {}
    for megabytes in (20, 60):
        arguments = {"megabytes": megabytes, "before": 200}
        with Process(Contestant(f"{fakes}:takes", arguments)) as process:
            peaks[megabytes] = process.measured([]).peak_memory_mb
    assert peaks == {size: pytest.approx(size, abs=5) for size in peaks}


def test_memory_is_none_if_the_system_cannot_tell(fakes, monkeypatch):
    from benchmarks.support import measuring

    def no_file(*_):
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(measuring.Path, "write_text", no_file)
    assert measuring._memory_at_start() is None


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("prepare", r"(?s)fails failed:\nTraceback.*ValueError: cannot prepare"),
        ("round", r"(?s)fails failed:\nTraceback.*ValueError: cannot run"),
        ("exit", r"fails ended with exit status 3"),
    ],
)
def test_error(fakes, when, message):
    with pytest.raises(ContestantError, match=message):
        compare({"only": Contestant(f"{fakes}:fails", {"when": when})}, rounds=1)


def test_waiting_takes_no_processor_time(fakes):
    pause = 0.3
    contestant = Contestant(f"{fakes}:processor_time", {"pause": pause})
    with Process(contestant) as process:
        time.sleep(pause)
        process.round()  # fails if waiting took more than a tenth of the pause


def test_environment(fakes):
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    with Process(Contestant(f"{fakes}:counts_devices", {}, environment)) as process:
        assert process.measured([]).facts == {"devices": 3}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_ends_with_its_parent_within_a_round(fakes, tmp_path):
    pid_file = tmp_path / "pid"
    arguments = json.dumps({"pid_file": str(pid_file)})
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from benchmarks.support.measuring import Contestant, Process\n"
            f"Process(Contestant('{fakes}:waits', {arguments}))",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])},
    )
    try:
        assert _until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        pid = int(pid_file.read_text())
        assert _alive(pid)
    finally:
        parent.kill()
        parent.wait()
    assert _until(lambda: not _alive(pid))
