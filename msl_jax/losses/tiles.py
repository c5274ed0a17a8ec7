"""Sums over the pixels of up-sampled logits and their gradients, one small tile at a time.

Losses are computed from logits that are up-sampled to the size of the image, by a factor of eight
in both directions: at 1280x720 an array of all pixels and 19 classes takes 70 MB, and a loss and
its gradient, written array by array, move several such arrays through memory. Here no array of that
size exists. The image is cut into tiles; each is interpolated from its few source cells, its losses
are summed, and their gradient is added to the source cells before the next tile begins. Since the
gradient of a sum needs nothing beyond what the sum needs, one sweep computes both, and the backward
pass only scales.

Within a tile the classes come first, `[C, rows, columns]`: all arithmetic runs along pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from msl_jax.losses.arrays import at_least_float32
from msl_jax.models.layers import interpolation_matrix

# Elements of one head's tile. On the CPU a tile and what is computed from it stay in the cache of a
# core; at 1280x720 with 19 classes half as many take about a tenth more time, twice as many a third
# to nine tenths more. Elsewhere, where nothing has been measured yet, a tile is large so that few
# kernels are launched: at that size there are eight tiles.
CPU_TILE = 25_000
OTHER_TILE = 4_000_000

_WIDTH_UNIT = 64  # pixels; tiles are a multiple of it wide
_VECTOR = 16  # float32 in the widest vector register

# (heads `[C, T, U]`, pixel arrays `[T, U]`, image arrays without their batch axis) ->
# (losses `[T, U]`, flags `[..., T, U]`). Loss i has a gradient with respect to head i alone.
TileFunction = Callable[
    [tuple[Array, ...], tuple[Array, ...], tuple[Array, ...]],
    tuple[tuple[Array, ...], tuple[Array, ...]],
]


class Sums(NamedTuple):
    """The result of a sweep over all tiles.

    Attributes:
        losses: the sum of each loss over an image's pixels, `[B]`.
        counts: the number of an image's pixels with each flag, int32 `[B, ...]`.
    """

    losses: tuple[Array, ...]
    counts: tuple[Array, ...]


class _Cut(NamedTuple):
    """One axis cut into n tiles of T cells, each interpolated from P source cells.

    The last tiles overlap where T does not divide the axis, so that all are of one size.
    """

    starts: np.ndarray  # [n] first cell of each tile
    sources: np.ndarray  # [n] first source cell
    weights: np.ndarray  # [n, T, P] of the interpolation
    counted: np.ndarray  # [n, T] False for cells that an earlier tile has counted


def pixel_sums(
    function: TileFunction,
    heads: Sequence[Array],
    size: tuple[int, int],
    pixels: Sequence[Array] = (),
    images: Sequence[Array] = (),
) -> Sums:
    """Sums of losses of the pixels of logits that are up-sampled with aligned corners.

    Differentiable once, in reverse mode, with respect to the heads.

    Args:
        function: returns one loss for each head, and flags. It is traced for one tile; arrays that
            differ from call to call belong in `pixels` and `images`.
        heads: small logits `[B, h, w, C]`, all of one shape. Everything is computed in float32,
            or in float64 where they are.
        size: (H, W) of the image.
        pixels: arrays `[B, H, W]` that the function needs at each pixel.
        images: arrays `[B, ...]` that it needs for each image.

    Returns:
        The sums of each image.

    Raises:
        ValueError: heads of different shapes, or pixels of another shape than the image's.
    """
    return _pixel_sums(function, size, *_checked(heads, size, pixels), tuple(images))


def pixel_counts(function: TileFunction, head: Array, size: tuple[int, int]) -> tuple[Array, ...]:
    """The counts alone, for a function without losses; see `pixel_sums`. No gradient flows."""
    arrays = _checked((lax.stop_gradient(head),), size, ())
    return _by_platform(function, size, False, *arrays, ())[0].counts


def _checked(
    heads: Sequence[Array], size: tuple[int, int], pixels: Sequence[Array]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The heads as `[B, C, h, w]`, and the pixels."""
    shape = heads[0].shape
    if len(shape) != 4 or any(head.shape != shape for head in heads):
        raise ValueError(
            "The heads must agree in a shape [B, h, w, C]; found "
            f"{' and '.join(str(head.shape) for head in heads)}."
        )
    expected = (shape[0], *size)
    for array in pixels:
        if array.shape != expected:
            raise ValueError(
                f"One value is needed for each pixel of images {expected}; found {array.shape}."
            )
    return tuple(at_least_float32(head).transpose(0, 3, 1, 2) for head in heads), tuple(pixels)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _pixel_sums(
    function: TileFunction,
    size: tuple[int, int],
    heads: tuple[Array, ...],
    pixels: tuple[Array, ...],
    images: tuple[Array, ...],
) -> Sums:
    return _by_platform(function, size, False, heads, pixels, images)[0]


