"""What a configuration's optimizer makes of gradients, against SGD by hand."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections.config_dict import ConfigDict
from sgd_by_hand import Groups, Sgd

from msl_jax.config.presets import complete
from msl_jax.tasks.registry import build_model, task_of

DIGITS = Path(__file__).parents[2] / "configs" / "digits.py"
STEPS = 3
KEYS: dict[str, Any] = {
    "source_learning_rate": 0.3,
    "source_steps": 5,
    "source_poly_steps": 7,
    "learning_rate": 0.2,
    "steps": 9,
    "poly_steps": 11,
    "head_rate_multiplier": 0.25,
    "momentum": 0.6,
    "weight_decay": 0.04,
}
# One parameter of each kind.
SEGMENTATION = (
    *("backbone/conv1/kernel", "backbone/bn1/scale", "backbone/layer1_0/conv1/kernel"),
    *("backbone/layer1_0/downsample_conv/kernel", "backbone/layer4_0/bn3/bias"),
    *(f"{head}/conv{i}/kernel" for head in ("final_head", "low_head") for i in (0, 1)),
)
CLASSIFICATION = ("conv1/kernel", "layer1_0/bn1/scale", "classifier/bias", "discriminator/x/kernel")


def _groups(*, repeated: bool, multi: bool) -> Groups:
    """The second of two rates is not summed; the low head is trained in Multi alone."""
    return [
        (".*_head/conv1/", 0, 0),
        ("final_head/", 0.25, 1),
        ("low_head/", 0.25 if multi else 0, 1),
        ("backbone/bn1/", 0, 0),
        ("backbone/conv1/", 1, 1),
        ("backbone/.*/downsample_", 1, 4 if repeated else 1),
        ("backbone/", 1, 3 if repeated else 1),
    ]


def _assert_sgd(config: ConfigDict, names: Any, groups: Groups, rates: Any, *, adapt: bool) -> None:
    rng = np.random.default_rng(0)

    def draw() -> Any:
        arrays = {tuple(name.split("/")): rng.normal(size=3).astype(np.float32) for name in names}
        return jax.tree.map(jnp.asarray, unflatten_dict(arrays))

    params = expected = draw()
    training = task_of(config).training(config, build_model(config), params, adapt=adapt)
    optimizer = training.optimizer
    by_hand = Sgd(groups, rates, momentum=0.6, weight_decay=0.04)
    state = optimizer.init(params)
    for _ in range(STEPS):
        gradients = draw()
        updates, state = optimizer.update(gradients, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        expected = by_hand.step(expected, gradients)
    for name, found in flatten_dict(params).items():
        wanted = flatten_dict(expected)[name]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg="/".join(name))


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("variant", ["max_square", "max_square_iw_multi"])
def test_segmentation(tiny_config, variant: str, repeated: bool, adapt: bool) -> None:
    config = tiny_config(variant, repeated_visits=repeated, **KEYS)
    first, last = (0.2, 11) if adapt else (0.3, 7)
    rates = [first * (1 - step / last) ** 0.9 for step in range(STEPS)]
    groups = _groups(repeated=repeated, multi=variant.endswith("_multi"))
    _assert_sgd(config, SEGMENTATION, groups, rates, adapt=adapt)


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("schedule", ["inverse", "poly"])
def test_classification(schedule: str, adapt: bool) -> None:
    config = runpy.run_path(str(DIGITS))["get_config"]("max_square")
    config.update_from_flattened_dict({**KEYS, "schedule": schedule})
    if schedule == "inverse":
        first, last = (0.2, 9) if adapt else (0.3, 5)
        rates = [first / (1 + 10 * step / last) ** 0.75 for step in range(STEPS)]
    else:
        first, last = (0.2, 11) if adapt else (0.3, 7)
        rates = [first * (1 - step / last) ** 0.9 for step in range(STEPS)]
    groups = [("classifier/", 0.25, 1), ("discriminator/", 0.25, 1), ("", 1, 1)]
    _assert_sgd(complete(config), CLASSIFICATION, groups, rates, adapt=adapt)
