"""The runs behind the tables: in order, stopped, continued, failing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest
import quick_compilation

from benchmarks.tables.runs import Run, plan
from benchmarks.tables.sweep import Experiment, run_all, show
from msl_jax.config import VARIANTS, presets
from msl_jax.runs.lock import workdir_lock
from msl_jax.runs.workdir import RESULTS, claim_workdir
from msl_jax.runtime import stopping
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import read_json

CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG, DIGITS = str(CONFIGS / "camvid_scratch.py"), str(CONFIGS / "digits.py")
# Stands in for train.py. It fails in one row and trains forever in another.
FAKE = """
import json, os, pathlib, signal, sys
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
folder, (fails, waits) = pathlib.Path(words["workdir"]), PARTS
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.json").write_text(json.dumps(words))
if folder.name == fails:
    sys.exit("error: made up")
if folder.name == waits:
    def stop(number, frame):
        (folder / "stopped").write_text(signal.Signals(number).name)
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    (folder / "waiting").write_text(f"{os.getpid()}\\n")
    signal.pause()
(folder / "results.json").write_text('{"final": {}}')
print("the table of a run")
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment(CONFIG, {"steps": 6, "target_size": (16, 32)}, tmp_path / "w")


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., list[str]]:
    """Returns a function that gives the command to use instead of train.py."""

    def write(fails: str = "", waits: str = "") -> list[str]:
        path = tmp_path / "fake.py"
        path.write_text(FAKE.replace("PARTS", repr((fails, waits))))
        return [sys.executable, "-S", str(path)]

    return write


def _finish(experiment: Experiment, run: Run, seconds: int = 0, **keys: Any) -> None:
    """Makes the files of a finished run that took so many seconds."""
    folder = run.folder(experiment.workdir)
    config = experiment.config(run)
    config.update_from_flattened_dict(keys)
    (folder / "config.json").unlink(missing_ok=True)  # the fake's
    claim_workdir(folder, config, presets.complete(config))
    (folder / "results.json").write_text('{"final": {}}')
    os.utime(folder / "config.json", (1000, 1000))
    os.utime(folder / "results.json", (1000 + seconds, 1000 + seconds))


def _begun(experiment: Experiment) -> list[str]:
    paths = experiment.workdir.glob("*/*/config.json")
    return [path.parent.name for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)]


def test_one_after_the_other(experiment, program, capfd) -> None:
    finished: list[list[str]] = []
    planned = plan([3], ["max_square_iw", "minent"])
    assert (
        run_all(experiment, planned, lambda: finished.append(_begun(experiment)), program()) == {}
    )
    assert finished == [["source"], ["source", "minent"], ["source", "minent", "max_square_iw"]]
    words = json.loads((experiment.workdir / "seed3" / "minent" / "config.json").read_text())
    assert words == {
        "config": f"{CONFIG}:minent",
        "config.steps": "6",
        "config.target_size": "(16, 32)",
        "config.seed": "3",
        "config.init_from": str(experiment.workdir / "seed3" / "source"),
        "workdir": str(experiment.workdir / "seed3" / "minent"),
    }
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:2] == [
        "seed 3, source: run 1 of 3; 3 left, no estimate until the first has finished",
        "the table of a run",
    ]
    assert lines[4].startswith("seed 3, max_square_iw: run 3 of 3; 1 left, about ")


def test_finished_runs_are_not_run_again(experiment, program, capfd) -> None:
    _finish(experiment, Run("source", 0), seconds=9000)
    planned = plan([0], ["source", "minent"])
    assert run_all(experiment, planned, lambda: None, program()) == {}
    # 4,000 steps took 9,000 s; 6 steps of the adaptation make two passes each.
    assert capfd.readouterr().err.startswith("seed 0, minent: run 2 of 2; 1 left, about 1 min\n")
    assert experiment.seconds_left([Run("minent", 0)], [Run("source", 0)]) == 27
    assert "config" not in json.loads((experiment.workdir / "seed0/source/config.json").read_text())


def test_plan_is_shown_and_nothing_written(experiment, capfd, snapshot, tmp_path: Path) -> None:
    _finish(experiment, Run("source", 0), seconds=9000)
    before = snapshot(tmp_path)
    show(experiment, plan([0], ["source", "oracle"]))
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "# seed 0, source is finished"
    assert lines[1].startswith(f"python train.py --config={CONFIG}:oracle --config.steps=6 ")
    assert lines[2:] == ["# 1 of 2 left, about 2 h 30 min"]
    assert snapshot(tmp_path) == before


def test_finished_run_of_another_configuration(experiment, program, capfd) -> None:
    _finish(experiment, Run("source", 0), momentum=0.5)
    with pytest.raises(UserError, match=r"source holds .* differs in\n  momentum: 0\.5 -> 0\.9\n"):
        run_all(experiment, plan([0], ["oracle", "source"]), lambda: None, program())
    assert _begun(experiment) == ["source"]
    assert capfd.readouterr().err == ""


