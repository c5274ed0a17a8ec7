"""What a method trains besides the network: left out afterwards, whatever it is called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn

from msl_jax.commands.evaluate import evaluate
from msl_jax.methods import segmentation
from msl_jax.methods.method import BaseMethod, Training, share_of_mean
from msl_jax.methods.registry import METHODS
from msl_jax.methods.variants import VARIANTS, Variant
from msl_jax.models.initial import initial_params
from msl_jax.runs.arrays import read_tree
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find

PLAIN, CRITIC = "inherits", "extends"


class Critic(nn.Module):
    """One number of the final head's mean logits."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(1, name="score")(x)


class Inherits(BaseMethod):
    """Extends nothing."""

    def training(self, config: Any, model: Any, params: Any) -> Training:
        """Labels alone."""
        goal = segmentation.Objective("none")
        passes = segmentation.passes(model, goal, adapt=False)
        optimizer = segmentation.network_optimizer(config, model, params, adapt=True, multi=False)
        return Training(passes, optimizer)


class WithCritic(BaseMethod):
    """Inherits the defaults, and extends; also by statistics."""

    def extend(self, config: Any, variables: Any) -> dict[str, Any]:
        """With a critic."""
        critic = initial_params(Critic(), (config.num_classes,), config.seed)
        params = {**variables["params"], "critic": critic}
        stats = {**variables["batch_stats"], "critic": {"count": jnp.zeros(())}}
        return {**variables, "params": params, "batch_stats": stats}

    def training(self, config: Any, model: Any, params: Any) -> Training:
        """The critic learns to say 1."""

        def target(params: Any, stats: Any, batch: Any, context: Any) -> Any:
            images = batch["target"]["image"]
            final, _, new = segmentation.forward(model, False, params, stats, images)
            score = Critic().apply({"params": params["critic"]}, final.mean((1, 2)))
            loss = share_of_mean(jnp.square(score - 1).mean())
            stats = {**new, "critic": {"count": stats["critic"]["count"] + 1}}
            return loss, (stats, {"target/critic": loss})

        optimizer = segmentation.network_optimizer(
            config, model, params, adapt=True, multi=False, others={"critic": optax.adam(0.1)}
        )
        return Training((target,), optimizer)


@pytest.fixture(scope="module")
def run(start, source, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Function that gives the run of one of these methods."""
    methods = {PLAIN: Inherits(), CRITIC: WithCritic()}
    with pytest.MonkeyPatch.context() as patch:
        for name, method in methods.items():
            patch.setitem(METHODS["segmentation"], name, method)
            patch.setitem(VARIANTS, name, Variant(method=name))
        runs = {
            name: start(
                tiny_config(name, init_from=f"{source.workdir}:source"),
                tmp_path_factory.mktemp(name) / "run",
            )
            for name in methods
        }
        yield runs.__getitem__


def test_evaluation(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = run(CRITIC)
    saved = read_tree(trained.workdir / "adapt" / "4" / "variables")
    assert saved["params"]["critic"]["score"]["kernel"].shape == (11, 1)
    assert saved["batch_stats"]["critic"]["count"] == 4
    found = evaluate(trained.config, str(trained.workdir), str(tmp_path))
    assert found["final"] == trained.results["final"]
    assert "note: critic left out\n" in capsys.readouterr().err


def test_start_of_another_run(
    run, start, tiny_config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = run(CRITIC)
    config = tiny_config("max_square", init_from=str(trained.workdir))
    results = start(config, tmp_path / "run").results
    assert results["source_only"]["target"] == trained.results["final"]["target"]
    said = " ".join(capsys.readouterr().err.split())  # the console breaks lines
    assert "adapt step 4; critic left out" in said


def test_method_that_extends_nothing_has_no_note(
    run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = run(PLAIN)
    evaluate(trained.config, str(trained.workdir), str(tmp_path))
    assert "left out" not in capsys.readouterr().err
    assert find(trained.workdir).left_out == ()


def test_another_network_is_refused_still(run) -> None:
    """A part that the run's network has, and this one lacks, is not the method's."""
    trained = run(CRITIC)
    other = trained.config.copy_and_resolve_references()
    other.model.depth = 50
    with pytest.raises(UserError, match="another network") as caught:
        find(trained.workdir).load(build_model(other))
    assert "critic" not in str(caught.value)


def test_what_no_method_added_is_refused(run) -> None:
    """Only parts of a method that extends are left out."""
    trained = run(CRITIC)
    config = json.loads((trained.workdir / "config.json").read_text())
    (trained.workdir / "config.json").write_text(json.dumps({**config, "variant": PLAIN}))
    try:
        with pytest.raises(UserError, match=r"left over \(3\):\n +.*critic"):
            find(trained.workdir).load(build_model(trained.config))
    finally:
        (trained.workdir / "config.json").write_text(json.dumps(config))
