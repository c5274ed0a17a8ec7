"""Look of the demo domains: one number per part of the gap, and the palettes of the materials.

`SOURCE` is a clean rendered picture, `TARGET` a camera at dusk. The gap is more than a change of
each channel's mean and contrast, which batch norm statistics alone would undo: light varies within
a picture, and classes change their own colours and textures. All strengths are in [0, 1] unless
stated otherwise, and 0 switches that part off. `shading` turns them into pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msl_jax.data.demo.canvas import Material


@dataclass(frozen=True)
class Style:
    """Strength of every part of a look. Pairs are ranges to draw from for each image.

    Attributes:
        foliage: share of the second palette in leaves (autumn).
        sky: the same for the sky (overcast, as grey as houses).
        walls: the same for house walls, roofs and windows (brick, soot).
        ground: the same for road and sidewalk (dark, dirty).
        things: the same for cars, clothes, bicycles, poles and signs (muted).
        lit_windows: share of windows with light behind them.
        wet: strength of reflections on the ground.
        texture: amplitude of all textures.
        texture_scale: factor on the spatial frequency of all textures.
        masonry: strength of joints on walls and sidewalks.
        exposure: brightness of daylight, 1 = nominal.
        sky_exposure: the same for the sky, which a camera sees brighter than the street at dusk.
        sun: difference of light between the directions surfaces face.
        shadow: darkness of shadows under things.
        unevenness: amplitude of slow changes of light across the picture.
        lamps: strength of warm pools of light below street lamps and before the headlights.
        vignette: loss of light in the corners.
        cast: largest change of a colour channel's gain.
        saturation: range of the colours' strength, 1 = nominal.
        contrast: range of the contrast around mid grey, 1 = nominal.
        haze: range of the extinction of air in 1/km.
        veil: grey added everywhere (flare).
        blur: standard deviation in pixels for 96 rows.
        noise: standard deviation of sensor noise at full light, in [0, 1] grey values.
    """

    foliage: float
    sky: float
    walls: float
    ground: float
    things: float
    lit_windows: float
    wet: float
    texture: float
    texture_scale: float
    masonry: float
    exposure: tuple[float, float]
    sky_exposure: tuple[float, float]
    sun: float
    shadow: float
    unevenness: float
    lamps: float
    vignette: float
    cast: float
    saturation: tuple[float, float]
    contrast: tuple[float, float]
    haze: tuple[float, float]
    veil: float
    blur: float
    noise: float


SOURCE = Style(
    foliage=0.0,
    sky=0.0,
    walls=0.0,
    ground=0.0,
    things=0.0,
    lit_windows=0.0,
    wet=0.0,
    texture=0.5,
    texture_scale=1.0,
    masonry=0.3,
    exposure=(0.85, 1.1),
    sky_exposure=(0.95, 1.05),
    sun=0.5,
    shadow=0.55,
    unevenness=0.0,
    lamps=0.0,
    vignette=0.0,
    cast=0.03,
    saturation=(0.85, 1.15),
    contrast=(0.95, 1.05),
    haze=(0.0, 4.0),
    veil=0.0,
    blur=0.0,
    noise=0.008,
)

TARGET = Style(
    foliage=0.55,
    sky=0.7,
    walls=0.6,
    ground=0.6,
    things=0.35,
    lit_windows=0.2,
    wet=0.5,
    texture=0.9,
    texture_scale=1.5,
    masonry=0.8,
    exposure=(0.7, 1.0),
    sky_exposure=(0.85, 1.1),
    sun=0.15,
    shadow=0.4,
    unevenness=0.5,
    lamps=0.7,
    vignette=0.3,
    cast=0.1,
    saturation=(0.65, 1.0),
    contrast=(0.85, 1.0),
    haze=(3.0, 9.0),
    veil=0.05,
    blur=0.6,
    noise=0.02,
)

STYLES = {"source": SOURCE, "target": TARGET}


def _palette(text: str) -> np.ndarray:
    """Colours `[n, 3]` in [0, 1] from hexadecimal words."""
    values = [int(word[i : i + 2], 16) for word in text.split() for i in (0, 2, 4)]
    return np.asarray(values, np.float32).reshape(-1, 3) / np.float32(255)


# Sky colours come in pairs, zenith and horizon; sign colours in the order of `traffic_sign`'s
# forms.
_CLOTHES = "b02a30 27408b 2e7d4f e0c23c 1f2226 e8e4dc 7a5c8e c46a2b 5f7f9f 6a6f73"
_PAINT = "b3202a 1f3f8f e9ebec 22252a 9da3a8 2f6f57 d0a52a 5a6470 7a2f3f 8fb0c8"
DAY = {
    Material.SKY: _palette("3f82d6 a9cdee 5a9ae0 cfe2f2 7fa9d0 dfe6ea 8a9db5 c9d0d6"),
    Material.ASPHALT: _palette("86888c 77797f 989694 8e8a84"),
    Material.MARKING: _palette("f0f0ec e6e2d0 f2d98a"),
    Material.PAVING: _palette("bdb6aa c9bfae acacb0 c4a798"),
    Material.CURB: _palette("d6d4ce c4c4c4"),
    Material.WALL: _palette(
        "dac8a6 c98f6b b5b9c0 e8dec8 a3684f 8fa3b5 d2d5d8 b9a58a 9a9388 dab6a2 a8b59a 83868c"
    ),
    Material.WINDOW: _palette("55738f 40566c 7f9db6 39424c"),
    Material.SHOP: _palette("b33b3b 2f7a5b 2f5a9a d8a530 5a3f6e 444a52 d9d4c8"),
    Material.TRIM: _palette("8d8376 e8e4da 6a4a38"),
    Material.ROOF: _palette("9a4a3a 6b6e75 7f5540"),
    Material.TRUNK: _palette("6b4a32 594638 7a6550"),
    Material.FOLIAGE: _palette("4f8f2f 6aa53a 3f7a35 80a84a 5c8a4f 7f8f3a"),
    Material.METAL: _palette("8c9196 5d6a63 4b4f55 a5a7a8"),
    Material.LAMP: _palette("e8e6da c8ccd0"),
    Material.SIGN_FACE: _palette("f4f4f4 f4f4f0 1f5fbf f2c21a c8202a 1f5fbf"),
    Material.SIGN_EDGE: _palette("cc2029 cc2029 f0f0f0 2a2a2a f0f0f0 f0f0f0"),
    Material.SIGN_MARK: _palette("222222 222222 f0f0f0 222222 f4f4f4 f4f4f4"),
    Material.SKIN: _palette("e6b896 c98e68 8a5a3c f0cbb0"),
    Material.HAIR: _palette("2a201a 5a3c22 a88448 8a8884"),
    Material.TOP: _palette(_CLOTHES),
    Material.TROUSERS: _palette("27344f 3a3d42 1f2226 6f675a 8a8f94 4a5f85"),
    Material.PAINT: _palette(_PAINT),
    Material.GLASS: _palette("2f3e4a 46586a"),
    Material.TYRE: _palette("1c1c1e 26262a"),
    Material.PLASTIC: _palette("2c2e31 3c3e42"),
    Material.HEADLIGHT: _palette("f2f0e2"),
    Material.TAILLIGHT: _palette("c4161c d8352a"),
    Material.PLATE: _palette("ececec c8c8c4"),
    Material.WHEEL: _palette("202022 2e2e30"),
    Material.FRAME: _palette("c02a30 2a5fc0 1f1f22 e8e8e8 2f8f5a e0a520"),
    Material.BONNET: _palette("3a3d42 8f9499 6a2a2e 2a3f6a"),
}
_MUTED_PAINT = "5a2a30 2a3350 a5a8aa 1c1e22 6f7378 33463f 80704a 3f464e 4a3038 66747f"
DUSK = {
    Material.SKY: _palette("8a929f b4b2ae 9a9ca2 c4b8a8 7d8797 a8a6a4 96908e beb0a6"),
    Material.ASPHALT: _palette("55565a 4a4c54 625e58 505a60"),
    Material.MARKING: _palette("b8b4a8 a8a69e b89f6a"),
    Material.PAVING: _palette("7d7a78 6d7078 8a7a6a 75706a"),
    Material.CURB: _palette("8f8d8a 7f8084"),
    Material.WALL: _palette(
        "8f5a44 a06248 7a736c 948a7a 6e5a4e 8a8d92 a08a74 7d5648 85807c 9a7a68 6d7068 90867e"
    ),
    Material.WINDOW: _palette("4a5058 2e343c 6a6c70 24282e"),
    Material.SHOP: _palette("703438 3a5a50 3a4a66 8f7a44 4a4050 3c4046 8f8c86"),
    Material.TRIM: _palette("6d665e a8a49c 52443c"),
    Material.ROOF: _palette("5f4038 4c4f55 544640"),
    Material.TRUNK: _palette("3f342c 3a3430 50463c"),
    Material.FOLIAGE: _palette("8a6a2a 9a5230 5f6030 a8893a 54603a 6a4a30"),
    Material.METAL: _palette("5f6468 454c4a 3a3e44 787a7c"),
    Material.LAMP: _palette("fff0c0 ffe0a0"),
}
for _material in (Material.TOP, Material.TROUSERS, Material.FRAME, Material.PAINT):
    DUSK[_material] = _palette(_MUTED_PAINT)

_GROUPS = {
    "sky": (Material.SKY,),
    "foliage": (Material.FOLIAGE, Material.TRUNK),
    "ground": (Material.ASPHALT, Material.MARKING, Material.PAVING, Material.CURB),
    "walls": (Material.WALL, Material.WINDOW, Material.SHOP, Material.TRIM, Material.ROOF),
}
GROUP = {
    **dict.fromkeys(Material, "things"),
    **{material: group for group, materials in _GROUPS.items() for material in materials},
}
