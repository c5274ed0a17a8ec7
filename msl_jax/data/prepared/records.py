"""Prepared records: each split is read, checked and resized once, then read at random."""

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
from msl_jax.data.prepared import build, shards
from msl_jax.data.prepared.build import Plan
from msl_jax.data.prepared.encoding import Encoder
from msl_jax.runtime.errors import UserError


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
) -> Records:
    """Returns the records of a split, making them first where they do not exist yet.

    Records lie in `records_dir/segmentation_records/NAME_SPLIT_HxW_DIGEST/VERSION`. The digest
    covers the data set's fingerprint, the keys and the size, so sets never collide or go stale.
    That folder appears when the set is whole. After a kill the next call goes on with the first
    shard that was not finished; where another process is making the same set, it is waited for.
    After an error nothing is left behind.

    Args:
        dataset: where the examples come from; nothing is written there.
        split: one of `dataset.splits`.
        size: (height, width) of the stored images (bicubic) and labels (nearest).
        records_dir: folder of all records; default is TFDS's own, `TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        keep_label_size: labels keep the size they have on disk, for evaluation at full size.
        progress: show a progress bar where the terminal can.
        on_bad_example: "error" stops at an example that cannot be read, or of which a file is
            missing; "skip" leaves it out and reports it on stderr, up to the limit of
            `making.most_bad`.
        num_processes: how many processes share the work, 1 for threads of this one; default is one
            for each core where there are enough examples. The records do not depend on it.
        report: name the examples that are left out on stderr; `Records.left_out` has them as well.

    Raises:
        UserError: unknown split, no example, an example that cannot be read, or a folder that
            cannot be written.
    """
    _check_arguments(dataset, split, size, on_bad_example)
    skip = on_bad_example == "skip"
    examples = dataset.examples(split, missing_ok=True) if skip else dataset.examples(split)
    title = f"{dataset.name}/{split}"
    # Labels without a size have none to keep: both kinds of records are the same.
    encode = Encoder((size[0], size[1]), keep_label_size and dataset.kind == "pixels")
    root = Path(records_dir or tfds.core.constants.get_default_data_dir()).expanduser()
    folder = root / shards.NAME / _name(dataset, split, encode, examples) / shards.VERSION
    if not folder.is_dir():
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
        try:
            build.make(plan, folder)
        except OSError as error:
            # Without locks, another process may have finished the same set in the meantime.
            if not folder.is_dir():
                raise UserError(
                    f"Cannot write records below {root}: {error}. Set records_dir (or"
                    " TFDS_DATA_DIR) to a folder with room that you may write to."
                ) from error
    records = Records(folder, split)
    if records.left_out and not skip:
        raise UserError(
            f"{title}: {len(records.left_out)} examples cannot be used, the first one:"
            f" {records.left_out[0]} Mend them, or leave them out with on_bad_example='skip'."
        )
    if records.left_out and report:
        heading = f"{title}: {len(records.left_out)} bad examples left out:"
        print(heading, *records.left_out, sep="\n  ", file=sys.stderr)
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
    """Name of the set of records, which tells all that it depends on."""
    keys = [example.key for example in examples]
    if not keys:
        raise UserError(f"{dataset.name}/{split} has no example.")
    if len(set(keys)) < len(keys):
        raise ValueError(f"{dataset.name}/{split}: keys are not unique")
    parts = (dataset.fingerprint, split, encode, build.EXAMPLES_PER_SHARD, keys)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    height, width = encode.size
    labels = "_full_labels" if encode.keep_label_size else ""
    return f"{dataset.name}_{split}_{height}x{width}{labels}_{digest}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from reporting downloads that do not happen, on stdout and through absl."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def evenly_spaced(total: int, count: int) -> list[int]:
    """So many places of `total`, from the first to the last; all, if there are fewer.

    >>> evenly_spaced(10, 4)
    [0, 3, 6, 9]
    """
    return np.linspace(0, total - 1, min(count, total)).astype(int).tolist()


class Records:
    """Random access to prepared records; picklable, safe to share between threads.

    Attributes:
        folder: where the records lie.
        split: name of the split.
        left_out: messages of the examples that were left out when the records were made.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        """Opens records that `prepare` made.

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
            self.left_out = tuple(builder.info.metadata["left_out"])
            self._length = len(self._source)
        except Exception as error:
            raise self._damaged("", error) from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the place alone; files are opened again."""
        return Records, (self.folder, self.split)

    def __len__(self) -> int:
        """Number of records."""
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one record.

        Args:
            index: place in the order of the data set's examples.

        Returns:
            `{"key": str, "image": uint8 [H, W, 3], "label": uint8 [h, w]}`, arrays that cannot be
            written to; the label is all 255 where the split has none, and `()` where it is of the
            whole image.

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
            raise self._damaged(f": example {index} in {self._file(index)}", error) from error

    def spread(self, count: int) -> Iterator[dict[str, Any]]:
        """Reads so many records, evenly spaced from the first to the last; all, if there are fewer.

        Args:
            count: 0 or more.
        """
        return (self[place] for place in evenly_spaced(len(self), count))

    def _check_files(self, size: int) -> None:
        """Compares the files with what `dataset_info.json` says of them, so as to fail early."""
        found = sum(path.stat().st_size for path in self._files)
        if found != size:
            raise ValueError(f"{size} bytes expected, found {found}")
        for path, expected in zip(self._files, self._lengths, strict=True):
            records = shards.count_records(path)
            if records != expected:
                raise ValueError(f"{path}: {expected} records expected, found {records}")

    def _file(self, index: int) -> Path:
        """The file that holds a record."""
        for path, length in zip(self._files, self._lengths, strict=True):
            if index < length:
                return path
            index -= length
        raise IndexError(index)

    def _damaged(self, place: str, error: Exception) -> UserError:
        return UserError(
            f"Records in {self.folder} are damaged{place} ({type(error).__name__}: {error})."
            " Delete that folder: the next run prepares it again."
        )
