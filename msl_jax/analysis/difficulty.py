"""Fig. 5 of the paper: accuracy of the samples of which a first model is most and least sure."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from msl_jax import losses


class DifficultySets(NamedTuple):
    """Which samples are easy and which are difficult, `[N]` booleans.

    Attributes:
        top: the most confident samples.
        bottom: the least confident samples.
    """

    top: np.ndarray
    bottom: np.ndarray


def difficulty_sets(confidence: ArrayLike, share: float = 0.3) -> DifficultySets:
    """Marks samples by the confidence of the model before its adaptation (Section 4.4).

    Args:
        confidence: `[N]`, largest probability of each sample (or pixel).
        share: of the samples that belongs to each set, in (0, 0.5]; the paper's is 0.3. Among equal
            confidences the first samples count as less confident.

    Raises:
        ValueError: `share` out of range.

    Example:
        >>> difficulty_sets([0.9, 0.2, 0.5, 0.8], 0.25).bottom.tolist()
        [False, True, False, False]
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"share must lie in (0, 0.5]; found {share}.")
    order = np.argsort(np.asarray(confidence), kind="stable")
    count = round(share * len(order))
    top, bottom = np.zeros((2, len(order)), bool)
    bottom[order[:count]] = True
    top[order[len(order) - count :]] = True
    return DifficultySets(top, bottom)


def accuracies(correct: ArrayLike, sets: DifficultySets) -> dict[str, float]:
    """Accuracy over all samples, the top and the bottom set, in [0, 1]; NaN for an empty set.

    Args:
        correct: `[N]` booleans.
        sets: of the same samples.
    """
    right = np.asarray(correct, bool)
    members = {"all": np.ones(len(right), bool), "top": sets.top, "bottom": sets.bottom}
    return accuracies_of(
        {name: ((right & chosen).sum(), chosen.sum()) for name, chosen in members.items()}
    )


def thresholds(pixels_by_bin: np.ndarray, share: float = 0.3) -> tuple[float, float]:
    """Confidences that bound the bottom and the top set of pixels too many to be sorted.

    Args:
        pixels_by_bin: `[K]` pixels in bins of equal width from 0 to 1; their width is how exact the
            answer is.
        share: of the pixels that belongs to each set.

    Returns:
        (low, high): the bottom set is below `low`, the top set at or above `high`.

    Example:
        >>> thresholds(np.array([0, 3, 4, 3]), 0.3)
        (0.5, 0.75)
    """
    below = np.concatenate([[0], np.cumsum(pixels_by_bin)]) / np.sum(pixels_by_bin)
    bins = len(pixels_by_bin)
    low = int(np.argmin(np.abs(below - share)))
    high = int(np.argmin(np.abs(below - (1 - share))))
    return low / bins, high / bins


@jax.jit
def difficulty_counts(
    first: ArrayLike, logits: ArrayLike, labels: ArrayLike, low: float, high: float
) -> dict[str, tuple[Any, Any]]:
    """(correct, labelled) pixels of one batch: all, in the top and in the bottom set.

    Args:
        first: logits `[..., C]` of the network before its adaptation, whose confidence decides.
        logits: `[..., C]` of the network in question.
        labels: `[...]`, 255 = no label.
        low: the bottom set is below this confidence, see `thresholds`.
        high: the top set is at or above this one.
    """
    classes = jnp.asarray(labels).astype(jnp.int32)
    confidence = jax.nn.softmax(jnp.asarray(first)).max(-1)
    labelled = classes != losses.IGNORE
    correct = labelled & (jnp.asarray(logits).argmax(-1) == classes)
    members = {"all": labelled, "top": confidence >= high, "bottom": confidence < low}
    return {
        name: (jnp.sum(chosen & correct), jnp.sum(chosen & labelled))
        for name, chosen in members.items()
    }


def accuracies_of(counts: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """Accuracies in [0, 1] from (correct, counted) of each set; NaN for an empty one."""
    return {
        name: float(correct / labelled) if labelled else float("nan")
        for name, (correct, labelled) in counts.items()
    }
