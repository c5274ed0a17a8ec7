"""EfficientNet-Lite0, block by block, against the same network in plain PyTorch."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from msl_jax.convert import from_torch, to_torch
from msl_jax.models import DeepLabV2, ImageClassifier
from msl_jax.models.backbones.efficientnet_lite import EfficientNetLite0

torch = pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")

from benchmarks.support import torch_efficientnet, torch_network  # noqa: E402

CLASSES, RATES = 5, (1, 2)
# The size halves unevenly, up and down: 47 -> 24 -> 12 -> 6 -> 3 -> 2 and 70 -> 35 -> 18 -> 9 -> 5.
SIZE = (47, 70)
# Largest error over largest value, in each block. Rounding errors grow from block to block.
LIMITS = {"float64": 1e-11, "float32": 1e-5}
OURS = {"_conv_stem": "stem_conv", "_bn0": "stem_bn"}
OUR_HEADS = {"layer5": "low_head", "layer6": "final_head"}


def _images(precision: str) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3))
    return ((images - 127) / 128).astype(precision)


def _networks(output_stride: int, precision: str):
    """A random torch network, ours of the same kind, and the variables for ours."""
    network = torch_efficientnet.DeepLabLite0(CLASSES, output_stride, RATES)
    torch_network.randomize(network)
    network.to(getattr(torch, precision))
    backbone = EfficientNetLite0(output_stride=output_stride, param_dtype=jnp.dtype(precision))
    model = DeepLabV2(CLASSES, backbone, aspp_dilations=RATES, active_dilations=RATES)
    return network, model, from_torch(torch_network.arrays(network), model)


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _faults(found: dict, expected: dict, limit: float) -> dict[str, float]:
    """Errors over the limit; the first one named is where they begin."""
    errors = {name: _error(found[name], array) for name, array in expected.items()}
    return {name: error for name, error in errors.items() if not error <= limit}


def _torch_outputs(network, images: np.ndarray) -> dict[str, np.ndarray]:
    """What each block gives, in the order of the computation."""
    outputs: dict[str, np.ndarray] = {}

    def keep(name: str, _module, _inputs, output) -> None:
        outputs[name] = torch_network.nhwc(output)

    for name, block in network.blocks():
        block.register_forward_hook(functools.partial(keep, name))
    with torch.no_grad():
        network(torch_network.nchw(images))
    # Batch norm and ReLU6 are one module of ours.
    return {**outputs, "_bn0": outputs["_bn0"].clip(0, 6)}


def _our_outputs(model, variables, images: np.ndarray, train: bool):
    """What each block gives, by its name in torch, and the new statistics."""
    outputs = {}

    def keep(call, args, kwargs, context):
        outputs["/".join(context.module.path)] = result = call(*args, **kwargs)
        return result

    def forward(variables, images):
        with nn.intercept_methods(keep):
            _, updates = model.apply(variables, images, train=train, mutable=["batch_stats"])
        return dict(outputs), updates.get("batch_stats", variables["batch_stats"])

    return jax.device_get(jax.jit(forward)(variables, images))


def _our_name(name: str) -> str:
    part, _, number = name.partition(".")
    if part in OUR_HEADS:
        return OUR_HEADS[part]
    return f"backbone/block{number}" if number else f"backbone/{OURS[part]}"


@pytest.mark.parametrize(
    ("output_stride", "train", "precision"),
    [(8, False, "float32"), (16, True, "float64")],
)
def test_blocks(output_stride: int, train: bool, precision: str) -> None:
    with jax.enable_x64(precision == "float64"):
        network, model, variables = _networks(output_stride, precision)
        images = _images(precision)
        expected = _torch_outputs(network.train(train), images)
        outputs, stats = _our_outputs(model, variables, images, train)
        assert len(expected) == 2 + 16 + 2
        found = {name: outputs[_our_name(name)] for name in expected}
        assert _faults(found, expected, LIMITS[precision]) == {}

        statistics = to_torch({"batch_stats": stats})
        after = {n: a for n, a in torch_network.arrays(network).items() if "running" in n}
        assert _faults(statistics, after, LIMITS[precision]) == {}
        before = to_torch(variables)
        moved = [not np.array_equal(before[name], array) for name, array in after.items()]
        assert all(moved) if train else not any(moved)


def test_gradients(x64) -> None:
    network, model, variables = _networks(8, "float64")
    images = _images("float64")
    final, low = network.train()(torch_network.nchw(images))
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=torch_network.nhwc(logits).shape) for logits in (final, low)]
    total = sum(
        (logits * torch_network.nchw(w)).sum()
        for logits, w in zip((final, low), weights, strict=True)
    )
    total.backward()

    def loss(params):
        variables_ = {**variables, "params": params}
        outputs, _ = model.apply(variables_, images, train=True, mutable=["batch_stats"])
        return sum((logits * w).sum() for logits, w in zip(outputs, weights, strict=True))

    found = to_torch({"params": jax.jit(jax.grad(loss))(variables["params"])})
    expected = {name: p.grad.numpy() for name, p in network.named_parameters()}
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(
            found[name], gradient, rtol=1e-7, atol=1e-10 * largest, err_msg=name
        )


def test_logits_of_the_classifier() -> None:
    network = torch_efficientnet.TorchLite0()
    torch_network.randomize(network)
    model = ImageClassifier(1000, EfficientNetLite0(**EfficientNetLite0.PUBLISHED))
    variables = from_torch(torch_network.arrays(network), model)
    images = _images("float32")
    with torch.no_grad():
        expected = network.eval()(torch_network.nchw(images))
    for ours, theirs in zip(jax.jit(model.apply)(variables, images), expected, strict=True):
        assert _error(np.asarray(ours), theirs.numpy()) < 1e-5


def test_our_weights_run_in_torch(x64) -> None:
    network, model, variables = _networks(16, "float64")
    for tensor in network.state_dict().values():
        tensor.zero_()  # nothing of the old weights may stay
    state_dict = {name: torch.tensor(array) for name, array in to_torch(variables).items()}
    network.load_state_dict(state_dict, strict=True)
    images = _images("float64")
    expected = jax.jit(model.apply)(variables, images)
    for theirs, ours in zip(network.eval()(torch_network.nchw(images)), expected, strict=True):
        assert _error(torch_network.nhwc(theirs), np.asarray(ours)) < LIMITS["float64"]
