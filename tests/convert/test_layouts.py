"""Public checkpoints are recognised by the names and shapes of their arrays."""

from __future__ import annotations

import pytest

from msl_jax.convert import NetworkSpec, detect
from msl_jax.runtime.errors import UserError

from .public_files import (
    Shapes,
    classifier,
    head,
    norm,
    official,
    prefixed,
    resnet,
    without_counters,
)

_CAFFE = "input caffe (BGR minus mean); stride placement caffe"
_TORCHVISION = "input torchvision (RGB normalised); stride placement torchvision"
_NO_HEADS = "without low_head and final_head"

RECOGNISED: dict[str, tuple[Shapes, str]] = {
    **{
        f"torchvision {depth}": (
            resnet(depth) | classifier(),
            f"torchvision ResNet-{depth}; 1000 classes; {_TORCHVISION}",
        )
        for depth in (50, 101)
    },
    "classifier of other classes": (
        resnet(50) | classifier(classes=31),
        f"torchvision ResNet-50; 31 classes; {_TORCHVISION}",
    ),
    "DeepLabv2 that has kept its fc": (
        official() | classifier(),
        "DeepLabv2 ResNet-101 with two heads (official, AdaptSegNet, ADVENT); 19 classes;"
        f" {_CAFFE}; fc skipped (2 arrays)",
    ),
    "without fc": (
        resnet(50),
        f"ResNet-50 without a classifier; {_TORCHVISION}; {_NO_HEADS}",
    ),
    "DeepLab initialisation": (
        prefixed("Scale.", without_counters(resnet(101) | head("layer5", 2048, 21))),
        f"DeepLab initialisation, ResNet-101; {_CAFFE}; prefix 'Scale.' removed; layer5 skipped"
        f" (8 arrays); {_NO_HEADS}",
    ),
    "official": (
        official(),
        "DeepLabv2 ResNet-101 with two heads (official, AdaptSegNet, ADVENT); 19 classes;"
        f" {_CAFFE}",
    ),
    "parallel": (
        prefixed("module.", official(classes=16)),
        "DeepLabv2 ResNet-101 with two heads (official, AdaptSegNet, ADVENT); 16 classes;"
        f" {_CAFFE}; prefix 'module.' removed",
    ),
    **{
        f"within {prefix}": (
            prefixed(prefix, resnet(50)),
            f"ResNet-50 without a classifier; {_TORCHVISION}; prefix {prefix!r} removed;"
            f" {_NO_HEADS}",
        )
        for prefix in (
            *("model.", "backbone.", "encoder.", "_orig_mod.", "module.encoder."),
            *("_orig_mod.module.", "model.module.backbone."),
        )
    },
    "ADVENT, one level": (
        resnet(101) | head("layer6", 2048),
        f"DeepLabv2 ResNet-101; 19 classes; {_CAFFE}; without low_head",
    ),
    "AdaptSegNet, one level": (
        without_counters(resnet(101) | head("layer5", 2048)),
        "DeepLabv2 ResNet-101 with one head (AdaptSegNet, single level); 19 classes;"
        f" {_CAFFE}; without low_head",
    ),
    "small": (
        official(14, 4, 5),
        "DeepLabv2 ResNet-14 of width 4 with two heads (official, AdaptSegNet, ADVENT); 5 classes;"
        f" {_CAFFE}",
    ),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_recognised(name: str) -> None:
    shapes, description = RECOGNISED[name]
    assert detect(shapes).describe() == description


def test_heads_by_their_names_in_the_file() -> None:
    assert detect(official()).heads.modules == {"final_head": "layer6", "low_head": "layer5"}
    assert detect(resnet(50) | head("layer5", 2048)).heads.modules == {"final_head": "layer5"}
    assert detect(resnet(50) | classifier()).heads.modules == {"classifier": "fc"}
    assert detect(official() | classifier()).heads.modules.keys() == {"final_head", "low_head"}


def test_outputs_of_the_classifier() -> None:
    assert detect(resnet(50) | classifier()).heads.num_classes == 1000
    assert detect(prefixed("module.", resnet(50) | classifier(classes=31))).heads.num_classes == 31
    for other in ({}, {"fc.weight": ()}, {"fc.0.weight": (128, 2048)}):
        heads = detect(resnet(50) | other).heads
        assert (heads.num_classes, heads.modules) == (None, {})


def test_convolutions_of_a_head_are_counted() -> None:
    assert detect(official()).heads.convolutions == 4
    assert detect(resnet(50) | head("layer6", 2048, convolutions=2)).heads.convolutions == 2
    assert detect(resnet(50)).heads.convolutions is None


def test_conventions_that_are_known_better() -> None:
    known = NetworkSpec({"stride_placement": "caffe", "depth": 26}, None, "caffe")
    layout = detect(resnet(50)).with_description(known)
    network = layout.network()
    assert (network.model["stride_placement"], network.input_convention) == ("caffe", "caffe")
    assert "input caffe (BGR minus mean); stride placement caffe" in layout.describe()
    assert network.model["depth"] == 50  # as the arrays have it


def _spec(network: str | None, depth: int, classes: int | None, convention: str, **keys: object):
    model = {"backbone": "resnet", "depth": depth, "width": 64, "stride_placement": convention}
    return NetworkSpec(
        model | ({"network": network} if network else {}) | keys, classes, convention
    )


def test_network() -> None:
    """Which dilations the heads sum is not in a file; of other than four not even which exist."""
    four = detect(official()).network()
    assert four == _spec("deeplab", 101, 19, "caffe", aspp_dilations=(6, 12, 18, 24))
    two = detect(resnet(50) | head("layer6", 2048, 16, convolutions=2)).network()
    assert two == _spec("deeplab", 50, 16, "caffe")
    fc = detect(resnet(50) | classifier(classes=31)).network()
    assert fc == _spec("classifier", 50, 31, "torchvision")
    assert detect(resnet(50)).network() == _spec(None, 50, None, "torchvision")


VGG = {"features.0.weight": (64, 3, 3, 3), "features.0.bias": (64,), "classifier.0.bias": (9,)}

REFUSED: dict[str, tuple[Shapes, list[str]]] = {
    "empty": ({}, ["not the weights of a ResNet", "found none among 0 names"]),
    "VGG": (VGG, ["not the weights of a ResNet", "conv1.weight", "first are features.0.weight, "]),
    **{
        f"ResNet-{depth}": (
            resnet(depth) | classifier(8 if depth < 50 else 64),
            [f"{blocks} bottleneck blocks", "expected one of", "ResNet-101 (3, 4, 23, 3)"],
        )
        for depth, blocks in {18: (0, 0, 0, 0), 34: (0, 0, 0, 0), 152: (3, 8, 36, 3)}.items()
    },
    "torchvision's DeepLabv3": (
        prefixed("backbone.", resnet(101)) | norm("classifier.4", 21),
        ["with and without the prefix 'backbone.'", "the first is classifier.4.weight"],
    ),
    "unknown prefix": (
        prefixed("features.", resnet(50)),
        ["unknown prefix 'features.'", "one of module.conv1.weight, Scale.conv1.weight"],
    ),
    "unknown prefix behind a known one": (
        prefixed("module.features.", resnet(50)),
        ["unknown prefix 'features.'", "found module.features.conv1.weight", "remove the prefix"],
    ),
    "teacher and student": (
        prefixed("teacher.", resnet(50)) | prefixed("student.", resnet(50)),
        ["expected one network, found 2 among", "teacher.conv1.weight"],
    ),
    "mixed prefixes": (
        prefixed("module.", resnet(50)) | norm("bn1", 64),
        ["with and without the prefix 'module.'", "5 of 323 lack it", "the first is bn1.weight"],
    ),
    "low head alone": (
        resnet(50) | head("layer5", 1024),
        ["reads 1024 channels and there is no layer6", "layer6 on 2048", "or one (layer5 on 2048)"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    shapes, parts = REFUSED[name]
    with pytest.raises(UserError) as caught:
        detect(shapes)
    for part in parts:
        assert part in str(caught.value)
