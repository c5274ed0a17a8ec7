from __future__ import annotations

import gc
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from saved_states import assert_identical, cut_short, make_state, make_wide_state

from msl_jax.runs.arrays import read_like, read_tree, write_tree
from msl_jax.runtime.errors import DamagedError, UserError


def test_tree_is_read_as_it_was_written(tmp_path: Path) -> None:
    tree = make_state(seed=3).variables
    write_tree(tmp_path / "tree", tree)
    assert_identical(read_tree(tmp_path / "tree"), tree)


def test_orbax_reads_what_was_written(tmp_path: Path) -> None:
    tree = make_state(seed=3).variables
    write_tree(tmp_path / "tree", tree)
    assert_identical(ocp.PyTreeCheckpointer().restore(tmp_path / "tree"), tree)


def test_writing_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """20 trees of 100 arrays; orbax's own handler left 250 bytes for each of them."""
    tree = {f"array{number}": np.ones(3) for number in range(100)}

    def write(count: int) -> None:
        for _ in range(count):
            write_tree(tmp_path / "tree", tree)
            shutil.rmtree(tmp_path / "tree")

    write(10)  # some things are kept from the first times on
    tracemalloc.start()
    try:
        write(5)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        write(20)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20 * 100 * 250 / 4


def test_tree_of_another_structure(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", {"a": jnp.ones(2)})
    with pytest.raises(UserError, match="tree belongs to another network") as caught:
        read_like(tmp_path / "tree", {"b": jnp.ones(2)})
    assert not isinstance(caught.value, DamagedError)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": shutil.rmtree,
    "without metadata": lambda folder: (folder / "_METADATA").unlink(),
    "without manifest": lambda folder: (folder / "manifest.ocdbt").unlink(),
    "without arrays": lambda folder: shutil.rmtree(folder / "d"),
    "cut short": cut_short,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tree(tmp_path: Path, damage: str) -> None:
    """One error, and none later from the reads of other arrays, which pytest would report."""
    folder = tmp_path / "tree"
    write_tree(folder, make_wide_state(0).variables)
    DAMAGES[damage](folder)
    with pytest.raises(DamagedError, match=rf"{folder} is damaged or incomplete"):
        read_tree(folder)
    time.sleep(0.02)  # for those reads to end
