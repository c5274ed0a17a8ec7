"""Sums over the guidance against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from msl_jax import losses
from msl_jax.analysis.guidance import guidance_sums
from msl_jax.analysis.pixel_statistics import add_up

CLASSES = 3


@pytest.mark.parametrize("rule", ["official", "paper"])
def test_sums(rng: np.random.Generator, rule: str) -> None:
    final, low = rng.normal(0, 3, (2, 2, 5, 6, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, (2, 5, 6)).astype(np.uint8)
    labels[0, :2] = losses.IGNORE
    found = add_up([guidance_sums(final, low, labels, threshold=0.9, rule=rule)])
    guided = np.asarray(losses.guidance_labels(final, low, 0.9, rule=rule))
    passed = guided != losses.IGNORE
    assert 0 < passed.sum() < passed.size
    assert (found.pixels, found.passed) == (labels.size, passed.sum())
    for label in range(CLASSES):
        for other in range(CLASSES):
            here = labels == label
            assert found.guidance[label, other] == (here & (guided == other)).sum()
            assert found.final[label, other] == (here & (final.argmax(-1) == other)).sum()
            assert found.low[label, other] == (here & (low.argmax(-1) == other)).sum()
