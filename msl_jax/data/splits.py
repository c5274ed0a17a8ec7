"""The splits that a configuration names: their prepared records, and the batches to train on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections.config_dict import ConfigDict

from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.folders import CLASSES_FILE
from msl_jax.data.datasets.registry import open_split
from msl_jax.data.labels import LabelSet
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prefetch import Prefetch
from msl_jax.data.prepared.records import Records, prepare
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import UserError


def classes_file(config: ConfigDict) -> str | None:
    """The file that names the classes of `folders`, where the configuration tells."""
    root = config.source_root or config.data_root
    path = config.classes_file or (str(Path(root) / CLASSES_FILE) if root else "")
    return os.path.expanduser(path) or None


class Split(NamedTuple):
    """Prepared records of a split, its classes, and whether it has labels."""

    records: Records
    label_set: LabelSet
    labelled: bool


def load_split(config: ConfigDict, role: str, *, evaluation: bool) -> Split:
    """Prepared records of the split that the key `role` names, made first if need be.

    Raises:
        UserError: the split or its files are not as they should be.
    """
    domain = "source" if role.startswith("source") else "target"
    root = os.path.expanduser(config[f"{domain}_root"] or config.data_root)
    dataset, split = open_split(
        config[role], root or None, config.num_classes, classes_file(config)
    )
    records = prepare(
        dataset,
        split,
        tuple(config[f"{domain}_size"]),
        config.records_dir or None,
        keep_label_size=evaluation,
        on_bad_example=config.on_bad_example,
    )
    return Split(records, dataset.label_set, dataset.labelled(split))


def load_labelled(config: ConfigDict, role: str) -> Records:
    """Records to train on with their labels.

    Raises:
        UserError: as `load_split`; or there are no labels.
    """
    split = load_split(config, role, evaluation=False)
    if not split.labelled:
        raise UserError(f"{config[role]} has no labels, but this variant trains on them")
    return split.records


def build_augmentation(settings: ConfigDict) -> Augmentation:
    """Augmentation from the settings of one domain."""
    low, high = settings.scale
    return Augmentation(
        mirror=settings.mirror,
        blur=settings.blur,
        scale=None if low == high == 1.0 else (low, high),
        crop=tuple(settings.crop) or None,
        jitter=settings.jitter,
    )


def examples_per_step(config: ConfigDict) -> int:
    """Examples of each domain that all devices of all processes take in a step."""
    return config.accumulate * config.batch_size * jax.device_count()


def build_batches(config: ConfigDict, source: Records, target: Records | None) -> Prefetch:
    """This process's training batches, on its devices.

    Args:
        config: complete and checked.
        source: labelled records.
        target: records of the target domain; None for the source-only stage.
    """
    batches = TrainingBatches(
        source,
        target,
        batch_size=examples_per_step(config) // jax.process_count(),
        seed=config.seed,
        source_augmentation=build_augmentation(config.source_augmentation),
        target_augmentation=build_augmentation(config.target_augmentation),
        process=parallel.share(),
    )
    return Prefetch(batches)
