"""Fig. 5 of the paper: accuracy on the samples that a first model is most and least sure of."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from msl_jax import losses


class DifficultySets(NamedTuple):
    """Which samples are easy and which are difficult, `[N]` booleans each.

    Attributes:
        top: the most confident samples.
        bottom: the least confident samples.
    """

    top: np.ndarray
    bottom: np.ndarray


def difficulty_sets(confidence: ArrayLike, share: float = 0.3) -> DifficultySets:
    """Marks samples by the confidence of the model before its adaptation (Section 4.3).

    Args:
        confidence: `[N]`, largest probability of each sample (or pixel).
        share: share of the samples in each set, in (0, 0.5]; 0.3 in the paper. Of samples with
            equal confidence the first ones count as less confident.

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
    """Accuracy over all samples, the top set and the bottom set, in [0, 1]; NaN for an empty set.

    Args:
        correct: `[N]` booleans.
        sets: of the same samples.
    """
    right = np.asarray(correct, bool)
    members = {"all": np.ones(len(right), bool), "top": sets.top, "bottom": sets.bottom}
    return {
        name: float(right[chosen].mean()) if chosen.any() else float("nan")
        for name, chosen in members.items()
    }


# Bins of the log-odds of the most probable class. Bins of its probability would not tell the most
# confident pixels apart: more than half of all pixels can be above 0.999.
_LOWEST, _HIGHEST, _BINS_PER_UNIT = -8, 56, 64
CONFIDENCE_BINS = (_HIGHEST - _LOWEST) * _BINS_PER_UNIT


class ConfidenceCounts(NamedTuple):
    """Labelled pixels by the confidence of the network before its adaptation; counts add up.

    Attributes:
        labelled: `[K]`, from the least to the most confident.
        correct: `[K]`, those whose label the network in question predicts.
    """

    labelled: Any
    correct: Any


@jax.jit
def confidence_counts(first: ArrayLike, logits: ArrayLike, labels: ArrayLike) -> ConfidenceCounts:
    """Counts of one batch.

    Pixels are ordered by the log-odds log(p / (1 - p)) of their largest probability p: the order is
    that of the confidence, which float32 would round to 1.

    Args:
        first: logits `[..., W, C]` of the network before its adaptation, which decides the bins.
        logits: `[..., W, C]` of the network in question.
        labels: `[..., W]`, 255 = no label.
    """
    first, labels = jnp.asarray(first), jnp.asarray(labels).astype(jnp.int32)
    best = jax.nn.one_hot(first.argmax(-1), first.shape[-1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(best, -jnp.inf, first), axis=-1)
    place = jnp.floor((first.max(-1) - others - _LOWEST) * _BINS_PER_UNIT)
    place = jnp.clip(place, 0, CONFIDENCE_BINS - 1).astype(jnp.int32)
    labelled = labels != losses.IGNORE
    correct = labelled & (jnp.asarray(logits).argmax(-1) == labels)

    def by_bin(counted: Array) -> Array:
        return jax.ops.segment_sum(
            counted.ravel().astype(jnp.int32), place.ravel(), CONFIDENCE_BINS
        )

    return ConfidenceCounts(by_bin(labelled), by_bin(correct))


def accuracies_of(counts: ConfidenceCounts, share: float = 0.3) -> dict[str, float]:
    """Accuracy over all labelled pixels, the top set and the bottom set, in [0, 1]; NaN for none.

    Args:
        counts: of all batches.
        share: share of the labelled pixels in each set, as exactly as the bins allow.

    Example:
        >>> counts = ConfidenceCounts(np.array([0, 3, 4, 3]), np.array([0, 1, 2, 3]))
        >>> accuracies_of(counts, 0.3)["top"]
        1.0
    """
    labelled, correct = (np.concatenate([[0], np.cumsum(values)]) for values in counts)
    whole = int(labelled[-1])
    low = int(np.argmin(np.abs(labelled - share * whole)))
    high = int(np.argmin(np.abs(labelled - (1 - share) * whole)))

    def accuracy(begin: int, end: int) -> float:
        number = labelled[end] - labelled[begin]
        return float((correct[end] - correct[begin]) / number) if number else float("nan")

    last = len(labelled) - 1
    return {"all": accuracy(0, last), "top": accuracy(high, last), "bottom": accuracy(0, low)}
