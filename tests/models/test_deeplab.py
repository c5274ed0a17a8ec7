"""DeepLabv2's shapes, names and switches, on a small network."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msl_jax.models import DeepLabV2, ResNet

GOLDENS = Path(__file__).parents[3] / "shared" / "goldens"
TINY = DeepLabV2(
    num_classes=3, backbone=ResNet(14, 4), aspp_dilations=(1, 2, 3), active_dilations=(1, 2)
)


def _shapes(model: DeepLabV2, size: tuple[int, int] = (33, 49)):
    """Shapes of a model's variables, by `/`-joined names; nothing is computed."""
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *size, 3)))
    return {
        collection: {"/".join(name): leaf for name, leaf in flatten_dict(tree).items()}
        for collection, tree in variables.items()
    }


@functools.cache
def _apply(model: DeepLabV2, **options):
    return jax.jit(functools.partial(model.apply, **options))


@pytest.fixture(scope="module")
def images() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 33, 49, 3)), jnp.float32)


@pytest.fixture(scope="module")
def variables(images):
    """Random variables; to compile the initialisation takes longer than all tests."""
    rng = np.random.default_rng(1)

    def draw(path, leaf) -> np.ndarray:
        if path[-1].key == "kernel":
            scale = np.sqrt(2 / np.prod(leaf.shape[:3]))
            return rng.normal(0, scale, leaf.shape).astype(np.float32)
        return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(TINY.init, jax.random.key(0), images)
    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="module")
def logits(images, variables) -> tuple[np.ndarray, np.ndarray]:
    final, low = _apply(TINY)(variables, images)
    return np.asarray(final), np.asarray(low)


def test_rematerialized_blocks_have_the_same_gradients(images, variables):
    def gradients(model: DeepLabV2):
        def loss(params):
            tree = {"params": params, "batch_stats": variables["batch_stats"]}
            (final, low), stats = model.apply(tree, images, train=True, mutable=["batch_stats"])
            return jnp.sum(final**2) + jnp.sum(low**2), stats

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

    backbone = TINY.backbone.clone(rematerialize=True)
    plain, again = gradients(TINY), gradients(TINY.clone(backbone=backbone))
    assert jax.tree.structure(again) == jax.tree.structure(plain)
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain[0]))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((33, 49), (5, 7)),
        ((65, 97), (9, 13)),
        ((64, 96), (9, 13)),
        ((36, 43), (5, 6)),
        ((512, 1024), (65, 129)),  # the official training size
        ((720, 1280), (91, 161)),
    ],
)
@pytest.mark.parametrize("placement", ["caffe", "torchvision"])
def test_logits_have_an_eighth_of_the_size(size, expected, placement):
    model = TINY.clone(backbone=TINY.backbone.clone(stride_placement=placement))
    (final, low), _ = jax.eval_shape(
        model.init_with_output, jax.random.key(0), jnp.zeros((2, *size, 3))
    )
    assert final.shape == low.shape == (2, *expected, 3)


def _official_name(name: str) -> str:
    """`backbone/layer3_5/conv2/kernel` -> `layer3.5.conv2.weight`."""
    name = name.removeprefix("backbone/").replace("/", ".")
    name = re.sub(r"^(low|final)_head\.conv", lambda m: f"{m[1]}.conv2d_list.", name)
    name = name.replace("low.", "layer5.").replace("final.", "layer6.")
    name = re.sub(r"^(layer\d)_(\d+)", r"\1.\2", name)
    name = name.replace("downsample_conv", "downsample.0").replace("downsample_bn", "downsample.1")
    name = re.sub(r"\.(kernel|scale)$", ".weight", name)
    return re.sub(r"\.(mean|var)$", r".running_\1", name)


def test_default_network_is_the_official_one():
    path = GOLDENS / "deeplab_names.json"
    if not path.is_file():
        pytest.skip("the official network's names are not here (expected in ../shared/goldens)")
    official = {
        name: tuple(shape)
        for name, shape in json.loads(path.read_text()).items()
        if not name.endswith("num_batches_tracked")
    }
    shapes = _shapes(DeepLabV2(19))
    assert len(shapes["params"]) == 328
    assert len(shapes["batch_stats"]) == 208
    found = {}
    for name, leaf in (shapes["params"] | shapes["batch_stats"]).items():
        shape = leaf.shape
        found[_official_name(name)] = (
            (shape[3], shape[2], *shape[:2]) if name.endswith("kernel") else shape
        )
    assert found == official


