"""The splits that a configuration names: their prepared records and the training batches."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections.config_dict import ConfigDict

from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.dataset import ClassList, Dataset
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.datasets.folders import Folders
from msl_jax.data.datasets.registry import dataset_class, open_label_set, open_split
from msl_jax.data.datasets.unlabelled import without_labels
from msl_jax.data.known_classes import KnownClasses
from msl_jax.data.labelled_records import LabelledRecords
from msl_jax.data.labels import LabelSet
from msl_jax.data.photos import CLASSES_FILE
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prefetch import Prefetch
from msl_jax.data.prepared.records import Records, prepare
from msl_jax.data.proportions import remark_on_stretched, stretched_size
from msl_jax.data.rare_classes import RareClasses, class_pixels
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import absolute


class _Listed(NamedTuple):
    """Where the classes of a split are listed.

    Attributes:
        num_classes: that they are read as; None where the list decides.
        file: a class file, which need not exist; None where users do not list the classes.
        classes: the file, or what the training read of the domain if there is none.
    """

    num_classes: int | None
    file: str | None
    classes: ClassList

    @property
    def read(self) -> str | None:
        """The class file if there is one: folders of photos may list classes without."""
        there = self.file and (self.file != self.classes or Path(self.file).is_file())
        return self.file if there else None


def _listed(config: ConfigDict, role: str, known: KnownClasses | None) -> _Listed:
    """The class file that the user names, that of the domain, or that of the source.

    Where none of the first two exists, the labels are read as the domain's were in the training.
    """
    domain, kept = _domain(role), None
    if not dataset_class(config[role]).lists_classes:
        return _Listed(config.num_classes, None, config.classes_file or None)
    if known is not None:
        kept = known.lists.get(domain)
    number = None if known else config.num_classes
    roots = [config[f"{d}_root"] or config.data_root for d in (domain, "source")]
    named = [config.classes_file or (roots[0] and Path(roots[0]) / CLASSES_FILE)]
    others = [] if config.classes_file or not roots[1] else [Path(roots[1]) / CLASSES_FILE]
    paths = [str(absolute(file)) for file in (*named, *others) if file]
    if paths and Path(paths[0]).exists():
        return _Listed(number, paths[0], paths[0])
    if kept is not None and not (config.classes_file and kept.file != paths[0]):
        return _Listed(number, kept.file or domain, kept.classes)
    file = paths[-1] if paths else None
    return _Listed(number, file, file)


def _domain(role: str) -> str:
    return "source" if role.startswith("source") else "target"


def open_classes(config: ConfigDict, role: str, known: KnownClasses | None = None) -> LabelSet:
    """The classes of the split that the key `role` names; needs no images.

    Args:
        config: its paths and number of classes count.
        role: e.g. "source_train".
        known: the classes that are expected.

    Raises:
        UserError: they are not listed, or not those that are expected.
    """
    listed = _listed(config, role, known)
    found = open_label_set(config[role], listed.num_classes, listed.classes)
    if known is not None:
        known.expect(found, listed.read or config[role])
    return found


class Split(NamedTuple):
    """A split that is ready to be read.

    Attributes:
        records: its prepared records.
        label_set: its classes.
        labelled: whether it has labels.
        remarks: what a user should know of it, in words.
        class_file: that lists its classes, if a user lists them.
        stretched: whether its photos do not keep their proportions.
    """

    records: Records
    label_set: LabelSet
    labelled: bool
    remarks: tuple[str, ...]
    class_file: str | None
    stretched: bool


def load_split(
    config: ConfigDict,
    role: str,
    *,
    evaluation: bool,
    labels: bool = True,
    known: KnownClasses | None = None,
) -> Split:
    """Records of the split that the key `role` names, prepared first if necessary.

    Args:
        config: complete.
        role: e.g. "source_train".
        evaluation: keep labels at their size.
        labels: if False, labels are not asked for; records may have some all the same.
        known: the classes of the network that is trained further or evaluated.

    Raises:
        UserError: something is wrong with the split or its files, or its classes are not those that
            are known.
    """
    domain, listed = _domain(role), _listed(config, role, known)
    root = config[f"{domain}_root"] or config.data_root
    dataset, split = open_split(
        config[role],
        absolute(root) if root else None,
        listed.num_classes,
        listed.classes,
        config[f"{domain}_label_ids"],
    )
    others: list[str] = []
    if known is not None:
        known.expect(dataset.label_set, listed.read or config[role])
        if listed.read is not None:
            others = known.remarks_on(dataset.label_set, listed.read, domain, config[role])
    size = tuple(config[f"{domain}_size"])
    records = prepare(
        dataset if labels else without_labels(dataset),
        split,
        size,
        config.records_dir or None,
        keep_label_size=evaluation,
        on_bad_example=config.on_bad_example,
        # Records with labels, of the prepare command or of an oracle, serve as well.
        instead=None if labels else dataset,
    )
    stretched = stretched_size(_photos(dataset, split), size)
    if stretched and isinstance(dataset, Folders):  # of the others, it is part of a recipe
        others.append(remark_on_stretched(stretched, size, f"--config.{domain}_size"))
    labelled, counts = labels and dataset.labelled(split), records.counts
    if labelled:
        counts.expect_any(config[role])
    said = counts.lines(config[role], dataset.label_set) if labels else ()
    remarks = (*dataset.remarks(), *others, *said)
    return Split(records, dataset.label_set, labelled, remarks, listed.read, stretched is not None)


def _photos(dataset: Dataset, split: str) -> list[Path]:
    """The files of a split's images; none where they are generated."""
    if not isinstance(dataset, FileDataset):
        return []
    return [example.image_path for example in dataset.pairs(split)]


