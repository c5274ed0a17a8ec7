"""Cars of the demo scenes: seen from the rear or the front, with the side that shows, or across."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msl_jax.data.demo.canvas import Canvas, Facing, Material
from msl_jax.data.demo.noise import Dice

_MATERIALS = (
    Material.PAINT,
    Material.GLASS,
    Material.TYRE,
    Material.PLASTIC,
    Material.HEADLIGHT,
    Material.TAILLIGHT,
    Material.PLATE,
)
_PAINT, _GLASS, _TYRE, _PLASTIC, _HEAD, _TAIL, _PLATE = range(7)


class _Form(NamedTuple):
    """Side outline from the rear (0) to the front (1); heights in metres."""

    length: float
    width: float
    roof: float
    waist: float
    outline_u: tuple[float, ...]
    outline_v: tuple[float, ...]  # in units of the roof's height


_FORMS = (
    # hatchback, saloon, off-roader, van
    _Form(
        4.0,
        1.74,
        1.48,
        0.92,
        (0, 0.03, 0.12, 0.5, 0.72, 0.97, 1),
        (0.5, 0.68, 0.97, 1, 0.66, 0.52, 0.3),
    ),
    _Form(
        4.6,
        1.8,
        1.44,
        0.9,
        (0, 0.02, 0.16, 0.3, 0.54, 0.7, 0.97, 1),
        (0.45, 0.66, 0.7, 0.98, 1, 0.68, 0.52, 0.3),
    ),
    _Form(
        4.4,
        1.86,
        1.75,
        1.05,
        (0, 0.02, 0.06, 0.55, 0.72, 0.97, 1),
        (0.4, 0.65, 0.98, 1, 0.66, 0.58, 0.3),
    ),
    _Form(
        4.9,
        1.92,
        2.05,
        1.15,
        (0, 0.01, 0.03, 0.7, 0.85, 0.98, 1),
        (0.3, 0.95, 1, 1, 0.6, 0.48, 0.25),
    ),
)


def _surfaces(canvas: Canvas, facing: Facing, tints: list) -> list[int]:
    return [canvas.add(m, facing, t) for m, t in zip(_MATERIALS, tints, strict=True)]


def car(canvas: Canvas, dice: Dice, x: float, z: float, *, oncoming: bool) -> None:
    """A car along the road; its near end stands at depth z, and x is its middle."""
    form, tints = _FORMS[dice.integer(len(_FORMS))], [dice.tint() for _ in _MATERIALS]
    half, camera = form.width / 2, canvas.camera
    canvas.put_shadow(x, z + form.length / 2, half * 1.35, form.length / 2 + 0.5)
    inner = x - half if x > camera.x else x + half
    if abs(x - camera.x) > half:
        patch = canvas.side_patch(inner, z, z + form.length, form.roof)
        if patch is not None:
            along = (patch.u - z) / form.length
            parts = _side_parts(1 - along if oncoming else along, patch.v, form)
            canvas.put(patch, parts, _surfaces(canvas, patch.facing, tints))
    surfaces = _surfaces(canvas, Facing.FRONT, tints)
    # The cabin stands behind the bonnet or boot, its lower part hides the ground in between.
    setback = form.length * (0.3 if oncoming else 0.04 if form.roof > 1.45 else 0.2)
    for depth, with_cabin in ((z + setback, True), (z, False)):
        patch = canvas.facing_patch(x - half, x + half, 0.0, form.roof, depth)
        if patch is not None:
            parts = _end_parts((patch.u - x) / half, patch.v, form, oncoming, with_cabin)
            canvas.put(patch, parts, surfaces)


def crossing_car(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A car that crosses the road, seen from its side."""
    form, tints = _FORMS[dice.integer(len(_FORMS))], [dice.tint() for _ in _MATERIALS]
    canvas.put_shadow(x, z, form.length * 0.55, 1.0)
    patch = canvas.facing_patch(x - form.length / 2, x + form.length / 2, 0.0, form.roof, z)
    left = dice.chance(0.5)
    if patch is None:
        return
    along = (patch.u - x) / form.length + 0.5
    parts = _side_parts(1 - along if left else along, patch.v, form)
    canvas.put(patch, parts, _surfaces(canvas, Facing.FRONT, tints))


def _side_parts(along: np.ndarray, v: np.ndarray, form: _Form) -> np.ndarray:
    """Parts of a car's side; `along` runs from 0 at the rear to 1 at the front."""
    outline = np.interp(along, form.outline_u, form.outline_v).astype(np.float32) * form.roof
    parts = np.where((v < outline) & (v > 0.22), np.int8(_PAINT), np.int8(-1))
    parts[(v < 0.34) & (parts == _PAINT)] = _PLASTIC
    pillar = (np.abs(along - 0.44) < 0.015) | (np.abs(along - 0.2) < 0.012)
    glass = (v > form.waist) & (v < outline - 0.11) & ~pillar
    parts[glass] = _GLASS
    parts[(np.abs(v - 0.66) < 0.07) & (along > 0.96) & (parts == _PAINT)] = _HEAD
    parts[(np.abs(v - 0.7) < 0.1) & (along < 0.035) & (parts == _PAINT)] = _TAIL
    for hub in (0.19, 0.8):
        radius = ((along - hub) * form.length) ** 2 + (v - 0.33) ** 2
        parts[radius < 0.37**2] = _TYRE
        parts[radius < 0.18**2] = _PLATE  # a bright rim
    return parts


def _end_parts(
    u: np.ndarray, v: np.ndarray, form: _Form, front: bool, with_cabin: bool
) -> np.ndarray:
    """Parts of a car's rear or front; u is in half widths."""
    parts = np.full(np.broadcast_shapes(u.shape, v.shape), -1, np.int8)
    side = np.abs(u)
    parts[(v > 0.22) & (v < form.waist) & (side < 1)] = _PAINT
    if with_cabin:
        rise = np.clip((v - form.waist) / (form.roof - form.waist), 0.0, 1.0)
        cabin = (v >= form.waist) & (v < form.roof) & (side < 0.96 - 0.24 * rise)
        parts[cabin] = _PAINT
        inside = (rise > 0.06) & (rise < 0.78) & (side < 0.86 - 0.24 * rise)
        parts[cabin & inside] = _GLASS
        return parts
    parts[(v > 0.2) & (v < 0.42) & (side < 0.98)] = _PLASTIC
    parts[(v < 0.3) & (v > 0) & (side > 0.66) & (side < 0.97)] = _TYRE
    low, high = (0.55, 0.74) if front else (0.58, 0.86)
    light = (side > (0.6 if front else 0.7)) & (side < 0.96) & (v > low) & (v < high)
    parts[light] = _HEAD if front else _TAIL
    if front:
        parts[(side < 0.5) & (v > 0.52) & (v < 0.7)] = _PLASTIC
    parts[(side < 0.28) & (v > 0.42) & (v < 0.54)] = _PLATE
    return parts
