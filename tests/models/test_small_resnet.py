"""The network of the digits, and how its parameters begin."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msl_jax.models.backbones.small_resnet import SMALL_DEPTHS, SmallResNet
from msl_jax.models.discriminator import Discriminator
from msl_jax.models.initial import (
    abstract_variables,
    initial_heads,
    initial_params,
    initial_variables,
)


@pytest.mark.parametrize("depth", SMALL_DEPTHS)
def test_depth_counts_the_layers(depth: int) -> None:
    """Convolutions beside the shortcuts, and the classifier."""
    names = flatten_dict(abstract_variables(SmallResNet(10, depth, 4))["params"], sep="/")
    kernels = [n for n in names if n.endswith("/kernel") and "downsample" not in n]
    assert len(kernels) == depth


def test_features_are_what_the_classifier_sees() -> None:
    model = SmallResNet(3, width=4)
    variables = initial_variables(model, seed=0)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 17, 16, 3)), jnp.float32)
    logits, features = model.apply(variables, images)
    assert (logits.shape, features.shape) == ((2, 3), (2, 16))
    head = variables["params"]["classifier"]
    np.testing.assert_allclose(logits, features @ head["kernel"] + head["bias"][None], rtol=1e-5)


def test_training_updates_the_statistics() -> None:
    model = SmallResNet(3, width=4)
    variables = initial_variables(model, seed=0)
    images = jnp.asarray(np.random.default_rng(0).normal(2, 3, (4, 16, 16, 3)), jnp.float32)
    (_, updates) = model.apply(variables, images, train=True, mutable=["batch_stats"])
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()), updates["batch_stats"], variables["batch_stats"]
    )
    assert all(jax.tree.leaves(moved))


def test_half_precision_gives_float32_results() -> None:
    model = SmallResNet(3, width=4, dtype=jnp.bfloat16)
    variables = initial_variables(model, seed=0)
    logits, features = model.apply(variables, jnp.ones((1, 16, 16, 3)))
    assert logits.dtype == features.dtype == jnp.float32


def test_parameters_begin_as_the_modules_say() -> None:
    model = SmallResNet(10, width=32)
    drawn = initial_variables(model, seed=1)
    own = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(jnp.shape, own)
    classifier = np.asarray(drawn["params"]["classifier"]["kernel"])
    assert classifier.std() == pytest.approx(0.01, rel=0.1)
    kernel = np.asarray(drawn["params"]["layer3_0"]["conv2"]["kernel"])
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.05)
    assert set(initial_heads(model, seed=1)) == {"classifier"}


def test_discriminator() -> None:
    module = Discriminator(width=8)
    params = initial_params(module, (5,), seed=0)
    own = module.init(jax.random.key(0), jnp.zeros((1, 5)))["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, own)
    assert module.apply({"params": params}, jnp.ones((3, 5))).shape == (3,)
