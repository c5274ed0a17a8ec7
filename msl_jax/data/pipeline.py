"""Batches for training and evaluation, read and augmented by grain.

The order of examples and every random draw depend only on the seed and the step, never on threads
or on where a run was interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from msl_jax.data.augment import Augmentation, augment
from msl_jax.data.images import resize_label
from msl_jax.data.labelled_records import Chosen, LabelledRecords
from msl_jax.data.labels import IGNORE
from msl_jax.data.prefetch import Batch
from msl_jax.data.prepared.records import Records
from msl_jax.data.rare_classes import RareClasses
from msl_jax.runtime.errors import UserError

_DEFAULT_THREADS = min(8, os.cpu_count() or 1)
_SOURCE, _TARGET = 0, 1
# Examples before the stream ends. grain's own infinite length overflows in batches of one.
_ENDLESS = 2**40
# How often an image is cropped in search of enough of its rare class, as in DAFormer.
_CROPS = 10


class TrainingBatches:
    """Endless batches of labelled source images and unlabelled target images.

    Each domain is reshuffled in every epoch, with a seed of its own; batches run across the end of
    an epoch, so nothing is dropped. Each example is read once an epoch.

    The position is the number of examples of each domain that all processes have read, so that a
    run can resume at the next example with other numbers of processes and devices. In each step all
    processes together read consecutive examples, process by process.
    """

    def __init__(
        self,
        source: Records,
        target: Records | LabelledRecords | None,
        *,
        batch_size: int,
        seed: int,
        source_augmentation: Augmentation | None = None,
        target_augmentation: Augmentation | None = None,
        rare_classes: RareClasses | None = None,
        threads: int = _DEFAULT_THREADS,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        """Reads nothing yet.

        Args:
            source: labelled records, labels of the size of the images.
            target: records of the target domain, whose labels are not used unless they are
                `LabelledRecords`; None for source only.
            batch_size: examples of each domain per step in this process: its number of devices
                times the examples of each device.
            seed: any integer >= 0; the same seed and position give the same pixels.
            source_augmentation: of source images, default `Augmentation()`.
            target_augmentation: of target images, default `Augmentation()`.
            rare_classes: draws the source examples in the place of epochs; None for epochs.
            threads: batches prepared at the same time; 0 reads in the caller's thread.
            process: (index, number) of processes; each reads its own share of the examples.
        """
        _keep_freed_memory()
        if rare_classes is None:
            examples = _domain(source, _SOURCE, source_augmentation, seed)
        else:
            examples = _rare_examples(source, rare_classes, source_augmentation, seed)
        self._domains = {"source": examples}
        if target is not None:
            self._domains["target"] = _domain(target, _TARGET, target_augmentation, seed)
        self._batch_size, self._threads, self._process = batch_size, threads, process
        self.examples_per_step = batch_size * process[1]
        self._start, self._batches = 0, self._batches_from(0)

    def _batches_from(self, start: int) -> grain.DatasetIterator[Batch]:
        """This process's batches from the example number `start` of each domain."""
        index, count = self._process
        shares = [
            examples[start : start + _ENDLESS].batch(self._batch_size)[index::count]
            for examples in self._domains.values()
        ]
        names = tuple(self._domains)
        zipped = grain.experimental.ZipMapDataset(shares)
        batches = zipped.map(lambda parts: dict(zip(names, parts, strict=True)))
        return iter(batches.to_iter_dataset(_read_options(self._threads)))

    def __iter__(self) -> TrainingBatches:
        """Returns itself."""
        return self

    def __next__(self) -> Batch:
        """Returns the next batch.

        Returns:
            `{"source": {"image": uint8 [N, H, W, 3], "label": uint8 [N, H, W]}, "target": {"image":
            uint8 [N, h, w, 3]}}`, without "target" if there is none. Labels of whole images are
            `[N]`, here and in `evaluation_batches`. `LabelledRecords` give "target" a "label", too.

        Raises:
            UserError: a damaged record.
        """
        return next(self._batches)

    def get_state(self) -> dict[str, Any]:
        """Returns the position after the batches returned so far, JSON-able."""
        steps = self._batches.get_state()["next_index"]
        return {"examples": self._start + steps * self.examples_per_step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at `state`, which may be of other numbers of processes and devices.

        Raises:
            UserError: it is no position.
        """
        if "examples" not in state:
            raise UserError(f"the checkpoint has no position of the input: {state}")
        self._batches.close()
        self._start, self._batches = state["examples"], self._batches_from(state["examples"])

    def close(self) -> None:
        """Stops the reading threads."""
        self._batches.close()


def example_keys(
    records: Records | Chosen,
    domain: str,
    first: int,
    count: int,
    *,
    seed: int,
    rare_classes: RareClasses | None = None,
) -> list[str]:
    """Keys of examples in the order in which `TrainingBatches` reads them.

    Args:
        records: of the domain.
        domain: "source" or "target".
        first: number of the first example, from 0.
        count: number of examples.
        seed: as in `TrainingBatches`.
        rare_classes: likewise.
    """
    numbers = range(first, first + count)
    if rare_classes is not None and domain == "source":
        return [records[rare_classes(number).record]["key"] for number in numbers]
    shuffle_seed, _ = _seeds(seed, _SOURCE if domain == "source" else _TARGET)
    places = grain.MapDataset.range(len(records)).shuffle(seed=shuffle_seed).repeat()
    return [records[places[number]]["key"] for number in numbers]


def _seeds(seed: int, domain: int) -> tuple[int, int]:
    """Seeds of a domain's order and of its augmentation."""
    # grain shuffles epoch e with seed + e: consecutive seeds for the domains would correlate them.
    order, augmentation = np.random.SeedSequence([seed, domain]).generate_state(2)
    return int(order), int(augmentation)


def _domain(
    records: Records | LabelledRecords, domain: int, augmentation: Augmentation | None, seed: int
) -> grain.MapDataset[Batch]:
    """Shuffled, repeated and augmented examples of one domain."""
    options = augmentation or Augmentation()
    shuffle_seed, random_seed = _seeds(seed, domain)

    made = records if isinstance(records, LabelledRecords) else None

    def change(record: Batch, rng: np.random.Generator) -> Batch:
        centre = None if made is None else made.mining.draw(rng, record["label"])
        labelled = domain == _SOURCE or made is not None
        return _augmented(record, rng, options, labelled=labelled, centre=centre)

    examples = grain.MapDataset.source(records).shuffle(seed=shuffle_seed).repeat()
    return examples.random_map(change, seed=random_seed)


def _rare_examples(
    records: Records, rare_classes: RareClasses, augmentation: Augmentation | None, seed: int
) -> grain.MapDataset[Batch]:
    """Drawn and augmented examples of the source, cropped where their class is."""
    options = augmentation or Augmentation()
    _, random_seed = _seeds(seed, _SOURCE)

    def draw(number: int) -> Batch:
        record, wanted = rare_classes(number)
        return {**records[record], "wanted": wanted}

    def crop(record: Batch, rng: np.random.Generator) -> Batch:
        for _ in range(_CROPS):
            cropped = _augmented(record, rng, options, labelled=True)
            if rare_classes.enough(cropped["label"], record["wanted"]):
                break
        return cropped

    examples = grain.MapDataset.range(2 * _ENDLESS).map(draw)
    return examples.random_map(crop, seed=random_seed)


def _augmented(
    record: Batch,
    rng: np.random.Generator,
    options: Augmentation,
    *,
    labelled: bool,
    centre: tuple[int, int] | None = None,
) -> Batch:
    label = record["label"] if labelled else None
    if label is not None and label.ndim == 0:  # of the whole image, however it is cropped
        image, _ = augment(rng, record["image"], None, options)
    else:
        image, label = augment(rng, record["image"], label, options, centre)
    return {"image": image} if label is None else {"image": image, "label": label}


def _keep_freed_memory() -> None:
    """Lets images reuse the memory of earlier ones.

    glibc returns large blocks to the kernel, and the page faults of new ones take as long as
    reading a record. It keeps blocks up to the size of the largest one, below 32 MiB, that was ever
    freed; this one is never touched and costs nothing.
    """
    np.empty(31 << 20, np.uint8)


def _read_options(threads: int) -> grain.ReadOptions:
    # An element is a whole batch: two for each thread keep it busy, more would only cost memory.
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)


