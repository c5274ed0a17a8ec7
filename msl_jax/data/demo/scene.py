"""Layout of the demo scenes: a random street with everything that stands in it.

`render` is the generator's one entry: layout (labels) and look (colours) draw from separate random
streams, so that one seed shows the same street in both domains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msl_jax.data.demo import cars, objects, shading
from msl_jax.data.demo.canvas import Camera, Canvas, Facing, Material, Patch
from msl_jax.data.demo.noise import TILE, Dice, cell_hash, tile_noise
from msl_jax.data.demo.style import STYLES

NEAREST = 3.0  # metres; nothing stands closer to the camera


def render(
    seed: int | Sequence[int], domain: str, size: tuple[int, int] = (96, 160)
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one street.

    Args:
        seed: non-negative integers; the same seed shows the same street in every domain and on
            every call.
        domain: a name in `STYLES`, "source" or "target".
        size: height and width in pixels.

    Returns:
        Image uint8 `[H, W, 3]` (RGB) and label uint8 `[H, W]` of train ids of the label set "demo",
        255 on the bonnet of the camera's own car.
    """
    layout_seed, look_seed = np.random.SeedSequence(seed).spawn(2)
    canvas = layout(layout_seed, size)
    return shading.shade(canvas, STYLES[domain], Dice(look_seed)), canvas.label


def layout(seed: np.random.SeedSequence, size: tuple[int, int]) -> Canvas:
    """Draws labels and surfaces of one street; see `render`."""
    dice = Dice(seed)
    height, width = size
    road, walk = dice.uniform(3.0, 4.6), dice.uniform(2.2, 4.4)
    camera = Camera(
        height,
        width,
        focal=0.77 * width * dice.uniform(0.9, 1.2),
        horizon=height * dice.uniform(0.4, 0.52),
        center=width * dice.uniform(0.38, 0.62),
        x=dice.uniform(0.05, 0.35) * road,
        y=dice.uniform(1.35, 1.9),
    )
    canvas = Canvas(camera, dice.array(TILE, TILE))
    end = dice.uniform(45.0, 90.0)
    _ground(canvas, dice, road)
    _street_end(canvas, dice, end)
    for side in (-1.0, 1.0):
        _building_row(canvas, dice, side, road + walk, end)
    _furnish(canvas, dice, road, walk)
    _bonnet(canvas, dice)
    return canvas


def _ground(canvas: Canvas, dice: Dice, road: float) -> None:
    """Road with lane marks, perhaps a zebra crossing, kerbs and sidewalks."""
    camera = canvas.camera
    first = max(int(np.ceil(camera.horizon - 0.49)), 0)
    box = (slice(first, camera.height), slice(0, camera.width))
    rows = canvas.rows[first:]
    z = np.minimum(camera.focal * camera.y / np.maximum(rows - camera.horizon, 1e-3), 900.0)
    x = (canvas.columns - camera.center) * (z / camera.focal) + camera.x
    surfaces = [
        canvas.add(material, Facing.UP, dice.tint())
        for material in (Material.ASPHALT, Material.MARKING, Material.CURB, Material.PAVING)
    ]
    side = np.abs(x)
    parts = np.where(side < road, np.int8(0), np.int8(3))
    # Lines narrower than a pixel would flicker with depth.
    line = np.maximum(np.float32(0.09), 0.4 * z / camera.focal)
    period, phase, style = dice.uniform(5.0, 9.0), dice.uniform(0.0, 9.0), dice.integer(4)
    dashes = ((z + phase) % period < period * 0.45) & (z < 45)
    if style < 3:
        parts[(side < line) & (dashes if style < 2 else z < 45)] = 1
    if dice.chance(0.35):
        parts[(np.abs(side - road + 0.45) < line * 0.8) & (z < 45)] = 1
    zebra = dice.uniform(6.0, 18.0) if dice.chance(0.3) else -9.0
    stripes = (np.abs(z - zebra) < 1.6) & (x - np.floor(x) < 0.5) & (side < road - 0.2)
    parts[stripes] = 1
    parts[(side >= road) & (side < road + 0.22)] = 2
    canvas.put(Patch(box, x, z, z, Facing.UP), parts, surfaces)


