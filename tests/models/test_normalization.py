"""Batch normalisation and what is fused to it against NumPy, and against PyTorch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import AgainstPyTorch

from msl_jax.models.layers import BatchNorm
from msl_jax.models.normalization import add_relu


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
        # Rounded once: a mean of 20 standard deviations costs nothing.
        normal = (exact - exact.mean((0, 1, 2))) / exact.std((0, 1, 2))
        np.testing.assert_allclose(np.asarray(found, np.float64), normal, rtol=2**-8, atol=1e-4)

    def test_single_place_is_finite(self):
        module, x = BatchNorm(), jnp.full((1, 1, 1, 2), 3.0)
        variables = module.init(jax.random.key(0), x, use_running_average=False)
        found, updates = module.apply(
            variables, x, use_running_average=False, mutable=["batch_stats"]
        )
        np.testing.assert_allclose(found, 0, atol=1e-5)
        np.testing.assert_allclose(updates["batch_stats"]["var"], 0.9, rtol=1e-6)


class TestAddRelu:
    def test_value_and_gradient(self, x64, rng):
        x, y, g = rng.normal(size=(3, 2, 3, 4, 5))
        result, vjp = jax.vjp(jax.jit(add_relu), jnp.asarray(x), jnp.asarray(y))
        np.testing.assert_array_equal(result, np.maximum(x + y, 0))
        for gradient in vjp(jnp.asarray(g)):
            np.testing.assert_array_equal(gradient, np.where(x + y > 0, g, 0))

    def test_not_a_number_stays_one(self):
        x = jnp.full((1, 1, 2, 1), jnp.nan)
        assert np.isnan(add_relu(x, x)).all()


class TestAgainstPyTorch(AgainstPyTorch):
    """The same on PyTorch's own functions, in float64."""

    @pytest.mark.parametrize("relu", [False, True])
    @pytest.mark.parametrize("training", [True, False])
    def test_batch_norm(self, rng, training, relu):
        x, weights = rng.normal(3, 2, (2, 3, 4, 5)), rng.normal(size=(2, 3, 4, 5))
        mean, var, scale, bias = rng.uniform(0.5, 2, (4, 5))
        reference = self.torch.nn.BatchNorm2d(5, dtype=self.torch.float64).train(training)
        values = {"running_mean": mean, "running_var": var, "weight": scale, "bias": bias}
        reference.load_state_dict(
            {name: self.torch.tensor(value) for name, value in values.items()}, strict=False
        )
        x_torch = self._tensor(x, gradient=True)
        expected = reference(x_torch)
        if relu:
            expected = self.torch.relu(expected)
        (expected * self._tensor(weights)).sum().backward()

        def loss(x, params):
            variables = {"params": params, "batch_stats": {"mean": mean, "var": var}}
            y, updates = BatchNorm(param_dtype=jnp.float64).apply(
                variables,
                x,
                use_running_average=not training,
                relu=relu,
                mutable=["batch_stats"],
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
