"""Files of prepared records: ArrayRecord shards with the metadata that TFDS needs to read them.

TFDS's own builders start from scratch after a kill. Here shards are finished one by one in a folder
next to the final one, each renamed when it is complete, and a later process continues after the
last of them. The final folder appears by one rename, when it is complete.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import (  # type: ignore[import-untyped]
    ArrayRecordReader,
    ArrayRecordWriter,
)

from msl_jax.data.datasets.dataset import Kind
from msl_jax.data.label_counts import LabelCounts
from msl_jax.data.prepared.digests import ContentDigests, joined
from msl_jax.data.prepared.encoding import Row
from msl_jax.runtime import locking
from msl_jax.runtime.files import flush, flush_one

NAME = "segmentation_records"
VERSION = "3.2.0"  # of the content of records; those of other versions are ignored
_UNFINISHED = "unfinished"
# Groups of one, so that a record can be read alone. Zstandard takes 3 ms to decompress at 1280x720,
# PNG took 24; files are 1.5 times as large as with PNG, and no larger than those of the data sets.
_OPTIONS = "group_size:1,zstd:3"


def tfds_split(split: str) -> str:
    """Returns TFDS's name of a split: TFDS reads "all" as the sum of all splits."""
    return "all_examples" if split == "all" else split


@dataclass(frozen=True)
class Shard:
    """The content of a shard.

    Attributes:
        records: number of records.
        digests: of its keys, images and labels, see `ContentDigests`.
        skipped: messages of the examples that were skipped.
        counts: what the labels hold.
    """

    records: int
    digests: dict[str, str]
    skipped: tuple[str, ...] = ()
    counts: LabelCounts = field(default_factory=LabelCounts)


def clear_unfinished(folder: Path) -> None:
    """Deletes what lies beside a finished set, if its process was killed in its last moments."""
    shutil.rmtree(folder.with_name(_UNFINISHED), ignore_errors=True)