def _street_end(canvas: Canvas, dice: Dice, end: float) -> None:
    """Closes the street with a house, trees, or far trees below open sky."""
    kind = dice.integer(4)
    if kind == 0:
        _wall(canvas, dice, canvas.facing_patch(-40, 40, 0, h := dice.uniform(7, 16), end), h)
        return
    distance, height = (end, dice.uniform(4, 9)) if kind < 3 else (160.0, dice.uniform(5, 14))
    patch = canvas.facing_patch(-400, 400, 0, 1.4 * height, distance)
    if patch is None:
        return
    leaves = canvas.add(Material.FOLIAGE, Facing.FRONT, dice.tint())
    ragged = tile_noise(canvas.tile, patch.u * (1.6 / height), patch.u * 0.0 + dice.uniform(0, 64))
    parts = np.where((patch.v < height * (0.6 + 0.7 * ragged)) & (patch.v > 0), 0, -1)
    canvas.put(patch, parts.astype(np.int8), [leaves])


def _building_row(canvas: Canvas, dice: Dice, side: float, front: float, end: float) -> None:
    """Houses and gaps with greenery along one side, painted from far to near."""
    z1, lots = end, []
    while z1 > NEAREST:
        z0 = z1 - dice.uniform(7.0, 18.0)
        lots.append((z0, z1, front + dice.uniform(0.0, 1.5), dice.uniform(4.5, 15.0)))
        z1 = z0
    for z0, z1, setback, height in lots:
        x = side * setback
        near = max(z0, 1.0)
        if dice.chance(0.22):
            tall = dice.chance(0.5)
            top = dice.uniform(4.0, 7.0) if tall else dice.uniform(1.0, 2.2)
            objects.hedge(canvas, dice, x, near, z1, top)
            continue
        look = dice.tint()
        _wall(canvas, dice, canvas.side_patch(x, near, z1, height), height, look)
        if z0 > 1.0:
            outer = x + side * 12.0
            patch = canvas.facing_patch(min(x, outer), max(x, outer), 0.0, height, z0)
            _wall(canvas, dice, patch, height, look, blind=dice.chance(0.6))


def _wall(
    canvas: Canvas,
    dice: Dice,
    patch: Patch | None,
    height: float,
    look: tuple[float, float, float] | None = None,
    blind: bool = False,
) -> None:
    """One wall of a house: rows of windows, a ground floor with shops or doors, and a roof line."""
    floor, pitch, salt = dice.uniform(2.7, 3.6), dice.uniform(1.7, 3.2), dice.integer(1 << 16)
    wide, tall, low = dice.uniform(0.35, 0.7), dice.uniform(0.42, 0.68), dice.uniform(0.15, 0.3)
    base, shop, roofed = dice.uniform(3.0, 3.8), dice.chance(0.5), dice.chance(0.5)
    tints = [dice.tint() for _ in range(5)]
    if patch is None:
        return
    materials = (Material.WALL, Material.WINDOW, Material.SHOP, Material.TRIM, Material.ROOF)
    tints[0] = look or tints[0]
    surfaces = [canvas.add(m, patch.facing, t) for m, t in zip(materials, tints, strict=True)]
    u, v = patch.u, patch.v
    parts = np.where((v < height) & (v > 0), np.int8(0), np.int8(-1))
    parts = np.broadcast_to(parts, np.broadcast_shapes(u.shape, v.shape)).copy()
    across, up = u / pitch, (v - base) / floor
    column, storey = np.floor(across), np.floor(up)
    detail = cell_hash(column, storey, salt)
    # Windows seen at a grazing angle, several to a pixel, melt into the wall.
    step = np.abs(np.diff(patch.u[0], append=patch.u[0, -1:])) if patch.u.shape[1] > 1 else 0.0
    visible = (step < 0.6 * pitch) & (parts == 0)
    if not blind:
        inside = (np.abs(across - column - 0.5) < wide / 2) & (up - storey > low)
        inside &= (up - storey < low + tall) & (v > base) & (v < height - 0.9)
        parts[inside & visible] = 1
        below = visible & (v < base - 0.7) & (v > 0.45 if shop else v > 0.0)
        if shop:
            parts[below & (np.abs(u / 3.4 - np.floor(u / 3.4) - 0.5) < 0.42)] = 1
            parts[(parts >= 0) & (np.abs(v - base + 0.35) < 0.35)] = 2
        else:
            parts[below & (np.abs(across - column - 0.5) < wide / 2) & (v > 1.0) & (v < 2.3)] = 1
            parts[below & (detail < 0.2) & (np.abs(across - column - 0.5) < 0.25) & (v < 2.2)] = 3
    parts[(parts >= 0) & (v > height - (1.4 if roofed else 0.4))] = 4 if roofed else 3
    canvas.put(patch, parts, surfaces, detail)


