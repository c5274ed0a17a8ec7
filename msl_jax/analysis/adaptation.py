"""Fig. 5 for segmentation: an adaptation watched from its first step to its last."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections.config_dict import ConfigDict

from msl_jax.analysis.difficulty import accuracies_of, sureness_counts
from msl_jax.analysis.logits import predictions
from msl_jax.analysis.sums import add_up
from msl_jax.data import splits
from msl_jax.experiment import setup
from msl_jax.tasks.registry import build_model, task_of
from msl_jax.tasks.segmentation import label_size
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate
from msl_jax.weights.find import find


class Course(NamedTuple):
    """Accuracies over an adaptation.

    Attributes:
        steps: at which they were taken, from 0.
        accuracy: at each of them ``{"all", "top", "bottom"}``, in [0, 1].
    """

    steps: list[int]
    accuracy: list[dict[str, float]]


def watched_adaptation(config: ConfigDict, *, every: int, share: float = 0.3) -> Course:
    """Adapts a source-only network and measures it on the target's labelled images on the way.

    Nothing is written. The labels serve to measure alone.

    Args:
        config: of an adapting variant, whose `init_from` names the source-only network.
        every: steps between measurements.
        share: of the pixels that belongs to the top and to the bottom set, chosen by the confidence
            before the first step.

    Raises:
        UserError: a wrong configuration, or no such weights.
    """
    config, model, first = source_only(config)
    records = splits.load_split(config, "target_eval", evaluation=True).records
    size = label_size(config, "target")

    def accuracy(variables: Any) -> dict[str, float]:
        networks = (first, variables)
        counts = (
            sureness_counts(before.final, now.final, labels)
            for (before, now), labels in predictions(
                model, config.input_convention, networks, records, size
            )
        )
        return accuracies_of(add_up(counts), share)

    course = Course([], [])
    for made, variables in adapting(config, model, first, every=every):
        course.steps.append(made)
        course.accuracy.append(accuracy(variables))
    return course


def source_only(config: ConfigDict) -> tuple[ConfigDict, Any, Any]:
    """What an adaptation begins with: complete configuration, network and its variables.

    Args:
        config: whose `init_from` names the source-only network.

    Raises:
        UserError: a wrong configuration, or no such weights.
    """
    start = find(config.init_from).for_config(config)
    config = setup.complete(config, start)
    model = build_model(config)
    return config, model, start.load(model)


def adapting(
    config: ConfigDict, model: Any, first: Any, *, every: int
) -> Iterator[tuple[int, Any]]:
    """Adapts a network as a run does, and gives it out on the way.

    Args:
        config: complete, of an adapting variant.
        model: its network.
        first: variables before the first step; left as they are.
        every: steps between those that are given out.

    Yields:
        Steps made and variables: at step 0, every so many, and at the last one. They are gone when
        the next ones are asked for.
    """
    task = task_of(config)
    yield 0, first
    start = task.stage_variables(config, jax.tree.map(jnp.array, first), adapt=True)
    training = task.training(config, model, start["params"], adapt=True)
    step = parallel_train_step(*training, accumulate=config.accumulate)
    state = replicate(TrainState.create(start, training.optimizer))
    source = splits.load_labelled(config, "source_train")
    target = splits.load_split(config, "target_train", evaluation=False).records
    with contextlib.closing(splits.build_batches(config, source, target)) as batches:
        for made, batch in enumerate(itertools.islice(batches, config.steps), start=1):
            state, _ = step(state, batch)
            if made % every == 0 or made == config.steps:
                yield made, state.variables
