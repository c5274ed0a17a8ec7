"""The variants: rows of the paper's tables."""

from __future__ import annotations

from typing import Any, NamedTuple

from msl_jax.runtime.errors import UserError


class Variant(NamedTuple):
    """One row of the paper's tables.

    Attributes:
        adapt: whether a stage on both domains follows the source-only training.
        target_loss: see the task's `Objective`.
        weighted: image-wise weighting of the target loss (IW).
        multi: both heads are trained, the low one on the target by multi-level guidance where
            there is a target loss.
        oracle: trained on target labels.
    """

    adapt: bool = True
    target_loss: str = "none"
    weighted: bool = False
    multi: bool = False
    oracle: bool = False


VARIANTS: dict[str, Variant] = {
    "source": Variant(adapt=False),
    "target_statistics": Variant(),
    "target_statistics_multi": Variant(multi=True),
    "minent": Variant(target_loss="minent"),
    "minent_iw": Variant(target_loss="minent", weighted=True),
    "hard": Variant(target_loss="hard"),
    "max_square": Variant(target_loss="max_square"),
    "max_square_iw": Variant(target_loss="max_square", weighted=True),
    "max_square_multi": Variant(target_loss="max_square", multi=True),
    "max_square_iw_multi": Variant(target_loss="max_square", weighted=True, multi=True),
    "oracle": Variant(adapt=False, oracle=True),
}
DEFAULT_VARIANT = "max_square_iw_multi"

# IW counts the pixels of an image, Multi and hard pseudo-labels are of the segmentation sections.
CLASSIFICATION_VARIANTS = {
    **{
        name: VARIANTS[name]
        for name in ("source", "target_statistics", "minent", "max_square", "oracle")
    },
    "dann": Variant(target_loss="dann"),
}

# By the key `task`.
VARIANTS_OF = {"segmentation": VARIANTS, "classification": CLASSIFICATION_VARIANTS}


def expect_variant(variant: str, task: str, name: str) -> None:
    """Checks a variant that a configuration's file was asked for.

    Raises:
        UserError: the task has no such variant; lists those it has.
    """
    if variant not in VARIANTS_OF[task]:
        raise UserError(
            f"unknown variant {variant!r} of configs/{name}.py; choose one of"
            f" {', '.join(VARIANTS_OF[task])}"
        )


def variant_of(config: Any) -> Variant:
    """The variant of a checked configuration, or of one that a run has saved as JSON."""
    return VARIANTS_OF[task_name(config)][config["variant"]]


def task_name(config: Any) -> str:
    """The key `task`; runs from before there was one are of segmentation."""
    return config.get("task", "segmentation")
