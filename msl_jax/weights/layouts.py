"""Recognises public checkpoints by the names and shapes of their arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from msl_jax.models.backbones.resnet import STAGE_SIZES, StridePlacement
from msl_jax.models.inputs import InputConvention
from msl_jax.models.spec import OFFICIAL_RATES, Network
from msl_jax.runtime.errors import UserError
from msl_jax.weights.mismatch import Shapes
from msl_jax.weights.names import COUNTER, TORCH_HEADS, TORCH_PARTS

# `module.`: saved from DataParallel. `Scale.`: the DeepLab initialisation of AdaptSegNet.
_PREFIXES = ("module.", "Scale.")
_STEM = "conv1.weight"
# Our name of torchvision's `fc`.
CLASSIFIER = "classifier"
# Outputs of the classifier that torchvision's weights have, which other classes have no use for.
IMAGENET_CLASSES = 1000


def gives_way(classes: int | None, wanted: int) -> bool:
    """Whether a classifier is ImageNet's, for which a network of other classes has no use.

    >>> gives_way(1000, 31), gives_way(1000, 1000), gives_way(31, 10)
    (True, False, False)
    """
    return classes == IMAGENET_CLASSES != wanted


class Layout(NamedTuple):
    """What a checkpoint is and how its network is run.

    Attributes:
        title: for messages, e.g. "torchvision ResNet-101".
        depth: layers of the ResNet.
        width: channels of its stem.
        num_classes: outputs of its heads, or of torchvision's classifier; None without either.
        head_convolutions: convolutions of each head; None without heads.
        heads: our name -> the module's name in the file, of the heads that are taken over: those
            of DeepLabv2, or torchvision's classifier.
        stride_placement: the convention of such files; it cannot be seen in them.
        input_convention: likewise.
        prefix: in front of every name.
        left_out: names (without prefix) that no network takes over, e.g. the old classifier of the
            DeepLab initialisation.
    """

    title: str
    depth: int
    width: int
    num_classes: int | None
    head_convolutions: int | None
    heads: dict[str, str]
    stride_placement: StridePlacement
    input_convention: InputConvention
    prefix: str
    left_out: tuple[str, ...]

    def network(self) -> Network:
        """What the checkpoint tells of its network; the rates of other heads it does not."""
        official = self.head_convolutions == len(OFFICIAL_RATES)
        return Network(
            self.depth,
            self.width,
            self.stride_placement,
            self.input_convention,
            self.num_classes,
            head_rates=OFFICIAL_RATES if official else None,
        )

    def with_conventions(self, stride: StridePlacement, entering: InputConvention) -> Layout:
        """The same with conventions that are known better, from a description in the file."""
        return self._replace(stride_placement=stride, input_convention=entering)

    def describe(self) -> str:
        """One line that says what was recognised."""
        entering = {"caffe": "BGR minus mean", "torchvision": "RGB normalised"}
        parts = [
            self.title,
            f"input {self.input_convention} ({entering[self.input_convention]})",
            f"stride placement {self.stride_placement}",
        ]
        if self.num_classes is not None:
            parts.insert(1, f"{self.num_classes} classes")
        if self.prefix:
            parts.append(f"prefix {self.prefix!r} taken off")
        if self.left_out:
            modules = sorted({name.partition(".")[0] for name in self.left_out})
            parts.append(f"{', '.join(modules)} left out ({len(self.left_out)} arrays)")
        missing = [head for head in TORCH_HEADS if head not in self.heads]
        if missing and CLASSIFIER not in self.heads:
            parts.append(f"without {' and '.join(missing)}")
        return "; ".join(parts)


def detect(shapes: Shapes) -> Layout:
    """Recognises torchvision's ResNets, the DeepLab initialisation and DeepLabv2 checkpoints.

    Args:
        shapes: shape of every array by its name, as the file has them.

    Returns:
        The layout. That V1 and V2 weights of torchvision have the same names, and ADVENT's four
        head rates those of two, cannot be seen and makes no difference to the arrays.

    Raises:
        UserError: it is none of them; says what was expected and found.
    """
    prefix = _prefix(shapes)
    inner = {name.removeprefix(prefix): tuple(shape) for name, shape in shapes.items()}
    depth, width = _depth(inner), inner[_STEM][0]
    backbone = f"ResNet-{depth}" if width == 64 else f"ResNet-{depth} of width {width}"
    first_head = {module: _head_shape(inner, module) for module in TORCH_HEADS.values()}
    low, final = first_head["layer5"], first_head["layer6"]
    module = TORCH_PARTS[CLASSIFIER]
    left_out = tuple(name for name in inner if name.startswith(f"{module}."))
    num_classes = None
    heads: dict[str, str] = {}
    convention: StridePlacement = "caffe"  # of files of this kind, for stride and input
    if "Scale." in prefix:
        title = f"DeepLab initialisation, {backbone}"
        left_out += tuple(name for name in inner if name.startswith("layer5."))
    elif final is not None:
        title = f"DeepLabv2 {backbone}"
        heads = {"final_head": "layer6"}
        if low is not None:
            title += " with two heads (official, AdaptSegNet, ADVENT)"
            heads["low_head"] = "layer5"
    elif low is not None and low[1] == 32 * width:
        title = f"DeepLabv2 {backbone} with one head (AdaptSegNet, single level)"
        heads = {"final_head": "layer5"}
    elif low is None:
        title, convention = f"{backbone} without a classifier", "torchvision"
        if left_out:
            title = f"torchvision {backbone}"
        if len(kernel := inner.get(f"{module}.weight", ())) == 2:
            heads, left_out, num_classes = {CLASSIFIER: module}, (), kernel[0]
    else:
        raise UserError(
            f"layer5.conv2d_list.0.weight reads {low[1]} channels and there is no layer6: expected"
            f" two heads (layer5 on {16 * width}, layer6 on {32 * width} channels) or one (layer5"
            f" on {32 * width})"
        )
    final_shape = first_head[heads["final_head"]] if "final_head" in heads else None
    return Layout(
        title,
        depth,
        width,
        num_classes=final_shape[0] if final_shape else num_classes,
        head_convolutions=_head_convolutions(inner, heads["final_head"]) if final_shape else None,
        heads=heads,
        stride_placement=convention,
        input_convention=convention,
        prefix=prefix,
        left_out=left_out,
    )


def is_counter(name: str) -> bool:
    """Whether an array is a norm's count of batches, which no forward pass reads."""
    return name.rpartition(".")[2] == COUNTER


