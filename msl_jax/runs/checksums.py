"""Checksums of a checkpoint's files, in a file that `sha256sum --check` can read."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

from msl_jax.runtime.errors import DamagedError
from msl_jax.runtime.files import open_file
from msl_jax.runtime.text import has_controls, one_line

NAME = "SHA256SUMS"
# What a damaged folder or disk answers. Other errors are those of the path, the permissions or the
# machine, and the files may be intact.
_DAMAGE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EBADMSG, errno.EUCLEAN),
    errno.EINVAL,  # `open_file`: not a regular file
)


def write(folder: Path) -> None:
    """Writes the checksums of all files below `folder` into its file `NAME`; to be called last."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = "".join(f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / NAME).write_bytes(lines.encode() + _last_line(lines.encode()))


def check(folder: Path, only: str = "") -> None:
    """Compares a folder with its checksums; files that were added later are ignored.

    Args:
        folder: of the files.
        only: the one that is compared; default: all.

    Raises:
        DamagedError: the checksums or a file are missing or have changed.
        OSError: a file cannot be read for a reason that says nothing about it, such as its
            permissions, or a path that is too long.
    """
    with _readable(folder, NAME), open_file(folder / NAME) as file:
        lines, mark, rest = file.read().rpartition(b"#")
    if mark + rest != _last_line(lines):
        raise _damaged(folder, NAME, "has changed")
    for line in lines.decode(errors="backslashreplace").splitlines():
        expected, _, name = line.partition("  ")
        if has_controls(name):  # a stranger's
            raise _damaged(folder, one_line(name), "no name of a file")
        if only and name != only:
            continue
        with _readable(folder, name):
            found = _digest(folder / name)
        if found != expected:
            raise _damaged(folder, name, "has changed")


def _digest(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last_line(lines: bytes) -> bytes:
    """The checksum of the other lines; a comment to sha256sum."""
    return f"# {hashlib.sha256(lines).hexdigest()}  the lines above\n".encode()


@contextlib.contextmanager
def _readable(folder: Path, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _DAMAGE:
            raise
        raise _damaged(folder, name, str(error.strerror)) from error


def _damaged(folder: Path, name: str, reason: str) -> DamagedError:
    return DamagedError(f"checkpoint {folder} is damaged ({name}: {reason})")
