"""The order that the CPU compiler is forced to keep."""

from __future__ import annotations

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from msl_jax.runtime.xla_ordering import after, where_known


def _with_after(done, x):
    return after(done, lambda x: 2 * x, x)


def test_results_are_those_without_an_order() -> None:
    done, x = {"a": jnp.ones((2, 2)), "b": jnp.float32(3)}, jnp.arange(3.0)
    np.testing.assert_array_equal(jax.jit(_with_after)(done, x), [0, 2, 4])
    tree = {"image": jnp.arange(3, dtype=jnp.uint8), "label": jnp.array([True, False])}
    found = jax.jit(where_known)(done, tree)
    for name, leaf in tree.items():
        assert found[name].dtype == leaf.dtype
        np.testing.assert_array_equal(found[name], leaf)


def test_not_a_number() -> None:
    done, x = jnp.array([jnp.nan, 1.0]), jnp.arange(3.0)
    np.testing.assert_array_equal(jax.jit(_with_after)(done, x), [0, 2, 4])
    np.testing.assert_array_equal(where_known(done, x), [0, 0, 0])


def test_a_condition_on_the_cpu_alone() -> None:
    done, x = jnp.ones(2), jnp.arange(3.0)
    assert "conditional(" in jax.jit(_with_after).lower(done, x).compile().as_text()
    program = jax.export.export(jax.jit(_with_after), platforms=["cuda"])(done, x).mlir_module()
    assert "is_finite" not in program
    assert "compare" not in program
