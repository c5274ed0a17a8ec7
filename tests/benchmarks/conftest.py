"""Contestants of the tests are found by the processes that run them."""

from pathlib import Path

import pytest


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the module of fake contestants."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return "fake_contestants"
