"""The parts of a run, as a configuration describes them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections.config_dict import ConfigDict

from msl_jax import presets
from msl_jax.config import check_config
from msl_jax.data import open_split
from msl_jax.data.augment import Augmentation
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.records import Records, prepare
from msl_jax.errors import UserError
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.models import DeepLabV2
from msl_jax.weights import Weights, find, network_of


def build_model(config: ConfigDict) -> DeepLabV2:
    """The network that a complete configuration describes."""
    return network_of(config).model(dtype=jnp.dtype(config.compute_dtype))


def initial_variables(model: DeepLabV2, seed: int) -> Any:
    """Random variables; the same seed gives the same."""
    return jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, 32, 32, 3)))


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
    network, origin = None, ""
    if start is not None:
        network = start.network.without_heads() if config.reinit_heads else start.network
        origin = f"config.init_from={start.path} ({start.title})"
    completed = presets.complete(config, network, origin)
    check_config(completed)
    return completed


def load_split(config: ConfigDict, role: str, *, evaluation: bool) -> tuple[Records, LabelSet]:
    """Prepared records of the split that the key `role` names, made first if need be.

    Raises:
        UserError: the split or its files are not as they should be.
    """
    domain = "source" if role.startswith("source") else "target"
    root = config[f"{domain}_root"] or config.data_root
    dataset, split = open_split(config[role], root or None, config.num_classes)
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