def _furnish(canvas: Canvas, dice: Dice, road: float, walk: float) -> None:
    """Places trees, poles, signs, people, bicycles and cars, and paints them from far to near."""
    things: list[tuple] = []

    def place(painter, x: float, z: float, **kwargs) -> None:
        things.append((z, len(things), painter, x, kwargs))

    def along(nearest: float, farthest: float) -> float:
        # Even in the picture rather than on the ground: most things stand close enough to matter.
        return 1.0 / dice.uniform(1.0 / farthest, 1.0 / nearest)

    for side in (-1.0, 1.0):
        if dice.chance(0.45):
            z, step = dice.uniform(5.0, 16.0), dice.uniform(6.0, 14.0)
            while z < 50.0:
                if dice.chance(0.8):
                    place(objects.tree, side * (road + dice.uniform(0.8, 1.4)), z)
                z += step
        if dice.chance(0.5):
            z, step = dice.uniform(6.0, 14.0), dice.uniform(14.0, 24.0)
            while z < 30.0:
                place(objects.lamp_post, side * (road + 0.5), z)
                z += step
        if dice.chance(0.5):
            _park(place, dice, side * (road - 1.0))
    for painter, most, inner, outer, nearest, farthest in (
        (objects.traffic_sign, 3, 0.4, 0.9, 5.5, 13.0),
        (objects.plain_pole, 1, 0.3, 0.6, 5.0, 16.0),
        (objects.bush, 2, 1.0, walk, 5.0, 20.0),
        (objects.bicycle, 3, 0.5, 1.6, 4.5, 11.0),
        (objects.person, 4, 0.4, 1.8, 4.0, 14.0),
    ):
        for _ in range(dice.integer(most + 1)):
            x = dice.sign() * (road + dice.uniform(inner, outer))
            in_view = max(nearest, abs(x - canvas.camera.x) / 0.58)
            place(painter, x, along(in_view, max(farthest, in_view + 4.0)))
    if dice.chance(0.3):
        for _ in range(1 + dice.integer(3)):
            place(objects.person, dice.uniform(-road, road), along(6.0, 16.0))
    if dice.chance(0.55):
        x = canvas.camera.x + dice.uniform(-0.4, 0.4)
        place(cars.car, x, along(8.0, 40.0), oncoming=False)
    for _ in range(dice.integer(3)):
        place(cars.car, -road * dice.uniform(0.25, 0.5), along(8.0, 45.0), oncoming=True)
    if dice.chance(0.2):
        place(cars.crossing_car, dice.uniform(-road, road), along(12.0, 30.0))
    for z, _, painter, x, kwargs in sorted(things, key=lambda thing: thing[:2], reverse=True):
        painter(canvas, dice, x, z, **kwargs)


def _park(place, dice: Dice, x: float) -> None:
    """Adds a row of parked cars with gaps."""
    z, last, backwards = dice.uniform(4.0, 9.0), dice.uniform(15.0, 45.0), dice.chance(0.3)
    while z < last:
        if dice.chance(0.65):
            place(cars.car, x, z, oncoming=backwards or (x < 0 and dice.chance(0.7)))
        z += dice.uniform(5.4, 6.5)


def _bonnet(canvas: Canvas, dice: Dice) -> None:
    """The camera's own car at the lower edge, in most pictures; ignored in the labels."""
    height, width = canvas.label.shape
    rise, middle = dice.uniform(0.03, 0.075), dice.uniform(0.45, 0.55)
    tint = dice.tint()
    if dice.chance(0.25):
        return
    bonnet = canvas.add(Material.BONNET, Facing.UP, tint)
    bend = ((canvas.columns / width - middle) / 0.6) ** 2
    first = int(height * 0.9)
    rows = canvas.rows[first:]
    parts = np.where(rows > height * (1 - rise * (1 - bend)), np.int8(0), np.int8(-1))
    box = (slice(first, height), slice(0, width))
    u = canvas.columns / width * 3.0
    canvas.put(Patch(box, u, rows / height * 3.0, 1.5, Facing.UP), parts, [bonnet])
