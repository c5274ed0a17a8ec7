"""One training at a time in a workdir."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from msl_jax.runs.lock import LOCK, check_unlocked, workdir_lock
from msl_jax.runtime.errors import UserError

ROOT = Path(__file__).parents[1]
_HOLD = """
import sys, time
from pathlib import Path
from msl_jax.runs.lock import workdir_lock
with workdir_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_second_is_refused_with_the_facts_of_the_first(tmp_path: Path, snapshot) -> None:
    workdir = tmp_path / "a" / "run"
    with workdir_lock(workdir):
        facts = json.loads((workdir / LOCK).read_text())
        before = snapshot(tmp_path)
        for enter in (check_unlocked, lambda folder: workdir_lock(folder).__enter__()):
            with pytest.raises(UserError) as caught:
                enter(workdir)
            assert f"{workdir} is in use: process {os.getpid()}" in str(caught.value)
            assert f"on {socket.gethostname()}, since {facts['since']}" in str(caught.value)
            assert "--workdir" in str(caught.value)
        assert snapshot(tmp_path) == before


def test_free_again_afterwards_even_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), workdir_lock(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    check_unlocked(tmp_path)
    with workdir_lock(tmp_path):
        pass


def test_looking_at_a_folder_that_does_not_exist_makes_none(tmp_path: Path) -> None:
    check_unlocked(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_killed_process_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            with pytest.raises(UserError, match=f"process {process.pid} on "):
                check_unlocked(tmp_path)
        finally:
            process.kill()
    assert (tmp_path / LOCK).exists()  # stale
    with workdir_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()


def test_holder_that_has_not_told_its_facts(tmp_path: Path) -> None:
    with workdir_lock(tmp_path):
        (tmp_path / LOCK).write_text("")
        with pytest.raises(UserError, match="another process is training there"):
            check_unlocked(tmp_path)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to --workdir .*file/run"):
        workdir_lock(tmp_path / "file" / "run").__enter__()