def _prefix(shapes: Shapes) -> str:
    """What stands before every name."""
    stems = [
        name.removesuffix(_STEM)
        for name, shape in shapes.items()
        if re.search(rf"(^|\.){_STEM}$", name) and tuple(shape[2:]) == (7, 7)
    ]
    if len(stems) != 1:
        some = f", the first are {', '.join(list(shapes)[:4])}" if shapes else ""
        raise UserError(
            "not the weights of a ResNet or DeepLabv2: expected one 7x7 convolution conv1.weight,"
            f" found {len(stems)} among {len(shapes)} names{some}"
        )
    prefix = unknown = stems[0]
    while known := next((p for p in _PREFIXES if unknown.startswith(p)), None):
        unknown = unknown.removeprefix(known)
    if unknown:
        raise UserError(
            f"unknown prefix {unknown!r}: expected {_STEM} or one of"
            f" {', '.join(p + _STEM for p in _PREFIXES)}, found {prefix + _STEM}. If these are the"
            " weights of such a network, take the prefix off all names and save the file again."
        )
    others = [name for name in shapes if not name.startswith(prefix)]
    if others:
        raise UserError(
            f"names with and without the prefix {prefix!r}: {len(others)} of {len(shapes)} lack it,"
            f" the first is {others[0]}"
        )
    return prefix


def _depth(inner: Mapping[str, tuple[int, ...]]) -> int:
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


def _head_shape(inner: Mapping[str, tuple[int, ...]], module: str) -> tuple[int, ...] | None:
    return inner.get(f"{module}.conv2d_list.0.weight")


def _head_convolutions(inner: Mapping[str, tuple[int, ...]], module: str) -> int:
    return sum(bool(re.match(rf"{module}\.conv2d_list\.\d+\.weight$", name)) for name in inner)
