"""Checksums of a checkpoint's files, in a file that `sha256sum --check` reads too."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from msl_jax.runtime.errors import DamagedError

NAME = "SHA256SUMS"


def write(folder: Path) -> None:
    """Writes the checksums of all files below `folder` into its `NAME`; to be called last."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = "".join(f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / NAME).write_bytes(lines.encode() + _last_line(lines.encode()))


def check(folder: Path) -> None:
    """Compares a folder with its checksums. Files that came later do not matter.

    Raises:
        DamagedError: the checksums or a file are missing or not as they were written.
        PermissionError: a file may not be read.
    """
    with _readable(folder, NAME):
        lines, mark, rest = (folder / NAME).read_bytes().rpartition(b"#")
    if mark + rest != _last_line(lines):
        raise _damaged(folder, NAME, "has changed")
    for line in lines.decode().splitlines():
        expected, _, name = line.partition("  ")
        with _readable(folder, name):
            found = _digest(folder / name)
        if found != expected:
            raise _damaged(folder, name, "has changed")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last_line(lines: bytes) -> bytes:
    """Shows that the lines before are all there and unchanged; a comment to sha256sum."""
    return f"# {hashlib.sha256(lines).hexdigest()}  the lines above\n".encode()


@contextlib.contextmanager
def _readable(folder: Path, name: str) -> Iterator[None]:
    try:
        yield
    except PermissionError:  # says nothing about the file
        raise
    except OSError as error:
        raise _damaged(folder, name, str(error.strerror)) from error


def _damaged(folder: Path, name: str, reason: str) -> DamagedError:
    return DamagedError(f"checkpoint {folder} is damaged ({name}: {reason})")
