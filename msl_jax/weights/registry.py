"""The backbones' names in public files, and what a file is."""

from __future__ import annotations

from collections.abc import Iterable

from msl_jax.models.backbones.efficientnet_lite import VERSIONS
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.registration import register
from msl_jax.weights.efficientnet_names import EfficientNetLiteNames
from msl_jax.weights.layouts import Layout
from msl_jax.weights.mismatch import Shapes
from msl_jax.weights.names import Path, PublicNames
from msl_jax.weights.resnet_names import ResNetNames

# By the key `model.backbone`; networks of one kind share their names.
NAMES: dict[str, PublicNames] = {
    "resnet": ResNetNames(),
    **dict.fromkeys(
        (f"efficientnet_lite{lite.version}" for lite in VERSIONS), EfficientNetLiteNames()
    ),
}


def register_public_names(backbone: str, names: PublicNames) -> None:
    """Adds the names that a backbone of one's own has in public files.

    Raises:
        UserError: this backbone has names already.
    """
    register(NAMES, "backbone in public files", backbone, names)


def detect(shapes: Shapes) -> Layout:
    """Recognises a public checkpoint: asks each backbone whether it is one of its own.

    Args:
        shapes: shape of every array by its name, as the file has them.

    Raises:
        UserError: it is of none of them; says what was expected and found.
    """
    known = dict.fromkeys(NAMES.values())
    for names in known:
        if layout := names.detect(shapes):
            return layout
    some = f", the first are {', '.join(list(shapes)[:4])}" if shapes else ""
    raise UserError(
        f"not the weights of {' or '.join(names.title for names in known)}: expected"
        f" {' or '.join(names.expected for names in known)}, found none among"
        f" {len(shapes)} names{some}"
    )


def names_of(paths: Iterable[Path]) -> PublicNames:
    """The names of a network whose arrays these are.

    Args:
        paths: without the collection.

    Raises:
        UserError: no backbone has arrays of that kind.
    """
    paths, known = list(paths), dict.fromkeys(NAMES.values())
    for names in known:
        if all(names.name(path) is not None for path in paths):
            return names
    nameless = {names: next(p for p in paths if names.name(p) is None) for names in known}
    found = "; ".join(f"{n.title} has no {'/'.join(p)}" for n, p in nameless.items())
    raise UserError(f"these variables have no names in public files: {found}")
