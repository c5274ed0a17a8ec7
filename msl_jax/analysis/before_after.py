"""A run before and after its adaptation, measured on labelled images of its target domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ml_collections.config_dict import ConfigDict

from msl_jax.analysis.difficulty import (
    ConfidenceCounts,
    accuracies,
    accuracies_of,
    confidence_counts,
    difficulty_sets,
)
from msl_jax.analysis.guidance import GuidanceSums, guidance_sums
from msl_jax.analysis.logits import Heads, predictions
from msl_jax.analysis.pixel_statistics import PixelSums, add_up, pixel_sums
from msl_jax.config import base_config
from msl_jax.data.pipeline import evaluation_batches
from msl_jax.data.prepared.records import Records
from msl_jax.data.splits import load_split
from msl_jax.evaluation.classification import classify_all
from msl_jax.methods.variants import variant_of
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.workdir import ADAPT_STAGE
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.classification import build_classifier
from msl_jax.tasks.registry import build_model
from msl_jax.tasks.segmentation import label_size
from msl_jax.weights.find import find
from msl_jax.weights.trained import open_trained, weights_before


class State(NamedTuple):
    """Measurements of the network at one point of its training.

    Attributes:
        pixels: sums by confidence and class.
        guidance: sums of the guidance; None if the low head is not trained (variants without
            Multi) or does not exist (classification).
    """

    pixels: PixelSums
    guidance: GuidanceSums | None = None


class Study(NamedTuple):
    """The measurements of a run.

    Attributes:
        names: class names.
        variant: of the run.
        states: before and after the adaptation, by title; "source-only" first.
        accuracy: by step of the adaptation: of all pixels, of the top and of the bottom set
            (Fig. 5), in [0, 1]. The first one is source-only, at 0; between it and the last are
            the steps whose checkpoints still exist.
        task: "segmentation" or "classification"; in the latter each image counts as a pixel.
    """

    names: tuple[str, ...]
    variant: str
    states: dict[str, State]
    accuracy: dict[int, dict[str, float]]
    task: str = "segmentation"


def study(workdir: str, *, share: float = 0.3) -> Study:
    """Measures a run on all labelled images of the target's evaluation split, at a single scale.

    The configuration's `scales` and `flip` are ignored, except that the accuracies of a
    classification use its `flip`.

    Args:
        workdir: of a finished run of an adapting variant; followed by ``:STEP``, up to that step.
        share: share of the pixels in the top and in the bottom set, which the confidence of the
            source-only network decides.

    Raises:
        UserError: no such run, the weights that it started from are gone, or there are no labels.
    """
    after, config = open_trained(workdir, base_config(""), {})
    if after.run is None or after.run.folder.name != ADAPT_STAGE:
        raise UserError(
            f"{workdir} is not an adapted run: found {after.title}. The figures compare a network"
            " before and after its adaptation"
        )
    before = weights_before(after.run.folder.parent, config)
    model = build_model(config)
    networks = {0: before.load(model)}
    for step in Checkpoints(after.run.folder).intact():
        if step < after.run.step:
            networks[step] = find(f"{after.run.folder.parent}:{step}").load(model)
    networks[after.run.step] = after.load(model)
    split = load_split(config, "target_eval", evaluation=True, known=after.known)
    if not split.labelled:
        raise UserError(
            f"config.target_eval={config.target_eval} has no labels, which the figures need"
        )
    task = config.task
    before_and_after, course = _STUDIES[task](
        config, model, list(networks.values()), split.records, share
    )
    return Study(
        split.label_set.names,
        config.variant,
        dict(zip(("source-only", config.variant), before_and_after, strict=True)),
        dict(zip(networks, course, strict=True)),
        task,
    )


# The states before and after, and the accuracies of all networks.
_Studied = tuple[list[State], list[dict[str, float]]]


def _segmentation(
    config: ConfigDict, model: Any, networks: list[Any], records: Records, share: float
) -> _Studied:
    """Measures segmentation networks image by image: all pixels would not fit in memory."""
    size, rule = label_size(config, "target"), config.guidance_rule
    multi, alpha, threshold = variant_of(config).multi, config.iw_alpha, config.guidance_threshold

    def state(heads: Heads, labels: Any) -> State:
        guidance = guidance_sums(*heads, labels, threshold=threshold, rule=rule) if multi else None
        return State(pixel_sums(heads.final, labels, iw_alpha=alpha), guidance)

    def image(found: Iterator[Heads], labels: Any) -> tuple[list[State], list[ConfidenceCounts]]:
        first = last = next(found)
        counts = [confidence_counts(first.final, first.final, labels)]
        for last in found:  # one network at a time: the logits of many would not fit in memory
            counts.append(confidence_counts(first.final, last.final, labels))
        return [state(first, labels), state(last, labels)], counts

    states, counts = add_up(
        image(found, labels) for found, labels in predictions(model, networks, records, size)
    )
    return states, [accuracies_of(count, share) for count in counts]


def _classification(
    config: ConfigDict, model: Any, networks: list[Any], records: Records, share: float
) -> _Studied:
    """Measures classifiers."""
    classifier = build_classifier(config, model)
    batches = evaluation_batches(records, config.eval_batch_size)
    found = classify_all(classifier, {str(i): v for i, v in enumerate(networks)}, batches)
    said = list(found.networks.values())
    sets = difficulty_sets(said[0].probabilities, share)
    return [
        State(add_up([pixel_sums(prediction.logits, found.labels, iw_alpha=None)]))
        for prediction in (said[0], said[-1])
    ], [accuracies(prediction.classes == found.labels, sets) for prediction in said]


_STUDIES = {"segmentation": _segmentation, "classification": _classification}
