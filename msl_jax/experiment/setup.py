"""What a run starts from: its weights, and a configuration with every key decided."""

from __future__ import annotations

from ml_collections.config_dict import ConfigDict

from msl_jax.config import presets
from msl_jax.config.keys import check_config
from msl_jax.data.datasets.registry import open_label_set
from msl_jax.data.splits import classes_file
from msl_jax.weights.find import Weights, find


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
