"""The parts of a run, as a configuration describes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections.config_dict import ConfigDict

from msl_jax.config import presets
from msl_jax.config.keys import check_config
from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.folders import CLASSES_FILE
from msl_jax.data.datasets.registry import open_label_set, open_split
from msl_jax.data.labels import LabelSet
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prefetch import Prefetch
from msl_jax.data.prepared.records import Records, prepare
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import task_of
from msl_jax.tasks.task import Training
from msl_jax.weights.find import Weights, find


def build_model(config: ConfigDict) -> Any:
    """The network that a complete configuration describes."""
    return task_of(config).model(config)


def build_training(config: ConfigDict, model: Any, params: Any, *, adapt: bool) -> Training:
    """The objective and the optimizer of a stage, as a complete configuration describes them.

    Args:
        config: complete and checked.
        model: its network.
        params: the parameters that the stage trains, or their shapes; see `Task.stage_variables`.
        adapt: of the adaptation; else of the source-only stage.
    """
    return task_of(config).training(config, model, params, adapt=adapt)


def starting_weights(config: ConfigDict) -> Weights | None:
    """What the configuration's network takes of the weights that `init_from` names.

    None where it is empty.

    Raises:
        UserError: nothing is there.
    """
    return find(config.init_from).for_config(config) if config.init_from else None


def complete(config: ConfigDict, start: Weights | None) -> ConfigDict:
    """The configuration with every key decided, and checked.

    Args:
        config: as the user gave it.
        start: weights of `init_from`.

    Raises:
        UserError: wrong values, or such as do not fit the weights.
    """
    if config.num_classes is None:
        label_set = open_label_set(config.source_train, None, classes_file(config))
        config = config.copy_and_resolve_references()
        config.num_classes = label_set.num_classes
    network, origin = None, ""
    if start is not None:
        network = start.network.without_heads() if config.reinit_heads else start.network
        origin = f"config.init_from={start.path} ({start.title})"
    completed = presets.complete(config, network, origin)
    check_config(completed)
    return completed


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


class DomainEvaluation:
    """Metrics of a network on the evaluation splits of both domains, where they have labels."""

    def __init__(self, config: ConfigDict, model: Any) -> None:
        """Opens both splits.

        Raises:
            UserError: a split or its files are not as they should be.
        """
        self.records: dict[str, Records] = {}
        self._labelled: set[str] = set()
        for domain in ("target", "source"):
            split = load_split(config, f"{domain}_eval", evaluation=True)
            self.records[domain], self.label_set = split.records, split.label_set
            if split.labelled:
                self._labelled.add(domain)
        self._measure = task_of(config).measure(config, model, self.label_set.names)

    def __call__(self, variables: Any) -> dict[str, Any]:
        """``{"target": M, "source": M}``, None for a domain without labels."""
        return {
            domain: self._measure(variables, records, domain) if domain in self._labelled else None
            for domain, records in self.records.items()
        }
