"""EfficientNet-Lite in public files: names, versions, and what a network takes over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msl_jax.config.keys import check_config
from msl_jax.config.presets import complete
from msl_jax.convert import NetworkSpec, detect, from_torch, to_torch
from msl_jax.models import DeepLabV2, ImageClassifier
from msl_jax.models.backbones.efficientnet_lite import VERSIONS, EfficientNetLite0
from msl_jax.models.initial import abstract_variables
from msl_jax.runtime.errors import UserError
from msl_jax.weights.efficientnet_names import EfficientNetLiteNames
from msl_jax.weights.names import torch_shape

Shapes = dict[str, tuple[int, ...]]
KEYS = {"model.backbone": "efficientnet_lite0"}


def _classifier(version: int, classes: int = 1000) -> ImageClassifier:
    lite = VERSIONS[version]
    return ImageClassifier(classes, lite(**lite.PUBLISHED))


@functools.cache
def _published(version: int) -> Shapes:
    """The arrays of the published network."""
    leaves = flatten_dict(abstract_variables(_classifier(version)))
    names = EfficientNetLiteNames()
    return {str(names.name(path[1:])): torch_shape(leaf.shape) for path, leaf in leaves.items()}


@pytest.fixture(scope="module")
def arrays(random_variables: Callable[..., Any]) -> dict[str, np.ndarray]:
    return to_torch(random_variables(_classifier(0)))


def test_names_and_shapes_are_those_of_the_published_network(arrays) -> None:
    pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")
    from benchmarks.support.torch_efficientnet import TorchLite0

    expected = {name: tuple(t.shape) for name, t in TorchLite0().state_dict().items()}
    assert {name: array.shape for name, array in arrays.items()} == expected
    assert len(expected) == 296  # as the published file


@pytest.mark.parametrize(
    ("version", "blocks", "parameters"),
    # Published parameters: 4.7, 5.4, 6.1, 8.2 and 13.0 million.
    [(0, 16, 4_652_008), (1, 21, 5_416_680), (2, 21, 6_092_072), (3, 24, 8_197_096),
     (4, 30, 13_006_568)],
)  # fmt: skip
def test_versions(version: int, blocks: int, parameters: int) -> None:
    shapes = _published(version)
    layout = detect(shapes)
    assert layout.backbone == f"efficientnet_lite{version}"
    assert layout.describe() == (
        f"EfficientNet-Lite{version}; 1000 classes; input efficientnet_lite (RGB, (x - 127) / 128)"
    )
    assert layout.network().model["output_stride"] == 32
    assert len({name.split(".")[1] for name in shapes if name.startswith("_blocks")}) == blocks
    sizes = (np.prod(s) for name, s in shapes.items() if "running" not in name)
    assert sum(map(int, sizes)) == parameters


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("backbone/stem_conv/kernel", "_conv_stem.weight"),
        ("backbone/stem_bn/bias", "_bn0.bias"),
        ("backbone/block0/depthwise_bn/scale", "_blocks.0._bn1.weight"),
        ("backbone/block12/project_bn/var", "_blocks.12._bn2.running_var"),
        ("backbone/head_bn/mean", "_bn1.running_mean"),
        ("final_head/conv1/kernel", "layer6.conv2d_list.1.weight"),
        ("classifier/bias", "_fc.bias"),
        ("backbone/block1/conv1/kernel", None),
        ("backbone/block1/kernel", None),
        ("backbone/stage1/expand_conv/kernel", None),
        ("backbone/conv1/kernel", None),
        ("stem_conv/kernel", None),
    ],
)
def test_name(path: str, name: str | None) -> None:
    assert EfficientNetLiteNames().name(tuple(path.split("/"))) == name


def test_segmentation_takes_the_features_alone(arrays) -> None:
    """Neither the classifier nor the convolution that only it reads; with heads of its own."""
    model = DeepLabV2(3, EfficientNetLite0(), aspp_dilations=(1,), active_dilations=(1,))
    found = from_torch({f"module.{name}": array for name, array in arrays.items()}, model)
    again = to_torch(found)
    for name, array in arrays.items():
        if name.startswith(("_fc.", "_conv_head.", "_bn1.")):
            assert name not in again
        else:
            np.testing.assert_array_equal(again[name], array)
    assert {name for name in again if name not in arrays} == {
        f"layer{n}.conv2d_list.0.{kind}" for n in (5, 6) for kind in ("weight", "bias")
    }
    assert detect({n: a.shape for n, a in again.items()}).title == "DeepLabv2 EfficientNet-Lite0"


def test_classifier_of_other_classes_takes_all_but_the_classifier(arrays) -> None:
    again = to_torch(from_torch(arrays, _classifier(0, classes=4)))
    assert again["_fc.weight"].shape == (4, 1280)
    for name, array in arrays.items():
        if not name.startswith("_fc."):
            np.testing.assert_array_equal(again[name], array)


def test_classifier_there_and_back(arrays) -> None:
    variables = from_torch(arrays, _classifier(0))
    again = from_torch(to_torch(variables), _classifier(0))
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, again))


def test_missing_and_left_over_arrays_are_named(arrays) -> None:
    broken = {n: a for n, a in arrays.items() if n != "_conv_head.weight"}
    broken["_blocks.3._bn3.weight"] = np.zeros(3, np.float32)
    with pytest.raises(UserError) as error:
        from_torch(broken, _classifier(0))
    assert "missing (1):\n    _conv_head.weight 1280x320x1x1" in str(error.value)
    assert "left over (1):\n    _blocks.3._bn3.weight 3" in str(error.value)


def test_another_version_is_refused(tiny_config: Callable[..., Any]) -> None:
    needed = detect(_published(1)).network().without_heads()
    assert needed.model == {"backbone": "efficientnet_lite1"}
    with pytest.raises(UserError, match=r"is 'efficientnet_lite0', the weights need '.*lite1'"):
        complete(tiny_config(**KEYS), needed)
    model = DeepLabV2(3, EfficientNetLite0())
    zeros = {name: np.zeros(shape, np.float32) for name, shape in _published(1).items()}
    message = r"EfficientNet-Lite1 .*does not fit the network: EfficientNet-Lite0, 3 classes"
    with pytest.raises(UserError, match=message):
        from_torch(zeros, model)


def test_any_output_stride_fits_a_backbone(tiny_config: Callable[..., Any]) -> None:
    needed = detect(_published(0)).network().without_heads()
    assert complete(tiny_config(**KEYS), needed).model.output_stride == 8
    config = tiny_config(**KEYS, **{"model.output_stride": 16})
    assert complete(config, needed).model.output_stride == 16


def test_a_network_with_heads_keeps_its_output_stride(tiny_config: Callable[..., Any]) -> None:
    needed = NetworkSpec({"backbone": "efficientnet_lite0", "output_stride": 16})
    with pytest.raises(UserError, match=r"model.output_stride is 8, the weights need 16"):
        complete(tiny_config(**KEYS, **{"model.output_stride": 8}), needed)


def test_another_output_stride_is_refused(tiny_config: Callable[..., Any]) -> None:
    keys = {**KEYS, "model.output_stride": 12}
    message = r"model.output_stride: expected one of 8, 16, 32, found 12"
    with pytest.raises(UserError, match=message):
        check_config(tiny_config(**keys))


REFUSED = {
    "squeeze-and-excitation": (
        {**_published(0), "_blocks.0._se_reduce.weight": (8, 32, 1, 1)},
        r"with squeeze-and-excitation \(_blocks.0._se_reduce.weight\)",
    ),
    "other channels": (
        {**_published(0), "_blocks.15._project_conv.weight": (384, 1152, 1, 1)},
        r"blocks have \[16, 24, .*384\] channels; expected those of one of Lite0 \[16, .*; Lite1 ",
    ),
    "too few blocks": (
        {n: s for n, s in _published(0).items() if not n.startswith("_blocks.15.")},
        r"192, 192\] channels; expected",
    ),
    "timm": (
        {"conv_stem.weight": (32, 3, 3, 3), "blocks.0.0.conv_dw.weight": (32, 1, 3, 3)},
        r"the names of timm \(conv_stem.weight\).*expected those of efficientnet_lite_pytorch",
    ),
    "two networks": (
        {f"{part}.{n}": s for part in ("student", "teacher") for n, s in _published(0).items()},
        "expected one network, found 2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    shapes, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        detect(shapes)
