"""The methods by task and name, and the one that a stage of a configuration trains by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msl_jax.losses.pixelwise import TARGET_LOSSES
from msl_jax.losses.upsampled import HARD
from msl_jax.methods import adversarial, cbst, classification, segmentation, self_training
from msl_jax.methods.dann import Dann
from msl_jax.methods.method import Method, Training
from msl_jax.methods.minent_advent import MinEnt
from msl_jax.methods.variants import VARIANTS_OF, Variant, variant_of
from msl_jax.models.keys import Key
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.registration import register

# The stage on labels alone, by the key `task`.
SOURCE_ONLY: dict[str, Method] = {
    "segmentation": segmentation.SourceOnly(),
    "classification": classification.SourceOnly(),
}
# The adaptation, by the key `task` and the variant's `method`.
METHODS: dict[str, dict[str, Method]] = {
    "segmentation": {
        "target_loss": segmentation.TargetLossAdaptation(),
        **adversarial.METHODS,
        "minent_advent": MinEnt(),
        **self_training.METHODS,
        **cbst.METHODS,
    },
    "classification": {"target_loss": classification.TargetLossAdaptation(), "dann": Dann()},
}


def register_method(name: str, method: Method, *, task: str = "segmentation") -> None:
    """Adds a method of one's own, for variants to name.

    Raises:
        UserError: there is one of this name already.
    """
    register(METHODS[task], f"method of {task}", name, method)


def register_variant(name: str, variant: Variant, *, task: str = "segmentation") -> None:
    """Adds a variant, to be given behind a configuration's file: ``--config FILE:NAME``.

    Raises:
        UserError: there is one of this name already, or no such method or target loss.
    """
    for what, found, known in (
        ("method", variant.method, METHODS[task]),
        ("target loss", variant.target_loss, ("none", *TARGET_LOSSES, HARD)),
    ):
        if found not in known:
            raise UserError(
                f"variant {name!r}: expected a {what} among {', '.join(known)}, found {found!r};"
                " register it first"
            )
    register(VARIANTS_OF[task], f"variant of {task}", name, variant)


def method_of(config: Any, *, adapt: bool) -> Method:
    """The method of a stage.

    Args:
        config: complete, or one that a run has saved as JSON.
        adapt: of the adaptation; else of the source-only stage.
    """
    task = config["task"]
    return METHODS[task][variant_of(config).method] if adapt else SOURCE_ONLY[task]


def training_of(config: Any, model: Any, params: Any, *, adapt: bool) -> Training:
    """The objective and the optimizer of a stage.

    Args:
        config: complete and checked.
        model: its network, which is trained with the batch norm that the configuration asks for.
        params: see `Method.training`.
        adapt: of the adaptation; else of the source-only stage.
    """
    if config.frozen_batch_norm if adapt else config.source_frozen_batch_norm:
        model = model.clone(frozen_batch_norm=True)
    return method_of(config, adapt=adapt).training(config, model, params)


def keys_of(variant: str, task: str) -> Mapping[str, Key]:
    """The keys of a variant's own, the configuration's group `method`."""
    chosen = VARIANTS_OF[task][variant]
    return METHODS[task][chosen.method].KEYS if chosen.adapt else {}


def recipe_of(variant: str, task: str) -> Mapping[str, Any]:
    """What the official code of a variant's method has for keys that are left open."""
    chosen = VARIANTS_OF[task][variant]
    return METHODS[task][chosen.method].RECIPE if chosen.adapt else {}
