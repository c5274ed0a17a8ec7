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
    for folder in common.parent.glob(f"{_NAME}_*"):
        _link_files(folder, common)
    common.mkdir(exist_ok=True)
    return common


def _link_files(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for name in set(os.listdir(source)) - set(os.listdir(target)):
        if _is_whole(source / name):
            with contextlib.suppress(FileExistsError):  # another session does so too
                os.link(source / name, target / name)


def _is_whole(path: Path) -> bool:
    """Whether its process was not killed while it wrote it; JAX never replaces an entry."""
    try:
        compilation_cache.decompress_executable(path.read_bytes())
    except Exception:  # of whichever compression there is
        path.unlink(missing_ok=True)
        return False
    return True
