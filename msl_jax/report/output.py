"""Writes a report to its file, and overwrites nothing that a user made."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write, make_folder

# The first lines say that this command wrote the page; the digest shows whether it was edited.
_HEAD = "<!doctype html>\n<!-- python -m msl_jax.report; SHA-256 of what follows: {} -->\n"
_SIGNED = re.compile(re.escape(_HEAD).replace(r"\{\}", "([0-9a-f]{64})").encode())


def expect_writable(path: Path) -> None:
    """Makes the folder of `path` if need be.

    Raises:
        UserError: it cannot be written, or `path` is a folder, or a file other than an unedited
            report.
    """
    if path.is_dir():
        raise UserError(f"--output {path} is a folder; name a file in it, such as report.html")
    if os.path.lexists(path) and not _is_report(path):
        raise UserError(
            f"--output {path} exists and is not a report of this command, or was edited since; give"
            " another file or move that one away: nothing is overwritten"
        )
    make_folder(path.parent, "--output")


def write(path: Path, html: str) -> int:
    """Writes the page whole or not at all; returns its size in bytes.

    Args:
        path: see `expect_writable`.
        html: the element ``html`` as text.

    Raises:
        UserError: another file has appeared at `path` meanwhile.
    """
    expect_writable(path)
    # File names need not be valid UTF-8.
    content = html.encode(errors="backslashreplace")
    signed = _HEAD.format(hashlib.sha256(content).hexdigest()).encode() + content
    with atomic_write(path) as partial:
        partial.write_bytes(signed)
    return len(signed)


def _is_report(path: Path) -> bool:
    """Whether this is a report as it was written."""
    if path.is_symlink() or not path.is_file():
        return False
    content = path.read_bytes()
    signed = _SIGNED.match(content)
    if signed is None:
        return False
    return hashlib.sha256(content[signed.end() :]).hexdigest().encode() == signed[1]