def test_failed_run_keeps_back_what_begins_from_it_and_nothing_else(
    experiment, program, capfd
) -> None:
    finished: list[list[str]] = []
    planned = plan([0], ["source", "minent", "max_square_iw_multi", "oracle"])
    failed = run_all(
        experiment, planned, lambda: finished.append(_begun(experiment)), program("source")
    )
    assert failed == {
        Run("source", 0): "exit status 1",
        Run("minent", 0): "not started: it starts from source",
    }
    assert finished[-1] == ["source", "max_square_multi", "max_square_iw_multi", "oracle"]
    assert len(finished) == 3
    err = capfd.readouterr().err
    assert "error: made up\nseed 0, source: exit status 1; see its message above\n" in err
    assert "seed 0, minent: not started: it starts from source, which failed\n" in err
    # The same call retries only what is missing.
    for row in ("max_square_multi", "max_square_iw_multi", "oracle"):
        _finish(experiment, Run(row, 0))
    again: list[None] = []
    assert run_all(experiment, planned, lambda: again.append(None), program()) == {}
    assert len(again) == 2


def test_failed_run_of_a_task_holds_back_that_task_alone(program, tmp_path, capfd) -> None:
    experiment = Experiment(DIGITS, {}, tmp_path / "w")
    planned = plan([0], ["dann"], tasks=["mnist-uci", "uci-mnist"])
    assert run_all(experiment, planned, lambda: None, program("dann")) == {
        run: "exit status 1" for run in planned if run.variant == "dann"
    }
    words = json.loads((planned[3].folder(experiment.workdir) / "config.json").read_text())
    assert words == {
        "config": f"{DIGITS}:dann",
        **{"config.seed": "0", "config.source": "uci", "config.target": "mnist"},
        "config.init_from": str(tmp_path / "w" / "uci-mnist" / "seed0" / "source"),
        "workdir": str(tmp_path / "w" / "uci-mnist" / "seed0" / "dann"),
    }
    assert "mnist-uci, seed 0, dann: exit status 1; see its" in capfd.readouterr().err

    _finish(experiment, planned[0])
    (planned[2].folder(experiment.workdir) / "results.json").unlink()
    failed = run_all(experiment, planned, lambda: None, program("source"))
    assert failed == {
        planned[2]: "exit status 1",
        planned[3]: "not started: it starts from source",
    }


def _when_waiting(folder: Path, action: Callable[[int], object]) -> threading.Thread:
    """Does something with the ID of the process that waits in a folder."""

    def watch() -> None:
        limit, path = time.monotonic() + 30, folder / "waiting"
        while not (path.exists() and path.read_text().endswith("\n")):
            if time.monotonic() > limit:
                return
            time.sleep(0.01)
        action(int(path.read_text()))

    watching = threading.Thread(target=watch)
    watching.start()
    return watching


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_signal_is_passed_on(experiment, program, number: signal.Signals) -> None:
    folder = Run("minent", 0).folder(experiment.workdir)
    planned = plan([0], ["source", "minent", "oracle"])
    _when_waiting(folder, lambda _: os.kill(os.getpid(), number))
    with pytest.raises(stopping.Stopped), stopping.handled(), stopping.at_once():
        run_all(experiment, planned, lambda: None, program(waits="minent"))
    assert (folder / "stopped").read_text() == number.name  # by then it has ended
    assert _begun(experiment) == ["source", "minent"]


def test_run_that_somebody_else_stops(experiment, program) -> None:
    """This is not a failure: the next run does not start."""
    folder = Run("minent", 0).folder(experiment.workdir)
    sending = _when_waiting(folder, lambda process: os.kill(process, signal.SIGTERM))
    with pytest.raises(stopping.Stopped, match=r"in .*/seed0/minent"):
        run_all(experiment, plan([0], ["minent", "oracle"]), lambda: None, program(waits="minent"))
    sending.join()
    assert _begun(experiment) == ["source", "minent"]


def test_run_that_somebody_else_trains(experiment, program) -> None:
    with (
        workdir_lock(Run("source", 0).folder(experiment.workdir)),
        pytest.raises(
            UserError, match=r"seed0/source is in use: process \d+ on .* is training there"
        ),
    ):
        run_all(experiment, plan([0], ["source", "oracle"]), lambda: None, program())
    assert _begun(experiment) == []


def test_real_runs_stopped_after_the_first(
    tiny_keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train.py` accepts these commands, and the second run starts where the first ended."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    for name, value in quick_compilation.environment().items():
        monkeypatch.setenv(name, value)
    experiment = Experiment(CONFIG, tiny_keys, tmp_path / "w")
    planned = plan([0], ["source", "max_square"])
    with pytest.raises(stopping.Stopped), stopping.handled(), stopping.at_once():
        run_all(experiment, planned, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert _begun(experiment) == ["source"]
    again: list[None] = []
    assert run_all(experiment, planned, lambda: again.append(None)) == {}
    assert len(again) == 1
    source, adapted = (read_json(run.folder(experiment.workdir) / RESULTS) for run in planned)
    assert adapted["source_only"] == {key: source["final"][key] for key in ("target", "source")}
    assert adapted["final"] != source["final"]
    assert all(experiment.finished(run) for run in planned)
    assert VARIANTS[adapted["variant"]].target_loss == "max_square"
