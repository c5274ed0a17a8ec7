"""Prepared records: each split is read, checked and resized once, then read at random."""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image
from tqdm import tqdm

from msl_jax.data.builder import Plan, SegmentationRecords
from msl_jax.data.dataset import Dataset
from msl_jax.errors import UserError


def prepare(
    dataset: Dataset,
    split: str,
    size: tuple[int, int],
    records_dir: str | Path | None = None,
    keep_label_size: bool = False,
    progress: bool = True,
    on_bad_example: Literal["error", "skip"] = "error",
) -> Records:
    """Returns the records of a split, making them first where they do not exist yet.

    Records lie in `records_dir/segmentation_records/NAME_SPLIT_HxW_DIGEST/1.0.0`. The digest covers
    the data set's fingerprint, the keys and the arguments, so sets never collide or go stale. They
    are made in a temporary folder that gets its name at the end: half a set is never found.

    Args:
        dataset: where the examples come from; nothing is written there.
        split: one of `dataset.splits`.
        size: (height, width) of the stored images (bicubic) and labels (nearest).
        records_dir: folder of all records; default is TFDS's own, `TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        keep_label_size: labels keep the size they have on disk, for evaluation at full size.
        progress: show a progress bar where the terminal can.
        on_bad_example: "error" stops at an example that cannot be read; "skip" leaves it out and
            reports it on stderr.

    Raises:
        UserError: unknown split, no example, an example that cannot be read, or a folder that
            cannot be written.
    """
    height, width = size
    if height < 1 or width < 1:
        raise UserError(f"size must be a positive (height, width), found {size}.")
    if on_bad_example not in ("error", "skip"):
        raise UserError(f"on_bad_example must be 'error' or 'skip', found {on_bad_example!r}.")
    if split not in dataset.splits:
        raise UserError(
            f"{dataset.name} has no split {split!r}; choose one of {list(dataset.splits)}."
        )
    examples = dataset.examples(split)
    keys = [example.key for example in examples]
    if not keys:
        raise UserError(f"{dataset.name}/{split} has no example.")
    if len(set(keys)) < len(keys):
        raise ValueError(f"{dataset.name}/{split}: keys are not unique")

    parts = (dataset.fingerprint, split, size, keep_label_size, on_bad_example, keys)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    name = f"{dataset.name}_{split}_{height}x{width}{'_full_labels' * keep_label_size}_{digest}"
    root = Path(records_dir or tfds.core.constants.get_default_data_dir()).expanduser()

    with _progress(f"{dataset.name}/{split} {width}x{height}", len(keys), progress) as step:
        plan = Plan(
            split, examples, (height, width), keep_label_size, on_bad_example == "skip", step
        )
        folder = _build(plan, name, root)
    records = Records(folder, split)
    if records.left_out:
        print(
            f"{dataset.name}/{split}: {len(records.left_out)} bad examples left out:",
            *records.left_out,
            sep="\n  ",
            file=sys.stderr,
        )
    return records


def _build(plan: Plan, name: str, root: Path) -> Path:
    """Makes the records of `plan` unless they exist; returns their folder."""
    config = tfds.core.BuilderConfig(name=name)
    try:
        with _quiet():
            builder = SegmentationRecords(plan, config=config, data_dir=root)
            if not builder.is_prepared():
                builder.download_and_prepare(
                    file_format="array_record",
                    download_config=tfds.download.DownloadConfig(try_download_gcs=False),
                )
    except OSError as error:
        # Another process may have finished the same set in the meantime: then the rename fails.
        if not builder.is_prepared():
            raise UserError(
                f"Cannot write records below {root}: {error}. Set records_dir (or TFDS_DATA_DIR)"
                " to a folder with room that you may write to."
            ) from error
    return Path(builder.data_dir)


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


@contextlib.contextmanager
def _progress(title: str, total: int, wanted: bool) -> Iterator[Any]:
    """Yields a function to call after each example; the bar appears with the first call."""
    bar: tqdm | None = None

    def step() -> None:
        nonlocal bar
        if bar is None:
            # disable=None: no bar where stderr is a file.
            bar = tqdm(total=total, desc=title, unit="image", disable=None if wanted else True)
        bar.update()

    try:
        yield step
    finally:
        if bar is not None:
            bar.close()


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
                self._source = builder.as_data_source(
                    split,
                    # Decoded here: TFDS would warn where OpenCV is missing.
                    decoders={
                        "image": tfds.decode.SkipDecoding(),
                        "label": tfds.decode.SkipDecoding(),
                    },
                )
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
            `{"key": str, "image": uint8 [H, W, 3], "label": uint8 [h, w]}`; the label is all 255
            where the split has none.

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
            return {
                "key": bytes(record["key"]).decode(),
                "image": _decode(record["image"]),
                "label": _decode(record["label"]),
            }
        except Exception as error:
            raise self._damaged(f" at index {index}", error) from error

    def _damaged(self, place: str, error: Exception) -> UserError:
        return UserError(
            f"Records in {self.folder} are damaged{place} ({type(error).__name__}: {error})."
            " Delete that folder: the next run prepares it again."
        )


def _decode(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image)
