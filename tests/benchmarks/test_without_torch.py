"""Without PyTorch, no module that needs it is imported to look for doctests."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_modules_that_need_torch_are_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    patterns = runpy.run_path(str(BENCHMARKS / "conftest.py"))["collect_ignore_glob"]
    need_torch = [
        path
        for path in BENCHMARKS.rglob("*.py")
        if re.search(r"^(import|from) torch\b", path.read_text(), re.MULTILINE)
    ]
    assert need_torch
    for path in need_torch:
        # As pytest does: relative to the folder of conftest.py.
        assert any(fnmatch.fnmatch(str(path), str(BENCHMARKS / glob)) for glob in patterns), path
