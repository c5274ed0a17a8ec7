"""The worked examples of docs/architecture.md do what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from msl_jax.experiment.log import StageLog
from msl_jax.losses.equations import target_loss
from msl_jax.losses.pixelwise import TARGET_LOSSES, TargetLoss
from msl_jax.losses.upsampled import target_sums
from msl_jax.methods.registry import METHODS, method_of
from msl_jax.methods.variants import VARIANTS, Variant
from msl_jax.models import resize_align_corners
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.tasks.registry import build_model

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
NAMES: dict[str, Any] = {
    **{"TARGET_LOSSES": TARGET_LOSSES, "TargetLoss": TargetLoss},
    **{"VARIANTS": VARIANTS, "Variant": Variant, "METHODS": METHODS},
}


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, Any]]:
    """What the page's code defines, registered as it says, for these tests alone."""
    tables: list[dict] = [TARGET_LOSSES, VARIANTS, METHODS["segmentation"]]
    before, names = [dict(table) for table in tables], dict(NAMES)
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if any(word in block for word in ("charbonnier", "MeanTeacher", "def extend")):
            exec(compile(block, "architecture.md", "exec"), names)
    yield names
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


def test_target_loss_by_tiles_and_whole(example) -> None:
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(0, 3, (2, 5, 7, 4)), jnp.float32)
    (found,) = target_sums(logits, None, (17, 25), loss="charbonnier", iw_alpha=0.2)
    whole = resize_align_corners(logits, (17, 25))
    expected = target_loss("charbonnier", whole, iw_alpha=0.2)
    assert float(found.mean) == pytest.approx(float(expected), rel=1e-5)
    assert float(target_loss("charbonnier", whole)) != pytest.approx(
        float(target_loss("max_square", whole)), rel=0.01
    )


def test_target_loss_trains(example, start, source, tiny_config, tmp_path: Path) -> None:
    config = tiny_config("charbonnier", init_from=f"{source.workdir}:source")
    run = start(config, tmp_path / "run")
    assert set(run.logged("adapt")) == {"source/final", "target/final"}


def test_method_trains_and_resumes_with_its_teacher(
    example, start, source, tiny_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"init_from": f"{source.workdir}:source", "method.decay": 0.5}
    whole = start(tiny_config("mean_teacher", **keys), tmp_path / "whole")
    assert set(whole.logged("adapt")) == {"source/final", "target/consistency"}

    class Killed(Exception):
        pass

    def kill(log: StageLog, made: int) -> None:
        if made == whole.config.eval_every + 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(StageLog, "advance", kill)
        with pytest.raises(Killed):
            start(tiny_config("mean_teacher", **keys), tmp_path / "killed")
    continued = start(tiny_config("mean_teacher", **keys), tmp_path / "killed")
    assert continued.results == whole.results
    method, variables = method_of(whole.config, adapt=True), whole.variables()
    training = method.training(whole.config, build_model(whole.config), variables["params"])
    like = training.start(variables)
    state, expected = (
        Checkpoints(run.workdir / "adapt").restore(whole.config.steps, like)[0]
        for run in (continued, whole)
    )
    jax.tree.map(np.testing.assert_array_equal, state, expected)
    teacher, network = state.carried["params"], state.params
    distances = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), teacher, network)
    assert max(jax.tree.leaves(distances)) > 0  # it follows, and has not arrived


def test_extend_adds_a_critic(example, tiny_config) -> None:
    config = tiny_config("max_square")
    example["Critic"] = lambda: nn.Dense(1)
    stats = {"mean": np.zeros(3)}
    network = {"final_head": np.ones(3)}
    variables = {"params": network, "batch_stats": stats}
    found = example["extend"](None, config, variables)
    assert found["batch_stats"] is stats
    assert found["params"]["final_head"] is network["final_head"]
    assert found["params"]["critic"]["kernel"].shape == (config.num_classes, 1)
    assert variables["params"] == network == {"final_head": network["final_head"]}
