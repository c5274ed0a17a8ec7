"""Predicted label maps in the ids that other programs, or a training, read."""

from __future__ import annotations

import numpy as np

from msl_jax.data.label_sets import CITYSCAPES_LABELS
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.runtime.errors import UserError

# Train ids; the ids of the list of classes that the network was trained with; Cityscapes' own.
ENCODINGS = ("train", "classes", "cityscapes")

_CITYSCAPES = {label.name: label.id for label in CITYSCAPES_LABELS}


def file_ids(label_set: LabelSet, encoding: str) -> tuple[int, ...]:
    """The id in label files of each class, in the order of the network's outputs.

    Args:
        label_set: the network's classes.
        encoding: one of `ENCODINGS`.

    Raises:
        UserError: some class has no such id; says which encodings there are.

    >>> from msl_jax.data.label_sets import LABEL_SETS
    >>> file_ids(LABEL_SETS["cityscapes13"], "cityscapes")[:4]
    (7, 8, 11, 19)
    """
    if encoding == "train":
        return tuple(range(label_set.num_classes))
    if encoding == "cityscapes":
        ids = [_CITYSCAPES.get(label.name) for label in label_set.classes]
        reason = "is no class of Cityscapes"
        advice = "train ids are written with --label_ids=train"
    elif encoding == "classes":
        ids = [label.id for label in label_set.classes]
        reason = "has no id: none was kept with the network"
        advice = "--config.classes_file=FILE names a classes.yaml that lists its classes with ids"
    else:
        raise UserError(
            f"--label_ids={encoding}: expected one of {', '.join(ENCODINGS)}, the ids in label maps"
        )
    if None in ids:
        name = label_set.names[ids.index(None)]
        raise UserError(f"--label_ids={encoding}: the class {name!r} {reason}; {advice}")
    return tuple(label_id for label_id in ids if label_id is not None)


def id_table(ids: tuple[int, ...]) -> np.ndarray:
    """Table from train ids to ids in label files, uint8 `[256]`; 255 where there is no class."""
    table = np.full(256, IGNORE, np.uint8)
    table[: len(ids)] = ids
    return table
