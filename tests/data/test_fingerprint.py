"""The digest by which changed files are noticed."""

from __future__ import annotations

import functools
import io
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from msl_jax.data.datasets import fingerprint
from msl_jax.data.datasets.fingerprint import files_fingerprint
from msl_jax.runtime.progress import Bar


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [tmp_path / name for name in ("a-b.png", "a/b.png", "c.png")]
    for number, path in enumerate(found):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * number)
    return found


def test_order_and_what_is_not_there_do_not_count(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    others = [tmp_path / name for name in ("a", "loop.png", "missing.png", "c.png/d.png")]
    whole = files_fingerprint(tmp_path, paths)
    assert files_fingerprint(tmp_path, [*reversed(paths), *others]) == whole
    assert files_fingerprint(tmp_path, paths[:2]) != whole


@pytest.mark.parametrize("of_two", ["st_size", "st_mtime_ns", "st_ctime_ns"])
def test_each_alone_tells_that_a_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_two: str
) -> None:
    found = set()
    for value in (1, 2):
        same = {"st_mode": stat.S_IFREG, "st_size": 1, "st_mtime_ns": 1, "st_ctime_ns": 1}
        status = SimpleNamespace(**{**same, of_two: value})
        stands_in = SimpleNamespace(stat=lambda path, now=status: now, fsencode=os.fsencode)
        monkeypatch.setattr(fingerprint, "os", stands_in)
        found.add(files_fingerprint(tmp_path, [tmp_path / "a.png"]))
    assert len(found) == 2


@pytest.mark.parametrize("many", [3, 4])
def test_many_files_have_a_bar(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80)
    monkeypatch.setattr(fingerprint, "Bar", functools.partial(Bar, console=terminal))
    monkeypatch.setattr(fingerprint, "_MANY", many)
    files_fingerprint(tmp_path, paths)
    assert ("looking for changes" in out.getvalue()) == (many == 3)
