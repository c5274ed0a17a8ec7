"""The classifier against a plain PyTorch ResNet with torchvision's names and conventions."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msl_jax.convert import from_torch, to_torch
from msl_jax.models import ImageClassifier, ResNet
from msl_jax.training.optimizer import Group, parameter_groups, sgd

torch = pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")

from torch.nn import functional  # noqa: E402

from benchmarks.support import torch_network as reference  # noqa: E402
from benchmarks.support.torch_classifier import TorchResNet  # noqa: E402

CLASSES = 5
RATE, MOMENTUM, WEIGHT_DECAY = 1e-2, 0.9, 1e-3


def _networks(depth: int, width: int, precision: str):
    """A random torch network, ours of the same kind, and the variables for ours."""
    network = TorchResNet(CLASSES, depth, width)
    reference.randomize(network)
    network.to(getattr(torch, precision))
    fields = {**ResNet.PUBLISHED, "param_dtype": jnp.dtype(precision)}
    model = ImageClassifier(CLASSES, ResNet(depth, width, **fields))
    return network, model, from_torch(reference.arrays(network), model)


def _images(precision: str, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, *size, 3)).astype(precision)


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _assert_close(found: dict, expected: dict, limit: float) -> None:
    errors = {name: _error(np.asarray(found[name]), array) for name, array in expected.items()}
    assert {name: error for name, error in errors.items() if not error <= limit} == {}


def test_resnet50_as_published() -> None:
    """At its own width, in float32; the size halves unevenly, up and down."""
    network, model, variables = _networks(50, 64, "float32")
    images = _images("float32", (66, 95))
    with torch.no_grad():
        expected = network.eval()(reference.nchw(images))
    for ours, theirs in zip(jax.jit(model.apply)(variables, images), expected, strict=True):
        assert _error(np.asarray(ours), theirs.numpy()) < 1e-4


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("depth", [14, 50])
def test_logits_features_and_statistics(x64, depth: int, train: bool) -> None:
    network, model, variables = _networks(depth, 4, "float64")
    images = _images("float64", (66, 95))
    with torch.no_grad():
        expected = network.train(train)(reference.nchw(images))
    apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
    outputs, updates = jax.jit(apply)(variables, images)
    for ours, theirs in zip(outputs, expected, strict=True):
        assert _error(np.asarray(ours), theirs.numpy()) < 1e-9
    stats = {n: a for n, a in reference.arrays(network).items() if "running" in n}
    found = to_torch({"batch_stats": updates.get("batch_stats", variables["batch_stats"])})
    _assert_close(found, stats, 1e-9)


def test_two_steps_of_sgd(x64) -> None:
    """With weight decay and momentum, and ten times the rate for the classifier."""
    network, model, variables = _networks(14, 4, "float64")
    images, labels = _images("float64", (66, 95)), np.array([1, 4, 0])
    start = reference.arrays(network)
    backbone = [p for name, p in network.named_parameters() if not name.startswith("fc.")]
    torch_sgd = torch.optim.SGD(
        [{"params": backbone}, {"params": network.fc.parameters(), "lr": 10 * RATE}],
        lr=RATE,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )
    params, stats = variables["params"], variables["batch_stats"]
    groups = parameter_groups(params, [("classifier/", "classifier"), ("", "backbone")])
    ours = sgd(
        groups,
        {"backbone": Group(), "classifier": Group(rate=10.0)},
        lambda step: RATE,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )

    @jax.jit
    def step(params, stats, state):
        def loss(params):
            outputs, updates = model.apply(
                {"params": params, "batch_stats": stats}, images, train=True, mutable="batch_stats"
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(outputs[0], labels)
            return losses.mean(), updates["batch_stats"]

        gradients, stats = jax.grad(loss, has_aux=True)(params)
        updates, state = ours.update(gradients, state, params)
        return optax.apply_updates(params, updates), stats, state

    state = ours.init(params)
    network.train()
    for _ in range(2):
        torch_sgd.zero_grad()
        logits, _ = network(reference.nchw(images))
        functional.cross_entropy(logits, torch.tensor(labels)).backward()
        torch_sgd.step()
        params, stats, state = step(params, stats, state)
    found = to_torch({"params": params, "batch_stats": stats})
    expected = {n: a for n, a in reference.arrays(network).items() if "num_batches" not in n}
    _assert_close(
        {name: found[name] - start[name] for name in expected},
        {name: array - start[name] for name, array in expected.items()},
        1e-7,
    )


def test_our_weights_run_in_torch(x64) -> None:
    network, model, variables = _networks(14, 4, "float64")
    for tensor in network.state_dict().values():
        tensor.zero_()  # nothing of the old weights may stay
    state_dict = {name: torch.tensor(array) for name, array in to_torch(variables).items()}
    network.load_state_dict(state_dict, strict=True)
    images = _images("float64", (66, 95))
    with torch.no_grad():
        theirs = network.eval()(reference.nchw(images))
    for ours, expected in zip(jax.jit(model.apply)(variables, images), theirs, strict=True):
        assert _error(np.asarray(ours), expected.numpy()) < 1e-11


def test_names_of_torchvision() -> None:
    names = TorchResNet(1000, 50, 64).state_dict().keys()
    assert {"layer3.5.conv2.weight", "layer1.0.downsample.1.running_mean", "fc.bias"} < names
    assert len(dict(TorchResNet(1000, 50, 64).named_parameters())) == 161
