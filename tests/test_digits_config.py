"""configs/digits.py, and what a configuration of classification may not ask for."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from ml_collections.config_dict import ConfigDict

from msl_jax.config import base_config
from msl_jax.config.keys import as_json, check_config
from msl_jax.config.presets import complete, restored
from msl_jax.methods.variants import CLASSIFICATION_VARIANTS, variant_of
from msl_jax.runtime.errors import UserError

CONFIG = Path(__file__).parent.parent / "configs" / "digits.py"


def _config(variant: str = "max_square", **keys: Any) -> ConfigDict:
    config = runpy.run_path(str(CONFIG))["get_config"](variant)
    config.update_from_flattened_dict(keys)
    return complete(config)


@pytest.mark.parametrize("variant", CLASSIFICATION_VARIANTS)
def test_every_variant_is_valid(variant: str) -> None:
    config = _config(variant)
    check_config(config)
    assert (config.task, config.variant) == ("classification", variant)
    assert variant_of(config) == CLASSIFICATION_VARIANTS[variant]
    assert restored(json.loads(as_json(config)), "x").to_dict() == config.to_dict()


def test_weights_are_those_of_the_paper() -> None:
    """Section 4.2."""
    assert _config("max_square").lambda_target == 0.3
    assert _config("minent").lambda_target == 0.03
    for variant in ("max_square", "minent"):
        config = _config(variant)
        assert (config.normalization, config.schedule, config.momentum) == ("paper", "inverse", 0.9)
        assert config.learning_rate == 0.01


def test_variants_differ_in_nothing_but_the_weight() -> None:
    default = json.loads(as_json(_config()))
    for variant in CLASSIFICATION_VARIANTS:
        found = json.loads(as_json(_config(variant)))
        same = {"variant": "max_square", "lambda_target": 0.3, "method": {}}
        assert {**found, **same} == default
        assert found["method"] == ({"discriminator_width": 128} if variant == "dann" else {})


def test_direction() -> None:
    config = _config(source="uci", target="mnist")
    assert config.name == "digits-uci-mnist"
    roles = ("source_train", "source_eval", "target_train", "target_eval")
    assert [config[role] for role in roles] == [
        *("digits/uci_train", "digits/uci_test", "digits/mnist_train", "digits/mnist_test")
    ]


@pytest.mark.parametrize(
    "variant", ["minent_iw", "hard", "max_square_iw", "max_square_multi", "max_square_iw_multi"]
)
def test_variants_of_segmentation_are_refused(variant: str) -> None:
    with pytest.raises(
        UserError, match=rf"'{variant}' of the configuration 'digits'; .*max_square.* dann"
    ):
        _config(variant)


def test_dann_is_no_variant_of_segmentation() -> None:
    with pytest.raises(UserError, match="unknown variant 'dann'"):
        base_config("camvid", "dann")
    config = base_config("camvid", "source")
    config.variant = "dann"
    with pytest.raises(UserError, match="variant: expected one of"):
        check_config(complete(config))


def test_keys_without_a_meaning_are_refused_together() -> None:
    keys = {
        "eval_size": "full",
        "scales": (0.5, 1.0),
        "source_frozen_batch_norm": True,
        "frozen_batch_norm": True,
        "rematerialize": True,
        "schedule": "cosine",
        "model.network": "deeplab",
        "method.discriminator_width": 0,
    }
    with pytest.raises(UserError) as caught:
        check_config(_config("dann", **keys))
    _, *lines = str(caught.value).splitlines()
    assert {line.split(":")[0].strip() for line in lines} == {*keys, "model.depth"}
    assert "  scales: expected (1.0,) in classification, found (0.5, 1.0)" in lines


def test_photos_are_squeezed_as_in_training() -> None:
    assert _config("max_square").photo_size == "target"


def test_another_variant_has_another_methods_keys() -> None:
    config = _config("dann")
    with config.unlocked():
        config.variant = "max_square"
    message = r"max_square are \[\], found \['discriminator_width'\]; .*--config NAME:max_square"
    with pytest.raises(UserError, match=message):
        check_config(config)


def test_depths_are_those_of_the_network() -> None:
    check_config(_config(**{"model.depth": 14}))
    with pytest.raises(UserError, match=r"model\.depth: expected one of 8, 14, 20, found 50"):
        check_config(_config(**{"model.depth": 50}))


def test_unknown_task() -> None:
    config = complete(base_config("x"))
    config.task = "detection"
    with pytest.raises(UserError, match="task: expected one of 'segmentation', 'classification'"):
        check_config(config)


def test_run_from_before_there_were_classifiers() -> None:
    config = complete(base_config("x"))
    saved = json.loads(as_json(config))
    del saved["schedule"], saved["model"]["network"]
    assert restored(saved, "x").to_dict() == config.to_dict()
