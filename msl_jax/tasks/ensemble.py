"""Several trained networks as one, whose logits are the mean of theirs.

ADVENT's "AdvEnt+MinEnt" is two networks that were trained apart and predict together so (Vu et al.
2019, Section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flax import linen as nn
from jax import Array
from ml_collections.config_dict import ConfigDict

from msl_jax.models.inputs import InputConvention, augmented_input
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import Weights

# Each member sees images in its own way, so that they come to the ensemble as they are.
_AS_THEY_ARE = InputConvention("as they are", "RGB of 0 to 255", (0.0, 0.0, 0.0))


class Ensemble(nn.Module):
    """The mean of the members' logits, as a segmentation network.

    Attributes:
        members: networks whose logits have one shape; their variables are `members_0` and so on.
        num_classes: of all of them.
    """

    members: tuple[Any, ...]
    num_classes: int

    input_convention = _AS_THEY_ARE

    def __call__(
        self, images: Array, train: bool = False, low_head: bool = False
    ) -> tuple[Array, None]:
        """Final logits `[B, h, w, C]` of float images `[B, H, W, 3]`, red, green, blue of 0..255.

        Raises:
            ValueError: in training, which each member does alone, or logits of different shapes.
        """
        if train or low_head:
            raise ValueError("an ensemble predicts, and with its final heads alone")
        found = [
            member(augmented_input(member, images), low_head=False)[0] for member in self.members
        ]
        if len({logits.shape for logits in found}) > 1:
            raise ValueError(f"logits of different shapes: {[logits.shape for logits in found]}")
        return sum(found[1:], start=found[0]) / len(found), None


def build_together(
    trained: Sequence[tuple[Weights, ConfigDict]],
) -> tuple[Any, Callable[[], Any]]:
    """The network that trained ones are together, and a function that loads its variables.

    Args:
        trained: weights, each with its complete configuration; one is the network itself.

    Raises:
        UserError: they are of different classes, or not of segmentation.
    """
    first, config = trained[0]
    model = build_model(config)
    if len(trained) == 1:
        return model, lambda: first.load(model)
    _expect_one_kind(trained)
    models = [model, *(build_model(config) for _, config in trained[1:])]

    def load() -> dict[str, Any]:
        members = [weights.load(m) for (weights, _), m in zip(trained, models, strict=True)]
        return {
            collection: {f"members_{i}": member[collection] for i, member in enumerate(members)}
            for collection in members[0]
        }

    return Ensemble(tuple(models), config.num_classes), load


def _expect_one_kind(trained: Sequence[tuple[Weights, ConfigDict]]) -> None:
    first, config = trained[0]
    if config.task != "segmentation":
        raise UserError(
            f"{first.path}: the logits of networks of segmentation are averaged, found task"
            f" {config.task!r}; give one checkpoint"
        )
    for weights, other in trained[1:]:
        for key in ("task", "num_classes"):
            if other[key] != config[key]:
                raise UserError(
                    f"{first.path} and {weights.path} cannot be averaged: config.{key} is"
                    f" {config[key]!r} in the first and {other[key]!r} in the second"
                )
        first.expect_same_classes(weights)
