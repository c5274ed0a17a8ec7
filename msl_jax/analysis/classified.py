"""Fig. 5 as the paper has it: a classifier watched over its adaptation."""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_collections.config_dict import ConfigDict

from msl_jax import parts
from msl_jax.analysis.adaptation import Course, adapting, source_only
from msl_jax.analysis.difficulty import accuracies, difficulty_sets
from msl_jax.data.pipeline import evaluation_batches
from msl_jax.evaluation.classification import classify
from msl_jax.tasks.classification_task import build_classifier


def watched_classification(config: ConfigDict, *, every: int, share: float = 0.3) -> Course:
    """Adapts a source-only classifier and measures it on the target's test images on the way.

    Nothing is written. The labels serve to measure alone; which images are difficult is decided by
    the confidence of the source-only network.

    Args:
        config: of an adapting variant of classification, whose `init_from` names the source-only
            network.
        every: steps between measurements.
        share: of the images that belongs to the top and to the bottom set.

    Raises:
        UserError: a wrong configuration, or no such weights.
    """
    config, model, first = source_only(config)
    classifier = build_classifier(config, model)
    records = parts.load_split(config, "target_eval", evaluation=True).records
    batches = list(evaluation_batches(records, config.eval_batch_size))
    labels = np.concatenate([batch["label"][: batch["count"]] for batch in batches])

    def predictions(variables: Any) -> tuple[np.ndarray, np.ndarray]:
        """Class and probability of every image."""
        found = [
            [
                np.asarray(values)[: batch["count"]]
                for values in classify(classifier, variables, batch["image"])
            ]
            for batch in batches
        ]
        classes, shares = (np.concatenate(column) for column in zip(*found, strict=True))
        return classes, shares

    sets = difficulty_sets(predictions(first)[1], share)
    course = Course([], [])
    for made, variables in adapting(config, model, first, every=every):
        course.steps.append(made)
        course.accuracy.append(accuracies(predictions(variables)[0] == labels, sets))
    return course
