"""Second pass of the demo scenes: colours, textures, light, air and camera in a given style.

Pictures are `[3, H, W]` in here, which NumPy handles several times faster than `[H, W, 3]`.
"""

from __future__ import annotations

import numpy as np

from msl_jax.data.demo.canvas import Canvas, Facing, Material
from msl_jax.data.demo.noise import TILE, Dice, tile_noise
from msl_jax.data.demo.style import DAY, DUSK, GROUP, Style

# Material: cells per metre and amplitude of a coarse, then of a fine noise.
_TEXTURE = {
    Material.ASPHALT: (0.3, 0.12, 5.0, 0.25),
    Material.PAVING: (0.5, 0.12, 4.0, 0.2),
    Material.WALL: (0.3, 0.15, 2.5, 0.18),
    Material.ROOF: (0.5, 0.12, 3.0, 0.3),
    Material.TRUNK: (1.0, 0.2, 6.0, 0.3),
    Material.FOLIAGE: (0.8, 0.45, 2.6, 0.55),
    Material.TOP: (3.0, 0.2, 9.0, 0.15),
    Material.TROUSERS: (3.0, 0.2, 9.0, 0.15),
    Material.PAINT: (0.8, 0.14, 2.0, 0.05),
    Material.GLASS: (1.2, 0.45, 3.0, 0.15),
    Material.BONNET: (1.0, 0.3, 2.0, 0.1),
}
_TEXTURE_TABLE = np.asarray([_TEXTURE.get(m, (0.0,) * 4) for m in Material], np.float32).T


def _table(palettes: dict) -> tuple[np.ndarray, np.ndarray]:
    """Palettes as one array `[materials, longest, 3]`, and the length of each."""
    counts = np.asarray([len(palettes[m]) for m in Material], np.int64)
    table = np.zeros((len(Material), counts.max(), 3), np.float32)
    for m in Material:
        table[m, : counts[m]] = palettes[m]
    return table, counts


_DAY_TABLE, _DUSK_TABLE = _table(DAY), _table({**DAY, **DUSK})
_WARM = np.asarray((1.0, 0.74, 0.42), np.float32)[:, None, None]
_RED = np.asarray((0.85, 0.1, 0.08), np.float32)[:, None, None]
_LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)


def shade(canvas: Canvas, style: Style, dice: Dice) -> np.ndarray:
    """Returns the picture of a painted canvas, uint8 `[H, W, 3]`.

    Args:
        canvas: first pass.
        style: look of the domain.
        dice: random stream of the weather, the light and the sensor.
    """
    tile = dice.array(TILE, TILE)
    material = np.asarray([s.material for s in canvas.surfaces], np.int8).take(canvas.surface)
    facing = np.asarray([s.facing for s in canvas.surfaces], np.int8).take(canvas.surface)
    sky = material == Material.SKY
    image = _surface_colors(canvas.surfaces, style).take(canvas.surface, axis=1)
    image *= _texture(canvas, material, style, tile)
    light, lamps_on = _light(canvas, facing, style, dice, tile)
    image *= light
    _glow(image, canvas, material, style, lamps_on)
    sky_colors = _sky(canvas, style, dice, tile)
    np.copyto(image, sky_colors, where=sky)
    if style.wet:
        _reflect(image, canvas, (facing == Facing.UP) & (material != Material.BONNET), style, tile)
    _air(image, canvas, sky, sky_colors, style, dice)
    image = _camera(image, canvas.camera.height / 96, style, dice)
    image = np.clip(image * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(image, 0, -1))


def _surface_colors(surfaces: list, style: Style) -> np.ndarray:
    """Reflectance of every surface, float32 `[3, surfaces]`."""
    material = np.asarray([surface.material for surface in surfaces])
    pick, lightness, hue = np.asarray([s.tint for s in surfaces], np.float32).T[..., None]
    strength = {group: getattr(style, group) for group in set(GROUP.values())}
    share = np.asarray([strength[GROUP[m]] for m in Material], np.float32)[material, None]
    share = share * (0.6 + 0.4 * (hue * 13 % 1))
    day, dusk = (
        table[material, (pick[:, 0] * counts[material]).astype(np.int64)]
        for table, counts in (_DAY_TABLE, _DUSK_TABLE)
    )
    colors = (day + share * (dusk - day)) * (0.85 + 0.3 * lightness)
    colors += (hue - 0.5) * np.asarray((0.08, 0.0, -0.08), np.float32)
    return np.ascontiguousarray(np.clip(colors, 0.02, 1.0).T)


