"""EfficientNet-Lite in public files: the names of `efficientnet_lite_pytorch`.

`_blocks.7._depthwise_conv.weight` is `backbone/block7/depthwise_conv/kernel`, `_fc` the classifier.
"""

from __future__ import annotations

import re
from typing import ClassVar

from msl_jax.models.backbones.efficientnet_lite import SCALING, stages
from msl_jax.runtime.errors import UserError
from msl_jax.weights.layouts import CLASSIFIER, Layout, find_heads, find_prefix
from msl_jax.weights.mismatch import Shapes
from msl_jax.weights.names import Path, PublicNames

_STEM = "_conv_stem.weight"
_TIMM = re.compile(r"(^|\.)conv_stem\.weight$")
_BLOCK = re.compile(r"block(\d+)")
_MODULES = {
    **{"stem_conv": "_conv_stem", "stem_bn": "_bn0"},
    **{"head_conv": "_conv_head", "head_bn": "_bn1"},
}
_IN_BLOCK = {
    **{"expand_conv": "_expand_conv", "expand_bn": "_bn0"},
    **{"depthwise_conv": "_depthwise_conv", "depthwise_bn": "_bn1"},
    **{"project_conv": "_project_conv", "project_bn": "_bn2"},
}


class EfficientNetLiteNames(PublicNames):
    """See `PublicNames`. The versions share their names and differ in blocks and channels.

    >>> names = EfficientNetLiteNames()
    >>> names.name(("backbone", "block3", "expand_bn", "mean"))
    '_blocks.3._bn0.running_mean'
    >>> names.name(("classifier", "kernel"))
    '_fc.weight'
    """

    title = "an EfficientNet-Lite"
    expected = f"one 3x3 convolution {_STEM}"
    heads: ClassVar[dict[str, str]] = {**PublicNames.heads, CLASSIFIER: "_fc"}

    def module(self, path: Path) -> str | None:
        """See `PublicNames`."""
        if len(path) == 1:
            return _MODULES.get(path[0])
        if len(path) != 2 or path[1] not in _IN_BLOCK or not (block := _BLOCK.fullmatch(path[0])):
            return None
        return f"_blocks.{block[1]}.{_IN_BLOCK[path[1]]}"

    def detect(self, shapes: Shapes) -> Layout | None:
        """Recognises the published networks and DeepLabv2 on them, and which version it is."""
        prefix = find_prefix(shapes, _STEM, lambda shape: shape[2:] == (3, 3))
        if prefix is None:
            _refuse_timm(shapes)
            return None
        inner = {name.removeprefix(prefix): tuple(shape) for name, shape in shapes.items()}
        version = _version(inner)
        heads = find_heads(inner, self.heads)
        backbone = f"EfficientNet-Lite{version}"
        if CLASSIFIER in heads.modules:
            title = backbone
        elif heads.modules:
            title = f"DeepLabv2 {backbone}"
        else:
            title = f"{backbone} without a classifier"
        return Layout(
            title,
            f"efficientnet_lite{version}",
            seen={},
            assumed={},
            input_convention="efficientnet_lite",
            heads=heads,
            prefix=prefix,
            published=(_MODULES["head_conv"], _MODULES["head_bn"]),
        )


def _version(inner: Shapes) -> int:
    """Which EfficientNet-Lite it is, by the channels of its blocks.

    Raises:
        UserError: none of them.
    """
    if squeezing := next((name for name in inner if "._se_" in name), None):
        raise UserError(
            f"an EfficientNet with squeeze-and-excitation ({squeezing}): expected an"
            " EfficientNet-Lite, which has none"
        )
    channels = {
        int(match[1]): shape[0]
        for name, shape in inner.items()
        if (match := re.fullmatch(r"_blocks\.(\d+)\._project_conv\.weight", name))
    }
    found = [channels[number] for number in sorted(channels)]
    for version in SCALING:
        if found == _features(version):
            return version
    known = "; ".join(f"Lite{version} {_features(version)}" for version in SCALING)
    raise UserError(
        f"an EfficientNet-Lite whose blocks have {found} channels; expected those of one of {known}"
    )


def _features(version: int) -> list[int]:
    return [block.features for blocks in stages(version) for block in blocks]


def _refuse_timm(shapes: Shapes) -> None:
    """Raises for timm's names, under which there are networks that no array tells apart."""
    if stem := next((name for name in shapes if _TIMM.search(name)), None):
        raise UserError(
            f"the names of timm ({stem}), under which there are networks that differ in padding,"
            " batch norm and input, but in no array's shape, such as efficientnet_lite0 and"
            f" tf_efficientnet_lite0: expected those of efficientnet_lite_pytorch ({_STEM})."
            " --config.init_from=efficientnet_lite0 takes the weights of such a package."
        )
