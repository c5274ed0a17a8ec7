"""The library's pages are made of its docstrings, every public name among them."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

import msl_jax

DOCS = Path(__file__).parents[1] / "docs"


def _imported() -> set[tuple[str, str]]:
    """(module, name) of all that the examples for one's own code import from the package."""
    pages = "".join((DOCS / name).read_text() for name in ("library.md", "library_networks.md"))
    code = re.findall(r"```python\n(.*?)```", pages, re.DOTALL)
    nodes = [
        node
        for text in (*code, (DOCS / "own_file.py").read_text())
        for node in ast.parse(text).body
    ]
    return {
        (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("msl_jax.")
        for alias in node.names
    }


def test_public_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(DOCS / "make_api.py"))["write"](tmp_path)
    inputs, imported = "msl_jax.models.inputs", _imported()
    assert (inputs, "TORCHVISION") in imported
    imported |= {(inputs, "InputConvention"), (inputs, "network_input")}  # of architecture.md
    for module, name in imported:
        path = tmp_path / module.replace(".", "/")
        if not (path / f"{name}.html").is_file():  # a module's own page
            assert f'id="{name}"' in path.with_suffix(".html").read_text(), (module, name)
    for name, module in msl_jax.MODULES.items():
        page = tmp_path / "msl_jax" / f"{module.replace('.', '/')}.html"
        assert page.is_file(), name
        if name != module.split(".")[-1]:
            assert f'id="{name}"' in page.read_text(), name
    assert "Error" not in capsys.readouterr().err
