from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from saved_states import (
    INPUT,
    assert_identical,
    make_metrics,
    make_state,
    make_wide_state,
    save_stage,
)

from msl_jax.runs.arrays import read_tree
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.training.state import TrainState
from msl_jax.training.step import replicate


@pytest.mark.parametrize("spread", [False, True], ids=["one device", "all devices"])
def test_restore_gives_what_was_saved(tmp_path: Path, spread: bool) -> None:
    state = make_state(7)
    first = Checkpoints(tmp_path / "stage")
    first.save(replicate(state) if spread else state, INPUT, make_metrics(0.1 + 0.2))

    second = Checkpoints(tmp_path / "stage")
    for restored in (second.restore(7, make_state(seed=1)), second.restore_newest(make_state())):
        assert restored is not None
        assert_identical(restored[0], state)
        assert restored[1] == INPUT
    assert second.metrics(7) == make_metrics(0.1 + 0.2)
    assert_identical(read_tree(tmp_path / "stage" / "7" / "variables"), state.variables)


def test_latest_two_and_best_are_kept(tmp_path: Path) -> None:
    checkpoints = save_stage(tmp_path / "stage", 0.3, 0.5, 0.2, 0.4, 0.1)
    assert checkpoints.steps == [20, 40, 50]
    assert checkpoints.latest == 50
    assert checkpoints.best() == (20, make_metrics(0.5))
    assert sorted(p.name for p in (tmp_path / "stage").iterdir()) == ["20", "40", "50"]
    assert_identical(checkpoints.restore(20, make_state())[0], make_state(20, seed=2))


def test_multiples_stay(tmp_path: Path) -> None:
    """A later `keep_every` decides about all checkpoints but the latest two and the best."""
    checkpoints = Checkpoints(tmp_path / "stage", keep_every=20)
    for step in (10, 20, 30, 40, 50, 60, 70):
        checkpoints.save(make_state(step), INPUT, make_metrics(0.5 if step == 10 else 0.1))
    assert checkpoints.steps == [10, 20, 40, 60, 70]
    again = Checkpoints(tmp_path / "stage", keep_every=40)
    again.save(make_state(80), INPUT, make_metrics(0.1))
    assert again.steps == [10, 40, 70, 80]
    assert_identical(again.restore(40, make_state())[0], make_state(40))


def test_best_of_16_classes_is_chosen_on_13(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "stage")
    for step, (miou, miou_13) in enumerate([(0.3, 0.5), (0.4, 0.4)], start=1):
        metrics = {"target": {"miou": miou, "miou_13": miou_13}}
        checkpoints.save(make_state(step), INPUT, metrics)
    assert checkpoints.best() == (1, {"target": {"miou": 0.3, "miou_13": 0.5}})


def test_later_one_of_two_equals_is_best(tmp_path: Path) -> None:
    assert save_stage(tmp_path / "stage", 0.5, 0.5, 0.4).best() == (20, make_metrics(0.5))


def test_none_is_best_without_labels_of_the_target(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "stage")
    for step in (1, 2, 3):
        checkpoints.save(make_state(step), INPUT, {"target": None, "source": {"miou": 1 / step}})
    assert checkpoints.best() is None
    assert checkpoints.steps == [2, 3]


def test_best_is_known_after_opening_again(tmp_path: Path) -> None:
    save_stage(tmp_path / "stage", 0.3, 0.5, 0.2)
    checkpoints = Checkpoints(tmp_path / "stage")
    checkpoints.save(make_state(40), INPUT, make_metrics(0.4))
    assert checkpoints.steps == [20, 30, 40]
    assert checkpoints.best() == (20, make_metrics(0.5))
    checkpoints.save(make_state(50), INPUT, make_metrics(0.6))
    assert checkpoints.steps == [40, 50]


@pytest.mark.parametrize("values", [(None, 0.0, None), (0.0, None, None), (None, None, 0.0)])
def test_what_was_not_measured_is_never_best(tmp_path: Path, values: tuple[float | None]) -> None:
    checkpoints = Checkpoints(tmp_path / "stage")
    for step, value in enumerate(values):
        checkpoints.save(make_state(step), INPUT, {"target": {"miou": value}})
    assert checkpoints.best() == (values.index(0.0), {"target": {"miou": 0.0}})


@pytest.mark.parametrize("exists", [False, True])
def test_folder_without_checkpoints(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "stage"
    if exists:
        folder.mkdir()
    checkpoints = Checkpoints(folder)
    assert checkpoints.steps == []
    assert checkpoints.latest is None
    assert checkpoints.best() is None
    assert checkpoints.restore_newest(make_state()) is None
    assert list(tmp_path.rglob("*")) == [folder] * exists  # looking writes nothing


def test_checkpoint_of_another_structure(tmp_path: Path, snapshot) -> None:
    """It is intact, so there is no falling back to an older one."""
    checkpoints = save_stage(tmp_path / "stage", 0.3)
    before = snapshot(tmp_path)
    with pytest.raises(UserError, match="stage/10/variables belongs to another") as caught:
        checkpoints.restore_newest(make_wide_state(0))
    assert not isinstance(caught.value, DamagedError)
    assert snapshot(tmp_path) == before


def _spoiled(name: str, value: float) -> TrainState:
    """A state of step 20 with one `value` in its parameters, statistics or momenta."""

    def spoil(leaf: jax.Array) -> jax.Array:
        return leaf.at[(0,) * leaf.ndim].set(value) if leaf.dtype == jnp.float32 else leaf

    state = make_state(20)
    tree = getattr(state, name)
    if name == "params":
        return state.replace(params={**tree, "head": jax.tree.map(spoil, tree["head"])})
    return state.replace(**{name: jax.tree.map(spoil, tree)})


@pytest.mark.parametrize(
    ("spoiled", "value", "leaf"),
    [
        ("params", jnp.nan, "variables/params/head/kernel"),
        ("batch_stats", jnp.inf, "variables/batch_stats/backbone/mean"),
        ("opt_state", -jnp.inf, "optimizer/opt_state/"),
    ],
)
def test_state_that_is_not_finite_is_not_kept(
    tmp_path: Path, snapshot, spoiled: str, value: float, leaf: str
) -> None:
    checkpoints = save_stage(tmp_path / "stage", 0.3)
    before = snapshot(tmp_path)
    with pytest.raises(UserError, match=rf"^{leaf}.* is not finite at step 20\. The last check"):
        checkpoints.save(_spoiled(spoiled, value), INPUT, make_metrics(0.4))
    assert snapshot(tmp_path) == before
    with pytest.raises(UserError, match=rf"^{leaf}.* is not finite at step 20\. Start again"):
        Checkpoints(tmp_path / "empty").save(_spoiled(spoiled, value), INPUT, make_metrics(0.4))
