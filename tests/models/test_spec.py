"""A network in the words of a configuration, known in full or in part."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax.numpy as jnp
import pytest

from msl_jax.config import base_config
from msl_jax.config.presets import complete
from msl_jax.models import DeepLabV2, ImageClassifier, ResNet
from msl_jax.models.backbones.small_resnet import SmallResNet
from msl_jax.models.inputs import CAFFE, TORCHVISION
from msl_jax.models.spec import NetworkSpec

MODEL: dict[str, Any] = {
    **{"network": "deeplab", "backbone": "resnet", "depth": 14, "width": 4},
    **{"stride_placement": "caffe", "aspp_dilations": (6, 12, 18), "active_dilations": (6, 12)},
}
SPEC = NetworkSpec(MODEL, 3, "torchvision")


def _config(task: str, **keys: Any) -> Any:
    config = base_config("x", "source", task=task)
    config.update_from_flattened_dict({f"model.{key}": value for key, value in keys.items()})
    return complete(config)


def test_deeplab() -> None:
    found = SPEC.build(dtype=jnp.bfloat16, rematerialize=True)
    backbone = ResNet(14, 4, "caffe", input_convention=TORCHVISION, rematerialize=True)
    assert found == DeepLabV2(3, backbone, (6, 12, 18), (6, 12), dtype=jnp.bfloat16)


def test_classifier_stands_on_the_published_backbone() -> None:
    model = {**MODEL, "network": "classifier", "stride_placement": "torchvision"}
    found = NetworkSpec(model, 5, "caffe").build()
    backbone = ResNet(14, 4, "torchvision", 32, ceil_pool=False, input_convention=CAFFE)
    assert found == ImageClassifier(5, backbone)


def test_small_resnet() -> None:
    model = {"network": "small_resnet", "depth": 8, "width": 4}
    found = NetworkSpec(model, 10, "torchvision").build(dtype=jnp.float32)
    assert found == SmallResNet(10, 8, 4, dtype=jnp.float32)


def test_keys_of_a_configuration_that_count() -> None:
    keys = {"depth": 14, "width": 4, "aspp_dilations": (6, 12, 18), "active_dilations": (6, 12)}
    found = NetworkSpec.from_config(_config("segmentation", **keys))
    assert found == dataclasses.replace(SPEC, num_classes=19)
    small = _config("classification", network="small_resnet", depth=8)
    assert NetworkSpec.from_config(small).model == {
        **{"network": "small_resnet", "depth": 8, "width": 64}
    }


def test_configuration_that_a_run_has_saved() -> None:
    config = _config("segmentation", depth=14)
    saved = json.loads(json.dumps(config.to_dict()))
    assert NetworkSpec.from_config(saved) == NetworkSpec.from_config(config)


def test_stride_of_a_classifier_is_the_published_one_whatever_the_configuration_says() -> None:
    config = _config("classification", network="classifier", stride_placement="caffe")
    assert NetworkSpec.from_config(config).model["stride_placement"] == "torchvision"


@pytest.mark.parametrize("missing", ["network", "backbone", "depth", "active_dilations"])
def test_network_that_is_not_known_in_full(missing: str) -> None:
    model = {key: value for key, value in MODEL.items() if key != missing}
    with pytest.raises(ValueError, match=f"not known of the network: .*model.{missing}"):
        NetworkSpec(model, 3, "caffe").build()


def test_classes_that_are_not_known() -> None:
    with pytest.raises(ValueError, match="not known of the network: num_classes"):
        dataclasses.replace(SPEC, num_classes=None).build()


def test_without_heads() -> None:
    model = {key: MODEL[key] for key in ("backbone", "depth", "width", "stride_placement")}
    assert SPEC.without_heads() == NetworkSpec(model, None, "torchvision")
    small = NetworkSpec({"network": "small_resnet", "depth": 8, "width": 4}, 10, "torchvision")
    assert small.without_heads() == dataclasses.replace(small, num_classes=None)


@pytest.mark.parametrize("spec", [SPEC, SPEC.without_heads()])
def test_json(spec: NetworkSpec) -> None:
    assert NetworkSpec.from_json(json.loads(json.dumps(dataclasses.asdict(spec)))) == spec


@pytest.mark.parametrize(
    "values",
    [
        *(
            {"model": {**MODEL, key: value}}
            for key, value in {
                **{"network": "vgg", "backbone": "vgg", "depth": 18, "width": 0},
                **{"stride_placement": "none", "aspp_dilations": 6, "active_dilations": [6, "12"]},
            }.items()
        ),
        {"model": {**MODEL, "depth": None, "width": "4"}},
        {"model": {**MODEL, "aspp_dilations": []}},
        {"model": {**MODEL, "active_dilations": [0]}},
        {"model": {**MODEL, "height": 4}},
        {"model": 3},
        {"input_convention": "none"},
        {"num_classes": -1},
        {"num_classes": "3"},
        {"unknown": 1},
    ],
)
def test_impossible_description(values: dict[str, Any]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        NetworkSpec.from_json({**dataclasses.asdict(SPEC), **values})


@pytest.mark.parametrize("values", [{}, {"num_classes": 3}, {"depth": 14, "width": 4}, [], None, 3])
def test_description_that_is_none(values: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        NetworkSpec.from_json(values)