def _texture(canvas: Canvas, material: np.ndarray, style: Style, tile: np.ndarray) -> np.ndarray:
    """Factor on the reflectance, float32 `[H, W]`, that fades where it is finer than pixels."""
    coarse, coarse_amp, fine, fine_amp = _TEXTURE_TABLE.take(material, axis=1)
    pixel = canvas.depth / canvas.camera.focal
    factor = np.ones_like(pixel)
    for frequency, amplitude in ((coarse, coarse_amp), (fine, fine_amp)):
        frequency = frequency * style.texture_scale
        visible = np.clip(0.5 / np.maximum(frequency * pixel, 0.1) - 0.4, 0.15, 1.0)
        noise = tile_noise(tile, canvas.u * frequency, canvas.v * frequency)
        factor += 2.0 * style.texture * amplitude * visible * (noise - 0.5)
    # Rows of blocks on walls, slabs on sidewalks; every other row is shifted by half a block.
    blocks = (material == Material.WALL) | (material == Material.PAVING)
    across = canvas.v * 2.0
    row = np.floor(across)
    along = canvas.u * 1.25 + 0.5 * row
    width = np.clip(pixel, 0.05, 0.5)
    joint = (across - row < 2.0 * width) | (along - np.floor(along) < 1.25 * width)
    factor -= 0.45 * style.masonry * (joint & blocks) * np.clip(1.3 - 5.0 * pixel, 0.0, 1.0)
    window = material == Material.WINDOW
    factor = np.where(window, 0.75 + 0.5 * canvas.detail, factor)
    # Coachwork shines above and darkens towards the sills.
    return np.where(material == Material.PAINT, factor * (0.8 + 0.22 * canvas.v), factor)


def _light(canvas: Canvas, facing: np.ndarray, style: Style, dice: Dice, tile: np.ndarray):
    """Returns the light on every pixel, float32 `[3, H, W]`, and how bright lamps are in [0, 1]."""
    height, width = facing.shape
    exposure, sun = dice.uniform(*style.exposure), style.sun * dice.uniform(0.2, 1.0)
    swap, front, strength = dice.sign(), dice.uniform(0.2, 0.8), dice.uniform(0.3, 1.0)
    by_facing = np.ones(len(Facing), np.float32)
    by_facing[Facing.FRONT] -= sun * front * 0.5
    by_facing[Facing.RIGHT] += sun * 0.4 * (swap - 0.4)
    by_facing[Facing.LEFT] -= sun * 0.4 * (swap + 0.4)
    day = exposure * by_facing.take(facing) * (1.0 - style.shadow * (1.0 - canvas.shadow))
    if style.unevenness:
        offset = dice.uniform(0, TILE)
        slow = tile_noise(
            tile, canvas.columns * (2.5 / width) + offset, canvas.rows * (2.0 / height)
        )
        day *= 1.0 + 2.0 * style.unevenness * (slow - 0.5)
    if not style.lamps:
        return day[None], 0.0
    return day + style.lamps * strength * _lamp_light(canvas, dice) * _WARM, strength


def _lamp_light(canvas: Canvas, dice: Dice) -> np.ndarray:
    """Light from street lamps and headlights at every pixel's place in the world, `[H, W]`."""
    camera = canvas.camera
    scale = canvas.depth / camera.focal
    x = (canvas.columns - camera.center) * scale + camera.x
    y = camera.y - (canvas.rows - camera.horizon) * scale
    lamps = sorted(canvas.lamps, key=lambda lamp: lamp[2])[:3]
    lamps.append((dice.sign() * dice.uniform(2.0, 7.0), 4.0, dice.uniform(6.0, 25.0)))
    total = np.zeros_like(x)
    for lamp_x, _, lamp_z in lamps:
        squares = (x - lamp_x) ** 2 + (canvas.depth - lamp_z) ** 2 + 0.4 * (y - 1.5) ** 2
        total += 1.0 / (1.0 + squares / dice.uniform(6.0, 20.0)) ** 2
    beam = ((x - camera.x) / 2.2) ** 2 + ((canvas.depth - 7.0) / 4.0) ** 2 + (y / 1.2) ** 2
    return total + dice.uniform(0.0, 0.6) / (1.0 + beam) ** 2


def _glow(
    image: np.ndarray, canvas: Canvas, material: np.ndarray, style: Style, lamps_on: float
) -> None:
    """Lights up windows, lamps and car lights in place."""
    if style.lit_windows:
        lit = (material == Material.WINDOW) & (canvas.detail < style.lit_windows * 2 * lamps_on)
        np.copyto(image, _WARM * (0.55 + 0.4 * lamps_on), where=lit)
    if lamps_on:
        for source, color in (
            (Material.LAMP, _WARM),
            (Material.HEADLIGHT, np.float32(0.95)),
            (Material.TAILLIGHT, _RED),
        ):
            np.copyto(image, color * (0.6 + 0.4 * lamps_on), where=material == source)


