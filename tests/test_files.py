from __future__ import annotations

from pathlib import Path

import pytest

from msl_jax.errors import UserError
from msl_jax.files import expect_readable, written_whole


def _fill(partial: Path, kind: str) -> None:
    if kind == "folder":
        partial.mkdir()
        partial /= "inside"
    partial.write_text("half")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_appears_at_the_end(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "new" / "result"
    with written_whole(path) as partial:
        _fill(partial, kind)
        assert not path.exists()
    assert list(path.parent.iterdir()) == [path]


def _fail(path: Path, kind: str, error: BaseException) -> None:
    with written_whole(path) as partial:
        _fill(partial, kind)
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_error_leaves_nothing(tmp_path: Path, kind: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        _fail(tmp_path / "result", kind, error())
    assert list(tmp_path.iterdir()) == []


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
