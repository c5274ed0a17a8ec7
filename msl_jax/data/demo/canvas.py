"""Drawing surface of the demo scenes: what every pixel shows, before any light or colour.

The demo images are made in two passes. The first (`scene`, `objects`) paints, from far to near,
which surface a pixel shows and where on it; the second (`shading`) turns that into
colours. Labels come out of the first pass alone, so both domains share them by construction.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np

from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import IGNORE

SKY_DEPTH = 1000.0  # metres; far enough to lie behind everything


class Facing(enum.IntEnum):
    """Which way a surface looks; decides how much sun it gets."""

    UP = 0
    FRONT = 1
    RIGHT = 2  # stands left of the camera, looks right
    LEFT = 3


class Material(enum.IntEnum):
    """What a surface is made of; `CLASS_OF` gives its class."""

    SKY = 0
    ASPHALT = 1
    MARKING = 2
    PAVING = 3
    CURB = 4
    WALL = 5
    WINDOW = 6
    SHOP = 7
    TRIM = 8
    ROOF = 9
    TRUNK = 10
    FOLIAGE = 11
    METAL = 12
    LAMP = 13
    SIGN_FACE = 14
    SIGN_EDGE = 15
    SIGN_MARK = 16
    SKIN = 17
    HAIR = 18
    TOP = 19
    TROUSERS = 20
    PAINT = 21
    GLASS = 22
    TYRE = 23
    PLASTIC = 24
    HEADLIGHT = 25
    TAILLIGHT = 26
    PLATE = 27
    WHEEL = 28
    FRAME = 29
    BONNET = 30


_MATERIALS_OF_CLASS = {
    "road": (Material.ASPHALT, Material.MARKING),
    "sidewalk": (Material.PAVING, Material.CURB),
    "building": (Material.WALL, Material.WINDOW, Material.SHOP, Material.TRIM, Material.ROOF),
    "pole": (Material.METAL, Material.LAMP),
    "traffic sign": (Material.SIGN_FACE, Material.SIGN_EDGE, Material.SIGN_MARK),
    "vegetation": (Material.TRUNK, Material.FOLIAGE),
    "sky": (Material.SKY,),
    "person": (Material.SKIN, Material.HAIR, Material.TOP, Material.TROUSERS),
    "car": (
        Material.PAINT,
        Material.GLASS,
        Material.TYRE,
        Material.PLASTIC,
        Material.HEADLIGHT,
        Material.TAILLIGHT,
        Material.PLATE,
    ),
    "bicycle": (Material.WHEEL, Material.FRAME),
}


def _class_table() -> np.ndarray:
    """Returns the train id of each material, uint8 `[len(Material)]`; the ego car is ignored."""
    table = np.full(len(Material), IGNORE, np.uint8)
    for train_id, name in enumerate(LABEL_SETS["demo"].names):
        table[list(_MATERIALS_OF_CLASS[name])] = train_id
    return table


CLASS_OF = _class_table()


class Surface(NamedTuple):
    """One painted thing: its material, its direction and three numbers in [0, 1) for its colour."""

    material: Material
    facing: Facing
    tint: tuple[float, float, float]


class Camera(NamedTuple):
    """Pinhole camera over a flat ground, looking along +z; metres in the world, pixels here.

    `x` is the camera's offset from the middle of the road, `y` its height; `horizon` and `center`
    are the row and the column of the vanishing point.
    """

    height: int
    width: int
    focal: float
    horizon: float
    center: float
    x: float
    y: float

    def column(self, x: float, z: float) -> float:
        """Column of the point at lateral position x and depth z."""
        return self.center + self.focal * (x - self.x) / z

    def row(self, y: float, z: float) -> float:
        """Row of the point at height y and depth z."""
        return self.horizon - self.focal * (y - self.y) / z


class Patch(NamedTuple):
    """A rectangle of pixels seen as part of a plane: surface coordinates u, v and depth z.

    `u` is `[1, w]`, `v` is `[h, 1]` or `[h, w]` (metres above ground), `z` a float or `[1, w]`.
    """

    box: tuple[slice, slice]
    u: np.ndarray
    v: np.ndarray
    z: np.ndarray | float
    facing: Facing


class Canvas:
    """Per-pixel record of the first pass, all arrays `[H, W]`.

    surface: int16 index into `surfaces`; label: uint8 train id; u, v: float32 surface coordinates
    in metres (for the sky: image heights); depth: float32 metres; detail: float32 in [0, 1], a
    number per window; shadow: float32, 1 where nothing blocks the light from above.
    """

    def __init__(self, camera: Camera, tile: np.ndarray):
        """Starts with an empty sky; `tile` is noise for `noise.tile_noise`."""
        height, width = camera.height, camera.width
        self.camera = camera
        self.tile = tile
        self.surfaces = [Surface(Material.SKY, Facing.FRONT, (0.5, 0.5, 0.5))]
        self.lamps: list[tuple[float, float, float]] = []
        self.surface = np.zeros((height, width), np.int16)
        self.label = np.full((height, width), CLASS_OF[Material.SKY], np.uint8)
        self.rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
        self.columns = np.arange(width, dtype=np.float32)[None, :] + 0.5
        self.u = np.broadcast_to(self.columns / height, (height, width)).copy()
        self.v = np.broadcast_to(self.rows / height, (height, width)).copy()
        self.depth = np.full((height, width), SKY_DEPTH, np.float32)
        self.detail = np.zeros((height, width), np.float32)
        self.shadow = np.ones((height, width), np.float32)

    def add(self, material: Material, facing: Facing, tint: tuple[float, float, float]) -> int:
        """Registers a surface and returns its index."""
        self.surfaces.append(Surface(material, facing, tint))
        return len(self.surfaces) - 1

    def facing_patch(self, x0: float, x1: float, y0: float, y1: float, z: float) -> Patch | None:
        """Pixels of the upright rectangle x0..x1, y0..y1 at depth z; u is x. None outside."""
        camera = self.camera
        box = self._box(
            camera.row(y1, z), camera.row(y0, z), camera.column(x0, z), camera.column(x1, z)
        )
        if box is None:
            return None
        scale = z / camera.focal
        u = (self.columns[:, box[1]] - camera.center) * scale + camera.x
        v = camera.y - (self.rows[box[0]] - camera.horizon) * scale
        return Patch(box, u, v, z, Facing.FRONT)

    def side_patch(self, x: float, z0: float, z1: float, y1: float) -> Patch | None:
        """Pixels that see the upright plane at x between depths z0 < z1; u is z. None outside."""
        camera = self.camera
        offset = x - camera.x
        if abs(offset) < 0.05:
            return None
        columns = sorted((camera.column(x, z0), camera.column(x, z1)))
        box = self._box(camera.row(y1, z0), camera.row(0.0, z0), *columns)
        if box is None:
            return None
        direction = (self.columns[:, box[1]] - camera.center) / camera.focal
        # Rays that leave the camera on the other side never meet the plane.
        z = np.clip(offset / np.where(direction * offset > 0, direction, offset * 1e-6), z0, z1)
        v = camera.y - (self.rows[box[0]] - camera.horizon) * (z / camera.focal)
        return Patch(box, z, v, z, Facing.RIGHT if offset < 0 else Facing.LEFT)

    def _box(self, top: float, bottom: float, left: float, right: float):
        rows = slice(max(int(top), 0), min(int(bottom) + 1, self.camera.height))
        columns = slice(max(int(left), 0), min(int(right) + 1, self.camera.width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return rows, columns

    def put(
        self,
        patch: Patch,
        parts: np.ndarray,
        surfaces: list[int],
        detail: np.ndarray | None = None,
    ) -> None:
        """Paints a patch: `parts` int8 `[h, w]` indexes `surfaces`; -1 leaves a pixel as it is."""
        where = parts >= 0
        index = np.asarray(surfaces, np.int16).take(parts, mode="clip")
        classes = CLASS_OF[[self.surfaces[s].material for s in surfaces]]
        box = patch.box
        np.copyto(self.surface[box], index, where=where)
        np.copyto(self.label[box], classes.take(parts, mode="clip"), where=where)
        np.copyto(self.u[box], patch.u, where=where)
        np.copyto(self.v[box], patch.v, where=where)
        np.copyto(self.depth[box], patch.z, where=where)
        np.copyto(self.shadow[box], np.float32(1.0), where=where)
        if detail is not None:
            np.copyto(self.detail[box], detail, where=where)

    def put_label(self, patch: Patch, mask: np.ndarray, material: Material) -> None:
        """Labels pixels without painting them: things one looks through, such as spokes."""
        np.copyto(self.label[patch.box], CLASS_OF[material], where=mask)

    def put_shadow(self, x: float, z: float, half_width: float, half_depth: float) -> None:
        """Darkens the ground (surface coordinates x, z) around a foot point."""
        camera = self.camera
        near, far = max(z - half_depth, 1.5), z + half_depth
        box = self._box(
            camera.row(0.0, far),
            camera.row(0.0, near),
            camera.column(x - half_width, near),
            camera.column(x + half_width, near),
        )
        if box is None:
            return
        distance = ((self.u[box] - x) / half_width) ** 2 + ((self.v[box] - z) / half_depth) ** 2
        label = self.label[box]
        on_ground = (label == CLASS_OF[Material.ASPHALT]) | (label == CLASS_OF[Material.PAVING])
        self.shadow[box] *= np.where(on_ground, np.clip(distance, 0.0, 1.0), 1.0)
