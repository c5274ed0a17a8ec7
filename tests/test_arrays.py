from __future__ import annotations

import gc
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore
from saved_states import assert_identical, cut_short, make_state, make_wide_state

from msl_jax.runs import arrays
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


def test_shapes_are_seen_before_anything_is_read(tmp_path: Path) -> None:
    """Gigabytes of zeros take kilobytes in a file: what claims another size is refused."""
    write_tree(tmp_path / "tree", {"a": {"b": np.zeros((3, 2)), "c": np.ones(4)}})

    def refuse(found: Any) -> Any:
        assert found == {("a", "b"): (3, 2), ("a", "c"): (4,)}
        raise UserError("too large")

    with pytest.raises(UserError, match="too large"):
        read_tree(tmp_path / "tree", refuse)
    with pytest.raises(UserError, match=r"belongs to another network \(a/b, 1 in all\)"):
        read_like(tmp_path / "tree", {"a": {"b": jnp.ones((2, 2)), "c": jnp.ones(4)}})


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", {"a": {"b": np.zeros((3, 2)), "c": np.ones(4)}})
    found = read_tree(tmp_path / "tree", lambda shapes: [path for path in shapes if "c" in path])
    assert_identical(found, {"a": {"c": np.ones(4)}})


def test_array_in_parts_larger_than_it_is(tmp_path: Path) -> None:
    """A part is unpacked whole, whatever size it claims."""
    write_tree(tmp_path / "tree", {"a": {"b": np.zeros((3, 2))}})
    spec = arrays._storage(tmp_path / "tree", "a.b")
    spec["metadata"] = {"shape": (3, 2), "chunks": (3, 1000), "dtype": "<f8"}
    tensorstore.open(spec, create=True, delete_existing=True).result().write(0.0).result()
    with pytest.raises(DamagedError):
        read_tree(tmp_path / "tree")


def test_no_more_is_claimed_than_files_can_hold(tmp_path: Path, monkeypatch) -> None:
    """But where memory has been asked for already, as for momenta that are still zero."""
    tree = {"a": np.zeros(2**21, np.float32)}
    write_tree(tmp_path / "tree", tree)
    assert_identical(read_tree(tmp_path / "tree"), tree)
    monkeypatch.setattr(arrays, "_ALWAYS_ALLOWED", 2**20)
    with pytest.raises(UserError, match=r"tree: refused. Its arrays are said to take 8,388,608 by"):
        read_tree(tmp_path / "tree")
    assert_identical(read_like(tmp_path / "tree", tree), tree)
    write_tree(tmp_path / "noise", make_wide_state(0).variables)
    monkeypatch.setattr(arrays, "_ALWAYS_ALLOWED", 0)
    read_tree(tmp_path / "noise")


def test_arrays_of_other_types(tmp_path: Path) -> None:
    """A training with them would go on in another arithmetic."""
    write_tree(tmp_path / "tree", {"a": {"b": np.ones(3, np.float16)}})
    with pytest.raises(UserError, match="belongs to another network"):
        read_like(tmp_path / "tree", {"a": {"b": np.ones(3, np.float32)}})


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
