"""Confidences, thresholds and labels of rounds where they are at their limits."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from msl_jax.losses.arrays import IGNORE
from msl_jax.methods.class_balanced import balanced_labels, class_confidences, thresholds


def test_kept_confidences_do_not_keep_all_the_others() -> None:
    winners = np.repeat([[0], [1]], 40, axis=1)
    found = class_confidences(winners, np.full((2, 40), 0.5, np.float32), 2, every=4)
    assert [len(values) for values in found] == [10, 10]
    assert all(values.base is None for values in found)


def test_class_of_which_a_prior_leaves_nothing_labels_nothing() -> None:
    """A threshold of 0 would make a label of a pixel that is none of the classes."""
    k = thresholds([np.zeros(10, np.float32), np.array([0.5, 0.9], np.float32)], 0.5)
    np.testing.assert_allclose(k, [1, 0.9], rtol=1e-6)
    labels = balanced_labels(jnp.array([[0.0, 0.0], [0.0, 0.95]], jnp.float32), jnp.asarray(k))
    assert labels.tolist() == [IGNORE, 1]


def test_prior_does_not_label_what_is_not_predicted() -> None:
    """Where a class is 20 times as frequent as elsewhere, it seems certain at 6 %."""
    p = np.array([[0.94, 0.06], [0.98, 0.02]], np.float32)
    q = np.array([[3.0, 20.0], [3.0, 0.1]], np.float32)
    weighted = p * q
    assert (weighted.argmax(-1) == 0).all()
    k = thresholds([weighted[:, 0], np.array([], np.float32)], 0.5, q)
    np.testing.assert_allclose(k, [2.94, 20], rtol=1e-6)
    assert balanced_labels(jnp.asarray(weighted), jnp.asarray(k)).tolist() == [IGNORE, 0]


def test_prior_below_one_leaves_the_threshold_of_nothing() -> None:
    empty = np.array([], np.float32)
    assert thresholds([empty, empty], 0.5, np.full((1, 2, 2), 0.25, np.float32)).tolist() == [1, 1]
