"""Block by block, statistic by statistic, against PyTorch on small networks."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from msl_jax.convert import from_torch, to_torch
from msl_jax.models import DeepLabV2, ResNet

torch = pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")

from benchmarks.support import torch_network as reference  # noqa: E402

CLASSES, WIDTH = 5, 4
# After the stem 24x31: the pool rounds up in one direction and not in the other.
SIZE = (47, 61)
# Largest error over largest value, in each block. Rounding errors grow from block to block.
LIMITS = {"float64": 1e-11, "float32": 1e-4}
OUR_HEADS = {"layer5": "low_head", "layer6": "final_head"}

each_placement = pytest.mark.parametrize("placement", ["caffe", "torchvision"])
each_mode = pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
each_precision = pytest.mark.parametrize("precision", LIMITS)


def _images(precision: str) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype(precision)


def _networks(depth: int, placement: str, precision: str):
    """A random torch network, ours of the same kind, and the variables for ours."""
    network = reference.DeepLab(CLASSES, depth, WIDTH, placement)
    reference.randomize(network)
    network.to(getattr(torch, precision))
    model = DeepLabV2(CLASSES, ResNet(depth, WIDTH, placement, param_dtype=jnp.dtype(precision)))
    return network, model, from_torch(reference.arrays(network), model)


def _torch_outputs(network, images: np.ndarray) -> dict[str, np.ndarray]:
    """What each block gives, in the order of the computation."""
    outputs: dict[str, np.ndarray] = {}

    def keep(name: str, _module, _inputs, output) -> None:
        outputs[name] = reference.nhwc(output)

    for name, block in network.blocks():
        block.register_forward_hook(functools.partial(keep, name))
    with torch.no_grad():
        network(reference.nchw(images))
    return outputs


def _our_outputs(model: DeepLabV2, variables, images: np.ndarray, train: bool):
    """What each block gives, by its name in torch, and the new statistics."""
    outputs = {}

    def keep(call, args, kwargs, context):
        output = call(*args, **kwargs)
        path = context.module.path
        outputs["/".join(path)] = output
        if path == ("backbone", "layer1_0"):
            outputs["maxpool"] = args[0]  # a function: seen where its result goes
        return output

    def forward(variables, images):
        with nn.intercept_methods(keep):
            _, updates = model.apply(variables, images, train=train, mutable=["batch_stats"])
        return dict(outputs), updates.get("batch_stats", variables["batch_stats"])

    return jax.device_get(jax.jit(forward)(variables, images))


def _our_name(name: str) -> str:
    if name == "maxpool":
        return name
    return OUR_HEADS.get(name, "backbone/" + name.replace(".", "_"))


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _faults(found: dict, expected: dict, limit: float) -> dict[str, float]:
    """Errors over the limit; the first one named is where they begin."""
    errors = {name: _error(found[name], array) for name, array in expected.items()}
    return {name: error for name, error in errors.items() if not error <= limit}


@each_precision
@each_mode
@each_placement
def test_blocks(placement, train, precision):
    with jax.enable_x64(precision == "float64"):
        network, model, variables = _networks(26, placement, precision)
        images = _images(precision)
        expected = _torch_outputs(network.train(train), images)
        outputs, stats = _our_outputs(model, variables, images, train)
        assert len(expected) == 3 + sum(reference.BLOCKS[26]) + 2
        found = {name: outputs[_our_name(name)] for name in expected}
        assert _faults(found, expected, LIMITS[precision]) == {}

        statistics = to_torch({"batch_stats": stats})
        after = {
            name: array for name, array in reference.arrays(network).items() if "running" in name
        }
        assert _faults(statistics, after, LIMITS[precision]) == {}
        before = to_torch(variables)
        moved = [not np.array_equal(before[name], array) for name, array in after.items()]
        assert all(moved) if train else not any(moved)


@each_placement
def test_a_fault_is_named(placement):
    """The network of the other stride placement differs from the first strided block on."""
    other = {"caffe": "torchvision", "torchvision": "caffe"}[placement]
    with jax.enable_x64(True):
        network, model, variables = _networks(14, placement, "float64")
        images = _images("float64")
        expected = _torch_outputs(network.eval(), images)
        model = model.clone(backbone=model.backbone.clone(stride_placement=other))
        outputs, _ = _our_outputs(model, variables, images, False)
        found = {name: outputs[_our_name(name)] for name in expected}
        faults = _faults(found, expected, LIMITS["float64"])
        assert list(faults) == ["layer2.0", "layer3.0", "layer5", "layer4.0", "layer6"]


@pytest.mark.parametrize(("rates", "summed"), [((6, 12), 2), ((6, 12, 18, 24), 4), ((3,), 1)])
def test_other_rates(rates, summed):
    with jax.enable_x64(True):
        network = reference.DeepLab(CLASSES, 14, WIDTH, rates=rates, summed=summed)
        reference.randomize(network)
        network.double().eval()
        model = DeepLabV2(
            CLASSES,
            ResNet(14, WIDTH, param_dtype=jnp.float64),
            aspp_dilations=rates,
            active_dilations=rates[:summed],
        )
        variables = from_torch(reference.arrays(network), model)
        found = jax.jit(model.apply)(variables, _images("float64"))
        expected = network(reference.nchw(_images("float64")))
        for ours, theirs in zip(found, expected, strict=True):
            assert _error(np.asarray(ours), reference.nhwc(theirs)) < LIMITS["float64"]


@each_precision
def test_our_weights_run_in_torch(precision):
    with jax.enable_x64(precision == "float64"):
        network, model, variables = _networks(14, "caffe", precision)
        for tensor in network.state_dict().values():
            tensor.zero_()  # nothing of the old weights may stay
        state_dict = {name: torch.tensor(array) for name, array in to_torch(variables).items()}
        network.load_state_dict(state_dict, strict=True)
        images = _images(precision)
        expected = jax.jit(model.apply)(variables, images)
        for theirs, ours in zip(network.eval()(reference.nchw(images)), expected, strict=True):
            assert _error(reference.nhwc(theirs), np.asarray(ours)) < LIMITS[precision]


def test_names_of_the_public_checkpoints():
    names = reference.DeepLab(19).state_dict().keys()
    assert {"layer3.22.conv2.weight", "layer5.conv2d_list.0.weight"} < names
    assert len(dict(reference.DeepLab(19).named_parameters())) == 328
