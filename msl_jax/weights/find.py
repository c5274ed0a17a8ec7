"""Weights wherever they lie: in a run, a converted checkpoint, a file of PyTorch or safetensors."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from msl_jax.methods.variants import task_name, variant_of
from msl_jax.models.discriminator import DISCRIMINATOR
from msl_jax.models.initial import HEADS, abstract_variables, initial_heads
from msl_jax.models.spec import Network
from msl_jax.runs import checksums
from msl_jax.runs import workdir as runs
from msl_jax.runs.arrays import read_tree, write_tree
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import written_whole
from msl_jax.weights import safetensors_files, torch_files
from msl_jax.weights.layouts import CLASSIFIER, detect, gives_way
from msl_jax.weights.mismatch import expect_same_shapes
from msl_jax.weights.names import TORCH_HEADS
from msl_jax.weights.state_dict import Model, from_torch

# A converted checkpoint: the description of its network, and its variables by orbax.
DESCRIPTION, VARIABLES = "weights.json", "variables"
FILE_SUFFIXES = (".pth", ".pt", ".safetensors")
# The heads of a task's networks, the one that predicts last.
HEADS_OF = {"segmentation": tuple(TORCH_HEADS), "classification": (CLASSIFIER,)}


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights that have been found, but not put into a network yet.

    Attributes:
        path: where, as it was given.
        title: what they are, one line.
        network: what is known of the network they belong to.
        heads: ``"final_head"``, ``"low_head"``, or ``"classifier"``: those that they hold.
        read: see `load`, which names the path in errors.
        step: steps they were trained in their run; None outside of one.
        run: the checkpoint's place, where it is one of a run.
    """

    path: str
    title: str
    network: Network
    heads: tuple[str, ...]
    read: Callable[[Model, bool, int], Any]
    step: int | None = None
    run: runs.CheckpointPath | None = None

    @property
    def classifies(self) -> bool:
        """Whether they hold the head that predicts; a backbone alone does not."""
        return any(heads[-1] in self.heads for heads in HEADS_OF.values())

    @property
    def two_heads(self) -> bool:
        """Whether both heads of a segmentation were trained, as a Multi variant needs them."""
        if self.run is not None:
            kind, on_source = variant_of(self.run.config), self.run.config["lambda_source_low"]
            guided = self.run.folder.name == runs.ADAPT_STAGE and kind.target_loss != "none"
            return kind.multi and (on_source > 0 or guided)
        return set(HEADS_OF["segmentation"]) <= set(self.heads)

    def for_config(self, config: Any) -> Weights:
        """What of weights from outside a run is of use to a configuration's network.

        A file with torchvision's names is a backbone to segmentation, whatever classifier it has.
        To a classification it is a classifier, except that ImageNet's 1000 classes give way to any
        other number. The title says what was left out.

        Args:
            config: its keys `task` and `num_classes` count.
        """
        if self.run is not None or CLASSIFIER not in self.heads:
            return self
        if task_name(config) != "classification":
            return self.without_classifier("segmentation has heads of its own")
        if gives_way(self.network.num_classes, config["num_classes"]):
            return self.without_classifier(f"config.num_classes is {config['num_classes']}")
        return self

    def without_classifier(self, reason: str) -> Weights:
        """The backbone alone; the title says why."""
        title = f"{self.title}; classifier left out: {reason}"
        network = self.network.without_heads()
        return dataclasses.replace(self, title=title, network=network, heads=())

    def load(self, model: Model, *, reinit_heads: bool = False, seed: int = 0) -> Any:
        """Variables of `model`; heads that the weights lack are drawn from `seed`.

        Args:
            model: the network.
            reinit_heads: draw all heads anew in any case.
            seed: of the heads that are drawn.

        Raises:
            UserError: they do not fit; lists all that differs.
        """
        try:
            return self.read(model, reinit_heads or not self.heads, seed)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error


def find(path: str | Path) -> Weights:
    """Looks at the weights at `path`; those of files are read, but not converted yet.

    Args:
        path: a run's workdir (with ``:best``, ``:STEP`` or ``:source`` behind it, see
            `runs.find_checkpoint`), a folder written by ``python -m msl_jax.convert``, or a file:
            ``.safetensors`` or one of PyTorch. ``~`` is the user's home.

    Raises:
        UserError: nothing of that kind is there.
    """
    path = os.path.expanduser(path)
    place = Path(path)
    if place.is_file() or place.suffix.lower() in FILE_SUFFIXES:
        return _in_file(place)
    if (place / DESCRIPTION).is_file():
        return _in_folder(place)
    return _in_run(path)


def weights_before(workdir: Path, config: Any) -> Weights:
    """The weights that an adaptation began with.

    Args:
        workdir: of the run.
        config: its complete configuration.

    Raises:
        UserError: they are not there any more.
    """
    if runs.has_checkpoint(workdir, runs.SOURCE_STAGE):
        return find(f"{workdir}:{runs.SOURCE_STAGE}")
    if not config.init_from:
        raise UserError(f"{workdir} has no checkpoint of the {runs.SOURCE_STAGE} stage any more.")
    return find(config.init_from)


