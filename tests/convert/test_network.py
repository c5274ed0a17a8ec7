from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from msl_jax.convert import Network, detect

from .public_files import classifier, head, official, resnet

NETWORK = Network(14, 4, "caffe", "torchvision", 3, (6, 12, 18, 24), (6, 12))


def test_model() -> None:
    model = NETWORK.model(frozen_norms=True)
    assert (model.depth, model.width, model.num_classes) == (14, 4, 3)
    assert (model.head_rates, model.active_rates) == ((6, 12, 18, 24), (6, 12))
    assert (model.stride_placement, model.frozen_norms) == ("caffe", True)


def test_model_of_a_network_that_is_not_known_in_full() -> None:
    with pytest.raises(ValueError, match="not known in full"):
        NETWORK.without_heads().model()


@pytest.mark.parametrize("network", [NETWORK, NETWORK.without_heads()])
def test_json(network: Network) -> None:
    values = json.loads(json.dumps(dataclasses.asdict(network)))
    assert Network.from_json(values) == network


@pytest.mark.parametrize(
    "values",
    [
        {"depth": 18},
        {"depth": None},
        {"width": 0},
        {"width": "4"},
        {"stride_placement": "none"},
        {"input_convention": "none"},
        {"num_classes": -1},
        {"head_rates": 6},
        {"head_rates": []},
        {"active_rates": [6, "12"]},
        {"active_rates": [0]},
        {"unknown": 1},
    ],
)
def test_impossible_description(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Network.from_json(dataclasses.asdict(NETWORK) | values)


def test_description_that_lacks_a_field() -> None:
    with pytest.raises(TypeError, match="stride_placement"):
        Network.from_json({"depth": 14, "width": 4, "input_convention": "caffe"})


def test_from_names() -> None:
    """Which rates the heads sum is not in a file, and of other than four not even which exist."""
    four = detect(official()).network()
    assert four == Network(101, 64, "caffe", "caffe", 19, (6, 12, 18, 24), None)
    two = detect(resnet(50) | head("layer6", 2048, 16, convolutions=2)).network()
    assert two == Network(50, 64, "caffe", "caffe", 16, None, None)
    fc = detect(resnet(50) | classifier(classes=31)).network()
    assert fc == Network(50, 64, "torchvision", "torchvision", 31)
    none = detect(resnet(50)).network()
    assert none == Network(50, 64, "torchvision", "torchvision")
