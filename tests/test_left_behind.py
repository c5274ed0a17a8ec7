"""What a process that was killed in its last moments leaves behind goes at the next start."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from saved_states import INPUT, make_state, save_stage

from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.resume import StageCheckpoints
from msl_jax.runtime.files import atomic_write


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*"))


def _killed_while_writing(path: Path, kind: str) -> None:
    """Another process, which is killed before it has finished."""
    if (child := os.fork()) == 0:
        with atomic_write(path) as partial:
            if kind == "folder":
                partial.mkdir()
                partial /= "inside"
            partial.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_process_of_the_same_number_writes_it(tmp_path: Path, monkeypatch, kind: str) -> None:
    """The first process of a container always has number 1."""
    number = os.getpid()
    for name in ("result", "other"):
        _killed_while_writing(tmp_path / name, kind)
    (left,) = tmp_path.glob(".result.*")
    monkeypatch.setattr(os, "getpid", lambda: number)
    with atomic_write(tmp_path / "result") as partial:
        assert not left.exists()
        assert len(_names(tmp_path)) == 1  # what was left of `other` is not ours
        partial.mkdir()
    assert [name for name in _names(tmp_path) if not name.startswith(".other.")] == ["result"]


def test_who_still_writes_keeps_his_file(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "result") as slow:
        slow.write_text("slow")
        with atomic_write(tmp_path / "result") as quick:
            quick.write_text("quick")
        assert slow.exists()
    assert (tmp_path / "result").read_text() == "slow"
    assert _names(tmp_path) == ["result"]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone, as by `flock FOLDER COMMAND`; refused where anybody has a lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def test_folder_that_another_program_has_locked(tmp_path: Path) -> None:
    """Nobody waits for it, nor removes what others may be writing."""
    (left := tmp_path / ".result.0000000a.partial").write_text("")
    with _locked(tmp_path), atomic_write(tmp_path / "result") as partial:
        partial.write_text("content")
    assert _names(tmp_path) == [left.name, "result"]


def test_who_removes_is_waited_for(tmp_path: Path) -> None:
    other = contextlib.ExitStack()
    other.enter_context(_locked(tmp_path))
    threading.Timer(0.03, other.close).start()
    with atomic_write(tmp_path / "result") as partial:
        with pytest.raises(BlockingIOError), _locked(tmp_path):
            pass
        partial.write_text("content")


def test_stage_that_is_taken_up_again(tmp_path: Path) -> None:
    """Killed between the last save and the removal of what it replaces."""
    kept = save_stage(tmp_path / "adapt", 0.5, 0.3, 0.4, 0.2)  # 10 is the best
    shutil.copytree(tmp_path / "adapt" / "30", tmp_path / "adapt" / "20")
    shutil.copytree(tmp_path / "adapt" / "30", tmp_path / "adapt" / ".20.0000000a.partial")
    stage = StageCheckpoints(tmp_path, "adapt")
    stopped = Checkpoints(tmp_path / "stopped" / "adapt")
    (tmp_path / "stopped").mkdir()
    stopped.save(make_state(35), {}, {"target": None, "recent_metrics": []})
    point = stage.restore(make_state())
    assert (int(point.state.step), point.evaluated) == (40, True)
    assert kept.steps == [10, 30, 40]
    assert _names(tmp_path) == ["adapt"]
    assert _names(tmp_path / "adapt") == ["10", "30", "40"]


def test_newer_stop_stays(tmp_path: Path) -> None:
    save_stage(tmp_path / "adapt", 0.5)
    stage = StageCheckpoints(tmp_path, "adapt")
    stage.save_stopped(make_state(15), INPUT, [])
    (tmp_path / "stopped" / "adapt" / ".13.0000000a.partial").mkdir()
    for _ in range(2):
        assert int(stage.restore(make_state()).state.step) == 15
        assert _names(tmp_path / "stopped" / "adapt") == ["15"]


def test_damaged_stop_is_left_to_the_user(tmp_path: Path, capsys) -> None:
    save_stage(tmp_path / "adapt", 0.5)
    stage = StageCheckpoints(tmp_path, "adapt")
    stage.save_stopped(make_state(15), INPUT, [])
    (tmp_path / "stopped" / "adapt" / "15" / "input" / "metadata").unlink()
    assert int(stage.restore(make_state()).state.step) == 10
    assert "kept as 15.damaged" in capsys.readouterr().err
    stage.save(make_state(20), INPUT, {"target": None})
    assert _names(tmp_path / "stopped" / "adapt") == ["15.damaged"]
