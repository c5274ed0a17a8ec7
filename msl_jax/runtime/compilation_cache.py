"""Compiled programs kept between runs, in the user's cache folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import warnings
from pathlib import Path
from typing import Any

import jax

# Enough for the programs of dozens of configurations; also the free space that the disk must have.
LIMIT = 1 << 30  # bytes


def keep_compiled_programs() -> None:
    """Turns JAX's persistent compilation cache on, so that the next run starts sooner.

    It is in ``msl_jax/compilation`` below ``$XDG_CACHE_HOME`` or ``~/.cache``. A cache that the
    user has chosen (``JAX_COMPILATION_CACHE_DIR``) or turned off
    (``JAX_ENABLE_COMPILATION_CACHE=false``) stays as it is, whoever can write to it. Without a
    usable folder programs are compiled in every run, and a note says so.
    """
    settings: Any = jax.config  # type checkers do not see its attributes, made at run time
    if settings.jax_compilation_cache_dir is not None or not settings.jax_enable_compilation_cache:
        return
    try:
        folder = _folder()
        # JAX runs what it finds there, so nobody else may write to it.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        _prune(folder, LIMIT)
        problem = _problem(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        print(f"note: compiled programs are not kept: {error}", file=sys.stderr)
        return
    if problem:
        print(f"note: compiled programs are not kept: {folder}: {problem}", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # Small programs as well: a run has dozens of them.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # A program that cannot be read or written is compiled, with a warning for each of them.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


def _folder() -> Path:
    """The user's cache folder; following the XDG specification, a relative path is ignored.

    Raises:
        RuntimeError: the user has no home.
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return base / "msl_jax" / "compilation"


def _problem(folder: Path) -> str:
    """Why programs cannot be kept in a folder; empty if they can."""
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others can write there, and what it holds is run; remove it, or chmod go-w"
    for child, above in zip([folder, *folder.parents], folder.parents, strict=False):
        if _is_replaceable(child.stat(), above.stat()):
            return (
                f"others can write to {above} and put another in its place, and what it holds is"
                " run; chmod go-w that folder, or set XDG_CACHE_HOME to another"
            )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "cannot be written"
    return "the disk is nearly full" if shutil.disk_usage(folder).free < LIMIT else ""


def _is_replaceable(child: os.stat_result, above: os.stat_result) -> bool:
    """Whether others than the user and root can put something else in the place of a folder.

    A group of the user's own number is taken for the user's own, as many systems give one to each.

    Args:
        child: the folder.
        above: in which it is.
    """
    trusted = (0, os.getuid())
    by_group = above.st_mode & stat.S_IWGRP and above.st_gid not in trusted
    if not (by_group or above.st_mode & stat.S_IWOTH):
        return False
    return not (above.st_mode & stat.S_ISVTX and child.st_uid in trusted)


def _prune(folder: Path, limit: int) -> None:
    """Removes the least recently used files until the others fit in `limit` bytes.

    JAX can bound its cache itself, but then takes a lock for every program and needs a package that
    it does not install. Another process may remove or write files meanwhile: a file that vanishes
    is ignored.
    """
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                status = path.stat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > limit:
            path.unlink(missing_ok=True)