def test_stride_placements_have_the_same_parameters(images, variables, logits):
    other = TINY.clone(backbone=TINY.backbone.clone(stride_placement="torchvision"))
    assert _shapes(other) == _shapes(TINY)
    final, _ = _apply(other)(variables, images)
    assert final.shape == logits[0].shape
    assert np.abs(final - logits[0]).max() > 1e-2 * np.abs(logits[0]).max()


def _with_head_convolution(variables, name: str, change):
    params = dict(variables["params"])
    for head in ("final_head", "low_head"):
        params[head] = {**params[head], name: jax.tree.map(change, params[head][name])}
    return {**variables, "params": params}


def test_inactive_dilations_do_not_change_the_output(images, variables, logits):
    changed = _with_head_convolution(variables, "conv2", lambda leaf: leaf + 1)
    for found, expected in zip(_apply(TINY)(changed, images), logits, strict=True):
        np.testing.assert_array_equal(found, expected)
    changed = _with_head_convolution(variables, "conv1", lambda leaf: leaf + 1)
    for found, expected in zip(_apply(TINY)(changed, images), logits, strict=True):
        assert np.abs(found - expected).max() > 0.1


def test_heads_sum_their_active_dilations(images, variables, logits):
    one = _apply(TINY.clone(active_dilations=(1,)))(variables, images)
    other = _apply(TINY.clone(active_dilations=(2,)))(variables, images)
    for first, second, both in zip(one, other, logits, strict=True):
        np.testing.assert_allclose(first + second, both, atol=1e-4 * np.abs(both).max())


def test_without_the_low_head(images, variables, logits):
    params = {name: tree for name, tree in variables["params"].items() if name != "low_head"}
    final, low = _apply(TINY, low_head=False)({**variables, "params": params}, images)
    assert low is None
    np.testing.assert_allclose(final, logits[0], rtol=1e-5, atol=1e-5)


def test_initialisation_makes_both_heads():
    init = functools.partial(TINY.init, low_head=False)
    params = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 33, 49, 3)))["params"]
    assert set(params) == {"backbone", "final_head", "low_head"}


def test_training_updates_every_statistic(images, variables, logits):
    (final, _), updates = _apply(TINY, train=True, mutable=("batch_stats",))(variables, images)
    old, new = (flatten_dict(tree["batch_stats"]) for tree in (variables, updates))
    assert old.keys() == new.keys()
    same = [name for name in old if np.array_equal(old[name], new[name])]
    assert same == []
    assert np.abs(final - logits[0]).max() > 1e-2 * np.abs(logits[0]).max()


def test_frozen_batch_norm_keeps_its_statistics(images, variables, logits):
    frozen = _apply(TINY.clone(frozen_batch_norm=True), train=True, mutable=("batch_stats",))
    (final, low), updates = frozen(variables, images)
    jax.tree.map(
        np.testing.assert_array_equal, updates.get("batch_stats", {}), variables["batch_stats"]
    )
    np.testing.assert_allclose(final, logits[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(low, logits[1], rtol=1e-5, atol=1e-5)


def test_bfloat16_keeps_parameters_and_logits_in_float32(images, variables, logits):
    model = TINY.clone(dtype=jnp.bfloat16)
    dtypes = {leaf.dtype for tree in _shapes(model).values() for leaf in tree.values()}
    assert dtypes == {np.dtype(np.float32)}
    final, low = _apply(model)(variables, images)
    assert final.dtype == low.dtype == jnp.float32
    error = np.abs(final - logits[0]).max() / np.abs(logits[0]).max()
    assert 1e-5 < error < 0.1  # bfloat16 it was, and it is still the same network


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": ResNet(18, 4)}, r"depth must be one of \[14, 26, 50, 101\], found 18"),
        (
            {"active_dilations": (5,)},
            r"active_dilations: expected some of the dilations \(1, 2, 3\), found \(5,\)",
        ),
    ],
)
def test_impossible_networks(change, message):
    with pytest.raises(ValueError, match=message):
        _shapes(TINY.clone(**change))
