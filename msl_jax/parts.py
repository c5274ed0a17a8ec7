"""The parts of a run, as a configuration describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections.config_dict import ConfigDict

from msl_jax import runs
from msl_jax.checkpoints import Checkpoints
from msl_jax.data import open_split
from msl_jax.data.augment import Augmentation
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.records import Records, prepare
from msl_jax.errors import UserError
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.models import DeepLabV2

_ANY_IMAGES = (1, 32, 32, 3)  # shapes of parameters do not depend on the images' size


def build_model(config: ConfigDict) -> DeepLabV2:
    """The network that the configuration describes."""
    return DeepLabV2(
        num_classes=config.num_classes,
        depth=config.model.depth,
        width=config.model.width,
        stride_placement=config.model.stride_placement,
        head_rates=tuple(config.model.head_rates),
        active_rates=tuple(config.model.active_rates),
        dtype=jnp.dtype(config.compute_dtype),
    )


def initial_variables(model: DeepLabV2, seed: int) -> Any:
    """Random variables; the same seed gives the same."""
    return jax.jit(model.init)(jax.random.key(seed), jnp.zeros(_ANY_IMAGES))


def abstract_variables(model: DeepLabV2) -> Any:
    """Shapes and dtypes of the variables."""
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(_ANY_IMAGES))


def load_variables(path: str | Path, model: DeepLabV2) -> Any:
    """The network's variables from a checkpoint path, see `runs.find_checkpoint`.

    Raises:
        UserError: no checkpoint there, or one of another network.
    """
    return restore_variables(runs.find_checkpoint(path), model)


def restore_variables(found: runs.CheckpointPath, model: DeepLabV2) -> Any:
    """The network's variables from a checkpoint that has been found.

    Raises:
        UserError: it is one of another network, or damaged.
    """
    checkpoints = Checkpoints(found.folder)
    try:
        return checkpoints.restore_variables(found.step, abstract_variables(model))
    finally:
        checkpoints.close()


def load_split(config: ConfigDict, role: str, *, evaluation: bool) -> tuple[Records, LabelSet]:
    """Prepared records of the split that the key `role` names, made first if need be.

    Raises:
        UserError: the split or its files are not as they should be.
    """
    dataset, split = open_split(config[role], config.data_root or None)
    if dataset.label_set.num_classes != config.num_classes:
        raise UserError(
            f"config.num_classes is {config.num_classes}, but {config[role]} has"
            f" {dataset.label_set.num_classes} classes: {', '.join(dataset.label_set.names)}"
        )
    domain = "source" if role.startswith("source") else "target"
    records = prepare(
        dataset,
        split,
        tuple(config[f"{domain}_size"]),
        config.records_dir or None,
        keep_label_size=evaluation,
        on_bad_example=config.on_bad_example,
    )
    return records, dataset.label_set


def expect_labels(records: Records, name: str) -> None:
    """Looks at a few records, so that a run without labels does not train on nothing.

    Raises:
        UserError: all labels that were looked at are empty.
    """
    places = range(0, len(records), max(1, len(records) // 8))
    if all((records[place]["label"] == IGNORE).all() for place in places):
        raise UserError(f"{name} has no labels, but this variant trains on them")


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


class DomainEvaluation:
    """Metrics of a network on the evaluation splits of both domains."""

    def __init__(self, config: ConfigDict, model: DeepLabV2) -> None:
        """Opens both splits.

        Raises:
            UserError: a split or its files are not as they should be.
        """
        self.records: dict[str, Records] = {}
        self._sizes: dict[str, Any] = {}
        for domain in ("target", "source"):
            self.records[domain], self.label_set = load_split(
                config, f"{domain}_eval", evaluation=True
            )
            network = tuple(config[f"{domain}_size"])
            self._sizes[domain] = network if config.eval_size == "network" else None
        self._evaluate = Evaluator(
            build_predictor(config, model), self.label_set.names, config.eval_batch_size
        )

    def __call__(self, variables: Any) -> dict[str, Any]:
        """``{"target": M, "source": M}``."""
        return {
            domain: self._evaluate(variables, records, self._sizes[domain])
            for domain, records in self.records.items()
        }
