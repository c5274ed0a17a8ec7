"""The library's pages are made of its docstrings, every public name among them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import msl_jax

ROOT = Path(__file__).parents[1]


def test_public_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "docs" / "make_api.py"))["write"](tmp_path)
    for name, module in msl_jax.MODULES.items():
        page = tmp_path / "msl_jax" / f"{module.replace('.', '/')}.html"
        assert page.is_file(), name
        if name != module.split(".")[-1]:
            assert f'id="{name}"' in page.read_text(), name
    assert "Error" not in capsys.readouterr().err
