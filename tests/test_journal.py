"""The file by which work goes on that was killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.journal import Journal

SETTINGS = {"a": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of work of which one item is done."""
    path = tmp_path / "work" / "unfinished.jsonl"
    journal = Journal(path)
    with journal.kept(SETTINGS, list):
        journal.add("x", [1])
    return path


def _keep(journal: Journal, begin: Callable[[], Any]) -> None:
    with journal.kept(SETTINGS, begin):
        pass


def test_line_that_was_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes; the lines before it are not written again, so that no kill can lose them."""
    whole = path.read_bytes()
    path.write_bytes(whole + b'["y", [')
    monkeypatch.delattr(Path, "write_bytes")
    journal = Journal(path)
    assert journal.rows == {"x": [1]}
    with journal.kept(SETTINGS, pytest.fail):
        assert path.read_bytes() == whole
        journal.add("y", [2])
    assert Journal(path).rows == {"x": [1], "y": [2]}


@pytest.mark.parametrize("finished", [True, False])
def test_work_that_another_process_has_done_meanwhile(path: Path, finished: bool) -> None:
    journal, other = Journal(path), Journal(path)
    if finished:
        other.discard()
    else:
        other.add("y", [2])
    with pytest.raises(UserError, match=r"work has changed meanwhile: .* the same command again"):
        _keep(journal, pytest.fail)
    assert path.exists() != finished
    assert finished or Journal(path).rows == {"x": [1], "y": [2]}


def test_work_that_cannot_begin(tmp_path: Path) -> None:
    def refuse() -> None:
        raise UserError("something is there")

    with pytest.raises(UserError, match="something is there"):
        _keep(Journal(tmp_path / "unfinished.jsonl"), refuse)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["5", '"a"', "[1]", "null"])
def test_settings_of_somebody_else(path: Path, line: str) -> None:
    path.write_text(f"{line}\n")
    with pytest.raises(UserError, match=r"unfinished\.jsonl: cannot be read"):
        Journal(path)
