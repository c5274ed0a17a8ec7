"""Where a report may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from msl_jax.report.output import expect_writable, write
from msl_jax.runtime.errors import UserError


def test_new_file_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "report.html"
    size = write(path, "<html>é \udcff</html>")
    assert path.stat().st_size == size
    text = path.read_text()
    assert text.startswith("<!doctype html>\n<!--")
    assert text.endswith("<html>é \\udcff</html>")
    assert list(path.parent.iterdir()) == [path]


def test_report_of_before_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write(path, "<html>one</html>")
    write(path, "<html>two</html>")
    assert path.read_text().endswith("<html>two</html>")


@pytest.mark.parametrize("made", ["other", "empty", "changed", "link", "dangling", "folder"])
def test_what_a_user_made_is_left_alone(tmp_path: Path, made: str, snapshot) -> None:
    path = tmp_path / "report.html"
    report = tmp_path / "first.html"
    write(report, "<html>one</html>")
    if made == "folder":
        path.mkdir()
    elif made in ("link", "dangling"):
        path.symlink_to(report if made == "link" else tmp_path / "missing.html")
    else:
        text = report.read_text()
        changed = text.replace("one", "one, with a note")
        path.write_text({"other": "<html>", "empty": "", "changed": changed}[made])
    before = snapshot(tmp_path)
    for refused in (expect_writable, lambda path: write(path, "<html>two</html>")):
        with pytest.raises(UserError, match=r"--output .*report\.html"):
            refused(path)
    assert snapshot(tmp_path) == before


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output"):
        expect_writable(tmp_path / "file" / "report.html")