def _in_file(path: Path) -> Weights:
    files = safetensors_files if path.suffix.lower() == ".safetensors" else torch_files
    state_dict, description = files.read(path)
    try:
        layout = detect({name: array.shape for name, array in state_dict.items()})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    network = layout.network()
    if description is not None:
        described = _described(path, description)
        fields = ("stride_placement", "input_convention", "head_rates", "active_rates")
        known = {field: getattr(described, field) for field in fields}  # the rest is in the arrays
        network = dataclasses.replace(network, **known)
        layout = layout.with_conventions(network.stride_placement, network.input_convention)

    def read(model: Model, reinit_heads: bool, seed: int) -> Any:
        return from_torch(state_dict, model, reinit_heads=reinit_heads, seed=seed)

    return Weights(str(path), layout.describe(), network, tuple(layout.heads), read)


def _in_folder(path: Path) -> Weights:
    if (path / checksums.NAME).exists():  # older ones have none
        checksums.check(path)
    place = path / DESCRIPTION
    description = runs.read_json(place)
    try:
        network, heads = description["network"], tuple(description["heads"])
        title = f"converted from {description['from']}"
    except (TypeError, KeyError) as error:
        raise UserError(f"{place}: the description is not readable ({error})") from error
    read = _tree_reader(path / VARIABLES, heads)
    return Weights(str(path), title, _described(place, network), heads, read)


def save(path: Path, weights: Weights, variables: Any) -> None:
    """Writes a converted checkpoint, whole or not at all.

    Args:
        path: a folder that does not exist.
        weights: what is known of them.
        variables: their arrays, without heads that they lack.
    """
    description = {
        "network": dataclasses.asdict(weights.network),
        "heads": weights.heads,
        "from": weights.title,
    }
    with written_whole(path) as partial:
        partial.mkdir()
        write_tree(partial / VARIABLES, variables)
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        checksums.write(partial)


def _described(path: Path, description: Any) -> Network:
    try:
        return Network.from_json(description)
    except (TypeError, AttributeError) as error:
        raise UserError(f"{path}: the network's description is not readable ({error})") from error


def _in_run(path: str) -> Weights:
    found = runs.find_checkpoint(path)
    try:
        name, variant = found.config["name"], found.config["variant"]
        network = network_of(found.config)
        heads = HEADS_OF[task_name(found.config)]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: the run's {runs.CONFIG} is not complete ({error})") from error
    return Weights(
        path,
        f"run {name}:{variant}, {found.folder.name} step {found.step}",
        network,
        heads,
        _tree_reader(found.folder / str(found.step) / VARIABLES, heads),
        found.step,
        found,
    )


def network_of(config: Any) -> Network:
    """What is to be known of the network that a run's configuration, complete, describes."""
    model = config["model"]
    # Classifiers know no rates; the keys are there all the same.
    dilated = task_name(config) == "segmentation"
    return Network(
        model["depth"],
        model["width"],
        model["stride_placement"],
        config["input_convention"],
        config["num_classes"],
        tuple(model["head_rates"]) if dilated else None,
        tuple(model["active_rates"]) if dilated else None,
    )


def _tree_reader(
    folder: Path, heads: tuple[str, ...]
) -> Callable[[Model, bool, int], dict[str, Any]]:
    """Function that reads variables saved by orbax, with these heads, into a network."""

    def read(model: Model, reinit_heads: bool, seed: int) -> dict[str, Any]:
        shapes = abstract_variables(model)
        new = [h for h in HEADS if h in shapes["params"] and (reinit_heads or h not in heads)]
        tree = read_tree(folder)
        # A discriminator has done its work; heads of another task have no place in the network.
        for part in (DISCRIMINATOR, *(heads if reinit_heads else ())):
            tree["params"].pop(part, None)
        expect_same_shapes(
            _shapes(tree),
            _shapes(shapes, new),
            title="the checkpoint holds another network than the configuration describes.",
            advice="Set config.model.* and config.num_classes as they were in training.",
        )
        broken = [name for name, leaf in flatten_dict(tree, sep="/").items() if not _finite(leaf)]
        if broken:
            raise UserError(f"not finite numbers in {len(broken)} arrays: {', '.join(broken)}")
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, model.param_dtype), tree)
        if new:
            drawn = initial_heads(model, seed)
            variables["params"].update({head: drawn[head] for head in new})
        return variables

    return read


def _finite(leaf: np.ndarray) -> bool:
    return bool(np.isfinite(leaf).all())


def _shapes(tree: Any, without: Sequence[str] = ()) -> dict[str, tuple[int, ...]]:
    return {
        "/".join(path): tuple(leaf.shape)
        for path, leaf in flatten_dict(tree).items()
        if path[1] not in without
    }
