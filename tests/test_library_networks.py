"""The examples of docs/library_networks.md run as they stand, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "library_networks.md"


def _moved(before: Any, after: Any) -> list[bool]:
    return jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), before, after))


def _nnx_trains(names: dict[str, Any]) -> None:
    state, before = names["state"], names["variables"]
    moved = _moved(before["params"], state.params)
    assert len(moved) == 6  # kernel and bias, scale and bias
    assert sum(moved) >= 5  # a bias before batch norm has no gradient, up to rounding
    assert _moved(before["batch_stats"], state.batch_stats) == [True, True]


def _equinox_trains(names: dict[str, Any]) -> None:
    assert _moved(names["adapter"].params, names["state"].params) == [True] * 4


CHECKS = {"Flax NNX": _nnx_trains, "Equinox": _equinox_trains, "On several devices": _nnx_trains}


def test_the_page_runs_in_one_namespace(rng: np.random.Generator) -> None:
    pytest.importorskip("equinox", reason="Equinox is not installed (pip install equinox)")
    assert jax.device_count() == 2
    names: dict[str, Any] = {
        "images": rng.integers(0, 256, (2, 24, 32, 3), np.uint8),
        "labels": rng.integers(0, 19, (2, 24, 32), np.uint8),
    }
    _, *parts = re.split(r"^#+ (.*)\n", PAGE.read_text(), flags=re.MULTILINE)
    assert parts[2::2] == list(CHECKS)
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, PAGE.name, "exec"), names)
        if title in CHECKS:
            assert set(names["metrics"]) == {"source/final", "target/final"}
            assert int(names["state"].step) == 1
            CHECKS[title](names)
