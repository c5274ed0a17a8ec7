"""What a method draws at random follows the seed of its run."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from msl_jax.config import base_config
from msl_jax.config.presets import complete
from msl_jax.data import splits
from msl_jax.methods.registry import method_of
from msl_jax.models.initial import initial_variables
from msl_jax.tasks.registry import build_model

SMALL = {"model.depth": 14, "model.width": 4, "source_size": (16, 24), "target_size": (16, 24)}


def _config(variant: str, seed: int, **keys: Any) -> Any:
    config = base_config("x", variant)
    config.update_from_flattened_dict({**SMALL, "seed": seed, **keys})
    return complete(config)


@pytest.mark.parametrize("variant", ["adaptsegnet", "advent"])
def test_discriminators(variant: str) -> None:
    """Of other runs and of the other head they are others."""
    found = {}
    for seed in (0, 1, 2):
        config = _config(variant, seed)
        variables = initial_variables(build_model(config), 0)
        extended = method_of(config, adapt=True).extend(config, variables)
        for head, params in extended["params"]["discriminator"].items():
            found[seed, head] = np.concatenate([x.ravel() for x in jax.tree.leaves(params)])
    assert len(found) == 6
    assert len({values.tobytes() for values in found.values()}) == 6


def test_rare_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source images that are drawn."""
    pixels = np.arange(30 * 19).reshape(30, 19)
    monkeypatch.setattr(splits, "class_pixels", lambda records, classes: pixels)
    keys = {"method.rare_class_temperature": 1.0, "method.rare_class_share": 0.0}

    def drawn(seed: int) -> list[Any]:
        config = _config("self_training", seed, **keys)
        sampler = splits.build_rare_classes(config, None)  # type: ignore[arg-type]
        assert sampler is not None
        return [sampler(number) for number in range(20)]

    assert drawn(1) == drawn(1)
    assert drawn(0) != drawn(1)