def _forward(function: TileFunction, size: tuple[int, int], *arrays: Any):
    return _by_platform(function, size, True, *arrays)


def _backward(
    function: TileFunction, size: tuple[int, int], gradients: tuple[Array, ...], cotangent: Sums
):
    scaled = tuple(
        gradient * scale[:, None, None, None]
        for gradient, scale in zip(gradients, cotangent.losses, strict=True)
    )
    return scaled, None, None


_pixel_sums.defvjp(_forward, _backward)


def _by_platform(
    function: TileFunction, size: tuple[int, int], with_gradient: bool, *arrays: Any
) -> tuple[Sums, tuple[Array, ...]]:
    def sweep(tile: int) -> Callable[..., tuple[Sums, tuple[Array, ...]]]:
        return functools.partial(_sweep, function, size, with_gradient, tile)

    def swept(*arrays: Any) -> tuple[Sums, tuple[Array, ...]]:
        return lax.platform_dependent(*arrays, cpu=sweep(CPU_TILE), default=sweep(OTHER_TILE))

    return _on_shards(swept, *arrays)


def _on_shards(
    swept: Callable[..., tuple[Sums, tuple[Array, ...]]], heads: tuple[Array, ...], *others: Any
) -> tuple[Sums, tuple[Array, ...]]:
    """The sweep, where a mesh has explicit axes on each device's images alone.

    Raises:
        ValueError: the heads are sharded along other axes than the batch, or not alike.
    """
    shardings = [jax.typeof(head).sharding for head in heads]
    spec, mesh = shardings[0].spec, shardings[0].mesh
    if any(spec[1:]) or any(sharding.spec != spec for sharding in shardings):
        raise ValueError(
            "The heads [B, h, w, C] may be sharded along the batch alone, and all of them alike;"
            f" found {' and '.join(f'[B, C, h, w] {sharding.spec}' for sharding in shardings)}."
            " jax.sharding.reshard changes it."
        )
    if not any(spec):
        return swept(heads, *others)
    images = jax.sharding.PartitionSpec(spec[0])
    arrays = jax.sharding.reshard((heads, *others), images)
    return jax.shard_map(swept, mesh=mesh, in_specs=images, out_specs=images)(*arrays)


