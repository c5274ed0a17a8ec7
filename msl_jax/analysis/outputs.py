"""What a classifier says to all images of a split: few enough, so that everything can be kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from msl_jax.data.pipeline import Batch
from msl_jax.evaluation.classification import Classifier


class Outputs(NamedTuple):
    """Of N images.

    Attributes:
        logits: `[N, C]`, of the images as they are: what the losses see.
        probabilities: `[N, C]`, as the evaluation predicts.
    """

    logits: np.ndarray
    probabilities: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """Predicted class `[N]`."""
        return self.probabilities.argmax(-1)

    @property
    def confidence(self) -> np.ndarray:
        """Its probability `[N]`."""
        return self.probabilities.max(-1)


def labels_of(batches: Sequence[Batch]) -> np.ndarray:
    """Labels `[N]` of all images, without what fills the last batch up."""
    return np.concatenate([batch["label"][: batch["count"]] for batch in batches])


def outputs(classifier: Classifier, variables: Any, batches: Sequence[Batch]) -> Outputs:
    """Outputs of all images, without what fills the last batch up."""
    found = [
        [
            np.asarray(values)[: batch["count"]]
            for values in _compiled(classifier, variables, batch["image"])
        ]
        for batch in batches
    ]
    return Outputs(*(np.concatenate(column) for column in zip(*found, strict=True)))


@jax.jit(static_argnums=0)
def _compiled(classifier: Classifier, variables: Any, images: ArrayLike) -> tuple[Array, Array]:
    pixels = jnp.asarray(images)
    return classifier.logits(variables, pixels), classifier(variables, pixels)
