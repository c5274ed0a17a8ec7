"""The advice to install what is missing can be followed where the package is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "msl_jax"


def _advice(folder: Path) -> str:
    program = "from msl_jax.runtime import extras; print(extras.command('onnx'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_of_a_clone_and_installed(tmp_path: Path) -> None:
    for name in ("__init__.py", "runtime/__init__.py", "runtime/extras.py"):
        (tmp_path / "msl_jax" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, tmp_path / "msl_jax" / name)
    assert _advice(tmp_path) == 'pip install "msl_jax[onnx]"'
    (tmp_path / "pyproject.toml").touch()
    assert _advice(tmp_path) == 'pip install -e ".[onnx]"'


def test_messages_name_extras_that_there_are() -> None:
    """No message has the command of a clone by itself, or the name of no extra."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "extras.py":
            text = path.read_text()
            assert not re.search(r"\.\[[a-z]\w*\]", text), path
            named |= set(re.findall(r"extras\.command\(['\"](\w+)['\"]\)", text))
    assert len(named) >= 7
    assert named <= known.keys()
