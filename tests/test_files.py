from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_remove, atomic_write, expect_readable, remove_partial

ROOT = Path(__file__).parents[1]


def _fill(partial: Path, kind: str) -> None:
    if kind == "folder":
        partial.mkdir()
        partial /= "inside"
    partial.write_text("half")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_appears_at_the_end(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "new" / "result"
    with atomic_write(path) as partial:
        _fill(partial, kind)
        assert not path.exists()
    assert list(path.parent.iterdir()) == [path]


def _fail(path: Path, kind: str, error: BaseException) -> None:
    with atomic_write(path) as partial:
        _fill(partial, kind)
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_error_leaves_nothing(tmp_path: Path, kind: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        _fail(tmp_path / "result", kind, error())
    assert list(tmp_path.iterdir()) == []


def test_all_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch) -> None:
    """A power cut at any time leaves either nothing or the complete file under that name."""
    done: list[object] = []

    def flush(descriptor: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}")).relative_to(tmp_path)
        done.append(Path(*(part for part in place.parts if not part.endswith(".partial"))))

    def rename(self: Path, target: Path) -> Path:
        done.append("rename")
        os.rename(self, target)
        return target

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", rename)
    with atomic_write(tmp_path / "new" / "stage" / "result") as partial:
        (partial / "inside").mkdir(parents=True)
        (partial / "inside" / "file").write_text("content")
    stage = Path("new/stage")
    before, after = done[: done.index("rename")], done[done.index("rename") + 1 :]
    assert before == [stage / "inside/file", stage / "inside", stage]  # the last one is the partial
    assert after == [stage, Path("new"), Path()]


def test_file_system_that_cannot_flush_folders(tmp_path: Path, monkeypatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    with atomic_write(tmp_path / "result") as partial:
        partial.write_text("content")
    assert (tmp_path / "result").read_text() == "content"


def test_failed_flush_is_an_error(tmp_path: Path, monkeypatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        _fill_whole(tmp_path / "result")
    assert list(tmp_path.iterdir()) == []


def _fill_whole(path: Path) -> None:
    with atomic_write(path) as partial:
        partial.write_text("content")


def test_folder_is_removed_by_its_name_first(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "result"
    folder.mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # killed before
    atomic_remove(folder)
    assert not folder.exists()
    monkeypatch.undo()
    (tmp_path / "mine.partial").write_text("")
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.partial"]


def test_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=rf"No space left: '{tmp_path}/result'"):
        _fail(tmp_path / "result", "file", OSError(28, "No space left"))


def test_existing_file_is_kept_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "result").write_text("old")
    with pytest.raises(OSError, match="full"):
        _fail(tmp_path / "result", "file", OSError("full"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("name", "reason"), [("missing", "No such file or directory"), ("folder", "Is a directory")]
)
def test_file_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=rf"{name}: cannot be read \({reason}\)"):
        expect_readable(tmp_path / name)


def test_text_is_utf8_in_every_locale(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from msl_jax.runtime.files import write_text;"
        "write_text(Path(sys.argv[1]), 'Stra\\u00dfe')"
    )
    # Neither of Python's ways to use UTF-8 in the C locale all the same.
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path / "text")]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **locale}, check=True)
    assert (tmp_path / "text").read_bytes() == "Stra\u00dfe".encode()
