from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from msl_jax.runs import checksums
from msl_jax.runtime.errors import DamagedError
from msl_jax.runtime.text import has_controls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one of them empty, with their checksums."""
    folder = tmp_path / "folder"
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "numbers").write_bytes(bytes(range(256)) * 1000)
    (folder / "empty").write_text("")
    checksums.write(folder)
    return folder


def test_whole_folder(folder: Path, snapshot) -> None:
    before = snapshot(folder)
    checksums.check(folder)
    (folder / "later").write_text("of no account")
    checksums.check(folder)
    (folder / "later").unlink()
    assert {name: content for name, (content, _) in snapshot(folder).items()} == {
        name: content for name, (content, _) in before.items()
    }


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_reads_the_checksums(folder: Path) -> None:
    command = ["sha256sum", "--check", "--strict", checksums.NAME]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "empty: OK\ninside/numbers: OK\n"
    assert done.stderr == ""


def _keep_first_line(path: Path) -> None:
    path.write_text(path.read_text().splitlines(keepends=True)[0])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "file shorter": (lambda f: (f / "inside/numbers").write_bytes(b"\0"), "inside/numbers: has ch"),
    "file longer": (lambda f: (f / "empty").write_text(" "), "empty: has changed"),
    "file deleted": (lambda f: (f / "empty").unlink(), "empty: No such file"),
    "folder deleted": (lambda f: shutil.rmtree(f / "inside"), "inside/numbers: No such file"),
    "all deleted": (shutil.rmtree, "SHA256SUMS: No such file"),
    "checksums empty": (lambda f: (f / checksums.NAME).write_text(""), "SHA256SUMS: has changed"),
    "checksums cut": (lambda f: _keep_first_line(f / checksums.NAME), "SHA256SUMS: has changed"),
    "no text": (
        lambda f: (f / checksums.NAME).write_bytes(b"\xff#\xff"),
        "SHA256SUMS: has changed",
    ),
    "a folder": (
        lambda f: (f / "empty").unlink() or (f / "empty").mkdir(),
        "empty: Is a directory",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folder(folder: Path, damage: str) -> None:
    break_it, reason = DAMAGES[damage]
    break_it(folder)
    with pytest.raises(DamagedError, match=rf"{folder} is damaged \({reason}"):
        checksums.check(folder)


@pytest.mark.parametrize("name", [b"a\x1b[2J", b"a\0", b"\xff"])
def test_names_from_elsewhere(folder: Path, name: bytes) -> None:
    lines = b"0" * 64 + b"  " + name + b"\n"
    (folder / checksums.NAME).write_bytes(lines + checksums._last_line(lines))
    with pytest.raises(DamagedError, match=r"is damaged \([a\\x0-9bf\[2J]+: ") as said:
        checksums.check(folder)
    assert not has_controls(str(said.value))


def test_every_byte_of_the_checksums_counts(folder: Path) -> None:
    path = folder / checksums.NAME
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        with pytest.raises(DamagedError):
            checksums.check(folder)
        path.write_bytes(whole[:index])
        with pytest.raises(DamagedError):
            checksums.check(folder)


def test_file_that_may_not_be_read_is_not_damaged(folder: Path, monkeypatch) -> None:
    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(checksums, "open_file", forbidden)
    with pytest.raises(PermissionError):
        checksums.check(folder)
