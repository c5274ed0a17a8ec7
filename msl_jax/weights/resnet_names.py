"""ResNets in public files: torchvision's, and DeepLabv2 on them.

`layer3.5.conv2.weight` is `backbone/layer3_5/conv2/kernel`, the public checkpoints' `layer5` and
`layer6` are the low and the final head, torchvision's `fc` is the classifier.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from msl_jax.models.backbones.resnet import STAGE_SIZES
from msl_jax.models.spec import NetworkSpec
from msl_jax.runtime.errors import UserError
from msl_jax.weights.layouts import CLASSIFIER, PREFIXES, Heads, Layout, find_heads, find_prefix
from msl_jax.weights.mismatch import Shapes
from msl_jax.weights.names import Path, PublicNames

_STEM = "conv1.weight"
# `Scale.`: the DeepLab initialisation of AdaptSegNet.
_PREFIXES = ("module.", "Scale.", *PREFIXES[1:])
_STAGE = re.compile(r"layer([1-4])_(\d+)")
# In a block; outside of them are `conv1` and `bn1`.
_MODULES = {
    **{name: name for name in ("conv1", "conv2", "conv3", "bn1", "bn2", "bn3")},
    "downsample_conv": "downsample.0",
    "downsample_bn": "downsample.1",
}


class ResNetNames(PublicNames):
    """See `PublicNames`.

    >>> names = ResNetNames()
    >>> names.name(("backbone", "layer3_5", "downsample_bn", "mean"))
    'layer3.5.downsample.1.running_mean'
    >>> names.name(("final_head", "conv0", "kernel"))
    'layer6.conv2d_list.0.weight'
    >>> names.name(("classifier", "kernel"))
    'fc.weight'
    """

    title = "a ResNet or DeepLabv2"
    expected = f"one 7x7 convolution {_STEM}"

    def module(self, path: Path) -> str | None:
        """See `PublicNames`."""
        if path in (("conv1",), ("bn1",)):
            return path[0]
        if len(path) != 2 or path[1] not in _MODULES or not (block := _STAGE.fullmatch(path[0])):
            return None
        return f"layer{block[1]}.{block[2]}.{_MODULES[path[1]]}"

    def detect(self, shapes: Shapes) -> Layout | None:
        """Recognises torchvision's ResNets, the DeepLab initialisation and DeepLabv2 checkpoints.

        That V1 and V2 weights of torchvision have the same names, and ADVENT's four active
        dilations those of two, cannot be seen and makes no difference to the arrays.
        """
        prefix = find_prefix(shapes, _STEM, lambda shape: shape[2:] == (7, 7), _PREFIXES)
        if prefix is None:
            return None
        inner = {name.removeprefix(prefix): tuple(shape) for name, shape in shapes.items()}
        depth, width = _depth(inner), inner[_STEM][0]
        backbone = f"ResNet-{depth}" if width == 64 else f"ResNet-{depth} of width {width}"
        title, heads, skipped = _kind(inner, width, prefix)
        # What is usual for files of this kind, for stride and input.
        torchvision = CLASSIFIER in heads.modules or not (heads.modules or "Scale." in prefix)
        convention = "torchvision" if torchvision else "caffe"
        return Layout(
            title.format(backbone),
            "resnet",
            seen={"depth": depth, "width": width},
            assumed={"stride_placement": convention},
            input_convention=convention,
            heads=heads,
            prefix=prefix,
            skipped=tuple(n for n in inner if n.startswith(tuple(f"{m}." for m in skipped))),
        )

    def note(self, network: NetworkSpec, heads: Collection[str]) -> str | None:
        """See `PublicNames`."""
        if CLASSIFIER in heads:
            feed = {"torchvision": "RGB, normalised as for ImageNet", "caffe": "BGR minus mean"}
            return (
                f"these are the names of torchvision's ResNet with {network.num_classes} classes;"
                f" feed {feed[network.input_convention or '']}"
            )
        if network.model["stride_placement"] == "caffe":
            return None
        return (
            "the official code puts the stride elsewhere and feeds BGR minus mean; it loads this"
            " file, but does not compute this network"
        )


def _kind(inner: Shapes, width: int, prefix: str) -> tuple[str, Heads, tuple[str, ...]]:
    """Title with a place for the backbone's, heads, and modules that are skipped."""
    heads = find_heads(inner, ResNetNames.heads)
    if "Scale." in prefix:
        return "DeepLab initialisation, {}", Heads({}), ("fc", "layer5")
    if "low_head" in heads.modules:
        return "DeepLabv2 {} with two heads (official, AdaptSegNet, ADVENT)", heads, ("fc",)
    if "final_head" in heads.modules:
        return "DeepLabv2 {}", heads, ("fc",)
    if low := inner.get("layer5.conv2d_list.0.weight"):
        if low[1] != 32 * width:
            raise UserError(
                f"layer5.conv2d_list.0.weight reads {low[1]} channels and there is no layer6:"
                f" expected two heads (layer5 on {16 * width}, layer6 on {32 * width} channels) or"
                f" one (layer5 on {32 * width})"
            )
        heads = find_heads(inner, {"final_head": "layer5"})
        return "DeepLabv2 {} with one head (AdaptSegNet, single level)", heads, ("fc",)
    if heads.modules:
        return "torchvision {}", heads, ()
    has_fc = any(name.startswith("fc.") for name in inner)
    return "torchvision {}" if has_fc else "{} without a classifier", heads, ("fc",)


def _depth(inner: Shapes) -> int:
    """Depth by the number of blocks in each stage."""
    blocks = {
        stage: {m[1] for m in (re.match(rf"layer{stage}\.(\d+)\.conv3\.", n) for n in inner) if m}
        for stage in range(1, 5)
    }
    found = tuple(len(names) for names in blocks.values())
    for depth, sizes in STAGE_SIZES.items():
        if sizes == found:
            return depth
    known = ", ".join(f"ResNet-{depth} {sizes}" for depth, sizes in STAGE_SIZES.items())
    raise UserError(
        f"a ResNet with {found} bottleneck blocks in its stages; expected one of {known}"
    )
