from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msl_jax.convert import to_torch
from msl_jax.models import DeepLabV2, ImageClassifier, ResNet
from msl_jax.models.backbones.small_resnet import SmallResNet
from msl_jax.models.initial import abstract_variables
from msl_jax.runtime.errors import UserError
from msl_jax.weights.names import flax_array, torch_array, torch_shape
from msl_jax.weights.resnet_names import ResNetNames

from .public_files import Shapes, classifier, official, resnet, without_counters

GOLDEN = Path(__file__).parents[3] / "shared" / "goldens" / "deeplab_names.json"


def _our_shapes(model: DeepLabV2 | ImageClassifier) -> Shapes:
    """Names and shapes of all arrays of a network, translated from ours."""
    leaves = flatten_dict(abstract_variables(model))
    names = {path: ResNetNames().name(path[1:]) for path in leaves}
    return {str(names[path]): torch_shape(leaf.shape) for path, leaf in leaves.items()}


def test_all_names_and_shapes_are_those_of_the_official_checkpoints() -> None:
    ours = _our_shapes(DeepLabV2(num_classes=19))
    assert len(ours) == 328 + 208  # parameters, running statistics
    assert ours == without_counters(official())


@pytest.mark.parametrize(("depth", "arrays"), [(50, 267), (101, 522)])
def test_all_names_and_shapes_are_those_of_torchvision(depth: int, arrays: int) -> None:
    """Parameters and running statistics of its resnet50 and resnet101."""
    ours = _our_shapes(ImageClassifier(1000, ResNet(depth, **ResNet.PUBLISHED)))
    assert len(ours) == arrays
    assert ours == without_counters(resnet(depth) | classifier())


def test_rule_gives_the_names_of_the_official_code() -> None:
    if not GOLDEN.is_file():
        pytest.skip("the official names are not here (expected in ../shared/goldens)")
    golden = {name: tuple(shape) for name, shape in json.loads(GOLDEN.read_text()).items()}
    assert official() == golden


def test_rule_gives_the_names_of_torchvision() -> None:
    """That is the backbone of the official network; torchvision itself need not be installed."""
    backbone = {n: s for n, s in official().items() if not n.startswith(("layer5", "layer6"))}
    assert resnet(101) == backbone


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("backbone/conv1/kernel", "conv1.weight"),
        ("backbone/bn1/scale", "bn1.weight"),
        ("backbone/bn1/bias", "bn1.bias"),
        ("backbone/bn1/mean", "bn1.running_mean"),
        ("backbone/bn1/var", "bn1.running_var"),
        ("backbone/layer3_22/conv3/kernel", "layer3.22.conv3.weight"),
        ("backbone/layer1_0/downsample_conv/kernel", "layer1.0.downsample.0.weight"),
        ("backbone/layer1_0/downsample_bn/var", "layer1.0.downsample.1.running_var"),
        ("low_head/conv0/kernel", "layer5.conv2d_list.0.weight"),
        ("final_head/conv3/bias", "layer6.conv2d_list.3.bias"),
        ("classifier/kernel", "fc.weight"),
        ("classifier/bias", "fc.bias"),
    ],
)
def test_name(path: str, name: str) -> None:
    assert ResNetNames().name(tuple(path.split("/"))) == name


@pytest.mark.parametrize(
    "path",
    ["backbone/conv2/kernel", "backbone/layer5_0/conv1/kernel", "backbone/layer1_0/conv4/kernel",
     "backbone/layer1_0/kernel", "backbone/kernel", "conv1/kernel", "discriminator/hidden1/kernel"],
)  # fmt: skip
def test_no_name_for_what_is_no_resnets(path: str) -> None:
    assert ResNetNames().name(tuple(path.split("/"))) is None


def test_small_resnet_has_no_names_in_public_files(random_variables) -> None:
    message = (
        "no names in public files: a ResNet or DeepLabv2 has no bn1/mean; an EfficientNet-Lite"
    )
    with pytest.raises(UserError, match=message):
        to_torch(random_variables(SmallResNet(3, width=4)))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4, 5)])
def test_layouts_are_inverse(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    assert torch_array(array).shape == torch_shape(shape)
    assert torch_array(array).flags.c_contiguous
    np.testing.assert_array_equal(flax_array(torch_array(array)), array, strict=True)
    np.testing.assert_array_equal(torch_array(flax_array(array)), array, strict=True)


def test_kernel() -> None:
    """`[kh, kw, in, out]` becomes `[out, in, kh, kw]`."""
    kernel = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert torch_array(kernel)[4, 3, 1, 2] == kernel[1, 2, 3, 4]


def test_kernel_of_a_linear_layer() -> None:
    """`[in, out]` becomes `[out, in]`."""
    kernel = np.arange(2 * 3).reshape(2, 3)
    assert torch_array(kernel)[2, 1] == kernel[1, 2]
