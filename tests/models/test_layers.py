"""The layers against loops in NumPy, and against PyTorch where it is installed."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.models import layers
from msl_jax.models.layers import (
    BatchNorm,
    Conv,
    conv2d,
    default_lowering,
    max_pool_ceil,
    resize_align_corners,
)

# Name: shape of x, (size of the kernel, channels out), stride, dilation, padding.
CONVOLUTIONS = {
    "3x3": ((2, 6, 7, 3), (3, 4), 1, 1, 1),
    "3x3 stride 2, odd": ((1, 7, 9, 3), (3, 4), 2, 1, 1),
    "3x3 stride 2, even": ((1, 6, 8, 3), (3, 4), 2, 1, 1),
    "3x3 dilation 2": ((1, 7, 8, 3), (3, 4), 1, 2, 2),
    "3x3 dilation over the edge": ((1, 4, 5, 3), (3, 4), 1, 4, 4),
    "3x3 no padding": ((1, 6, 7, 3), (3, 4), 1, 2, 0),
    "7x7 stem": ((1, 11, 14, 3), (7, 4), 2, 1, 3),
    "1x1": ((2, 5, 4, 6), (1, 3), 1, 1, 0),
    "1x1 stride 2, odd": ((2, 5, 7, 6), (1, 3), 2, 1, 0),
    "1x1 stride 2, even": ((2, 6, 4, 6), (1, 3), 2, 1, 0),
    "classifier": ((2, 6, 7, 16), (3, 2), 1, 2, 2),
    "classifier over the edge": ((1, 4, 5, 16), (3, 2), 1, 6, 6),
    "classifier no padding": ((1, 6, 8, 16), (3, 2), 1, 2, 0),
}
each_convolution = pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
each_lowering = pytest.mark.parametrize("lowering", ["native", "products"])

POOLED_SIZES = [(1, 1), (2, 3), (4, 5), (5, 4), (6, 9), (8, 7)]

# (size before, size after): up, down, both, one pixel on either side, unchanged.
RESIZES = [
    ((3, 4), (7, 10)),
    ((7, 9), (3, 4)),
    ((5, 3), (2, 8)),
    ((1, 1), (4, 5)),
    ((1, 3), (2, 1)),
    ((5, 6), (1, 1)),
    ((4, 5), (4, 9)),
    ((4, 5), (4, 5)),
]


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _convolution_arrays(rng, case) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    shape, (size, features), stride, dilation, padding = case
    x = rng.normal(size=shape)
    kernel = rng.normal(size=(size, size, shape[-1], features))
    return x, kernel, {"stride": stride, "dilation": dilation, "padding": padding}


def _conv2d_loops(x, kernel, stride, dilation, padding) -> np.ndarray:
    size = kernel.shape[0]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    reach = dilation * (size - 1)
    height = (padded.shape[1] - reach - 1) // stride + 1
    width = (padded.shape[2] - reach - 1) // stride + 1
    result = np.zeros((x.shape[0], height, width, kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            for u in range(size):
                for v in range(size):
                    cell = padded[:, i * stride + u * dilation, j * stride + v * dilation]
                    result[:, i, j] += cell @ kernel[u, v]
    return result


def _max_pool_loops(x: np.ndarray, size=3, stride=2, padding=1) -> np.ndarray:
    def starts(length: int) -> list[int]:
        count = math.ceil((length + 2 * padding - size) / stride) + 1
        # A window must start in the image or in the near padding.
        return [s - padding for s in range(0, count * stride, stride) if s < length + padding]

    rows, columns = starts(x.shape[1]), starts(x.shape[2])
    result = np.empty((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            window = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
            result[:, i, j] = window.max((1, 2))
    return result


def _resize_loops(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    def place(index: int, source: int, target: int) -> tuple[int, int, float]:
        position = index * (source - 1) / (target - 1) if target > 1 else 0.0
        low = min(int(position), source - 1)
        return low, min(low + 1, source - 1), position - low

    result = np.empty((x.shape[0], *size, x.shape[3]))
    for i in range(size[0]):
        top, bottom, down = place(i, x.shape[1], size[0])
        for j in range(size[1]):
            left, right, across = place(j, x.shape[2], size[1])
            upper = (1 - across) * x[:, top, left] + across * x[:, top, right]
            lower = (1 - across) * x[:, bottom, left] + across * x[:, bottom, right]
            result[:, i, j] = (1 - down) * upper + down * lower
    return result


class TestConv2d:
    @each_lowering
    @each_convolution
    def test_matches_loops(self, x64, rng, case, lowering):
        x, kernel, options = _convolution_arrays(rng, case)
        found = conv2d(jnp.asarray(x), jnp.asarray(kernel), **options, lowering=lowering)
        np.testing.assert_allclose(found, _conv2d_loops(x, kernel, **options), atol=1e-12)

    @each_convolution
    def test_gradients_of_both_lowerings_agree(self, x64, rng, case):
        x, kernel, options = _convolution_arrays(rng, case)
        weights = rng.normal(size=_conv2d_loops(x, kernel, **options).shape)

        def gradients(lowering):
            def loss(x, kernel):
                return (weights * conv2d(x, kernel, **options, lowering=lowering)).sum()

            return jax.jit(jax.grad(loss, (0, 1)))(x, kernel)

        for native, products in zip(gradients("native"), gradients("products"), strict=True):
            assert np.abs(native).max() > 0
            np.testing.assert_allclose(products, native, atol=1e-12)

    @pytest.mark.parametrize(
        ("name", "is_product"), [("1x1 stride 2, odd", True), ("classifier", True), ("3x3", False)]
    )
    def test_products_only_where_they_win(self, rng, name, is_product):
        x, kernel, options = _convolution_arrays(rng, CONVOLUTIONS[name])

        def operations(lowering):
            function = jax.make_jaxpr(lambda x, k: conv2d(x, k, **options, lowering=lowering))
            return str(function(x.astype(np.float32), kernel.astype(np.float32)))

        assert ("conv_general_dilated" not in operations("products")) == is_product
        assert "conv_general_dilated" in operations("native")

    def test_platform_decides_by_default(self, monkeypatch):
        assert default_lowering() == "products"
        monkeypatch.setattr(layers.jax, "default_backend", lambda: "gpu")
        assert default_lowering() == "native"


class TestConv:
    @pytest.mark.parametrize(("size", "dilation"), [(1, 1), (3, 1), (3, 5), (7, 1)])
    def test_keeps_the_size(self, size, dilation):
        layer = Conv(4, size=size, dilation=dilation)
        shape = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.zeros((1, 5, 6, 3)))
        assert shape[0].shape == (1, 5, 6, 4)
        assert shape[1]["params"]["kernel"].shape == (size, size, 3, 4)

    def test_adds_its_bias(self, rng):
        x = rng.normal(size=(1, 2, 3, 2)).astype(np.float32)
        kernel, bias = np.eye(2, dtype=np.float32)[None, None], np.array([1.0, -2.0], np.float32)
        found = Conv(2, use_bias=True).apply({"params": {"kernel": kernel, "bias": bias}}, x)
        np.testing.assert_allclose(found, x + bias, rtol=1e-6)

    def test_computes_in_the_input_dtype(self):
        layer, x = Conv(4, size=3, use_bias=True), jnp.ones((1, 4, 4, 2), jnp.bfloat16)
        result, variables = layer.init_with_output(jax.random.key(0), x)
        assert result.dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


class TestBatchNorm:
    @pytest.fixture
    def variables(self, rng):
        mean, var, scale, bias = rng.uniform(0.5, 2, (4, 5))
        return {
            "params": {"scale": scale, "bias": bias},
            "batch_stats": {"mean": mean, "var": var},
        }

    @pytest.fixture
    def x(self, rng) -> np.ndarray:
        return rng.normal(7, 3, (2, 3, 4, 5))

    def test_training(self, x64, x, variables):
        found, updates = BatchNorm(param_dtype=jnp.float64).apply(
            variables, jnp.asarray(x), use_running_average=False, mutable=["batch_stats"]
        )
        params, old = variables["params"], variables["batch_stats"]
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        expected = (x - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        new = updates["batch_stats"]
        np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * mean, rtol=1e-12)
        unbiased = x.var((0, 1, 2), ddof=1)  # over the 24 places
        np.testing.assert_allclose(new["var"], 0.9 * old["var"] + 0.1 * unbiased, rtol=1e-12)

    def test_evaluation(self, x64, x, variables):
        found, updates = BatchNorm(param_dtype=jnp.float64).apply(
            variables, jnp.asarray(x), use_running_average=True, mutable=["batch_stats"]
        )
        params, old = variables["params"], variables["batch_stats"]
        expected = (x - old["mean"]) / np.sqrt(old["var"] + 1e-5) * params["scale"]
        np.testing.assert_allclose(found, expected + params["bias"], atol=1e-12)
        for name, value in updates.get("batch_stats", {}).items():
            np.testing.assert_array_equal(value, old[name])

    def test_initial_statistics_do_not_depend_on_the_images(self, x):
        stats = BatchNorm().init(
            jax.random.key(0), jnp.asarray(x, jnp.float32), use_running_average=False
        )["batch_stats"]
        np.testing.assert_array_equal(stats["mean"], np.zeros(5))
        np.testing.assert_array_equal(stats["var"], np.ones(5))

    def test_bfloat16_statistics_in_float32(self, rng):
        x = jnp.asarray(rng.normal(20, 1, (2, 32, 32, 3)), jnp.bfloat16)
        module = BatchNorm(momentum=0.0)  # the running statistics are the batch's
        variables = module.init(jax.random.key(0), x, use_running_average=False)
        found, updates = module.apply(
            variables, x, use_running_average=False, mutable=["batch_stats"]
        )
        assert found.dtype == jnp.bfloat16
        exact = np.asarray(x, np.float64)
        new = updates["batch_stats"]
        assert new["mean"].dtype == new["var"].dtype == jnp.float32
        np.testing.assert_allclose(new["mean"], exact.mean((0, 1, 2)), rtol=1e-5)
        np.testing.assert_allclose(new["var"], exact.var((0, 1, 2), ddof=1), rtol=1e-4)

    def test_single_place_is_finite(self):
        module, x = BatchNorm(), jnp.full((1, 1, 1, 2), 3.0)
        variables = module.init(jax.random.key(0), x, use_running_average=False)
        found, updates = module.apply(
            variables, x, use_running_average=False, mutable=["batch_stats"]
        )
        np.testing.assert_allclose(found, 0, atol=1e-5)
        np.testing.assert_allclose(updates["batch_stats"]["var"], 0.9, rtol=1e-6)


class TestMaxPoolCeil:
    @pytest.mark.parametrize("size", POOLED_SIZES)
    def test_matches_loops(self, rng, size):
        x = rng.normal(-5, 1, (2, *size, 3)).astype(np.float32)  # zero padding would show
        np.testing.assert_array_equal(max_pool_ceil(jnp.asarray(x)), _max_pool_loops(x))

    @pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 3, 1)])
    def test_other_windows(self, rng, size, stride, padding):
        x = rng.normal(-5, 1, (1, 7, 8, 2)).astype(np.float32)
        found = max_pool_ceil(jnp.asarray(x), size, stride, padding)
        np.testing.assert_array_equal(found, _max_pool_loops(x, size, stride, padding))

    @pytest.mark.parametrize(("length", "expected"), [(64, 33), (65, 33), (66, 34), (3, 2)])
    def test_size_is_rounded_up(self, length, expected):
        found = jax.eval_shape(max_pool_ceil, jnp.zeros((1, length, length, 1)))
        assert found.shape == (1, expected, expected, 1)

    def test_bfloat16(self):
        found = max_pool_ceil(jnp.full((1, 4, 4, 1), -2.0, jnp.bfloat16))
        assert found.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(found, np.float32), -2)


class TestResizeAlignCorners:
    @pytest.mark.parametrize(("before", "after"), RESIZES)
    def test_matches_loops(self, x64, rng, before, after):
        x = rng.normal(size=(2, *before, 3))
        found = resize_align_corners(jnp.asarray(x), after)
        np.testing.assert_allclose(found, _resize_loops(x, after), atol=1e-12)

    @pytest.mark.parametrize("after", [(7, 11), (2, 3), (65, 97)])
    def test_corners_are_exact(self, rng, after):
        x = rng.normal(size=(1, 5, 6, 2)).astype(np.float32)
        found = np.asarray(resize_align_corners(jnp.asarray(x), after))
        np.testing.assert_array_equal(found[:, :: after[0] - 1, :: after[1] - 1], x[:, ::4, ::5])

    def test_every_eighth_pixel_of_the_upsampled_logits_is_a_logit(self, rng):
        x = rng.normal(size=(1, 5, 7, 2)).astype(np.float32)
        found = np.asarray(resize_align_corners(jnp.asarray(x), (33, 49)))
        np.testing.assert_allclose(found[:, ::8, ::8], x, rtol=1e-6)

    def test_is_linear(self, rng):
        x, y = (jnp.asarray(a) for a in rng.normal(size=(2, 1, 4, 5, 2)).astype(np.float32))
        size = (9, 7)
        mixed = resize_align_corners(2 * x - 3 * y, size)
        parts = 2 * resize_align_corners(x, size) - 3 * resize_align_corners(y, size)
        np.testing.assert_allclose(mixed, parts, atol=1e-5)

    def test_keeps_the_dtype(self):
        found = resize_align_corners(jnp.ones((1, 2, 2, 1), jnp.bfloat16), (3, 5))
        assert found.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(found, np.float32), 1)


class TestAgainstPyTorch:
    """The same on PyTorch's own functions, in float64."""

    @pytest.fixture(autouse=True)
    def _precision(self, x64):
        self.torch = pytest.importorskip("torch")

    def _tensor(self, x: np.ndarray, *, gradient: bool = False):
        """`[B, H, W, C]` -> `[B, C, H, W]`, and `[kh, kw, C, K]` -> `[K, C, kh, kw]` alike."""
        return self.torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=gradient)

    @staticmethod
    def _array(tensor) -> np.ndarray:
        return tensor.detach().numpy().transpose(0, 2, 3, 1)

    @each_lowering
    @each_convolution
    def test_conv2d(self, rng, case, lowering):
        x, kernel, options = _convolution_arrays(rng, case)
        x_torch = self._tensor(x, gradient=True)
        kernel_torch = self.torch.tensor(kernel.transpose(3, 2, 0, 1), requires_grad=True)
        expected = self.torch.nn.functional.conv2d(x_torch, kernel_torch, **options)
        weights = rng.normal(size=self._array(expected).shape)
        (expected * self._tensor(weights)).sum().backward()

        def loss(x, kernel):
            y = conv2d(x, kernel, **options, lowering=lowering)
            return (y * weights).sum(), y

        (_, found), (dx, dkernel) = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(
            x, kernel
        )
        np.testing.assert_allclose(found, self._array(expected), atol=1e-12)
        np.testing.assert_allclose(dx, self._array(x_torch.grad), atol=1e-12)
        kernel_gradient = kernel_torch.grad.numpy().transpose(2, 3, 1, 0)
        np.testing.assert_allclose(dkernel, kernel_gradient, atol=1e-12)

    @pytest.mark.parametrize("size", POOLED_SIZES)
    def test_max_pool(self, rng, size):
        # Few different values: PyTorch gives the gradient of equal ones to the first.
        x = rng.integers(-4, 0, (2, *size, 3)).astype(np.float64)
        x_torch = self._tensor(x, gradient=True)
        expected = self.torch.nn.functional.max_pool2d(x_torch, 3, 2, 1, ceil_mode=True)
        expected.square().sum().backward()
        found, gradient = jax.jit(
            lambda x: (max_pool_ceil(x), jax.grad(lambda x: (max_pool_ceil(x) ** 2).sum())(x))
        )(x)
        np.testing.assert_array_equal(found, self._array(expected))
        np.testing.assert_array_equal(gradient, self._array(x_torch.grad))

    @pytest.mark.parametrize(("before", "after"), RESIZES)
    def test_resize(self, rng, before, after):
        x, weights = rng.normal(size=(2, *before, 3)), rng.normal(size=(2, *after, 3))
        x_torch = self._tensor(x, gradient=True)
        expected = self.torch.nn.functional.interpolate(
            x_torch, size=after, mode="bilinear", align_corners=True
        )
        (expected * self._tensor(weights)).sum().backward()
        found = resize_align_corners(jnp.asarray(x), after)
        gradient = jax.grad(lambda x: (resize_align_corners(x, after) * weights).sum())(x)
        np.testing.assert_allclose(found, self._array(expected), atol=1e-12)
        np.testing.assert_allclose(gradient, self._array(x_torch.grad), atol=1e-12)

    @pytest.mark.parametrize("training", [True, False])
    def test_batch_norm(self, rng, training):
        x, weights = rng.normal(3, 2, (2, 3, 4, 5)), rng.normal(size=(2, 3, 4, 5))
        mean, var, scale, bias = rng.uniform(0.5, 2, (4, 5))
        reference = self.torch.nn.BatchNorm2d(5, dtype=self.torch.float64).train(training)
        values = {"running_mean": mean, "running_var": var, "weight": scale, "bias": bias}
        reference.load_state_dict(
            {name: self.torch.tensor(value) for name, value in values.items()}, strict=False
        )
        x_torch = self._tensor(x, gradient=True)
        expected = reference(x_torch)
        (expected * self._tensor(weights)).sum().backward()

        def loss(x, params):
            variables = {"params": params, "batch_stats": {"mean": mean, "var": var}}
            y, updates = BatchNorm(param_dtype=jnp.float64).apply(
                variables, x, use_running_average=not training, mutable=["batch_stats"]
            )
            return (y * weights).sum(), (y, updates)

        params = {"scale": scale, "bias": bias}
        (dx, dparams), (found, updates) = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, params)
        np.testing.assert_allclose(found, self._array(expected), atol=1e-12)
        np.testing.assert_allclose(dx, self._array(x_torch.grad), atol=1e-12)
        np.testing.assert_allclose(dparams["scale"], reference.weight.grad, atol=1e-12)
        np.testing.assert_allclose(dparams["bias"], reference.bias.grad, atol=1e-12)
        if training:
            new = updates["batch_stats"]
            np.testing.assert_allclose(new["mean"], reference.running_mean, rtol=1e-12)
            np.testing.assert_allclose(new["var"], reference.running_var, rtol=1e-12)
