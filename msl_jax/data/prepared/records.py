"""Prepared records: each split is read, checked and resized once, then read in random order."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from msl_jax.data.datasets.dataset import Dataset, Example
from msl_jax.data.label_counts import LabelCounts
from msl_jax.data.prepared import build, shards
from msl_jax.data.prepared.build import Plan
from msl_jax.data.prepared.encoding import Encoder
from msl_jax.runtime.errors import UserError, out_of_resources
from msl_jax.runtime.paths import in_utf8


def prepare(
    dataset: Dataset,
    split: str,
    size: tuple[int, int],
    records_dir: str | Path | None = None,
    keep_label_size: bool = False,
    progress: bool = True,
    on_bad_example: Literal["error", "skip"] = "error",
    num_processes: int | None = None,
    report: bool = True,
    instead: Dataset | None = None,
) -> Records:
    """Returns the records of a split, preparing them first if they do not exist yet.

    Records are in `records_dir/segmentation_records/NAME_SPLIT_HxW_DIGEST/VERSION`. The digest
    covers the data set's fingerprint, the keys and the size, so sets never collide or go stale.
    That folder appears when the set is complete. After a kill the next call continues with the
    first unfinished shard; if another process is preparing the same set, this one waits for it.
    After an error nothing is left behind.

    Args:
        dataset: where the examples come from; nothing is written there.
        split: one of `dataset.splits`.
        size: (height, width) of the stored images (bicubic) and labels (nearest neighbour).
        records_dir: folder of all records; default is TFDS's own, `TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        keep_label_size: labels keep their size on disk, for evaluation at full size.
        progress: show a progress bar if stderr is a terminal.
        on_bad_example: "error" stops at an example that cannot be read, for example because a file
            is missing; "skip" skips it and reports it on stderr, up to `build.max_skipped` of them.
        num_processes: how many processes share the work, 1 for threads of this one; default is one
            for each core if there are enough examples. The records do not depend on it.
        report: report skipped examples on stderr; `Records.skipped` has them in any case.
        instead: if records of this data set, which has the same images, have been prepared without
            skipping any, they are returned.

    Raises:
        UserError: unknown split, no example, an example that cannot be read, or a folder that
            cannot be written to.
    """
    _check_arguments(dataset, split, size, on_bad_example)
    skip = on_bad_example == "skip"
    examples = dataset.examples(split, missing_ok=True) if skip else dataset.examples(split)
    title = f"{dataset.name}/{split}"
    # Labels of whole images have no size to keep: the records are the same in both cases.
    keep_label_size = keep_label_size and dataset.kind == "pixels"
    encode = Encoder((size[0], size[1]), keep_label_size, dataset.kind)
    root = in_utf8(records_dir or tfds.core.constants.get_default_data_dir(), "config.records_dir")

    def place(dataset: Dataset) -> Path:
        return root / shards.NAME / _name(dataset, split, encode, examples) / shards.VERSION

    folder = place(dataset)
    if instead is not None and place(instead).is_dir():
        records = Records(place(instead), split)
        if not records.skipped:
            return records
    if folder.is_dir():
        shards.clear_unfinished(folder)
    else:
        plan = Plan(
            f"{title} {size[1]}x{size[0]}",
            split,
            examples,
            encode,
            skip,
            progress,
            num_processes,
            dataset.kind,
        )
        dataset.expect_encoding(split)
        try:
            build.make(plan, folder)
        except OSError as error:
            # Without locks, another process may have finished the same set in the meantime.
            if not folder.is_dir():
                raise UserError(
                    f"Cannot write records below {root}: {error}. Set records_dir (or"
                    " TFDS_DATA_DIR) to a folder with enough room that you may write to."
                ) from error
    records = Records(folder, split)
    if records.skipped and not skip:
        raise UserError(
            f"{title}: {len(records.skipped)} examples cannot be used, the first one:"
            f" {records.skipped[0]} Fix them, or skip them with on_bad_example='skip'."
        )
    if records.skipped and report:
        heading = f"{title}: {len(records.skipped)} bad examples skipped:"
        print(heading, *records.skipped, sep="\n  ", file=sys.stderr)
    return records


def _check_arguments(
    dataset: Dataset, split: str, size: tuple[int, int], on_bad_example: str
) -> None:
    if len(size) != 2 or min(size) < 1:
        raise UserError(f"size must be a positive (height, width), found {size}.")
    if on_bad_example not in ("error", "skip"):
        raise UserError(f"on_bad_example must be 'error' or 'skip', found {on_bad_example!r}.")
    if split not in dataset.splits:
        raise UserError(
            f"{dataset.name} has no split {split!r}; choose one of {list(dataset.splits)}."
        )


def _name(dataset: Dataset, split: str, encode: Encoder, examples: Sequence[Example]) -> str:
    """Name of the set of records, which covers all that it depends on."""
    keys = [example.key for example in examples]
    if not keys:
        raise UserError(f"{dataset.name}/{split} has no examples.")
    if len(set(keys)) < len(keys):
        raise ValueError(f"{dataset.name}/{split}: keys are not unique")
    parts = (shards.VERSION, dataset.fingerprint, split, encode, build.EXAMPLES_PER_SHARD, keys)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    height, width = encode.size
    labels = "_full_labels" if encode.keep_label_size else ""
    return f"{dataset.name}_{split}_{height}x{width}{labels}_{digest}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from reporting downloads that do not happen, on stdout and in absl's log."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def evenly_spaced(total: int, count: int) -> list[int]:
    """`count` indices below `total`, from the first to the last; all if there are fewer.

    >>> evenly_spaced(10, 4)
    [0, 3, 6, 9]
    """
    return np.linspace(0, total - 1, min(count, total)).astype(int).tolist()


class Records:
    """Random access to prepared records; picklable, safe to share between threads.

    Attributes:
        folder: where the records are.
        split: name of the split.
        skipped: messages of the examples that were skipped when the records were prepared.
        counts: what the labels hold.
        digests: of the content: its keys, images and labels.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        """Opens records that `prepare` has made.

        Raises:
            UserError: there are none, or they are damaged.
        """
        self.folder = Path(folder)
        self.split = split
        try:
            with _quiet():
                builder = tfds.builder_from_directory(folder)
                self._source = builder.as_data_source(shards.tfds_split(split))
            info = builder.info.splits[shards.tfds_split(split)]
            self._files, self._lengths = tuple(map(Path, info.filepaths)), tuple(info.shard_lengths)
            self._check_files(int(info.num_bytes))
            self.skipped = tuple(builder.info.metadata["skipped"])
            self.counts = LabelCounts.from_json(builder.info.metadata["counts"])
            self.digests = dict(builder.info.metadata["digests"])
            self._length = len(self._source)
        except Exception as error:
            if out_of_resources(error):
                raise
            raise self._damaged("", error) from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles only where the records are; files are opened again."""
        return Records, (self.folder, self.split)

    def __len__(self) -> int:
        """Number of records."""
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one record.

        Args:
            index: in the order of the data set's examples.

        Returns:
            `{"key": str, "image": uint8 [H, W, 3], "label": uint8 [h, w]}`, read-only arrays; the
            label is all 255 if the split has none, and `()` if whole images are labelled.

        Raises:
            IndexError: no such index.
            UserError: the record is damaged.
        """
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} records")
        index %= len(self)
        try:
            record = self._source[index]
            return {**record, "key": os.fsdecode(bytes(record["key"]))}
        except Exception as error:
            if out_of_resources(error):
                raise
            raise self._damaged(f": example {index} in {self._file(index)}", error) from error

    def spread(self, count: int) -> Iterator[dict[str, Any]]:
        """Reads `count` records, evenly spaced from first to last; all if there are fewer.

        Args:
            count: 0 or more.
        """
        return (self[place] for place in evenly_spaced(len(self), count))

    def _check_files(self, size: int) -> None:
        """Compares the files with `dataset_info.json`, so as to fail early."""
        found = sum(path.stat().st_size for path in self._files)
        if found != size:
            raise ValueError(f"{size} bytes expected, found {found}")
        for path, expected in zip(self._files, self._lengths, strict=True):
            records = shards.count_records(path)
            if records != expected:
                raise ValueError(f"{path}: {expected} records expected, found {records}")

    def _file(self, index: int) -> Path:
        """The file with a record."""
        for path, length in zip(self._files, self._lengths, strict=True):
            if index < length:
                return path
            index -= length
        raise IndexError(index)

    def _damaged(self, place: str, error: Exception) -> UserError:
        return UserError(
            f"Records in {self.folder} are damaged{place} ({type(error).__name__}: {error})."
            " Delete that folder, and the next run prepares them again."
        )
