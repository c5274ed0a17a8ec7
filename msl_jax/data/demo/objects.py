"""Things that stand in a demo street: people, cars, bicycles, poles, signs and trees.

Every function paints one thing at the foot point (x, z) in metres. Forms are drawn in metres on an
upright plane (u to the right, v up), so that they shrink with depth by themselves.
"""

from __future__ import annotations

import numpy as np

from msl_jax.data.demo.canvas import Canvas, Facing, Material, Patch
from msl_jax.data.demo.noise import Dice, tile_noise

SIGN_KINDS = 6  # forms of `traffic_sign`: one palette entry each in `style`
FRONT = Facing.FRONT


def _blank(patch: Patch) -> np.ndarray:
    return np.full(np.broadcast_shapes(patch.u.shape, patch.v.shape), -1, np.int8)


def _segment(u: np.ndarray, v: np.ndarray, start, end, radius: float) -> np.ndarray:
    """Mask of the points within `radius` of a line segment."""
    du, dv = end[0] - start[0], end[1] - start[1]
    along = ((u - start[0]) * du + (v - start[1]) * dv) / (du * du + dv * dv)
    along = np.clip(along, 0.0, 1.0)
    return (u - start[0] - along * du) ** 2 + (v - start[1] - along * dv) ** 2 < radius * radius


