"""The variants: rows of the paper's tables."""

from __future__ import annotations

from typing import Any, NamedTuple

from msl_jax.runtime.errors import UserError, did_you_mean


class Variant(NamedTuple):
    """One row of the paper's tables.

    Attributes:
        adapt: whether a stage on both domains follows the source-only training.
        target_loss: of the method "target_loss": see the task's `Objective`.
        weighted: image-wise weighting of the target loss (IW).
        multi: both heads are trained, the low one on the target by multi-level guidance where
            there is a target loss, and by a term of its own in other methods.
        oracle: trained on target labels.
        method: of the adaptation, a name of `msl_jax.methods.registry`.
        meaning: one line for `msl-jax list variants`.
    """

    adapt: bool = True
    target_loss: str = "none"
    weighted: bool = False
    multi: bool = False
    oracle: bool = False
    method: str = "target_loss"
    meaning: str = ""


def _target_loss(meaning: str, loss: str = "none", *, iw: bool = False, multi: bool = False):
    return Variant(target_loss=loss, weighted=iw, multi=multi, meaning=meaning)


# AdaptSegNet and ADVENT, whose official codes have one trainer; the last has no discriminator.
ADVERSARIAL = {
    "adaptsegnet": Variant(
        multi=True,
        method="adaptsegnet",
        meaning="AdaptSegNet: adversarial, on the predictions",
    ),
    "adaptsegnet_single": Variant(
        method="adaptsegnet_single", meaning="the same with the final head alone"
    ),
    "advent": Variant(
        multi=True,
        method="advent",
        meaning="ADVENT: adversarial, on the predictions' entropy",
    ),
    "minent_advent": Variant(
        multi=True, method="minent_advent", meaning="ADVENT's own entropy minimisation"
    ),
}

# Classes of the source pasted into target images, with labels of a teacher.
SELF_TRAINING = {
    "dacs": Variant(method="dacs", meaning="DACS: a teacher's labels, classes mixed in"),
    "mic": Variant(method="mic", meaning="MIC: the same, and masked target images"),
    "self_training": Variant(
        method="self_training", meaning="the same with maximum squares and more, by keys"
    ),
    "self_training_multi": Variant(
        multi=True, method="self_training", meaning="the same with both heads"
    ),
}

# Rounds of labels that the network gives itself.
IN_ROUNDS = {
    "cbst": Variant(method="cbst", meaning="CBST: labels of its own, in rounds, by class"),
    "cbst_sp": Variant(method="cbst_sp", meaning="the same with a spatial prior of the classes"),
    "crst_mrkld": Variant(method="crst_mrkld", meaning="CRST: CBST with regularised predictions"),
    "crst_lrent": Variant(method="crst_lrent", meaning="CRST: CBST with soft labels"),
}

VARIANTS: dict[str, Variant] = {
    "source": Variant(adapt=False, meaning="cross entropy on the source alone"),
    "target_statistics": _target_loss("control: source, target's batch-norm statistics"),
    "target_statistics_multi": _target_loss(
        "the control of the variants with two heads", multi=True
    ),
    "minent": _target_loss("entropy minimisation", "minent"),
    "minent_iw": _target_loss("entropy minimisation, image-wise weights", "minent", iw=True),
    "hard": _target_loss("hard pseudo-labels", "hard"),
    "max_square": _target_loss("maximum squares loss (Eq. 6)", "max_square"),
    "max_square_iw": _target_loss(
        "maximum squares, image-wise weights (Eq. 13)", "max_square", iw=True
    ),
    "max_square_multi": _target_loss(
        "maximum squares, guided low head (Eq. 15, 16)", "max_square", multi=True
    ),
    "max_square_iw_multi": _target_loss(
        "maximum squares with both; the default", "max_square", iw=True, multi=True
    ),
    **ADVERSARIAL,
    **SELF_TRAINING,
    **IN_ROUNDS,
    "oracle": Variant(adapt=False, oracle=True, meaning="trained on target labels"),
}
DEFAULT_VARIANT = "max_square_iw_multi"

# IW counts the pixels of an image, Multi and hard pseudo-labels are of the segmentation sections.
CLASSIFICATION_VARIANTS = {
    **{
        name: VARIANTS[name]
        for name in ("source", "target_statistics", "minent", "max_square", "oracle")
    },
    "dann": Variant(method="dann", meaning="DANN: adversarial, on the features"),
}

# By the key `task`.
VARIANTS_OF = {"segmentation": VARIANTS, "classification": CLASSIFICATION_VARIANTS}


def expect_variant(variant: str, task: str, name: str) -> None:
    """Checks a variant that a configuration's file was asked for.

    Raises:
        UserError: the task has no such variant; lists those it has.
    """
    if variant not in VARIANTS_OF[task]:
        near = did_you_mean(variant, VARIANTS_OF[task]) or ";"
        raise UserError(
            f"unknown variant {variant!r} of the configuration {name!r}{near} choose one of"
            f" {', '.join(VARIANTS_OF[task])}"
        )


def variant_of(config: Any) -> Variant:
    """The variant of a checked configuration, or of one that a run has saved as JSON."""
    return VARIANTS_OF[config["task"]][config["variant"]]
