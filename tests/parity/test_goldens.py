"""The full network and three adaptation steps against golden values of the official code."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest

from benchmarks.figures import PRECISIONS
from benchmarks.goldens import FOLDER, Goldens
from benchmarks.parity import (
    LOSSES,
    VARIANTS,
    loss_figures,
    main,
    network_figures,
    three_steps_figures,
)

each_precision = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.fixture(scope="module")
def goldens() -> Goldens:
    if not FOLDER.is_dir():
        pytest.skip("the official golden values are not here (expected in ../shared/goldens)")
    return Goldens(FOLDER)


@pytest.fixture(autouse=True)
def no_compilation_cache() -> Iterator[None]:
    """Keeps the largest programs out of it: jaxlib may crash when it serialises one of them."""
    key = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[key]
    jax.config.update(key, 1e9)
    try:
        yield
    finally:
        jax.config.update(key, before)


def _assert_within(figures, count: int) -> None:
    figures = list(figures)
    assert len(figures) == count
    assert [f"{f.golden}, {f.kind}: {f.error}" for f in figures if not f.within] == []


@each_precision
def test_losses(goldens, precision):
    _assert_within(loss_figures(goldens, precision), 2 * len(LOSSES))


@each_precision
def test_network(goldens, precision):
    _assert_within(network_figures(goldens, precision), 8)


# Variants of one program follow each other.
@each_precision
@pytest.mark.parametrize("name", VARIANTS)
def test_three_steps(goldens, precision, name):
    _assert_within(three_steps_figures(goldens, precision, name), 7 if "multi" in name else 5)


def test_missing_goldens(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([f"--goldens={tmp_path}"])
    assert exit_info.value.code == 2
    message = capsys.readouterr().err
    assert f"no golden values in {tmp_path}: no official_losses.npz" in message
    assert "--goldens=DIR" in message
