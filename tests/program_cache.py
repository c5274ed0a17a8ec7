"""Where tests keep compiled programs: from session to session, and of all workers for each.

JAX writes entries in place, where another process may read them, so each worker of a session has a
folder of its own. Before a session the first process collects what all workers have compiled, and
each worker then begins with that.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from jax._src import compilation_cache

_NAME = f"msl_jax_test_programs_of_{os.getuid()}"


def prepare() -> Path:
    """The folder of this process, with links to the programs of earlier sessions."""
    common, worker = Path(tempfile.gettempdir()) / _NAME, os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        own = common.with_name(f"{_NAME}_{worker}")
        _link_files(common, own)
        return own
    common.mkdir(exist_ok=True)
    for folder in common.parent.glob(f"{_NAME}_*"):
        for name in set(os.listdir(folder)) - set(os.listdir(common)):
            _delete_if_cut_off(folder / name)
        _link_files(folder, common)
    return common


def _link_files(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for name in set(os.listdir(source)) - set(os.listdir(target)):
        with contextlib.suppress(FileExistsError):  # another session does so too
            os.link(source / name, target / name)


def _delete_if_cut_off(path: Path) -> None:
    """As a process leaves an entry that is killed in mid-write; JAX would never replace it."""
    try:
        compilation_cache.decompress_executable(path.read_bytes())
    except Exception:  # of whichever compression there is
        path.unlink(missing_ok=True)