def person(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A standing or walking person, adult or child."""
    size = dice.uniform(1.55, 1.95) if dice.chance(0.85) else dice.uniform(1.1, 1.4)
    gait, build, turn = dice.uniform(0.0, 0.22), dice.uniform(0.85, 1.25), dice.uniform(0.6, 1.0)
    swing, coat = dice.uniform(-0.12, 0.12), dice.uniform(0.36, 0.56)
    bag, hat = dice.chance(0.3), dice.chance(0.2)
    surfaces = [
        canvas.add(material, FRONT, dice.tint())
        for material in (
            Material.TROUSERS,
            Material.TOP,
            Material.SKIN,
            Material.HAIR,
            Material.TOP,
        )
    ]
    canvas.put_shadow(x, z, 0.5, 0.5)
    patch = canvas.facing_patch(x - 0.6, x + 0.6, 0.0, size, z)
    if patch is None:
        return
    u, v = (patch.u - x) / (size * build), patch.v / size
    parts = _blank(patch)
    drop = np.clip(0.5 - v, 0.0, 0.5)
    legs = (np.abs(u - gait * drop - 0.035) < 0.05) | (np.abs(u + gait * drop + 0.035) < 0.05)
    parts[legs & (v < 0.52) & (v > 0.0)] = 0
    shoulder = np.clip((0.88 - v) * 2.2, 0.0, 1.0)
    torso = (np.abs(u) < turn * (0.09 + 0.06 * shoulder)) & (v > coat) & (v < 0.86)
    parts[torso] = 1
    for side in (-1.0, 1.0):
        top, hand = (side * turn * 0.135, 0.81), (side * turn * 0.16 + swing * side, 0.47)
        arm = _segment(u, v, top, hand, 0.033)
        parts[arm] = 1
        parts[arm & (v < 0.5)] = 2
    if bag:
        parts[(np.abs(u - 0.16) < 0.06) & (np.abs(v - 0.45) < 0.07)] = 4
    head = (u / 0.062) ** 2 + ((v - 0.925) / 0.075) ** 2
    parts[head < 1.0] = 2
    parts[(head < 1.15) & (v > (0.93 if hat else 0.945) + 0.25 * u * swing)] = 4 if hat else 3
    canvas.put(patch, parts, surfaces)


def bicycle(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A parked bicycle, seen from the side or at an angle."""
    turn, lean = dice.sign() * dice.uniform(0.55, 1.0), dice.uniform(-0.1, 0.1)
    wheel = canvas.add(Material.WHEEL, FRONT, dice.tint())
    frame = canvas.add(Material.FRAME, FRONT, dice.tint())
    basket = dice.chance(0.35)
    canvas.put_shadow(x, z, 1.0, 0.5)
    patch = canvas.facing_patch(x - 1.0, x + 1.0, 0.0, 1.15, z)
    if patch is None:
        return
    # Tubes are thinner than a pixel soon; a camera blurs them over the whole pixel.
    tube = max(0.04, 0.55 * z / canvas.camera.focal)
    v = patch.v
    u = (patch.u - x) / turn + lean * v
    parts = _blank(patch)
    spokes = np.zeros(parts.shape, bool)
    for hub in (-0.53, 0.53):
        radius = np.sqrt((u - hub) ** 2 + (v - 0.35) ** 2)
        spokes |= radius < 0.35
        parts[np.abs(radius - 0.33) < tube] = 0
        parts[radius < 0.06] = 0
    rear, front, pedals = (-0.53, 0.35), (0.53, 0.35), (-0.06, 0.3)
    saddle, head = (-0.2, 0.9), (0.36, 0.88)
    for start, end in (
        (rear, pedals),
        (rear, saddle),
        (pedals, saddle),
        (pedals, head),
        (saddle, head),
        (head, front),
    ):
        parts[_segment(u, v, start, end, tube * 0.9)] = 1
    parts[_segment(u, v, head, (0.32, 1.05), tube * 0.9)] = 1
    parts[_segment(u, v, (0.2, 1.07), (0.42, 1.04), tube)] = 0
    parts[_segment(u, v, (-0.34, 0.95), (-0.08, 0.95), tube * 1.2)] = 0
    if basket:
        parts[(np.abs(u - 0.56) < 0.17) & (np.abs(v - 0.88) < 0.13)] = 0
    canvas.put(patch, parts, [wheel, frame])
    canvas.put_label(patch, spokes & (parts < 0), Material.WHEEL)


def _post(canvas: Canvas, patch: Patch, x: float, z: float, height: float, radius: float):
    """Parts with an upright post as part 0, at least a pixel wide."""
    radius = max(radius, 0.9 * z / canvas.camera.focal)
    parts = _blank(patch)
    parts[(np.abs(patch.u - x) < radius) & (patch.v < height) & (patch.v > 0)] = 0
    return parts


def lamp_post(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A street lamp whose arm reaches over the road; remembered as a light for dusk scenes."""
    height, reach = dice.uniform(4.5, 7.5), dice.uniform(0.6, 1.6) * (-1.0 if x > 0 else 1.0)
    metal = canvas.add(Material.METAL, FRONT, dice.tint())
    lamp = canvas.add(Material.LAMP, FRONT, dice.tint())
    canvas.lamps.append((x + reach, height, z))
    canvas.put_shadow(x, z, 0.3, 0.4)
    patch = canvas.facing_patch(x - 2.0, x + 2.0, 0.0, height + 0.3, z)
    if patch is None:
        return
    parts = _post(canvas, patch, x, z, height, dice.uniform(0.11, 0.17))
    thin = max(0.08, 0.6 * z / canvas.camera.focal)
    parts[_segment(patch.u, patch.v, (x, height - 0.3), (x + reach, height), thin)] = 0
    parts[
        _segment(patch.u, patch.v, (x + reach * 0.8, height), (x + reach * 1.25, height), 2 * thin)
    ] = 1
    canvas.put(patch, parts, [metal, lamp])


def plain_pole(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A bollard, or a tall post such as carries wires."""
    height = dice.uniform(0.9, 1.2) if dice.chance(0.35) else dice.uniform(5.0, 9.0)
    metal = canvas.add(Material.METAL, FRONT, dice.tint())
    canvas.put_shadow(x, z, 0.3, 0.3)
    patch = canvas.facing_patch(x - 0.8, x + 0.8, 0.0, height, z)
    if patch is None:
        return
    parts = _post(canvas, patch, x, z, height, dice.uniform(0.12, 0.2))
    if height > 5:
        bar = max(0.06, 0.5 * z / canvas.camera.focal)
        parts[(np.abs(patch.v - height + 0.6) < bar) & (np.abs(patch.u - x) < 0.7)] = 0
    canvas.put(patch, parts, [metal])


def traffic_sign(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A sign on its pole: disc, triangle, square, diamond, octagon or direction board."""
    kind, radius, height = (
        dice.integer(SIGN_KINDS),
        dice.uniform(0.45, 0.65),
        dice.uniform(2.1, 2.9),
    )
    low, second = dice.integer(3), dice.chance(0.2)
    metal = canvas.add(Material.METAL, FRONT, dice.tint())
    tint = ((kind + 0.5) / SIGN_KINDS, *dice.tint()[1:])
    signs = [
        canvas.add(m, FRONT, tint)
        for m in (Material.SIGN_FACE, Material.SIGN_EDGE, Material.SIGN_MARK)
    ]
    reach = 2.4 * radius if kind == 5 else radius
    canvas.put_shadow(x, z, 0.3, 0.3)
    patch = canvas.facing_patch(x - reach, x + reach, 0.0, height + radius, z)
    if patch is None:
        return
    parts = _post(canvas, patch, x, z, height, 0.09)
    for center in (height, height - 2.1 * radius) if second else (height,):
        u, v = (patch.u - x) / radius, (patch.v - center) / radius
        level = _sign_form(kind, u, v)
        parts[level < 1.0] = 2
        parts[level < 0.76] = 1
        mark = ((np.abs(u) < 0.2) & (np.abs(v) < 0.45), (np.abs(u) < 0.55) & (np.abs(v) < 0.17))
        parts[
            (mark[0] if low == 0 else mark[1] if low == 1 else mark[0] | mark[1]) & (level < 1)
        ] = 3
    canvas.put(patch, parts, [metal, *signs])


def _sign_form(kind: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance-like level of a sign's outline: below 1 inside."""
    if kind == 0:
        return np.sqrt(u * u + v * v)
    if kind == 1:
        return np.maximum(np.abs(u) * 1.73 + v, -2.0 * v) * 0.62 + 0.3
    if kind == 2:
        return np.maximum(np.abs(u), np.abs(v)) * 1.1
    if kind == 3:
        return np.abs(u) + np.abs(v)
    if kind == 4:
        return np.maximum(np.maximum(np.abs(u), np.abs(v)), (np.abs(u) + np.abs(v)) * 0.71) * 1.03
    return np.maximum(np.abs(u) / 2.3, np.abs(v) / 0.75)


def tree(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A broad-leaved, slender or needle-leaved tree."""
    height, form = dice.uniform(4.5, 9.5), dice.integer(4)
    width = height * (dice.uniform(0.28, 0.4), 0.3, 0.16, 0.24)[form]
    stem = height * dice.uniform(0.25, 0.4) if form < 2 else height * 0.15
    offset, grain = (dice.uniform(0, 64), dice.uniform(0, 64)), dice.uniform(0.8, 1.5)
    trunk = canvas.add(Material.TRUNK, FRONT, dice.tint())
    leaves = canvas.add(Material.FOLIAGE, FRONT, dice.tint())
    canvas.put_shadow(x, z, width, 1.2)
    patch = canvas.facing_patch(x - 1.3 * width, x + 1.3 * width, 0.0, height * 1.1, z)
    if patch is None:
        return
    parts = _post(canvas, patch, x, z, stem * 1.4, height * 0.022)
    u, v = (patch.u - x) / width, (patch.v - stem) / (height - stem)
    ragged = tile_noise(canvas.tile, patch.u * grain + offset[0], patch.v * grain + offset[1]) - 0.5
    if form == 3:
        level = np.maximum(np.abs(u) / np.clip(1.05 - v, 0.02, None), np.abs(v - 0.5) * 2)
    else:
        level = np.sqrt(u * u + (2 * v - 1) ** 2)
        level = np.where(v < 0.5, np.maximum(level, np.abs(2 * v - 1) * 1.05), level)
    parts[level + 0.55 * ragged < 1.0] = 1
    canvas.put(patch, parts, [trunk, leaves])


def hedge(canvas: Canvas, dice: Dice, x: float, z0: float, z1: float, height: float) -> None:
    """Bushes, or with a larger height a row of trees, along the road from z0 to z1."""
    leaves = None
    offset, grain = dice.uniform(0, 64), dice.uniform(0.4, 0.9)
    tint, patch = dice.tint(), canvas.side_patch(x, z0, z1, height * 1.3)
    if patch is None:
        return
    leaves = canvas.add(Material.FOLIAGE, patch.facing, tint)
    along, up = patch.u * grain + offset, patch.v * (0.3 * grain)
    top = height * (0.6 + 0.7 * tile_noise(canvas.tile, along, up))
    canvas.put(patch, np.where((patch.v < top) & (patch.v > 0), 0, -1).astype(np.int8), [leaves])


def bush(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A low bush or a tub of plants on the sidewalk."""
    width, height, offset = dice.uniform(0.5, 1.1), dice.uniform(0.6, 1.3), dice.uniform(0, 64)
    leaves = canvas.add(Material.FOLIAGE, FRONT, dice.tint())
    canvas.put_shadow(x, z, width, 0.6)
    patch = canvas.facing_patch(x - 1.2 * width, x + 1.2 * width, 0.0, 1.2 * height, z)
    if patch is None:
        return
    ragged = tile_noise(canvas.tile, patch.u * 2.5 + offset, patch.v * 2.5) - 0.5
    level = ((patch.u - x) / width) ** 2 + (patch.v / height) ** 2 + 0.6 * ragged
    canvas.put(patch, np.where((level < 1) & (patch.v > 0), 0, -1).astype(np.int8), [leaves])
