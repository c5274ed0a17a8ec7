"""Fig. 5: accuracy on easy and difficult samples during an adaptation."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections.config_dict import ConfigDict

from msl_jax.analysis.difficulty import (
    accuracies,
    accuracies_of,
    confidence_counts,
    difficulty_sets,
)
from msl_jax.analysis.logits import predictions
from msl_jax.analysis.pixel_statistics import add_up
from msl_jax.data import splits
from msl_jax.data.known_classes import KnownClasses
from msl_jax.data.pipeline import evaluation_batches
from msl_jax.evaluation.classification import Classified, classify_all
from msl_jax.experiment import setup
from msl_jax.methods.registry import method_of, training_of
from msl_jax.tasks.classification import build_classifier
from msl_jax.tasks.registry import build_model
from msl_jax.tasks.segmentation import label_size
from msl_jax.training.step import replicate
from msl_jax.weights.find import find


class Course(NamedTuple):
    """Accuracies during an adaptation.

    Attributes:
        steps: at which they were measured, from 0.
        accuracy: ``{"all", "top", "bottom"}`` at each of them, in [0, 1].
    """

    steps: list[int]
    accuracy: list[dict[str, float]]


def watched_adaptation(config: ConfigDict, *, every: int, share: float = 0.3) -> Course:
    """Adapts a source-only segmentation network and measures it on labelled target images.

    Nothing is written. The labels are only used for measuring.

    Args:
        config: of an adapting variant, whose `init_from` names the source-only network.
        every: steps between measurements.
        share: share of the pixels in the top and in the bottom set, which the confidence before the
            first step decides.

    Raises:
        UserError: a wrong configuration, or no such weights.
    """
    config, model, first, known = source_only(config)
    records = splits.load_split(config, "target_eval", evaluation=True, known=known).records
    size = label_size(config, "target")

    def accuracy(variables: Any) -> dict[str, float]:
        networks = (first, variables)
        counts = (
            confidence_counts(before.final, now.final, labels)
            for (before, now), labels in predictions(model, networks, records, size)
        )
        return accuracies_of(add_up(counts), share)

    course = Course([], [])
    for step, variables in adapting(config, model, first, known, every=every):
        course.steps.append(step)
        course.accuracy.append(accuracy(variables))
    return course


def watched_classification(config: ConfigDict, *, every: int, share: float = 0.3) -> Course:
    """Adapts a source-only classifier and measures it on the target's test images.

    Nothing is written. The labels are only used for measuring.

    Args:
        config: of an adapting variant of classification, whose `init_from` names the source-only
            network.
        every: steps between measurements.
        share: share of the images in the top and in the bottom set, which the confidence of the
            source-only network decides.

    Raises:
        UserError: a wrong configuration, or no such weights.
    """
    config, model, first, known = source_only(config)
    classifier = build_classifier(config, model)
    records = splits.load_split(config, "target_eval", evaluation=True, known=known).records
    batches = list(evaluation_batches(records, config.eval_batch_size))

    def classified(variables: Any) -> Classified:
        return classify_all(classifier, {"watched": variables}, batches)

    start = classified(first)
    sets = difficulty_sets(start.networks["watched"].probabilities, share)
    course = Course([], [])
    for step, variables in adapting(config, model, first, known, every=every):
        course.steps.append(step)
        found = classified(variables).networks["watched"].classes
        course.accuracy.append(accuracies(found == start.labels, sets))
    return course


def source_only(config: ConfigDict) -> tuple[ConfigDict, Any, Any, KnownClasses | None]:
    """What an adaptation starts from: complete configuration, network, its variables and classes.

    Args:
        config: whose `init_from` names the source-only network.

    Raises:
        UserError: a wrong configuration, or no such weights.
    """
    start = find(config.init_from).for_config(config)
    config = setup.complete(config, start)
    model = build_model(config)
    return config, model, start.load(model), start.classes_to_keep(config)


def adapting(
    config: ConfigDict, model: Any, first: Any, known: KnownClasses | None, *, every: int
) -> Iterator[tuple[int, Any]]:
    """Adapts a network as a run does, and yields it from time to time.

    Args:
        config: complete, of an adapting variant.
        model: its network.
        first: variables before the first step; left as they are.
        known: its classes, which the data must have.
        every: yield after each so many steps.

    Yields:
        Step and variables: at step 0, at multiples of `every`, and at the last step. The variables
        are only valid until the next ones are asked for.
    """
    yield 0, first
    start = method_of(config, adapt=True).extend(config, jax.tree.map(jnp.array, first))
    training = training_of(config, model, start["params"], adapt=True)
    step = training.step(accumulate=config.accumulate)
    state = replicate(training.start(start))
    source = splits.load_labelled(config, "source_train", known).records
    target = splits.load_unlabelled(config, "target_train", known).records
    rare_classes = splits.build_rare_classes(config, source)
    batches = splits.build_batches(config, source, target, rare_classes)
    with contextlib.closing(batches):
        for made, batch in enumerate(itertools.islice(batches, config.steps), start=1):
            state, _ = step(state, batch)
            if made % every == 0 or made == config.steps:
                yield made, training.recommended(state).variables
