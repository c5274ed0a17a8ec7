"""What a record holds: an example's pixels at the stored size, and its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msl_jax.data.datasets.dataset import Example
from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.labels import IGNORE
from msl_jax.runtime.errors import UserError

Row = dict[str, str | np.ndarray]


@dataclass(frozen=True)
class Encoder:
    """Function from an example to its record; picklable, for processes that share the work.

    Attributes:
        size: (height, width) of the stored image (bicubic) and label (nearest).
        keep_label_size: labels keep the size they have on disk.
    """

    size: tuple[int, int]
    keep_label_size: bool = False

    def __call__(self, example: Example) -> Row | UserError:
        """Reads and resizes an example.

        Returns:
            `{"key": str, "image": uint8 [H, W, 3], "label": uint8 [h, w]}`; the label is all 255
            where there is none, and `()` where it is of the whole image. What is wrong with an
            example that cannot be read is returned as well: whether that ends the work is decided
            elsewhere.
        """
        try:
            image, label = example.read()
        except UserError as error:
            return error
        if label is None:
            label = np.full(self.size, IGNORE, np.uint8)
        elif label.ndim and not self.keep_label_size:
            label = resize_label(label, self.size)
        return {
            "key": example.key,
            "image": resize_image(image, self.size),
            "label": label,
        }
