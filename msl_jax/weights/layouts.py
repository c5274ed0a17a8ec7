"""What a public checkpoint is, by the names and shapes of its arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.deeplab import OFFICIAL_DILATIONS
from msl_jax.models.spec import NetworkSpec, conventions_of, published_keys
from msl_jax.runtime.errors import UserError
from msl_jax.weights.mismatch import Shapes

# A segmentation's heads in our words, the one that predicts last; and a classifier's.
SEGMENTATION_HEADS = ("low_head", "final_head")
CLASSIFIER = "classifier"
# `module.`: saved from DataParallel; `_orig_mod.`: from a compiled module. The others are usual
# names of a network within another module.
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
# Outputs of the classifier of published weights, which other classes have no use for.
IMAGENET_CLASSES = 1000


def is_foreign_imagenet_head(classes: int | None, wanted: int) -> bool:
    """Whether a classifier is ImageNet's, for which a network of other classes has no use.

    >>> is_foreign_imagenet_head(1000, 31), is_foreign_imagenet_head(1000, 1000)
    (True, False)
    >>> is_foreign_imagenet_head(31, 10)
    False
    """
    return classes == IMAGENET_CLASSES != wanted


class Heads(NamedTuple):
    """The heads that a checkpoint holds and a network can take over.

    Attributes:
        modules: our name -> the module's name in the file.
        num_classes: their outputs; None without any.
        convolutions: of each head of a segmentation; None for others.
    """

    modules: dict[str, str]
    num_classes: int | None = None
    convolutions: int | None = None


class Layout(NamedTuple):
    """What a checkpoint is and how its network is run.

    Attributes:
        title: for messages, e.g. "torchvision ResNet-101".
        backbone: its key in `msl_jax.models.backbones.registry`.
        seen: keys of the configuration's group `model` that the arrays tell, such as ``depth``.
        assumed: those that they do not tell, as is usual for such files.
        input_convention: name of the usual one.
        heads: those that are taken over.
        prefix: of every name.
        skipped: names (without prefix) that no network takes over, e.g. the old classifier of the
            DeepLab initialisation.
        published: modules that only the published network has behind the features of ours; taken
            over where the network has them.
    """

    title: str
    backbone: str
    seen: dict[str, Any]
    assumed: dict[str, Any]
    input_convention: str
    heads: Heads
    prefix: str = ""
    skipped: tuple[str, ...] = ()
    published: tuple[str, ...] = ()

    def network(self) -> NetworkSpec:
        """What is known of its network; other dilations than the official ones are not."""
        model = {
            "network": CLASSIFIER if CLASSIFIER in self.heads.modules else "deeplab",
            "backbone": self.backbone,
            **self.seen,
        }
        assumed = {**published_keys(model), **self.assumed}
        if self.heads.convolutions == len(OFFICIAL_DILATIONS):
            assumed.setdefault("aspp_dilations", OFFICIAL_DILATIONS)
        model |= {key: value for key, value in assumed.items() if key not in model}
        spec = NetworkSpec(model, self.heads.num_classes, self.input_convention)
        return spec if self.heads.modules else spec.without_heads()

    def with_description(self, described: NetworkSpec) -> Layout:
        """The same with what a description in the file knows better; the arrays go first."""
        convention = described.input_convention or self.input_convention
        return self._replace(
            assumed={**self.assumed, **described.model}, input_convention=convention
        )

    def describe(self) -> str:
        """One line that says what was recognised."""
        convention = conventions_of({"backbone": self.backbone})[self.input_convention]
        parts = [self.title, f"input {convention.name} ({convention.title})"]
        if self.heads.num_classes is not None:
            parts.insert(1, f"{self.heads.num_classes} classes")
        for key in BACKBONES[self.backbone].KEYS:
            if key in self.assumed and key not in self.seen:
                parts.append(f"{key.replace('_', ' ')} {self.assumed[key]}")
        if self.prefix:
            parts.append(f"prefix {self.prefix!r} removed")
        if self.skipped:
            modules = sorted({name.partition(".")[0] for name in self.skipped})
            parts.append(f"{', '.join(modules)} skipped ({len(self.skipped)} arrays)")
        missing = [head for head in SEGMENTATION_HEADS if head not in self.heads.modules]
        if missing and CLASSIFIER not in self.heads.modules:
            parts.append(f"without {' and '.join(missing)}")
        return "; ".join(parts)


def find_prefix(
    shapes: Shapes,
    stem: str,
    is_stem: Callable[[tuple[int, ...]], bool],
    known: Sequence[str] = PREFIXES,
) -> str | None:
    """The prefix of all names, by the name of an array that every such network has once.

    Args:
        shapes: shape of every array by its name.
        stem: that name, e.g. ``conv1.weight``.
        is_stem: whether an array of that name has the right shape.
        known: prefixes that may be removed.

    Returns:
        The prefix, perhaps empty; None where there is no such array.

    Raises:
        UserError: several such arrays, another prefix, or names without it.
    """
    ending = re.compile(rf"(^|\.){re.escape(stem)}$")
    found = [n for n, shape in shapes.items() if ending.search(n) and is_stem(tuple(shape))]
    if not found:
        return None
    if len(found) > 1:
        raise UserError(
            f"expected one network, found {len(found)} among {len(shapes)} names:"
            f" {', '.join(found)}. Save one of them in a file of its own."
        )
    prefix = unknown = found[0].removesuffix(stem)
    while first := next((p for p in known if unknown.startswith(p)), None):
        unknown = unknown.removeprefix(first)
    if unknown:
        raise UserError(
            f"unknown prefix {unknown!r}: expected {stem} or one of"
            f" {', '.join(p + stem for p in known)}, found {prefix + stem}. If these are the"
            " weights of such a network, remove the prefix from all names and save the file again."
        )
    others = [name for name in shapes if not name.startswith(prefix)]
    if others:
        raise UserError(
            f"names with and without the prefix {prefix!r}: {len(others)} of {len(shapes)} lack it,"
            f" the first is {others[0]}"
        )
    return prefix


def find_heads(inner: Shapes, modules: dict[str, str]) -> Heads:
    """The heads that stand in a file under these names: a segmentation's, else a classifier.

    Args:
        inner: shape of every array by its name, without a prefix.
        modules: our name -> the module's name in the file.
    """
    found = {head: m for head, m in modules.items() if f"{m}.conv2d_list.0.weight" in inner}
    if final := found.get("final_head"):
        convolutions = re.compile(rf"{re.escape(final)}\.conv2d_list\.\d+\.weight$")
        return Heads(
            found,
            inner[f"{final}.conv2d_list.0.weight"][0],
            sum(bool(convolutions.match(name)) for name in inner),
        )
    classifier = modules.get(CLASSIFIER)
    kernel = inner.get(f"{classifier}.weight", ())
    if classifier is None or len(kernel) != 2:
        return Heads({})
    return Heads({CLASSIFIER: classifier}, kernel[0])