class PartialRecords:
    """The shards of a set of records that is not complete yet.

    `unfinished/`, next to the final folder, has `records/`, which becomes that folder, and for each
    finished shard a note of its content, written last.
    """

    def __init__(self, folder: Path, split: str, num_shards: int, kind: Kind = "pixels") -> None:
        """Writes nothing yet.

        Args:
            folder: final folder, `.../NAME/CONFIGURATION/VERSION`; must not exist.
            split: name of the split.
            num_shards: number of shards in the set.
            kind: what is labelled.
        """
        self._final = folder
        self._work = folder.with_name(_UNFINISHED)
        self._records = self._work / "records"
        self._split = tfds_split(split)
        self._num_shards = num_shards
        self._features = _features(kind)
        self._serializer = tfds.core.ExampleSerializer(self._features.get_serialized_info())

    def finished(self) -> dict[int, Shard]:
        """Finished shards by their index."""
        found = {}
        for index in range(self._num_shards):
            note = self._note(index)
            if note.is_file() and self._shard(index).is_file():
                content = json.loads(note.read_text(encoding="utf-8"))
                counts, digests = LabelCounts.from_json(content["counts"]), content["digests"]
                found[index] = Shard(content["records"], digests, tuple(content["skipped"]), counts)
        return found

    def add(self, index: int, rows: Iterable[Row], skipped: list[str]) -> None:
        """Writes a shard, completely or not at all.

        Args:
            index: its index in the set.
            rows: its records in order.
            skipped: list of messages, complete when `rows` is exhausted.

        Raises:
            OSError: it cannot be written.
        """
        self._records.mkdir(parents=True, exist_ok=True)
        records, counts, digests = 0, LabelCounts(), ContentDigests()
        # Not in `records/`: what a killed process leaves there would become part of the set.
        with _renamed(self._shard(index), self._work) as path, _writer(path) as write:
            for row in rows:
                write(self._serialize(row))
                digests.add(row)
                records += 1
                counts.add(row["counts"])
        note = {
            **{"records": records, "skipped": skipped, "counts": counts.as_json()},
            "digests": digests.result(),
        }
        with _renamed(self._note(index), self._work) as path:
            path.write_text(json.dumps(note), encoding="utf-8")

    def publish(self) -> None:
        """Gives the set its final name, once all of its shards are finished.

        Raises:
            OSError: it cannot be written, or has been published by another process.
        """
        shards = self.finished()
        skipped = [text for index in sorted(shards) for text in shards[index].skipped]
        counts = LabelCounts()
        for index in sorted(shards):
            counts.add(shards[index].counts)
        template = self._template()
        info = tfds.core.DatasetInfo(
            builder=tfds.core.DatasetIdentity(
                name=NAME,
                version=tfds.core.Version(VERSION),
                data_dir=str(self._records),
                module_name=__name__,
                config_name=self._final.parent.name,
            ),
            description="Images and label maps, resized once for training or evaluation.",
            features=self._features,
            metadata=tfds.core.MetadataDict(
                skipped=skipped,
                counts=counts.as_json(),
                digests=joined([shards[index].digests for index in sorted(shards)]),
            ),
            disable_shuffling=True,
        )
        info.set_file_format(template.filetype_suffix)
        info.set_splits(
            tfds.core.SplitDict(
                [
                    tfds.core.SplitInfo(
                        name=self._split,
                        shard_lengths=[shards[index].records for index in sorted(shards)],
                        num_bytes=sum(self._shard(index).stat().st_size for index in shards),
                        filename_template=template,
                    )
                ]
            )
        )
        info.write_to_directory(self._records)
        flush(self._records)
        self._records.rename(self._final)
        flush_one(self._final.parent)
        clear_unfinished(self._final)

    def discard(self) -> None:
        """Deletes what there is of the set."""
        clear_unfinished(self._final)
        with contextlib.suppress(OSError):  # there may be other versions
            self._work.parent.rmdir()

    @contextlib.contextmanager
    def locked(self, on_wait: Callable[[], object]) -> Iterator[None]:
        """Keeps other processes from building the same set at the same time.

        On file systems without locks they build the same shards and replace each other's.

        Args:
            on_wait: called before waiting for another process.

        Raises:
            OSError: the folder cannot be written to.
        """
        with locking.locked(self._work / "lock", on_wait):
            yield

    def _serialize(self, row: Row) -> bytes:
        # As bytes, because file names, from which keys are made, need not be valid UTF-8.
        values = {name: row[name] for name in self._features}
        values["key"] = os.fsencode(str(row["key"]))
        example = self._serializer.get_tf_example(self._features.encode_example(values))
        # Otherwise the order of the features differs between processes.
        return example.SerializeToString(deterministic=True)

    def _template(self) -> tfds.core.ShardedFileTemplate:
        return tfds.core.ShardedFileTemplate(
            data_dir=tfds.core.Path(self._records),
            dataset_name=NAME,
            split=self._split,
            filetype_suffix="array_record",
        )

    def _shard(self, index: int) -> Path:
        path = self._template().sharded_filepath(shard_index=index, num_shards=self._num_shards)
        return Path(path)

    def _note(self, index: int) -> Path:
        return self._work / f"{self._shard(index).name}.json"


def count_records(path: Path) -> int:
    """Number of records in a file, according to its own index."""
    with contextlib.closing(ArrayRecordReader(str(path))) as reader:
        return reader.num_records()


def _features(kind: Kind) -> tfds.features.FeaturesDict:
    # Plain bytes, which TFDS reads without TensorFlow; an image would need that or OpenCV.
    pixels = functools.partial(tfds.features.Tensor, dtype=np.uint8, encoding="bytes")
    return tfds.features.FeaturesDict(
        {
            "key": tfds.features.Text(),
            "image": pixels(shape=(None, None, 3)),
            "label": pixels(shape=(None, None) if kind == "pixels" else ()),
        }
    )


@contextlib.contextmanager
def _renamed(path: Path, folder: Path) -> Iterator[Path]:
    """Yields a temporary path in `folder`, which is renamed to `path` at the end."""
    partial = folder / f"{uuid.uuid4().hex}.partial"
    try:
        yield partial
        flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Yields the function that appends a record to a new file; errors become `OSError`."""
    with _faults():
        writer = ArrayRecordWriter(str(path), _OPTIONS)

    def write(record: bytes) -> None:
        with _faults():
            writer.write(record)

    try:
        yield write
    finally:
        with _faults():
            writer.close()  # most errors of writing appear here


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Turns the only error that ArrayRecord raises into the one for files."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error)) from error