def _sky(canvas: Canvas, style: Style, dice: Dice, tile: np.ndarray) -> np.ndarray:
    """Sky colours over the whole picture, float32 `[3, H, W]`: a gradient with clouds."""
    height = canvas.label.shape[0]
    pair, cover = dice.integer(4), dice.uniform(0.0, 1.0)
    bright, ox, oy = dice.uniform(*style.sky_exposure), dice.uniform(0, TILE), dice.uniform(0, TILE)
    day, dusk = (palette[Material.SKY][2 * pair : 2 * pair + 2] for palette in (DAY, DUSK))
    zenith, horizon = (day + style.sky * (dusk - day))[..., None, None]
    down = np.clip(canvas.rows / canvas.camera.horizon, 0.0, 1.0)
    sky = zenith + (horizon - zenith) * down
    x, y = canvas.columns * (5.0 / height) + ox, canvas.rows * (11.0 / height) + oy
    scale = style.texture_scale
    cloud = 0.7 * tile_noise(tile, x, y) + 0.3 * tile_noise(tile, x * 2.3 * scale, y * 2.3 * scale)
    cloud = np.clip((cloud - 0.75 + 0.45 * cover) * 3.0, 0.0, 1.0)
    # Day: white clouds before blue. Dusk: darker clouds before grey.
    white = np.float32(0.96) * (1 - style.sky) + style.sky * 0.8 * zenith
    return bright * (sky + 0.85 * cloud * (white - sky))


def _reflect(
    image: np.ndarray, canvas: Canvas, ground: np.ndarray, style: Style, tile: np.ndarray
) -> None:
    """Mirrors, in place, what stands beyond in wet ground, smeared from top to bottom."""
    horizon, first = canvas.camera.horizon, int(canvas.camera.horizon)
    below = np.arange(first, image.shape[1])
    mirrored = sum(
        image[:, np.clip(horizon - stretch * (below + 0.5 - horizon), 0, None).astype(np.int64)]
        for stretch in (0.6, 0.9, 1.3)
    )
    puddle = tile_noise(tile, canvas.u[first:] * 0.35, canvas.v[first:] * 0.2)
    share = style.wet * np.clip(2.5 * puddle - 0.9, 0.08, 0.75) * ground[first:]
    image[:, first:] += share * (mirrored / 3.0 - image[:, first:])


def _air(
    image: np.ndarray,
    canvas: Canvas,
    sky: np.ndarray,
    sky_colors: np.ndarray,
    style: Style,
    dice: Dice,
) -> None:
    """Adds haze that grows with depth, and flare, in place."""
    density, row = dice.uniform(*style.haze) / 1000.0, int(canvas.camera.horizon)
    color = sky_colors[:, min(row, sky.shape[0] - 1)].mean(-1)[:, None, None]
    share = np.where(sky, 0.0, 1.0 - np.exp(-density * canvas.depth)).astype(np.float32)
    image += share * (color - image)
    image += style.veil * (color - image)


def _camera(image: np.ndarray, ratio: float, style: Style, dice: Dice) -> np.ndarray:
    """Applies colour cast, saturation, contrast, vignette, blur and noise."""
    _, height, width = image.shape
    cast = 1.0 + style.cast * (2.0 * dice.array(3, 1, 1) - 1.0)
    saturation, contrast = dice.uniform(*style.saturation), dice.uniform(*style.contrast)
    grey = np.tensordot(_LUMA, image, 1)
    image = 0.4 + contrast * ((grey + saturation * (image - grey)) * cast - 0.4)
    if style.vignette:
        y = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
        x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
        image *= 1.0 - style.vignette * 2.0 * (y[:, None] ** 2 + x**2)
    if style.blur:
        image = _blur(image, style.blur * ratio)
    if style.noise:
        # Three uniform numbers make a good bell, of standard deviation 1/2.
        grain = dice.array(3, *image.shape).sum(0) - 1.5
        image += 2.0 * style.noise * np.sqrt(0.2 + 0.8 * np.clip(image, 0.0, 1.0)) * grain
    return image


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of both axes, edges repeated."""
    radius = max(1, int(np.ceil(2.5 * sigma)))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    padded = sum(tap * padded[:, i : i + height] for i, tap in enumerate(taps))
    return sum(tap * padded[..., i : i + width] for i, tap in enumerate(taps))
