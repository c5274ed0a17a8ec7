"""Fig. 5 as the paper has it: a classifier watched over its adaptation."""

from __future__ import annotations

from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.analysis.adaptation import Course, adapting, source_only
from msl_jax.analysis.difficulty import accuracies, difficulty_sets
from msl_jax.data import splits
from msl_jax.data.pipeline import evaluation_batches
from msl_jax.evaluation.classification import Classified, classify_all
from msl_jax.tasks.classification import build_classifier


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
    records = splits.load_split(config, "target_eval", evaluation=True).records
    batches = list(evaluation_batches(records, config.eval_batch_size))

    def predictions(variables: Any) -> Classified:
        return classify_all(classifier, {"watched": variables}, batches)

    start = predictions(first)
    sets = difficulty_sets(start.networks["watched"].probabilities, share)
    course = Course([], [])
    for made, variables in adapting(config, model, first, every=every):
        course.steps.append(made)
        found = predictions(variables).networks["watched"].classes
        course.accuracy.append(accuracies(found == start.labels, sets))
    return course
