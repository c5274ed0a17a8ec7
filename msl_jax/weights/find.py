"""Weights wherever they are: in a run, a converted checkpoint, a PyTorch or safetensors file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msl_jax.config import presets
from msl_jax.data.known_classes import KnownClasses
from msl_jax.data.labels import LabelSet
from msl_jax.methods.method import BaseMethod
from msl_jax.methods.registry import method_of
from msl_jax.methods.variants import variant_of
from msl_jax.models.initial import abstract_variables
from msl_jax.models.spec import NetworkSpec
from msl_jax.runs import checksums
from msl_jax.runs.arrays import read_parts, write_tree
from msl_jax.runs.checkpoint_path import CheckpointPath, find_checkpoint
from msl_jax.runs.classes import classes_to_json, known_classes, saved_classes
from msl_jax.runs.workdir import ADAPT_STAGE, CONFIG
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write, expect_readable, read_json
from msl_jax.runtime.paths import absolute, storable
from msl_jax.runtime.registration import import_named
from msl_jax.runtime.text import one_line
from msl_jax.weights import safetensors_files, torch_files, wrapped
from msl_jax.weights.layouts import CLASSIFIER, SEGMENTATION_HEADS, is_foreign_imagenet_head
from msl_jax.weights.pretrained import PACKAGES, packaged_file
from msl_jax.weights.registry import detect
from msl_jax.weights.saved_trees import tree_reader
from msl_jax.weights.state_dict import Model, from_torch

# A converted checkpoint: the description of its network, and its variables by orbax.
DESCRIPTION, VARIABLES = "weights.json", "variables"
FILE_SUFFIXES = (".pth", ".pt", ".safetensors")
# What to do about data, or other weights, that have other classes than these weights.
_START_ADVICE = (
    "Give the class file or folders as they were, or --config.reinit_heads=true: it takes the"
    " backbone alone and trains new heads."
)
_COMPARE_ADVICE = "Give networks of the same classes."
# The heads of a task's networks, the one that predicts last.
HEADS_OF = {"segmentation": SEGMENTATION_HEADS, "classification": (CLASSIFIER,)}


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights that have been found, but not loaded into a network yet.

    Attributes:
        path: where, absolute.
        title: what they are, one line.
        network: what is known of the network they belong to.
        heads: those that they hold: ``"low_head"``, ``"final_head"``, ``"classifier"``.
        read: see `load`, which names the path in errors.
        step: steps they were trained in their run; None outside of one.
        run: the checkpoint's place, where it is one of a run.
        known: the classes that the network tells apart, where they were kept with them.
        left_out: parts beside the network's that the run's method trained, such as a discriminator;
            they are of no use after the training and not loaded.
    """

    path: str
    title: str
    network: NetworkSpec
    heads: tuple[str, ...]
    read: Callable[[Model, bool, int], Any]
    step: int | None = None
    run: CheckpointPath | None = None
    known: KnownClasses | None = None
    left_out: tuple[str, ...] = ()

    @property
    def classes(self) -> LabelSet | None:
        """Those that are known."""
        return self.known and self.known.classes

    @property
    def classifies(self) -> bool:
        """Whether they hold the head that predicts; a backbone alone does not."""
        return any(heads[-1] in self.heads for heads in HEADS_OF.values())

    def classes_to_keep(self, config: Any) -> KnownClasses | None:
        """What a training that begins here must have classes as; its labels may have other ids.

        Args:
            config: its key `reinit_heads` counts.

        Returns:
            None where nothing is known, or the heads are trained anew.
        """
        if self.known is None or not self.classifies or config["reinit_heads"]:
            return None
        return self.known._replace(lists={}, advice=_START_ADVICE)

    def expect_same_classes(self, other: Weights) -> None:
        """Compares the classes of two networks, as far as they are known.

        Raises:
            UserError: they differ; shows both lists.
        """
        if self.known is not None and other.classes is not None:
            self.known._replace(advice=_COMPARE_ADVICE).expect(other.classes, other.path)

    @property
    def two_heads(self) -> bool:
        """Whether both heads of a segmentation were trained, as a Multi variant needs them."""
        if self.run is not None:
            config = presets.restored(self.run.config, str(self.run.folder.parent / CONFIG))
            kind, on_source = variant_of(config), config.lambda_source_low
            has_term = kind.target_loss != "none" or kind.method != "target_loss"
            on_target = self.run.folder.name == ADAPT_STAGE and has_term
            return kind.multi and (on_source > 0 or on_target)
        return set(HEADS_OF["segmentation"]) <= set(self.heads)

    def for_config(self, config: Any) -> Weights:
        """What a configuration's network can use of weights from outside a run.

        For segmentation, a file with a classifier is only a backbone. For classification it is a
        classifier, but one of ImageNet's 1000 classes is replaced if the network has another
        number. The title says what was skipped.

        Args:
            config: its keys `task` and `num_classes` count.
        """
        if self.run is not None or CLASSIFIER not in self.heads:
            return self
        if config["task"] != "classification":
            return self.without_classifier("segmentation has heads of its own")
        if is_foreign_imagenet_head(self.network.num_classes, config["num_classes"]):
            return self.without_classifier(f"config.num_classes is {config['num_classes']}")
        return self

    def without_classifier(self, reason: str) -> Weights:
        """The backbone alone; the title says why."""
        title = f"{self.title}; classifier skipped: {reason}"
        network = self.network.without_heads()
        return dataclasses.replace(self, title=title, network=network, heads=(), known=None)

    @property
    def description(self) -> dict[str, Any]:
        """What a file that holds them tells of them, as JSON: the network and its classes."""
        classes = {"classes": classes_to_json(self.known, files=False)} if self.known else {}
        return {**dataclasses.asdict(self.network), **classes}

    def load(self, model: Model, *, reinit_heads: bool = False, seed: int = 0) -> Any:
        """Variables of `model`; heads that the weights lack are initialised from `seed`.

        Args:
            model: the network.
            reinit_heads: re-initialise all heads in any case.
            seed: of the heads that are initialised.

        Raises:
            UserError: they do not fit; lists all that differs.
        """
        try:
            return self.read(model, reinit_heads or not self.heads, seed)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error