def load_labelled(config: ConfigDict, role: str, known: KnownClasses | None = None) -> Split:
    """A split to train on, with labels.

    Raises:
        UserError: as `load_split`, or there are no labels.
    """
    split = load_split(config, role, evaluation=False, known=known)
    if not split.labelled:
        raise UserError(f"{config[role]} has no labels, but this variant trains on them")
    return split


def load_unlabelled(config: ConfigDict, role: str, known: KnownClasses | None = None) -> Split:
    """A split to train on, of which labels are neither read nor asked for.

    Raises:
        UserError: as `load_split`.
    """
    return load_split(config, role, evaluation=False, labels=False, known=known)


def say(splits: Iterable[Split]) -> None:
    """Prints the remarks on splits on stderr, each one once."""
    for remark in dict.fromkeys(remark for split in splits for remark in split.remarks):
        print(remark, file=sys.stderr)


def build_augmentation(settings: ConfigDict) -> Augmentation:
    """The augmentation that the settings of a domain describe."""
    low, high = settings.scale
    return Augmentation(
        mirror=settings.mirror,
        blur=settings.blur,
        scale=None if low == high == 1.0 else (low, high),
        crop=tuple(settings.crop) or None,
        jitter=settings.jitter,
    )


def examples_per_step(config: ConfigDict) -> int:
    """Number of examples of each domain in a step, over all devices of all processes."""
    return config.accumulate * config.batch_size * jax.device_count()


def build_rare_classes(config: ConfigDict, source: Records) -> RareClasses | None:
    """Rare class sampling of the source, None if the method has or wants none.

    Raises:
        UserError: no image has enough pixels of any class.
    """
    temperature = config.method.get("rare_class_temperature", 0.0)
    if temperature == 0:
        return None
    pixels = class_pixels(source, config.num_classes)
    least = round(config.method.rare_class_share * math.prod(config.source_size))
    return RareClasses(pixels, temperature, least, config.seed)


def build_batches(
    config: ConfigDict,
    source: Records,
    target: Records | LabelledRecords | None,
    rare_classes: RareClasses | None = None,
) -> Prefetch:
    """This process's training batches, on its devices.

    Args:
        config: complete and checked.
        source: labelled records.
        target: records of the target domain, see `TrainingBatches`; None for the source-only
            stage.
        rare_classes: draws the source examples; None for epochs.
    """
    batches = TrainingBatches(
        source,
        target,
        batch_size=examples_per_step(config) // jax.process_count(),
        seed=config.seed,
        source_augmentation=build_augmentation(config.source_augmentation),
        target_augmentation=build_augmentation(config.target_augmentation),
        rare_classes=rare_classes,
        process=parallel.share(),
    )
    return Prefetch(batches)
