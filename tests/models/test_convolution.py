"""Convolution in both lowerings against loops in NumPy, and against PyTorch where it is there."""

from __future__ import annotations

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import AgainstPyTorch

from msl_jax.models.convolution import conv2d

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

    def test_platform_decides_by_default(self, rng):
        x, kernel, options = _convolution_arrays(rng, CONVOLUTIONS["1x1"])
        function = jax.jit(lambda x, k: conv2d(x, k, **options))
        arrays = x.astype(np.float32), kernel.astype(np.float32)
        for platform, is_product in (("cpu", True), ("cuda", False)):
            program = jax.export.export(function, platforms=[platform])(*arrays).mlir_module()
            assert ("stablehlo.dot_general" in program) == is_product
            assert ("stablehlo.convolution" in program) != is_product

    @each_convolution
    def test_bfloat16(self, rng, case):
        x, kernel, options = _convolution_arrays(rng, case)

        def gradients(dtype):
            def loss(x, kernel):
                y = conv2d(x, kernel, **options)
                assert y.dtype == dtype
                return jnp.square(y.astype(jnp.float32)).mean()

            return jax.jit(jax.grad(loss, (0, 1)))(
                jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
            )

        for half, exact in zip(gradients(jnp.bfloat16), gradients(jnp.float32), strict=True):
            assert half.dtype == jnp.bfloat16
            error = np.abs(np.asarray(half, np.float32) - exact).max()
            assert error < 0.05 * np.abs(exact).max()


class TestAgainstPyTorch(AgainstPyTorch):
    """The same on PyTorch's own functions, in float64."""

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
