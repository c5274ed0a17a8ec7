"""The content of a record: an example's pixels at the stored size, and its label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from msl_jax.data.datasets.dataset import Example, Kind, load
from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.label_counts import count_label
from msl_jax.data.labels import IGNORE
from msl_jax.runtime.errors import UserError

Row = dict[str, Any]


@dataclass(frozen=True)
class Encoder:
    """Function from an example to its record; picklable, for worker processes.

    Attributes:
        size: (height, width) of the stored image (bicubic) and label (nearest neighbour).
        keep_label_size: labels keep their size on disk.
        kind: what is labelled; no part of the name of a set of records.
    """

    size: tuple[int, int]
    keep_label_size: bool = False
    kind: Kind = field(default="pixels", repr=False)

    def __call__(self, example: Example) -> Row | UserError:
        """Reads and resizes an example.

        Returns:
            `{"key": str, "image": uint8 [H, W, 3], "label": uint8 [h, w], "counts": LabelCounts}`;
            the label is all 255 if there is none, and `()` if whole images are labelled. The
            counts are of the label as it is read. If the example cannot be read, the error is
            returned: whether it is fatal is decided elsewhere.
        """
        try:
            image, label, remarks = load(example)
        except UserError as error:
            return error
        counts = count_label(label, example.key, *remarks)
        if label is None:
            label = np.full(self.size if self.kind == "pixels" else (), IGNORE, np.uint8)
        elif label.ndim and not self.keep_label_size:
            label = resize_label(label, self.size)
        return {
            "key": example.key,
            "image": resize_image(image, self.size),
            "label": label,
            "counts": counts,
        }
