"""A run before and after its adaptation, on the labelled images of its target domain."""

from __future__ import annotations

from typing import Any, NamedTuple

from msl_jax.analysis.difficulty import accuracies_of, difficulty_counts, thresholds
from msl_jax.analysis.guided import GuidanceSums, guidance_sums
from msl_jax.analysis.pixels import PixelSums, pixel_sums
from msl_jax.analysis.predictions import predictions
from msl_jax.analysis.sums import add_up
from msl_jax.commands.trained import open_trained
from msl_jax.config import base_config
from msl_jax.errors import UserError
from msl_jax.parts import build_model, load_split
from msl_jax.tasks.segmentation_task import label_size
from msl_jax.variants import variant_of
from msl_jax.weights import weights_before

# Fine enough to find the 30 % of the pixels that are least and most confident.
BINS = 1000


class State(NamedTuple):
    """What was measured of the network at one point of its training.

    Attributes:
        pixels: sums by confidence and class.
        guidance: sums of the guidance.
        accuracy: of all pixels, of the top and of the bottom set (Fig. 5), in [0, 1].
    """

    pixels: PixelSums
    guidance: GuidanceSums
    accuracy: dict[str, float]


class Study(NamedTuple):
    """A run under study.

    Attributes:
        names: class names.
        variant: of the method.
        states: by title, "source-only" first.
    """

    names: tuple[str, ...]
    variant: str
    states: dict[str, State]


def study(workdir: str, *, share: float = 0.3) -> Study:
    """Sweeps twice over the target's evaluation split.

    Args:
        workdir: of a finished run of an adapting variant.
        share: of the pixels that belongs to the top and to the bottom set, chosen by the confidence
            of the source-only network.

    Raises:
        UserError: no such run, what it began with is not there any more, or no labels.
    """
    after, config = open_trained(workdir, base_config(""), {})
    if config.task != "segmentation":
        raise UserError(
            f"{workdir} is a run of {config.task} (found {after.title}): the figures are of"
            " segmentation"
        )
    if after.run is None or not variant_of(config).adapt:
        raise UserError(
            f"{workdir} is no run of an adapting variant (found {after.title}): the figures compare"
            " a network before and after its adaptation"
        )
    before = weights_before(after.run.folder.parent, config)
    model = build_model(config)
    networks = [before.load(model), after.load(model)]
    titles = ("source-only", config.variant)
    split = load_split(config, "target_eval", evaluation=True)
    if not split.labelled:
        raise UserError(
            f"config.target_eval={config.target_eval} has no labels, which the figures need"
        )
    size = label_size(config, "target")

    def sweep() -> Any:
        return predictions(model, config.input_convention, networks, split.records, size)

    rule = {"threshold": config.guidance_threshold, "rule": config.guidance_rule}
    sums = add_up(
        [
            (
                pixel_sums(heads.final, labels, bins=BINS, iw_alpha=config.iw_alpha),
                guidance_sums(heads.final, heads.low, labels, **rule),
            )
            for heads in networks_heads
        ]
        for networks_heads, labels in sweep()
    )
    bounds = thresholds(sums[0][0].pixels_by_bin, share)
    counts = add_up(
        [difficulty_counts(first[0].final, heads.final, labels, *bounds) for heads in first]
        for first, labels in sweep()
    )
    states = {
        title: State(*found, accuracies_of(count))
        for title, found, count in zip(titles, sums, counts, strict=True)
    }
    return Study(split.label_set.names, config.variant, states)