def evaluation_batches(
    records: Records | Chosen,
    batch_size: int,
    size: tuple[int, int] | None = None,
    *,
    threads: int = _DEFAULT_THREADS,
    process: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Batches of all records in order, once; all batches have the same shapes.

    Args:
        records: labelled records.
        batch_size: examples per batch, N.
        size: (height, width) of the labels, by nearest neighbour; None leaves them as stored.
        threads: batches prepared at the same time; 0 reads in the caller's thread.
        process: (index, number) of processes; each gets its share, all the same number of batches.

    Yields:
        `{"image": uint8 [N, H, W, 3], "label": uint8 [N, h, w], "count": int, "keys": (str, ...)}`.
        From `count` on, images are 0 and labels 255, so that they count nowhere.

    Raises:
        UserError: a damaged record, or stored labels of different sizes in one batch.
    """
    index, hosts = process
    starts = range(0, len(records), batch_size)
    rounds = -(-len(starts) // hosts)

    def read(number: int) -> Batch:
        start = (number * hosts + index) * batch_size
        return _evaluation_batch(records, range(start, start + batch_size), size)

    batches = grain.MapDataset.range(rounds).map(read).to_iter_dataset(_read_options(threads))
    return iter(batches)


def _evaluation_batch(
    records: Records | Chosen, wanted: range, size: tuple[int, int] | None
) -> Batch:
    rows = [records[i] for i in wanted if i < len(records)]
    padding = len(wanted) - len(rows)
    shapes = rows or [records[0]]
    labels = [row["label"] if size is None else resize_label(row["label"], size) for row in shapes]
    if len({label.shape for label in labels}) > 1:
        found = sorted({f"{label.shape[1]}x{label.shape[0]}" for label in labels})
        raise UserError(
            f"{records.folder}: labels of different sizes ({', '.join(found)}) cannot be in one"
            " batch; evaluate at network size, or one example at a time."
        )
    images = [row["image"] for row in shapes]
    images = images[: len(rows)] + [np.zeros_like(images[0])] * padding
    labels = labels[: len(rows)] + [np.full_like(labels[0], IGNORE)] * padding
    return {
        "image": np.stack(images),
        "label": np.stack(labels),
        "count": len(rows),
        "keys": tuple(row["key"] for row in rows),
    }
