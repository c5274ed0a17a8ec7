"""Crash points of commands that are written for it, one of them wrong, and of the project's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

WHOLE = """
import os, sys
from pathlib import Path
file = Path(sys.argv[1]) / "file"
partial = file.with_suffix(".partial")
partial.write_text("whole")
os.replace(partial, file)
"""
# Takes a file that it was killed over for a finished one.
TORN = """
import os, sys
from pathlib import Path
path = Path(sys.argv[1]) / "file"
if not path.exists():
    with path.open("w") as file:
        for part in ("half", "other half"):
            file.write(part)
            file.flush()
            os.fsync(file)
"""
# In a process of its own: the one of the tests has threads, which do not survive a fork.
VISIT = """
import json, sys
from pathlib import Path
from benchmarks.crash_points import Command, visit
folder = Path(sys.argv[1])
work = folder / "work"
command = Command("x", str(folder / "script.py"), (str(work),))
(folder / "copies").mkdir()
print(json.dumps(visit(command, work, folder / "copies", 60, 0)))
"""


def _visited(folder: Path, script: str) -> dict[str, Any]:
    (folder / "script.py").write_text(script)
    command = [sys.executable, "-c", VISIT, str(folder.resolve())]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_command_that_continues(tmp_path: Path) -> None:
    found = _visited(tmp_path, WHOLE)
    assert found == {"operations": 2, "states": 2, "continued": 2, "wrong": {}}


def test_command_that_takes_a_half_for_the_whole(tmp_path: Path) -> None:
    found = _visited(tmp_path, TORN)
    # Before the opening nothing is there; before each fsync what was flushed.
    assert (found["operations"], found["states"], found["continued"]) == (3, 3, 3)
    (wrong,) = found["wrong"].values()
    assert (wrong["status"], wrong["files"]) == (0, ["file"])


@pytest.mark.long
def test_commands_of_the_project() -> None:
    command = [sys.executable, "-m", "benchmarks.crash_points", "--seconds", "60"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)["commands"]
    assert set(found) == {"train", "prepare", "convert", "predict", "report"}
    assert all(one["states"] > 1 and one["continued"] > 0 for one in found.values())
