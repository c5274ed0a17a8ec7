"""The examples of docs/library_networks.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "library_networks.md"


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The page's code by the title of its section."""
    _, *parts = re.split(r"^#+ (.*)\n", PAGE.read_text(), flags=re.MULTILINE)
    return {
        title: "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _run(sections: dict[str, str], rng: np.random.Generator, *titles: str) -> dict[str, Any]:
    names: dict[str, Any] = {
        "images": rng.integers(0, 256, (2, 24, 32, 3), np.uint8),
        "labels": rng.integers(0, 19, (2, 24, 32), np.uint8),
    }
    for title in ("Networks that are not Flax Linen", *titles):
        exec(compile(sections[title], PAGE.name, "exec"), names)
    assert set(names["metrics"]) == {"source/final", "target/final"}
    assert int(names["state"].step) == len(titles)
    return names


def _moved(before: Any, after: Any) -> list[bool]:
    return jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), before, after))


def test_every_section_is_tested(sections) -> None:
    assert list(sections)[1:] == ["Flax NNX", "Equinox", "On several devices"]


def test_nnx(sections, rng: np.random.Generator) -> None:
    names = _run(sections, rng, "Flax NNX")
    state, before = names["state"], names["variables"]
    moved = _moved(before["params"], state.params)
    assert len(moved) == 6  # kernel and bias, scale and bias
    assert sum(moved) >= 5  # a bias before batch norm has no gradient, up to rounding
    assert _moved(before["batch_stats"], state.batch_stats) == [True, True]


def test_equinox(sections, rng: np.random.Generator) -> None:
    pytest.importorskip("equinox", reason="Equinox is not installed (pip install equinox)")
    names = _run(sections, rng, "Equinox")
    assert _moved(names["adapter"].params, names["state"].params) == [True] * 4


def test_several_devices(sections, rng: np.random.Generator) -> None:
    assert jax.device_count() == 2
    _run(sections, rng, "Flax NNX", "On several devices")
