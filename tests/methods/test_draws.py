"""What is random in self-training: a function of the seed, the step and the image alone."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.methods.draws import Draws, drawing
from msl_jax.methods.strong_augmentation import augmented
from msl_jax.training.step import Context

SIZE, CLASSES = (40, 60), 5


@functools.cache
def _compiled(count: int, seed: int, jitter: float, blur: bool) -> Any:
    draw = drawing(seed, CLASSES, jitter=jitter, blur=blur, cell=10)
    return jax.jit(lambda step, part: draw(Context(step, {}, part), (count, *SIZE)))


def _drawn(
    count: int = 4,
    *,
    seed: int = 0,
    step: int = 3,
    part: int = 0,
    jitter: float = 0.25,
    blur: bool = True,
) -> Draws:
    return jax.device_get(_compiled(count, seed, jitter, blur)(jnp.int32(step), jnp.int32(part)))


def _equal(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_they_do_not_depend_on_how_the_images_are_shared_out() -> None:
    whole = _drawn(4)
    parts = [_drawn(2, part=part) for part in range(2)]
    for name in ("classes", "cells"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    for kind in ("mixed", "masked"):
        of_whole = getattr(whole, kind)
        for name in ("order", "factors", "sigma"):
            joined = np.concatenate([getattr(getattr(part, kind), name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(of_whole, name))
        for name in ("jitters", "blurs"):  # one draw for the whole step
            assert {bool(getattr(getattr(part, kind), name)) for part in parts} == {
                bool(getattr(of_whole, name))
            }


def test_any_seed_will_do() -> None:
    assert not _equal(_drawn(1, seed=2**64 + 1), _drawn(1, seed=2))


def test_seed_step_and_image_change_them() -> None:
    drawn = [
        _drawn(1, seed=seed, step=step, part=part)
        for seed, step, part in itertools.product((0, 1), (0, 1), (0, 1))
    ]
    for a, b in itertools.combinations(drawn, 2):
        assert not np.array_equal(a.classes, b.classes)
        assert not np.array_equal(a.cells, b.cells)
        assert not np.array_equal(a.mixed.factors, b.mixed.factors)
    assert not np.array_equal(drawn[0].mixed.factors, drawn[0].masked.factors)
    assert _equal(drawn[0], _drawn(1, seed=0, step=0, part=0))


def test_ranges() -> None:
    """Chances of 0.8 and 0.5 for all images of a step; factors around 1, and the hue's around 0."""
    steps = [_drawn(8, step=step) for step in range(150)]
    for kind in ("mixed", "masked"):
        found = [getattr(step, kind) for step in steps]
        assert np.mean([d.jitters for d in found]) == pytest.approx(0.8, abs=0.1)
        assert np.mean([d.blurs for d in found]) == pytest.approx(0.5, abs=0.12)
        factors = np.concatenate([d.factors for d in found])
        low, high = factors.min(axis=0), factors.max(axis=0)
        np.testing.assert_allclose(low, [0.75, 0.75, 0.75, -0.25], atol=0.01)
        np.testing.assert_allclose(high, [1.25, 1.25, 1.25, 0.25], atol=0.01)
        sigma = np.concatenate([d.sigma for d in found])
        assert 0.15 <= sigma.min() < 0.17
        assert 1.13 < sigma.max() <= 1.15
        orders = {tuple(order.tolist()) for d in found for order in d.order}
        assert orders == set(itertools.permutations(range(4)))
    assert {step.cells.shape for step in steps} == {(8, 4, 6)}


def test_switched_off() -> None:
    steps = [_drawn(1, step=step, jitter=0.0, blur=False) for step in range(20)]
    assert not any(step.mixed.jitters or step.masked.blurs for step in steps)
    assert any(_drawn(1, step=step, jitter=0.0).mixed.blurs for step in range(20))


def test_augmented_images(rng) -> None:
    """Nothing drawn changes nothing; each change alone changes something, within 0..255."""
    images = jnp.asarray(rng.integers(0, 256, (2, *SIZE, 3)), jnp.uint8)
    drawn = jax.tree.map(jnp.asarray, _drawn(2).mixed)
    yes, no = jnp.array(True), jnp.array(False)
    same = augmented(images, drawn._replace(jitters=no, blurs=no))
    np.testing.assert_array_equal(same, images.astype(jnp.float32))
    found = [
        np.asarray(augmented(images, drawn._replace(jitters=jitters, blurs=blurs)))
        for jitters, blurs in ((yes, no), (no, yes), (yes, yes))
    ]
    for a, b in itertools.combinations([np.asarray(same), *found], 2):
        assert np.abs(a - b).mean() > 1
    assert all(image.min() >= -1e-3 and image.max() <= 255.001 for image in found)
