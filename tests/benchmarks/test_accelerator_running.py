"""Cases in a limited time, with a fake clock and fake processes, and what is stored of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accelerator import worker
from benchmarks.accelerator.results import FILE, Outcome, Results, read
from benchmarks.accelerator.running import Case, run


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Process:
    """A worker whose cases take as many seconds as their arguments say."""

    def __init__(self, clock: Clock, log: list[str]) -> None:
        self.clock, self.log, self.alive = clock, log, True

    def call(self, function: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        self.log.append(function)
        takes = arguments["takes"]
        if takes > seconds:
            self.clock.now += seconds
            self.alive = False
            raise worker.OutOfTime
        self.clock.now += takes
        if arguments.get("dies"):
            self.alive = False
            raise worker.CaseFailed("the process ended with exit status -9")
        if arguments.get("fails"):
            raise worker.CaseFailed("ValueError: so it is")
        return takes

    def close(self) -> None:
        if self.alive:
            self.log.append("closed")
        self.alive = False


def _case(name: str, takes: float, process: str = "a", least: float = 1.0, **more: Any) -> Case:
    return Case(name, process, name, {"takes": takes, **more}, least)


def _run(cases: list[Case], seconds: float) -> tuple[list[Outcome], list[str], list[str]]:
    clock, log, outcomes = Clock(), [], []

    def start(environment: Mapping[str, str]) -> Process:
        log.append("started")
        return Process(clock, log)

    left_out = run(cases, seconds=seconds, clock=clock, start=start, report=outcomes.append)
    return outcomes, left_out, log


def test_cases_run_in_order_in_the_processes_that_they_ask_for():
    cases = [_case("x", 1), _case("y", 2), _case("z", 3, "b")]
    outcomes, left_out, log = _run(cases, 10)
    assert [(o.name, o.result, o.seconds) for o in outcomes] == [
        ("x", 1, 1),
        ("y", 2, 2),
        ("z", 3, 3),
    ]
    assert left_out == []
    assert log == ["started", "x", "y", "closed", "started", "z", "closed"]


def test_a_case_that_does_not_fit_is_skipped_for_one_that_does():
    cases = [_case("x", 6), _case("long", 5, least=5), _case("short", 2, least=2)]
    outcomes, left_out, _ = _run(cases, 10)
    assert [o.name for o in outcomes] == ["x", "short"]
    assert left_out == ["long"]


def test_a_case_is_cut_off_when_the_time_is_up():
    outcomes, left_out, _ = _run([_case("x", 1), _case("endless", 1e9), _case("y", 1)], 10)
    assert outcomes[1] == Outcome("endless", None, "cut off after 9 s, when the time was up", 9.0)
    assert left_out == ["y"]


def test_a_failure_does_not_affect_other_cases():
    cases = [_case("bad", 1, fails=True), _case("dead", 1, dies=True), _case("good", 1)]
    outcomes, _, log = _run(cases, 10)
    assert [o.result for o in outcomes] == [None, None, 1]
    assert "so it is" in outcomes[0].problem
    assert "exit status -9" in outcomes[1].problem
    assert log == ["started", "bad", "dead", "started", "good", "closed"]


def test_results_are_complete_after_each_case(tmp_path: Path):
    results = Results(tmp_path)
    results.add(Outcome("a", {"x": 1.5}, None, 2.0))
    results.add(Outcome("b", None, "so", 1.0))
    assert read(tmp_path) == {
        "a": Outcome("a", {"x": 1.5}, None, 2.0),
        "b": Outcome("b", None, "so", 1.0),
    }


def test_an_incomplete_line_is_ignored_and_the_file_can_grow(tmp_path: Path):
    Results(tmp_path).add(Outcome("a", 1, None, 2.0))
    file = tmp_path / FILE
    whole = file.read_text()
    for length in range(1, len(whole)):
        file.write_text(whole + whole.replace('"a"', '"b"')[:length])
        expected = {"a", "b"} if length == len(whole) - 1 else {"a"}
        assert set(read(tmp_path)) == expected
        Results(tmp_path).add(Outcome("c", 3, None, 1.0))
        assert set(read(tmp_path)) == {*expected, "c"}


def test_a_result_is_not_replaced_by_a_failure(tmp_path: Path):
    results = Results(tmp_path)
    for outcome in (
        Outcome("a", None, "failed", 1.0),
        Outcome("a", 1, None, 1.0),
        Outcome("a", None, "failed", 1.0),
    ):
        results.add(outcome)
    assert read(tmp_path)["a"].result == 1
    assert len((tmp_path / FILE).read_text().splitlines()) == 3


def test_a_real_worker_returns_results_and_errors():
    process = worker.Worker({"MADE_UP": "here"})
    try:
        first = process.call("os:getpid", {}, 30)
        assert process.call("os:getpid", {}, 30) == first
        assert process.call("os:getenv", {"key": "MADE_UP"}, 30) == "here"
        with pytest.raises(
            worker.CaseFailed, match=r"^ModuleNotFoundError: No module named .nowhere.$"
        ):
            process.call("nowhere:function", {}, 30)
        assert process.call("json:loads", {"s": "[1]"}, 30) == [1]
        with pytest.raises(worker.CaseFailed, match="exit status 3"):
            process.call("os:_exit", {"status": 3}, 30)
        assert not process.alive
    finally:
        process.close()


def _gone(pid: int) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if "zombie" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def start_and_wait(file: str) -> None:
    """A case that starts a process, as a training run does, and never returns."""
    process = subprocess.Popen(["sleep", "600"])
    Path(file).write_text(str(process.pid))
    process.wait()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc")
def test_a_worker_is_killed_in_time_with_everything_that_it_started(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    process = worker.Worker({})
    with pytest.raises(worker.OutOfTime):
        process.call("test_accelerator_running:start_and_wait", {"file": str(tmp_path / "pid")}, 5)
    assert not process.alive
    assert _gone(int((tmp_path / "pid").read_text()))
    process.close()
