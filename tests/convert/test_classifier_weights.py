"""State dicts of torchvision's ResNets to a classifier's variables and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from msl_jax.convert import from_torch, to_torch
from msl_jax.models import ImageClassifier, ResNet, initial_heads
from msl_jax.runtime.errors import UserError

from .public_files import classifier, official, resnet

StateDict = dict[str, np.ndarray]
MODEL = ImageClassifier(3, ResNet(14, 4, **ResNet.PUBLISHED))


@pytest.fixture
def variables(random_variables: Callable[..., Any]) -> Any:
    return random_variables(MODEL)


@pytest.fixture
def state_dict(variables: Any) -> StateDict:
    return to_torch(variables)


def _imagenet(state_dict: StateDict) -> StateDict:
    return state_dict | {n: np.ones(s, np.float32) for n, s in classifier(4).items()}


def _assert_identical(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_there_and_back(variables: Any, state_dict: StateDict) -> None:
    shapes = {name: array.shape for name, array in state_dict.items()}
    assert shapes == resnet(14, 4) | classifier(4, 3)
    _assert_identical(from_torch(state_dict, MODEL), variables)


def test_parallel_and_without_counters(variables: Any, state_dict: StateDict) -> None:
    old = {f"module.{n}": a for n, a in state_dict.items() if "num_batches" not in n}
    _assert_identical(from_torch(old, MODEL), variables)


def test_classifier_of_imagenet_gives_way_to_a_new_one(variables: Any, state_dict: StateDict):
    found = from_torch(_imagenet(state_dict), MODEL, seed=1)
    _assert_identical(found["params"]["classifier"], initial_heads(MODEL, 1)["classifier"])
    _assert_identical(found["params"]["backbone"], variables["params"]["backbone"])
    _assert_identical(found["batch_stats"], variables["batch_stats"])


def test_classifier_of_imagenet_is_taken_by_as_many_classes(state_dict: StateDict) -> None:
    found = from_torch(_imagenet(state_dict), MODEL.clone(num_classes=1000))
    assert np.array_equal(found["params"]["classifier"]["kernel"], np.ones((128, 1000)))


def test_backbone_without_classifier_gets_a_new_one(state_dict: StateDict) -> None:
    backbone = {n: a for n, a in state_dict.items() if not n.startswith("fc")}
    found = from_torch(backbone, MODEL, seed=2)["params"]["classifier"]
    _assert_identical(found, initial_heads(MODEL, 2)["classifier"])


def test_classifier_is_drawn_anew_where_that_is_asked_for(state_dict: StateDict) -> None:
    found = from_torch(state_dict, MODEL.clone(num_classes=7), reinit_heads=True)
    assert found["params"]["classifier"]["kernel"].shape == (128, 7)


def test_classifier_of_other_classes_is_refused(state_dict: StateDict) -> None:
    with pytest.raises(UserError) as caught:
        from_torch(state_dict, MODEL.clone(num_classes=7))
    assert str(caught.value).splitlines() == [
        "torchvision ResNet-14 of width 4 with 3 classes does not fit the network: ResNet-14 of"
        " width 4, 7 classes.",
        "  of another shape (2):",
        "    fc.bias: expected 7, found 3",
        "    fc.weight: expected 7x128, found 3x128",
        "To use it all the same, set --config.reinit_heads=true to train new heads.",
    ]


def test_deeplab_is_refused_unless_its_backbone_alone_is_wanted() -> None:
    deeplab = {name: np.ones(shape, np.float32) for name, shape in official(14, 4).items()}
    with pytest.raises(UserError, match=r"left over \(16\):\n    layer5\.conv2d_list\.0\.weight"):
        from_torch(deeplab, MODEL)
    found = from_torch(deeplab, MODEL, reinit_heads=True)["params"]
    _assert_identical(found["classifier"], initial_heads(MODEL, 0)["classifier"])
