"""The networks of a run, and the images that the report shows them on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ml_collections.config_dict import ConfigDict

from msl_jax.config import base_config
from msl_jax.data.splits import Split, load_split
from msl_jax.methods.variants import variant_of
from msl_jax.runs import arrays
from msl_jax.runs.data import data_changes, data_entry
from msl_jax.runs.workdir import ADAPT_STAGE
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.progress import Bar
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import Weights
from msl_jax.weights.trained import open_trained, weights_before

_T = TypeVar("_T")


class Networks(NamedTuple):
    """The newest network of a run, and the one that its adaptation began with.

    Attributes:
        config: complete.
        model: of both.
        variables: by title; the source-only network first where there are two.
        described: what they are, one line each.
        split: the target's evaluation split.
        notes: what could not be loaded, and why.
    """

    config: ConfigDict
    model: Any
    variables: dict[str, Any]
    described: list[str]
    split: Split
    notes: list[str]


def open_networks(workdir: Path) -> Networks:
    """Loads the networks of a run and opens the target's evaluation split.

    Args:
        workdir: of the run.

    Raises:
        UserError: there is no intact checkpoint, something is wrong with the split, or it has
            changed since the run began.
    """
    weights, config = open_trained(str(workdir), base_config(""), {})
    model = build_model(config)
    split = load_split(config, "target_eval", evaluation=True, known=weights.known)
    _expect_unchanged(workdir, {"target_eval": data_entry(config.target_eval, split.records)})
    title = _title(weights)
    variables, notes = {title: weights.load(model)}, []
    described = [f"{title}: {weights.title}"]
    if weights.run and weights.run.folder.name == ADAPT_STAGE:
        try:
            start = weights_before(workdir, config)
            loaded = start.load(model, seed=config.seed)
            if start.run is None or start.run.folder.parent != workdir:
                found = {"split": config.init_from, "weights": arrays.digest(loaded)}
                _expect_unchanged(workdir, {"init_from": found})
            variables = {"source-only": loaded, **variables}
            described.insert(0, f"source-only: {start.title}")
        except UserError as error:
            notes.append(f"The source-only network cannot be shown. {error}")
    return Networks(config, model, variables, described, split, notes)


def _expect_unchanged(workdir: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Keeps apart what would not belong together: a run's figures, and pictures of other data.

    Raises:
        UserError: the run began with others.
    """
    if lines := data_changes(workdir, found):
        raise UserError(f"It would not be of what this run began with: {'; '.join(lines)}.")


def _title(weights: Weights) -> str:
    """What the predictions of a run's newest checkpoint are called."""
    assert weights.run is not None
    variant = variant_of(weights.run.config)
    if variant.adapt:
        return "adapted" if weights.run.folder.name == ADAPT_STAGE else "source-only"
    return "oracle" if variant.oracle else "source-only"


def predicting(work: Iterable[_T], total: int, unit: str = "image") -> Iterator[_T]:
    """The items of `work`, with a bar on stderr where that is a terminal."""
    with Bar("predicting", total, unit=unit, before=f"compiling the first {unit}") as bar:
        yield from bar.each(work)
