"""The classifier's shapes and switches, on a small network."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msl_jax.models import ImageClassifier, ResNet, initial_heads, initial_variables
from msl_jax.models.initial import abstract_variables

TINY = ImageClassifier(3, ResNet(14, 4, **ResNet.PUBLISHED))


@functools.cache
def _apply(model: ImageClassifier, **options: Any) -> Any:
    return jax.jit(functools.partial(model.apply, **options))


@pytest.fixture(scope="module")
def images() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 64, 65, 3)), jnp.float32)


@pytest.fixture(scope="module")
def variables() -> Any:
    return initial_variables(TINY, seed=0)


@pytest.mark.parametrize(
    ("size", "stages"),
    [
        ((224, 224), ((14, 14), (7, 7))),  # the crops of Office-31
        ((64, 65), ((4, 5), (2, 3))),
        ((66, 33), ((5, 3), (3, 2))),
    ],
)
def test_stages_halve_the_size(size, stages) -> None:
    backbone = ResNet(14, 4, output_stride=32, ceil_pool=False)
    init = functools.partial(backbone.init_with_output, use_running_average=True)
    outputs, _ = jax.eval_shape(init, jax.random.key(0), jnp.zeros((2, *size, 3)))
    assert tuple(features.shape[1:3] for features in outputs) == stages


def test_logits_are_the_classifiers_of_the_features(images, variables) -> None:
    logits, features = _apply(TINY)(variables, images)
    classifier = variables["params"]["classifier"]
    expected = np.asarray(features) @ classifier["kernel"] + classifier["bias"][None]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_rematerialized_blocks_give_the_same(images, variables) -> None:
    logits, _ = _apply(TINY)(variables, images)
    model = TINY.clone(backbone=TINY.backbone.clone(rematerialize=True))
    again, _ = _apply(model)(variables, images)
    np.testing.assert_allclose(again, logits, rtol=1e-5, atol=1e-6)


def test_training_updates_every_statistic(images, variables) -> None:
    _, updates = _apply(TINY, train=True, mutable=("batch_stats",))(variables, images)
    old, new = (flatten_dict(tree["batch_stats"]) for tree in (variables, updates))
    assert old.keys() == new.keys()
    assert [name for name in old if np.array_equal(old[name], new[name])] == []


def test_frozen_batch_norm_keeps_its_statistics(images, variables) -> None:
    frozen = _apply(TINY.clone(frozen_batch_norm=True), train=True, mutable=("batch_stats",))
    (logits, _), updates = frozen(variables, images)
    stats = updates.get("batch_stats", variables["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    np.testing.assert_allclose(logits, _apply(TINY)(variables, images)[0], rtol=1e-5, atol=1e-6)


def test_bfloat16_keeps_parameters_features_and_logits_in_float32(images, variables) -> None:
    model = TINY.clone(dtype=jnp.bfloat16)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(abstract_variables(model))}
    assert dtypes == {np.dtype(np.float32)}
    outputs = _apply(model)(variables, images)
    for found, expected in zip(outputs, _apply(TINY)(variables, images), strict=True):
        assert found.dtype == jnp.float32
        error = np.abs(found - expected).max() / np.abs(expected).max()
        assert 1e-5 < error < 0.1  # bfloat16 it was, and it is still the same network


def test_new_classifier_alone_is_that_of_the_network(variables) -> None:
    heads = initial_heads(TINY, seed=0)
    assert set(heads) == {"classifier"}
    jax.tree.map(
        np.testing.assert_array_equal, heads["classifier"], variables["params"]["classifier"]
    )
    kernel = heads["classifier"]["kernel"]
    assert kernel.std() == pytest.approx(0.01, rel=4 / np.sqrt(kernel.size))
    assert not heads["classifier"]["bias"].any()