def _sweep(
    function: TileFunction,
    size: tuple[int, int],
    with_gradient: bool,
    tile: int,
    heads: tuple[Array, ...],
    pixels: tuple[Array, ...],
    images: tuple[Array, ...],
) -> tuple[Sums, tuple[Array, ...]]:
    """The sums, and the gradient of each loss with respect to its head `[B, C, h, w]`."""
    batch, num_classes, h, w = heads[0].shape
    dtype = heads[0].dtype
    rows, columns = _cut_image((h, w), size, tile / num_classes)
    tiles_per_image = len(rows.starts) * len(columns.starts)
    row_table, column_table = (
        jax.tree.map(jnp.asarray, cut._replace(weights=cut.weights.astype(dtype)))
        for cut in (rows, columns)
    )

    def one_tile(gradients: tuple[Array, ...], index: Array):
        image, place = jnp.divmod(index, tiles_per_image)
        row, column = (
            jax.tree.map(lambda table, at=at: lax.dynamic_index_in_dim(table, at, 0, False), cut)
            for cut, at in zip(
                (row_table, column_table), jnp.divmod(place, len(columns.starts)), strict=True
            )
        )
        corner = (image, jnp.zeros_like(image), row.sources, column.sources)
        patch_shape = (1, num_classes, row.weights.shape[1], column.weights.shape[1])
        tile_shape = (1, row.weights.shape[0], column.weights.shape[0])
        patches = tuple(lax.dynamic_slice(head, corner, patch_shape)[0] for head in heads)
        tile_pixels = tuple(
            lax.dynamic_slice(array, (image, row.starts, column.starts), tile_shape)[0]
            for array in pixels
        )
        tile_images = tuple(lax.dynamic_index_in_dim(array, image, 0, False) for array in images)
        counted = row.counted[:, None] & column.counted[None]

        def sums(patches: tuple[Array, ...]):
            upsampled = tuple(_upsample(patch, row.weights, column.weights) for patch in patches)
            losses, flags = function(upsampled, tile_pixels, tile_images)
            totals = tuple(jnp.sum(jnp.where(counted, loss, 0)) for loss in losses)
            counts = tuple(
                jnp.sum(flag & lax.broadcast(counted, flag.shape[:-2]), (-2, -1), dtype=jnp.int32)
                for flag in flags
            )
            return sum(totals, start=jnp.zeros((), dtype)), Sums(totals, counts)

        if not with_gradient:
            return gradients, sums(patches)[1]
        (_, tile_sums), patch_gradients = jax.value_and_grad(sums, has_aux=True)(patches)
        gradients = tuple(
            lax.dynamic_update_slice(
                gradient, lax.dynamic_slice(gradient, corner, patch_shape) + patch[None], corner
            )
            for gradient, patch in zip(gradients, patch_gradients, strict=True)
        )
        return gradients, tile_sums

    start = tuple(jnp.zeros_like(head) for head in heads) if with_gradient else ()
    indices = jnp.arange(batch * tiles_per_image, dtype=jnp.int32)
    gradients, tiles = lax.scan(one_tile, start, indices)
    per_image = jax.tree.map(
        lambda x: jnp.sum(x.reshape(batch, tiles_per_image, *x.shape[1:]), axis=1, dtype=x.dtype),
        tiles,
    )
    return per_image, gradients


def _upsample(patch: Array, row_weights: Array, column_weights: Array) -> Array:
    """`[C, P, Q]` -> `[C, T, U]`, exact as in `msl_jax.models.resize_align_corners`."""
    exact = lax.Precision.HIGHEST
    rows = jnp.einsum("cpq,tp->ctq", patch, row_weights, precision=exact)
    return jnp.einsum("ctq,uq->ctu", rows, column_weights, precision=exact)


def _cut_image(
    source: tuple[int, int], target: tuple[int, int], pixels: float
) -> tuple[_Cut, _Cut]:
    """Cuts rows and columns into tiles of about that many pixels, four times as wide as high."""
    # Whole vectors in every row: with 46 columns instead of 64 it takes twice as long.
    units = max(1, round(math.sqrt(4 * pixels) / _WIDTH_UNIT))
    width = min(units * _WIDTH_UNIT, target[1])
    height = max(1, int(pixels / width))
    return _cut(source[0], target[0], height), _cut(source[1], target[1], width, unit=_VECTOR)


def _cut(source: int, target: int, longest: int, unit: int = 1) -> _Cut:
    """Cuts an axis of `target` cells, interpolated from `source`, into tiles of equal length.

    Args:
        source: cells of the small axis.
        target: cells of the axis.
        longest: length that no tile exceeds.
        unit: the length is a multiple of it, unless the axis is shorter; divides `longest`.
    """
    count = math.ceil(target / longest)
    length = min(math.ceil(target / count / unit) * unit, target)
    first = np.arange(count) * length
    starts = np.minimum(first, target - length)
    cells = starts[:, None] + np.arange(length)
    weights = interpolation_matrix(source, target)[cells]  # [n, T, source]: few are not 0
    used: np.ndarray = np.any(weights, axis=1)
    begin, end = used.argmax(axis=1), source - used[:, ::-1].argmax(axis=1)
    patch = int((end - begin).max())
    sources = np.minimum(begin, source - patch)
    patches = sources[:, None] + np.arange(patch)
    return _Cut(
        starts=starts.astype(np.int32),
        sources=sources.astype(np.int32),
        weights=np.take_along_axis(weights, patches[:, None], axis=2),
        counted=np.greater_equal(cells, first[:, None]),
    )