def find(path: str | Path) -> Weights:
    """Finds the weights at `path`; those of files are read, but not converted yet.

    Args:
        path: a run's workdir (with ``:best``, ``:STEP`` or ``:source`` behind it, see
            `find_checkpoint`), a folder written by ``python -m msl_jax.convert``, or a file:
            ``.safetensors`` or one of PyTorch. ``~`` is the user's home. Or a name of `PACKAGES`,
            whose weights come with a Python package.

    Files that `MSL_JAX_IMPORT` names are read first: they may register what the weights are of.

    Raises:
        UserError: nothing of that kind is there.
    """
    import_named()
    found = _found(path)
    return dataclasses.replace(found, title=one_line(found.title))  # what a stranger's file says


def _found(path: str | Path) -> Weights:
    if path in PACKAGES:
        return dataclasses.replace(_in_file(packaged_file(str(path))), path=str(path))
    place = absolute(path)
    if place.is_file() or place.suffix.lower() in FILE_SUFFIXES:
        return _in_file(place)
    if (place / DESCRIPTION).is_file():
        return _in_folder(place)
    return _in_run(str(place))


def _in_file(path: Path) -> Weights:
    expect_readable(path)
    keys: wrapped.Keys = ()
    if path.suffix.lower() == ".safetensors":
        state_dict, description = safetensors_files.read(path)
    else:
        state_dict, description, keys = torch_files.read(path)
    try:
        layout = detect({name: array.shape for name, array in state_dict.items()})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    known = None
    if description is not None:
        spec, known = _described(path, description)
        layout = layout.with_description(spec)

    def read(model: Model, reinit_heads: bool, seed: int) -> Any:
        return from_torch(state_dict, model, reinit_heads=reinit_heads, seed=seed)

    title = layout.describe() + (f"; found under {wrapped.as_written(keys)}" if keys else "")
    heads = tuple(layout.heads.modules)
    return Weights(str(path), title, layout.network(), heads, read, known=known)


def _in_folder(path: Path) -> Weights:
    checksums.check(path)
    place = path / DESCRIPTION
    description = read_json(place)
    try:
        network, heads = description["network"], tuple(description["heads"])
        if not all(head in (*SEGMENTATION_HEADS, CLASSIFIER) for head in heads):
            raise TypeError(f"heads {heads}"[:99])
        title = f"converted from {description['from']}"
    except (TypeError, KeyError) as error:
        raise UserError(f"{place}: the description is not readable ({error})") from error
    network, known = _described(place, network)
    known = known and known._replace(whose=str(path))
    read = tree_reader(path / VARIABLES, heads)
    return Weights(str(path), title, network, heads, read, known=known)


def save(path: Path, weights: Weights, variables: Any) -> None:
    """Writes a converted checkpoint, whole or not at all.

    Args:
        path: a folder that does not exist.
        weights: what is known of them.
        variables: their arrays, without heads that they lack.

    Raises:
        UserError: arrays cannot be stored at this path.
    """
    path = storable(path, "--output")
    description = {
        "network": weights.description,
        "heads": weights.heads,
        "from": weights.title,
    }
    with atomic_write(path) as partial:
        partial.mkdir()
        write_tree(partial / VARIABLES, variables)
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        checksums.write(partial)


def _described(path: Path, description: Any) -> tuple[NetworkSpec, KnownClasses | None]:
    """What `Weights.description` gave."""
    try:
        fields = dict(description)
        classes = fields.pop("classes", None)
        network = NetworkSpec.from_json(fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: the network's description is not readable ({error})") from error
    if classes is None:
        return network, None
    return network, known_classes(classes, str(path), str(path))


def _beside_network(found: CheckpointPath, network: NetworkSpec, folder: Path) -> tuple[str, ...]:
    """Parts of a run's variables that its method has added to those of the network, by name."""
    method = method_of(found.config, adapt=found.folder.name == ADAPT_STAGE)
    if type(method).extend is BaseMethod.extend:
        return ()
    own = {part for parts in abstract_variables(network.build()).values() for part in parts}
    return tuple(sorted(read_parts(folder) - own))


def _in_run(path: str) -> Weights:
    found = find_checkpoint(path)
    folder = found.folder / str(found.step) / VARIABLES
    try:
        title = f"run {found.config['name']}:{found.config['variant']}"
        title += f", {found.folder.name} step {found.step}"
        network = NetworkSpec.from_config(found.config)
        heads = HEADS_OF[found.config["task"]]
        left_out = _beside_network(found, network, folder)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path}: the run's {CONFIG} is not complete ({error})") from error
    return Weights(
        path,
        f"{title}; {', '.join(left_out)} left out" if left_out else title,
        network,
        heads,
        tree_reader(folder, heads, left_out),
        found.step,
        found,
        saved_classes(found.folder.parent),
        left_out,
    )
