"""Where tests keep compiled programs: from session to session, and of all workers for each.

JAX writes entries in place, where another process may read them, so each worker of pytest-xdist has
a folder of its own. Before a session the first process collects what all workers have compiled, and
each worker then begins with that.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_NAME = "msl_jax_test_programs"


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
        os.link(source / name, target / name)
