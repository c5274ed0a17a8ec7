"""What a run starts from: its weights, and a configuration with every key decided."""

from __future__ import annotations

from pathlib import Path

from ml_collections.config_dict import ConfigDict

from msl_jax.config import presets
from msl_jax.config.keys import FREE_KEYS, check_config, types_explained
from msl_jax.data.datasets.registry import dataset_class
from msl_jax.data.splits import open_classes
from msl_jax.runs.workdir import CONFIG, moved, needs_no_init_weights, saved_values
from msl_jax.runtime import parallel
from msl_jax.weights.find import Weights, find


def resolve(given: ConfigDict, workdir: Path) -> tuple[ConfigDict, Weights | None]:
    """The complete configuration of a run, and the weights of `init_from` if the run needs them.

    A run that has begun keeps what was decided then, except for `FREE_KEYS` and the places of data
    that have moved. Once it is finished or has checkpoints of its own, it needs no other weights.
    All processes; the first one reads the workdir.

    Args:
        given: the configuration as the user gives it.
        workdir: of the run, which need not exist; if it does, the run was given the same, see
            `runs.workdir.finished_results`.

    Raises:
        UserError: wrong values, weights that do not fit or are not there, or a damaged run.
    """
    saved, begun, places = parallel.by_first(
        lambda: (saved_values(workdir), needs_no_init_weights(workdir), moved(workdir, given))
    )
    config = given
    if saved is not None:
        config = presets.restored(saved, str(workdir / CONFIG))
        with types_explained(str(workdir / CONFIG)):
            config.update({key: given[key] for key in (*FREE_KEYS, *places)})

    def resolved() -> tuple[ConfigDict, Weights | None]:
        start = None
        if config.init_from and not begun:
            start = find(config.init_from).for_config(config)
        return complete(config, start), start

    return parallel.together(resolved)


def with_photo_size(config: ConfigDict, given: ConfigDict, stretched: bool) -> ConfigDict:
    """The configuration that a run keeps: predicted photos are stretched if its training's were.

    Args:
        config: the complete one.
        given: the configuration as the user gave it; its `photo_size` stays if it is set.
        stretched: whether the training stretches its photos.
    """
    if given.photo_size is not None or not stretched:
        return config
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.photo_size = "target"
    return config.lock()


def complete(config: ConfigDict, start: Weights | None) -> ConfigDict:
    """The configuration with every key decided, and checked.

    Args:
        config: as the user gave it.
        start: weights of `init_from`.

    Raises:
        UserError: wrong values, or such as do not fit the weights.
    """
    known = start.classes_to_keep(config) if start else None
    if config.num_classes is None or (known and dataset_class(config.source_train).lists_classes):
        label_set = open_classes(config, "source_train", known)
        config = config.copy_and_resolve_references()
        config.num_classes = label_set.num_classes
    network, origin = None, ""
    if start is not None:
        network = start.network.without_heads() if config.reinit_heads else start.network
        origin = f"config.init_from={start.path} ({start.title})"
    completed = presets.complete(config, network, origin)
    check_config(completed)
    return completed
