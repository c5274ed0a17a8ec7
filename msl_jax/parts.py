"""The parts of a run, as a configuration describes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections.config_dict import ConfigDict

from msl_jax import parallel, presets
from msl_jax.config import check_config, objective
from msl_jax.data import open_label_set, open_split
from msl_jax.data.augment import Augmentation
from msl_jax.data.folders import CLASSES_FILE
from msl_jax.data.labels import LabelSet
from msl_jax.data.pipeline import Prefetch, TrainingBatches
from msl_jax.data.records import Records, prepare
from msl_jax.errors import UserError
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.models import DeepLabV2
from msl_jax.tasks import segmentation
from msl_jax.training.optimizer import parameter_groups, poly_schedule, sgd
from msl_jax.training.step import Pass
from msl_jax.weights import Weights, find, network_of


def build_model(config: ConfigDict) -> DeepLabV2:
    """The network that a complete configuration describes."""
    return network_of(config).model(
        dtype=jnp.dtype(config.compute_dtype), rematerialize=config.rematerialize
    )


class Training(NamedTuple):
    """What a stage optimises, and how: the first arguments of `train_step`."""

    passes: Sequence[Pass]
    optimizer: optax.GradientTransformation


def build_training(config: ConfigDict, model: DeepLabV2, params: Any, *, adapt: bool) -> Training:
    """The objective and the optimizer of a stage, as a complete configuration describes them.

    Args:
        config: complete and checked.
        model: its network.
        params: the network's parameters, or their shapes.
        adapt: of the adaptation; else of the source-only stage.
    """
    goal = objective(config, adapt=adapt)
    if adapt and config.frozen_norms:
        model = model.clone(frozen_norms=True)
    stage = "" if adapt else "source_"
    optimizer = sgd(
        parameter_groups(params, segmentation.parameter_rules(model, multi=goal.multi)),
        segmentation.optimizer_groups(
            config.head_rate_multiplier, repeated_visits=config.repeated_visits
        ),
        poly_schedule(config[f"{stage}learning_rate"], config[f"{stage}poly_steps"]),
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    return Training(
        segmentation.passes(model, goal, config.input_convention, adapt=adapt), optimizer
    )


def starting_weights(config: ConfigDict) -> Weights | None:
    """The weights that `init_from` names, None where it is empty.

    Raises:
        UserError: nothing is there.
    """
    return find(config.init_from) if config.init_from else None


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


def build_predictor(config: ConfigDict, model: DeepLabV2) -> Predictor:
    """Prediction as the configuration's evaluation keys ask for."""
    return Predictor(model, config.input_convention, config.flip, tuple(config.scales))


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


def label_size(config: ConfigDict, domain: str) -> tuple[int, int] | None:
    """(height, width) at which a domain is evaluated; None for each label's own."""
    return tuple(config[f"{domain}_size"]) if config.eval_size == "network" else None


class DomainEvaluation:
    """Metrics of a network on the evaluation splits of both domains, where they have labels."""

    def __init__(self, config: ConfigDict, model: DeepLabV2) -> None:
        """Opens both splits.

        Raises:
            UserError: a split or its files are not as they should be.
        """
        self.records: dict[str, Records] = {}
        self._sizes: dict[str, Any] = {}
        for domain in ("target", "source"):
            split = load_split(config, f"{domain}_eval", evaluation=True)
            self.records[domain], self.label_set = split.records, split.label_set
            if split.labelled:
                self._sizes[domain] = label_size(config, domain)
        self._evaluate = Evaluator(
            build_predictor(config, model), self.label_set.names, config.eval_batch_size
        )

    def __call__(self, variables: Any) -> dict[str, Any]:
        """``{"target": M, "source": M}``, None for a domain without labels."""
        return {
            domain: self._evaluate(variables, records, self._sizes[domain])
            if domain in self._sizes
            else None
            for domain, records in self.records.items()
        }
