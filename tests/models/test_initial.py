"""Random variables: distributed as the modules' own initialisers, decided by the seed alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from msl_jax.models import DeepLabV2, ResNet, initial_heads, initial_variables
from msl_jax.models.initial import abstract_variables, initial_params, uniform_params
from msl_jax.models.layers import BatchNorm

MODEL = DeepLabV2(
    num_classes=3, backbone=ResNet(14, 16), aspp_dilations=(1, 2, 3), active_dilations=(1, 2)
)

# One kernel of each kind, of thousands of values.
KINDS = [
    "params/backbone/conv1/kernel",
    "params/backbone/layer2_0/conv2/kernel",
    "params/backbone/layer3_0/conv1/kernel",
    "params/backbone/layer4_0/downsample_conv/kernel",
    "params/low_head/conv0/kernel",
    "params/final_head/conv2/kernel",
]


def _flat(variables: Any) -> dict[str, np.ndarray]:
    return {"/".join(path): leaf for path, leaf in flatten_dict(variables).items()}


def _identical(first: Any, second: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, first, second)))


@pytest.fixture(scope="module")
def found() -> dict[str, np.ndarray]:
    return _flat(jax.tree.map(np.asarray, initial_variables(MODEL, seed=0)))


@pytest.fixture(scope="module")
def initialisers() -> dict[str, Any]:
    """The modules' own initialisers of kernels, by the kernel's name."""
    own = {}

    def note(call, args, kwargs, context):
        if hasattr(context.module, "kernel_init"):
            own["/".join(("params", *context.module.path, "kernel"))] = context.module.kernel_init
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        abstract_variables(MODEL)
    return own


def test_shapes_and_dtypes_are_the_networks() -> None:
    model = MODEL.clone(backbone=MODEL.backbone.clone(param_dtype=jnp.bfloat16))
    variables = initial_variables(model, seed=0)
    expected = abstract_variables(model)
    assert jax.tree.structure(variables) == jax.tree.structure(expected)
    for drawn, wanted in zip(jax.tree.leaves(variables), jax.tree.leaves(expected), strict=True):
        assert isinstance(drawn, jax.Array)
        assert (drawn.shape, drawn.dtype) == (wanted.shape, wanted.dtype)


@pytest.mark.parametrize("name", KINDS)
def test_kernels_are_distributed_as_the_modules_draw_them(found, initialisers, name: str) -> None:
    """Two-sample Kolmogorov-Smirnov test, whose limit chance exceeds once in a thousand."""
    kernel = found[name]
    draw = jax.jit(initialisers[name], static_argnums=(1, 2))
    expected = np.asarray(draw(jax.random.key(1), kernel.shape, jnp.float32))
    values = np.sort(np.concatenate([kernel.ravel(), expected.ravel()]))
    shares = [
        np.searchsorted(np.sort(sample.ravel()), values, "right") / sample.size
        for sample in (kernel, expected)
    ]
    assert np.abs(shares[0] - shares[1]).max() < 1.95 * np.sqrt(2 / kernel.size)
    np.testing.assert_allclose(kernel.std(), expected.std(), rtol=4 / np.sqrt(kernel.size))
    # Where He's is cut off, so is ours; the classifiers' has no bound.
    tolerance = 0.02 if "backbone" in name else 0.3
    np.testing.assert_allclose(np.abs(kernel).max(), np.abs(expected).max(), rtol=tolerance)


def test_every_kernel_has_the_deviation_of_its_fan_in(found) -> None:
    for name, leaf in found.items():
        if name.endswith("kernel"):
            std = np.sqrt(2 / np.prod(leaf.shape[:3])) if "backbone" in name else 0.01
            assert leaf.std() == pytest.approx(std, rel=4 / np.sqrt(leaf.size)), name
            assert abs(leaf.mean()) < 4 * std / np.sqrt(leaf.size), name


def test_all_else_is_what_the_modules_set(found) -> None:
    @jax.jit
    def init() -> dict[str, Any]:
        variables = _flat(MODEL.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
        return {name: leaf for name, leaf in variables.items() if not name.endswith("kernel")}

    expected = init()
    assert _identical({name: found[name] for name in expected}, expected)
    assert len(expected) + sum(name.endswith("kernel") for name in found) == len(found)


class _Scaled(nn.Module):
    """With parameters of other names than those of convolutions and batch norm."""

    param_dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        gamma = self.param("gamma", nn.initializers.constant(0.1), (3,))
        token = self.param("token", nn.initializers.normal(2.0), (4000,))
        bias = self.param("bias", nn.initializers.ones, (3,))
        return nn.Dense(5)(x * gamma[None, None, None] + bias[None, None, None]) + token.sum()


def test_other_parameters_are_drawn_by_their_own_initialisers() -> None:
    first, again, other = (initial_variables(_Scaled(), seed)["params"] for seed in (0, 0, 1))
    assert set(np.asarray(first["gamma"])) == {np.float32(0.1)}
    assert set(np.asarray(first["bias"])) == {1}
    assert float(first["token"].std()) == pytest.approx(2, rel=0.1)
    assert _identical(first, again)
    assert not np.array_equal(first["token"], other["token"])


def test_no_two_kernels_are_the_same(found) -> None:
    kernels = [leaf.ravel()[:8].tobytes() for name, leaf in found.items() if "kernel" in name]
    assert len(set(kernels)) == len(kernels)


def test_seed_decides(found) -> None:
    again, other = (_flat(initial_variables(MODEL, seed=seed)) for seed in (0, 1))
    assert _identical(again, found)
    for name in found:
        assert np.array_equal(other[name], found[name]) != name.endswith("kernel"), name


def test_values_are_fixed() -> None:
    """The first ones of seed 0, so that a run can be repeated on other machines and devices."""
    heads = initial_heads(MODEL, seed=0)
    kernel = np.asarray(heads["low_head"]["conv0"]["kernel"]).ravel()
    np.testing.assert_allclose(kernel[:3], [-0.01424527, -0.00452014, 0.00164427], rtol=1e-5)


def test_other_parts_of_the_network_do_not_matter(found) -> None:
    deeper = _flat(initial_variables(MODEL.clone(backbone=ResNet(26, 16), num_classes=4), seed=0))
    same = [name for name in found if "_head" not in name]
    assert _identical({name: deeper[name] for name in same}, {name: found[name] for name in same})


def test_heads_alone_are_those_of_the_network(found) -> None:
    heads = initial_heads(MODEL, seed=0)
    assert set(heads) == {"low_head", "final_head"}
    for name, leaf in _flat({"params": heads}).items():
        assert np.array_equal(leaf, found[name])


class _Normed(nn.Module):
    """A layer, and a norm with or without statistics."""

    norm: Any = BatchNorm

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3, name="layer", kernel_init=nn.initializers.ones)(x)
        options = {"use_running_average": False} if self.norm is BatchNorm else {}
        return self.norm(name="norm")(x, **options)


@pytest.mark.parametrize("draw", [initial_params, uniform_params])
def test_statistics_are_not_dropped(draw) -> None:
    with pytest.raises(ValueError, match="_Normed has batch_stats besides its parameters"):
        draw(_Normed(), (8, 8, 4), 0)


def test_norm_without_statistics() -> None:
    """He-normal kernels, whatever the module's initialiser; PyTorch's way is for layers alone."""
    module = _Normed(nn.LayerNorm)
    params = initial_params(module, (8, 8, 4), 0)
    assert set(params["norm"]) == {"scale", "bias"}
    assert len(np.unique(params["layer"]["kernel"])) == 12
    with pytest.raises(ValueError, match=r"has a parameter norm/\w+: expected kernels and biases"):
        uniform_params(module, (8, 8, 4), 0)
