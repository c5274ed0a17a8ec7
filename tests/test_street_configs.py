"""configs/cityscapes_idd.py, its way back, drawn_cityscapes.py, and SYNTHIA's classes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from ml_collections.config_dict import ConfigDict

from msl_jax.config import DEFAULT_VARIANT, SELF_TRAINING, VARIANTS
from msl_jax.config.keys import as_json, check_config
from msl_jax.config.presets import complete, restored
from msl_jax.data.datasets.registry import default_size, open_label_set
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.methods.registry import keys_of
from msl_jax.tasks import segmentation

CONFIGS = Path(__file__).parent.parent / "configs"
each_config = pytest.mark.parametrize(
    "name", ["cityscapes_idd", "idd_cityscapes", "drawn_cityscapes"]
)


def _config(name: str, variant: str = DEFAULT_VARIANT, **keys: Any) -> ConfigDict:
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"](variant)
    config.update_from_flattened_dict(keys)
    return complete(config)


def test_synthia_counts_16_classes_whatever_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(segmentation, "Evaluator", lambda *arguments: given.append(arguments))
    of_19, of_16 = (LABEL_SETS[f"cityscapes{number}"].names for number in (19, 16))
    for name, counted in (("synthia", of_16), ("gta5", None)):
        segmentation.Segmentation().measure(_config(name, num_classes=19), None, of_19)
        assert given.pop()[1:] == (of_19, 1, counted)


@each_config
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_valid(name: str, variant: str) -> None:
    config = _config(name, variant)
    check_config(config)
    assert config.variant == variant
    assert restored(json.loads(as_json(config)), "x").to_dict() == config.to_dict()


@each_config
def test_variants_differ_in_nothing_but_steps_and_rate(name: str) -> None:
    default = json.loads(as_json(_config(name)))
    for variant in VARIANTS:
        found = json.loads(as_json(_config(name, variant)))
        assert set(found["method"]) == set(keys_of(variant, "segmentation"))
        longer = {"steps": 600, "poly_steps": 600, "learning_rate": 3e-5}
        expected = {**default, **(longer if variant in SELF_TRAINING else {})}
        assert {**found, "variant": DEFAULT_VARIANT, "method": {}} == expected


@each_config
def test_domains_have_the_same_classes(name: str) -> None:
    config = _config(name)
    roles = ("source_train", "source_eval", "target_train", "target_eval")
    (classes,) = {open_label_set(config[role], config.num_classes) for role in roles}
    assert classes.num_classes == config.num_classes


@each_config
def test_prepared_records_are_those_of_the_configuration(name: str) -> None:
    config = _config(name)
    for domain in ("source", "target"):
        dataset = config[f"{domain}_train"].partition("/")[0]
        assert default_size(dataset) == config[f"{domain}_size"]


def test_both_directions() -> None:
    roles = ("source_train", "source_eval", "target_train", "target_eval")
    config = _config("cityscapes_idd")
    assert config.name == "cityscapes_pix2pix-idd_lite"
    assert [config[role] for role in roles] == [
        *("cityscapes_pix2pix/train", "cityscapes_pix2pix/val", "idd_lite/train", "idd_lite/val")
    ]
    back = _config("idd_cityscapes")
    assert back.name == "idd_lite-cityscapes_pix2pix"
    assert [back[role] for role in roles] == [
        *("idd_lite/train", "idd_lite/val", "cityscapes_pix2pix/train", "cityscapes_pix2pix/val")
    ]
    original = _config("cityscapes_idd", source="cityscapes")
    assert open_label_set(original.source_train, 7) == open_label_set(original.target_train, 7)
