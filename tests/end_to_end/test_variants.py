"""What each variant optimises: a table, and the first step of a run by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.config import VARIANTS
from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prepared.records import prepare
from msl_jax.losses import guidance_labels
from msl_jax.methods.variants import CLASSIFICATION_VARIANTS, Variant
from msl_jax.models import DeepLabV2

from .measured import assert_metrics
from .written_out import Recipe, heads, on_devices, source_terms, split, target_terms

# Whether it adapts; the target loss, and whether it is weighted; both heads; target labels.
TABLE = {
    "source": (False, "none", False, False, False),
    "target_statistics": (True, "none", False, False, False),
    "target_statistics_multi": (True, "none", False, True, False),
    "minent": (True, "minent", False, False, False),
    "minent_iw": (True, "minent", True, False, False),
    "hard": (True, "hard", False, False, False),
    "max_square": (True, "max_square", False, False, False),
    "max_square_iw": (True, "max_square", True, False, False),
    "max_square_multi": (True, "max_square", False, True, False),
    "max_square_iw_multi": (True, "max_square", True, True, False),
    "oracle": (False, "none", False, False, True),
}
ADAPTING = [name for name, (adapt, *_) in TABLE.items() if adapt]
CLASSIFICATION_TABLE = {
    **{name: TABLE[name] for name in ("source", "target_statistics", "minent", "max_square")},
    **{"oracle": TABLE["oracle"], "dann": (True, "dann", False, False, False)},
}
# Of the paper, which the preset decides: normalization, rule, and no low head on source labels.
KEYS: dict[str, Any] = {
    "preset": "paper",
    "lambda_target": 2.5,
    "lambda_low": 0.3,
    "iw_alpha": 0.6,
    "guidance_threshold": 0.125,
    "log_every": 1,
}


def _recipe(variant: str, **changes: Any) -> Recipe:
    _, target_loss, weighted, multi, _ = TABLE[variant]
    recipe = Recipe(
        target_loss,
        weighted,
        multi,
        lambda_target=2.5,
        lambda_source_low=0.0,
        lambda_low=0.3,
        alpha=0.6,
        threshold=0.125,
        normalization="paper",
        rule="paper",
    )
    return recipe._replace(**changes)


@pytest.mark.parametrize(
    ("variants", "table"), [(VARIANTS, TABLE), (CLASSIFICATION_VARIANTS, CLASSIFICATION_TABLE)]
)
def test_table(variants: dict[str, Variant], table: dict[str, tuple]) -> None:
    found = {
        name: (v.adapt, v.target_loss, v.weighted, v.multi, v.oracle)
        for name, v in variants.items()
    }
    assert found == table


@pytest.fixture(scope="module")
def adapted(start, whole, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Function that gives the run of a variant from a trained network, made once."""
    runs: dict[str, Any] = {}

    def run(variant: str, preset: str = "paper") -> Any:
        name = f"{variant}-{preset}"
        if name not in runs:
            keys = {**KEYS, "preset": preset, "init_from": f"{whole.workdir}:source"}
            runs[name] = start(tiny_config(variant, **keys), tmp_path_factory.mktemp(name) / "run")
        return runs[name]

    return run


@pytest.fixture(scope="module")
def first_batch(whole, tiny_keys: dict[str, Any]) -> dict[str, Any]:
    """Logits `[D B, H, W, C]` of both heads on the first batch of an adaptation, and its labels."""
    dataset, records_dir = CamVid(tiny_keys["data_root"]), tiny_keys["records_dir"]
    batches = TrainingBatches(
        prepare(dataset, "train_day", (24, 32), records_dir),
        prepare(dataset, "train_dusk", (16, 32), records_dir),
        batch_size=2,
        seed=0,
        source_augmentation=Augmentation(scale=(0.6, 1.4), crop=(16, 24), jitter=0.5),
        target_augmentation=Augmentation(scale=(0.6, 1.4)),
    )
    (batch,) = split(next(batches), 2)
    batches.close()
    model = DeepLabV2(11, 14, 4, head_rates=(1, 2), active_rates=(1,))
    variables = whole.variables(":source")
    params, stats = variables["params"], on_devices(variables["batch_stats"], 2)
    images = [jnp.asarray(batch[domain]["image"]) for domain in ("source", "target")]

    @jax.jit
    def logits(images: Any) -> Any:
        return [heads(model, params, stats, of_domain)[:2] for of_domain in images]

    source, target = logits(images)
    return {"source": source, "labels": jnp.asarray(batch["source"]["label"]), "target": target}


def test_rules_of_the_guidance_differ_here(first_batch) -> None:
    """Else the metrics below would not tell which one has been followed."""
    official, paper = (
        np.asarray(guidance_labels(*first_batch["target"], 0.125, rule=rule))
        for rule in ("official", "paper")
    )
    assert 0.1 < (paper != 255).mean() < (official != 255).mean() - 0.02


def _assert_first_step(run: Any, first_batch: dict[str, Any], recipe: Recipe) -> None:
    """The parts of the objective that the run has logged are those of the recipe."""
    expected = {
        **source_terms(*first_batch["source"], first_batch["labels"], recipe),
        **target_terms(*first_batch["target"], recipe),
    }
    found = run.logged("adapt")
    found.pop("target/guided_share", None)
    assert {name: steps[1] for name, steps in found.items()} == {
        name: pytest.approx(float(value), rel=1e-3) for name, value in expected.items()
    }


@pytest.mark.parametrize("variant", ADAPTING)
def test_first_step(adapted, first_batch, variant: str) -> None:
    _assert_first_step(adapted(variant), first_batch, _recipe(variant))


def test_first_step_of_the_official_preset(adapted, first_batch) -> None:
    """Its losses are means over classes, its rule is another, and its low head has labels."""
    official = {"lambda_source_low": 0.1, "normalization": "official", "rule": "official"}
    recipe = _recipe("max_square_iw_multi", **official)
    _assert_first_step(adapted("max_square_iw_multi", "official"), first_batch, recipe)


@pytest.mark.parametrize("variant", ADAPTING)
def test_variant_starts_from_another_run(adapted, whole, variant: str) -> None:
    run = adapted(variant)
    assert run.results["source_only"] == whole.results["source_only"]
    assert run.results["final"]["step"] == 4
    assert_metrics(run.results["final"]["target"])
    assert not (run.workdir / "source").exists()
    before, after = whole.variables(":source")["params"], run.variables()["params"]
    moved = {
        head: not np.array_equal(before[head]["conv0"]["kernel"], after[head]["conv0"]["kernel"])
        for head in ("final_head", "low_head")
    }
    assert moved == {"final_head": True, "low_head": TABLE[variant][3]}
