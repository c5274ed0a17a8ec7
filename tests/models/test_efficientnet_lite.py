"""EfficientNet-Lite as a backbone: sizes, output strides, precision, and what it computes again."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.models import DeepLabV2, initial_variables
from msl_jax.models.backbones import efficientnet_lite
from msl_jax.models.backbones.efficientnet_lite import (
    LITE,
    EfficientNetLite,
    stages,
    with_output_stride,
)
from msl_jax.models.layers import resize_align_corners


@pytest.fixture(autouse=True)
def _thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 9: one block a stage, of a quarter of the channels."""
    monkeypatch.setitem(efficientnet_lite.SCALING, 9, (0.25, 0.2))


class Thin(EfficientNetLite):
    version = 9


def _features(output_stride: int, size: tuple[int, int], **fields: Any) -> list[np.ndarray]:
    network = Thin(output_stride=output_stride, param_dtype=jnp.float64, **fields)
    images = np.random.default_rng(0).normal(size=(1, *size, 3))
    apply = jax.jit(functools.partial(network.apply, use_running_average=True))
    return [np.asarray(features) for features in apply(_variables(network), images)]


def _variables(network: Thin) -> Any:
    """The backbone's part of a network's."""
    drawn = initial_variables(DeepLabV2(2, network), 0)
    return {kind: tree["backbone"] for kind, tree in drawn.items()}


def test_blocks_of_the_published_networks() -> None:
    published = [(b.features, b.size, b.stride, b.expansion) for s in stages(0) for b in s]
    assert len(published) == 16
    assert published[0] == (16, 3, 1, 1)
    assert published[3:5] == [(40, 5, 2, 6), (40, 5, 1, 6)]
    assert published[-1] == (320, 3, 1, 6)
    assert [b.features for s in stages(9) for b in s] == [8, 8, 16, 24, 32, 48, 80]


@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations"),
    [
        (32, [1, 2, 2, 2, 1, 2, 1], [1] * 7),
        # The block that keeps the size still sees the pixels of the size before.
        (16, [1, 2, 2, 2, 1, 1, 1], [1, 1, 1, 1, 1, 1, 2]),
        (8, [1, 2, 2, 1, 1, 1, 1], [1, 1, 1, 1, 2, 2, 4]),
    ],
)
def test_strides_become_dilations(output_stride, strides, dilations) -> None:
    blocks = [b for s in with_output_stride(stages(9), output_stride) for b in s]
    assert [b.stride for b in blocks] == strides
    assert [b.dilation for b in blocks] == dilations


@pytest.mark.parametrize("size", [(64, 96), (65, 33), (70, 47)])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_published_features_are_among_the_dense_ones(
    x64, output_stride: int, size: tuple[int, int]
) -> None:
    """At every place of the published network, the dilated one computes the same."""
    _, published = _features(32, size)
    low, dense = _features(output_stride, size)
    assert low.shape[1:3] == dense.shape[1:3] == tuple(-(-s // output_stride) for s in size)
    for axis in (1, 2):
        # Windows of stride 2 are centred on the odd places of an even size, and on the even ones.
        step = 32 // output_stride
        while step > 1:
            first = 1 - dense.shape[axis] % 2
            dense = np.take(dense, np.arange(first, dense.shape[axis], 2), axis)
            step //= 2
    assert published.std() > 0.1 * np.abs(published).max()
    np.testing.assert_allclose(dense, published, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 96), (70, 47)])
def test_joined_features_are_the_published_ones(x64, size: tuple[int, int]) -> None:
    """Side by side, the coarser ones resized; what comes first is untouched."""
    half, published = _features(32, size)
    low, high = _features(8, size, joined=True)
    fine = tuple(-(-s // 8) for s in size)
    assert (low.shape[1:], high.shape[1:]) == ((*fine, 16 + 32), (*fine, 16 + 32 + 80))
    np.testing.assert_array_equal(low, high[..., :48])
    for found, wanted in ((low[..., 16:], half), (high[..., 48:], published)):
        resized = resize_align_corners(jnp.asarray(wanted), fine)
        np.testing.assert_allclose(found, resized, rtol=1e-12, atol=1e-12)
    # The finest come from the same block as where nothing dilates yet.
    stage = _features(16, size, joined=True)
    np.testing.assert_array_equal(stage[0], half)
    assert stage[1].shape[-1] == 32 + 80
    for found, wanted in zip(_features(32, size, joined=True), (half, published), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_classifier_features(x64) -> None:
    low, high = _features(32, (64, 64), classifier_features=True)
    assert low.shape == (1, 4, 4, 32)
    assert high.shape == (1, 2, 2, 1280)
    assert 0 <= float(high.min()) < float(high.max()) <= 6


def test_rematerialised_gradients_are_the_same(x64) -> None:
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))

    def gradients(rematerialize: bool) -> Any:
        network = Thin(rematerialize=rematerialize, param_dtype=jnp.float64)
        variables = _variables(network)

        def loss(params: Any) -> Any:
            (low, high), new = network.apply(
                {**variables, "params": params},
                images,
                use_running_average=False,
                mutable=["batch_stats"],
            )
            return jnp.square(low).sum() + jnp.square(high).sum(), new

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

    plain, again = gradients(False), gradients(True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), plain, again)


def test_input_convention() -> None:
    found = LITE.prepare(jnp.asarray([[[[0, 127, 255]]]], jnp.uint8))
    np.testing.assert_array_equal(found, [[[[-127 / 128, 0, 1]]]])
