"""A whole run against one written out: every key that matters is away from its default."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sgd_by_hand import Sgd

from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prepared.records import prepare
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.models.initial import initial_variables

from .written_out import Recipe, assert_same_change, objective, on_devices, split

DEVICES, MICRO_BATCHES, SEED = 2, 2, 3
KEYS: dict[str, Any] = {
    "seed": SEED,
    "accumulate": MICRO_BATCHES,
    "source_steps": 3,
    "source_poly_steps": 4,
    "source_learning_rate": 0.2,
    "steps": 2,
    "poly_steps": 5,
    "learning_rate": 0.05,
    "head_rate_multiplier": 0.5,
    "momentum": 0.7,
    "weight_decay": 0.03,
    "repeated_visits": True,
    "lambda_target": 20.0,
    "lambda_source_low": 0.6,
    "lambda_low": 0.05,
    "iw_alpha": 0.7,
    "guidance_threshold": 0.1,
    "normalization": "official",
    "guidance_rule": "official",
    "frozen_batch_norm": True,
    "source_augmentation.scale": (0.8, 1.1),
    "source_augmentation.crop": (16, 24),
    "source_augmentation.jitter": 0.2,
    "source_augmentation.blur": False,
    "target_augmentation.scale": (1.0, 1.0),
    "target_augmentation.mirror": False,
    "target_augmentation.jitter": 0.4,
}
RECIPE = Recipe(
    "max_square",
    weighted=True,
    multi=True,
    lambda_target=20.0,
    lambda_source_low=0.6,
    lambda_low=0.05,
    alpha=0.7,
    threshold=0.1,
    normalization="official",
    rule="official",
)
AUGMENTATIONS = {
    "source_augmentation": Augmentation(
        mirror=True, blur=False, scale=(0.8, 1.1), crop=(16, 24), jitter=0.2
    ),
    "target_augmentation": Augmentation(mirror=False, blur=True, jitter=0.4),
}
MODEL = DeepLabV2(11, ResNet(14, 4), aspp_dilations=(1, 2), active_dilations=(1,))
# As often as the official optimizer comes by; the stem's norm and the rate that is not summed stay.
GROUPS = [
    (".*_head/conv1/", 0, 0),
    (".*_head/", 0.5, 1),
    ("backbone/bn1/", 0, 0),
    ("backbone/conv1/", 1, 1),
    ("backbone/.*/downsample_", 1, 4),
    ("backbone/", 1, 3),
]


@pytest.fixture(scope="module")
def run(start, tiny_config, tmp_path_factory: pytest.TempPathFactory):
    return start(tiny_config(**KEYS), tmp_path_factory.mktemp("changed") / "run")


@pytest.fixture(scope="module")
def records(tiny_keys: dict[str, Any], run) -> dict[str, Any]:
    """The images that are trained on; the run has prepared them."""
    dataset = CamVid(tiny_keys["data_root"])
    return {
        "source": prepare(dataset, "train_day", (24, 32), tiny_keys["records_dir"]),
        "target": prepare(dataset, "train_dusk", (16, 32), tiny_keys["records_dir"]),
    }


def _trained(variables: Any, records: Any, rates: list[float], *, adapt: bool) -> Any:
    """Variables after as many steps as there are rates."""
    model = MODEL.clone(frozen_batch_norm=adapt)
    of_batch = functools.partial(objective, model=model, recipe=RECIPE, adapt=adapt)
    gradient = jax.jit(jax.grad(of_batch, has_aux=True))
    batches = TrainingBatches(
        records["source"],
        records["target"] if adapt else None,
        batch_size=DEVICES * MICRO_BATCHES,
        seed=SEED,
        **AUGMENTATIONS,
    )
    params, stats = variables["params"], variables["batch_stats"]
    sgd = Sgd(GROUPS, rates, momentum=0.7, weight_decay=0.03)
    for _ in rates:
        stats, gradients = on_devices(stats, DEVICES), []
        for micro in split(next(batches), DEVICES, MICRO_BATCHES):
            found, stats = gradient(params, stats, micro)
            gradients.append(found)
        stats = jax.tree.map(lambda leaf: leaf.mean(0), stats)
        mean = jax.tree.map(lambda *parts: np.mean(parts, axis=0), *gradients)
        params = jax.tree.map(jnp.asarray, sgd.step(params, mean))
    batches.close()
    return {"params": params, "batch_stats": stats}


def test_source_stage(run, records) -> None:
    first = initial_variables(MODEL, SEED)
    rates = [0.2 * (1 - step / 4) ** 0.9 for step in range(3)]
    expected = _trained(first, records, rates, adapt=False)
    assert_same_change(first, run.variables(":source"), expected, limit=0.02)


def test_results_tell_the_seed(run) -> None:
    assert run.results["seed"] == SEED


def test_adaptation(run, records) -> None:
    first = run.variables(":source")
    rates = [0.05 * (1 - step / 5) ** 0.9 for step in range(2)]
    expected = _trained(first, records, rates, adapt=True)
    assert_same_change(first, run.variables(), expected, limit=0.02)
