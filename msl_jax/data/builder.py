"""The TFDS builder that writes prepared records as ArrayRecord shards, without TensorFlow."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from msl_jax.data.dataset import Example
from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.labels import IGNORE
from msl_jax.errors import UserError

# TFDS keeps the encoded examples of the shard at hand in memory: 128 of 1280x720 are about 200 MB.
EXAMPLES_PER_SHARD = 128
_THREADS = min(8, os.cpu_count() or 1)

Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What a set of records is made of.

    Attributes:
        split: name of the split.
        examples: its examples, in the order of the records.
        size: (height, width) of the stored images.
        keep_label_size: labels keep the size they have on disk.
        skip_bad: an example that cannot be read is left out instead of ending the preparation.
        on_example: called after each example, for a progress bar.
    """

    split: str
    examples: Sequence[Example]
    size: tuple[int, int]
    keep_label_size: bool = False
    skip_bad: bool = False
    on_example: Callable[[], object] = lambda: None


class SegmentationRecords(tfds.core.ShardBasedBuilder):
    """Resized images and labels of one split; a configuration of its own for each set.

    Shard by shard, since a `GeneratorBasedBuilder` gathers everything first and needs TensorFlow
    beyond 1 GB. Order of the examples = order of the records.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, plan: Plan, **kwargs: Any) -> None:
        """Takes the plan and what every TFDS builder takes (`config`, `data_dir`)."""
        self._plan = plan
        self._bad: list[str] = []
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return _LocalInfo(
            builder=self,
            description="Images and label maps, resized once for training or evaluation.",
            features=tfds.features.FeaturesDict(
                {
                    "key": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                }
            ),
            metadata=tfds.core.MetadataDict(left_out=self._bad),
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[Row]]]]:
        del dl_manager  # nothing is downloaded
        examples = self._plan.examples
        starts = range(0, len(examples), EXAMPLES_PER_SHARD)
        shards = [examples[start : start + EXAMPLES_PER_SHARD] for start in starts]
        return {self._plan.split: [partial(self._rows, shard) for shard in shards]}

    def _rows(self, examples: Sequence[Example]) -> Iterator[Row]:
        with ThreadPoolExecutor(_THREADS) as pool:
            for row in pool.map(self._row, examples):
                self._plan.on_example()
                if isinstance(row, UserError):
                    self._bad.append(str(row))
                else:
                    yield row
        if len(self._bad) == len(self._plan.examples):
            raise UserError(
                f"No example of {self._plan.split} could be read; the first one: {self._bad[0]}"
            )

    def _row(self, example: Example) -> Row | UserError:
        try:
            image, label = example.read()
        except UserError as error:
            if self._plan.skip_bad:
                return error
            raise
        image = resize_image(image, self._plan.size)
        if label is None:
            label = np.full(self._plan.size, IGNORE, np.uint8)
        elif not self._plan.keep_label_size:
            label = resize_label(label, self._plan.size)
        return example.key, {"key": example.key, "image": _png(image), "label": _png(label)}


class _LocalInfo(tfds.core.DatasetInfo):
    """Dataset info that does not look for itself on Google's servers."""

    def initialize_from_bucket(self) -> None:
        """Does nothing: these records exist on this machine alone."""


def _png(array: np.ndarray) -> bytes:
    # Arrays would make TFDS import TensorFlow; encoded bytes do not. Level 1 takes a quarter of the
    # time of the default for files 6 % larger (CamVid at 320x240).
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
