from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.checkpoints import Checkpoints, read_tree, write_tree
from msl_jax.errors import UserError
from msl_jax.training.optimizer import FROZEN, Group, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import replicate

INPUT = {"source": {"next_index": 2**40 + 3}, "target": [1, None, "x"]}


def _optimizer():
    groups = {"backbone": {"kernel": "backbone", "scale": FROZEN}, "head": {"kernel": "head"}}
    settings = {"backbone": Group(), "head": Group(rate=10.0)}
    return sgd(groups, settings, lambda step: 0.1, momentum=0.9, weight_decay=0.1)


def _state(step: int = 0, seed: int = 0) -> TrainState:
    """A state as training has it, with values that decimal text would round."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape).astype(np.float32))

    params = {
        "backbone": {"kernel": draw(3, 4), "scale": draw(4)},
        "head": {"kernel": draw(4, 2)},
    }
    variables = {"params": params, "batch_stats": {"backbone": {"mean": draw(4), "var": draw(4)}}}
    state = TrainState.create(variables, _optimizer())
    momenta = jax.tree.map(
        lambda leaf: draw(*leaf.shape) if leaf.dtype == jnp.float32 else leaf + step,
        state.opt_state,
    )
    return state.replace(step=jnp.asarray(step, jnp.int32), opt_state=momenta)


def _metrics(miou: float) -> dict:
    return {"target": {"miou": miou, "iou": {"sky": None}}, "source": {"miou": 1 - miou}}


def _assert_identical(found, expected) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def _saved(folder: Path, *mious: float) -> Checkpoints:
    """Checkpoints of steps 10, 20, ... with these target mIoUs."""
    checkpoints = Checkpoints(folder)
    for index, miou in enumerate(mious, 1):
        checkpoints.save(_state(10 * index, seed=index), INPUT, _metrics(miou))
    return checkpoints


@pytest.mark.parametrize("spread", [False, True], ids=["one device", "all devices"])
def test_restore_gives_what_was_saved(tmp_path: Path, spread: bool) -> None:
    state = _state(7)
    first = Checkpoints(tmp_path / "stage")
    first.save(replicate(state) if spread else state, INPUT, _metrics(0.1 + 0.2))
    first.close()

    second = Checkpoints(tmp_path / "stage")
    restored, place = second.restore(7, _state(seed=1))
    _assert_identical(restored, state)
    assert place == INPUT
    assert second.metrics(7) == _metrics(0.1 + 0.2)
    _assert_identical(read_tree(tmp_path / "stage" / "7" / "variables"), state.variables)
    second.close()


def test_latest_and_best_are_kept(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path / "stage", 0.3, 0.5, 0.2, 0.4)
    assert checkpoints.steps == [20, 40]
    assert checkpoints.latest == 40
    assert checkpoints.best() == (20, _metrics(0.5))
    assert sorted(p.name for p in (tmp_path / "stage").iterdir()) == ["20", "40"]
    _assert_identical(checkpoints.restore(20, _state())[0], _state(20, seed=2))


def test_best_of_16_classes_is_chosen_on_13(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "stage")
    for step, (miou, miou_13) in enumerate([(0.3, 0.5), (0.4, 0.4)], start=1):
        checkpoints.save(_state(step), INPUT, {"target": {"miou": miou, "miou_13": miou_13}})
    assert checkpoints.best() == (1, {"target": {"miou": 0.3, "miou_13": 0.5}})


def test_none_is_best_without_labels_of_the_target(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "stage")
    for step in (1, 2, 3):
        checkpoints.save(_state(step), INPUT, {"target": None, "source": {"miou": 1 / step}})
    assert checkpoints.best() is None
    assert checkpoints.latest == 3


def test_best_is_known_after_opening_again(tmp_path: Path) -> None:
    _saved(tmp_path / "stage", 0.3, 0.5, 0.2).close()
    checkpoints = Checkpoints(tmp_path / "stage")
    checkpoints.save(_state(40), INPUT, _metrics(0.4))
    assert checkpoints.steps == [20, 40]
    assert checkpoints.best() == (20, _metrics(0.5))
    checkpoints.save(_state(50), INPUT, _metrics(0.6))
    assert checkpoints.steps == [50]


@pytest.mark.parametrize("exists", [False, True])
def test_folder_without_checkpoints(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "stage"
    if exists:
        folder.mkdir()
    checkpoints = Checkpoints(folder)
    assert checkpoints.steps == []
    assert checkpoints.latest is None
    assert checkpoints.best() is None
    checkpoints.close()
    assert list(tmp_path.rglob("*")) == [folder] * exists  # looking writes nothing


def test_checkpoint_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    _saved(tmp_path / "stage", 0.3).close()
    (tmp_path / "stage" / "20.orbax-checkpoint-tmp").mkdir()
    assert Checkpoints(tmp_path / "stage").steps == [10]


def test_tree_alone(tmp_path: Path) -> None:
    tree = _state(seed=3).variables
    write_tree(tmp_path / "tree", tree)
    _assert_identical(read_tree(tmp_path / "tree"), tree)


def _cut_short(folder: Path) -> None:
    """Shortens the file that holds the numbers, so that some arrays are whole and some are not."""
    largest = max(folder.rglob("d/*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": shutil.rmtree,
    "without metadata": lambda folder: (folder / "_METADATA").unlink(),
    "without manifest": lambda folder: (folder / "manifest.ocdbt").unlink(),
    "without arrays": lambda folder: shutil.rmtree(folder / "d"),
    "cut short": _cut_short,
}


def _wide_state(step: int) -> TrainState:
    state = _state(step)
    noise = np.random.default_rng(0).normal(size=(30, 40, 40)).astype(np.float32)
    wide = {f"layer{index}": jnp.asarray(layer) for index, layer in enumerate(noise)}
    return state.replace(params={**state.params, "wide": wide})


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tree(tmp_path: Path, damage: str) -> None:
    """One error, and none later from the reads of other arrays, which pytest would report."""
    folder = tmp_path / "tree"
    write_tree(folder, _wide_state(0).variables)
    DAMAGES[damage](folder)
    with pytest.raises(UserError, match=rf"{folder} is damaged or incomplete"):
        read_tree(folder)
    time.sleep(0.02)  # for those reads to end


@pytest.mark.parametrize("item", ["variables", "optimizer"])
def test_damaged_checkpoint(tmp_path: Path, item: str) -> None:
    checkpoints = _saved(tmp_path / "stage", 0.3)
    _cut_short(tmp_path / "stage" / "10" / item)
    with pytest.raises(UserError, match=rf"stage/10/{item} is damaged or incomplete"):
        checkpoints.restore(10, _state())
    checkpoints.close()


def test_checkpoint_of_another_structure(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path / "stage", 0.3)
    with pytest.raises(UserError, match="stage/10/variables belongs to another network"):
        checkpoints.restore(10, _wide_state(0))
    checkpoints.close()
