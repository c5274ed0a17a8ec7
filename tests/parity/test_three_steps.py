"""Three adaptation steps against PyTorch's autograd and SGD, on a small network in float64."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.convert import from_torch, to_torch
from msl_jax.methods.segmentation import Objective, optimizer_groups, parameter_rules, passes
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.training.optimizer import parameter_groups, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import train_step

torch = pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")

from torch.nn import functional  # noqa: E402

from benchmarks.support import torch_network as reference  # noqa: E402

CLASSES, WIDTH, SIZE, STEPS, IGNORE = 5, 4, (31, 41), 3, 255
RATE, MAX_STEPS, HEAD_RATE, MOMENTUM, WEIGHT_DECAY = 2e-3, 10, 10.0, 0.9, 5e-4
LAMBDA_TARGET, LAMBDA_SOURCE_LOW, LAMBDA_LOW, ALPHA, THRESHOLD = 0.5, 0.1, 0.3, 0.2, 0.4
# Compilation in float64 takes nearly all of the time.
QUICK_COMPILATION = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
OBJECTIVE = Objective(
    "max_square",
    multi=True,
    lambda_target=LAMBDA_TARGET,
    lambda_source_low=LAMBDA_SOURCE_LOW,
    lambda_low=LAMBDA_LOW,
    iw_alpha=ALPHA,
    guidance_threshold=THRESHOLD,
)


@functools.cache
def _start() -> dict[str, np.ndarray]:
    network = reference.DeepLab(CLASSES, 14, WIDTH)
    reference.randomize(network)
    return reference.arrays(network.double())


def _batch(step: int):
    """One image of each domain; a part of the labels is ignored."""
    rng = np.random.default_rng(step)
    labels = rng.integers(0, CLASSES, (1, *SIZE)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.2] = IGNORE
    source, target = rng.normal(size=(2, 1, *SIZE, 3))
    return {"source": {"image": source, "label": labels}, "target": {"image": target}}


def _upsampled(network, images: np.ndarray):
    logits = network(reference.nchw(images))
    resize = functools.partial(functional.interpolate, size=SIZE, mode="bilinear")
    return [resize(head, align_corners=True) for head in logits]


def _source_losses(network, batch) -> dict:
    labels = torch.from_numpy(batch["label"].astype(np.int64))
    final, low = (
        functional.cross_entropy(logits, labels, ignore_index=IGNORE)
        for logits in _upsampled(network, batch["image"])
    )
    return {"source/final": final, "source/low": LAMBDA_SOURCE_LOW * low}


def _target_losses(network, batch) -> dict:
    """IW maximum squares and guidance, as the official code normalises them."""
    final, low = _upsampled(network, batch["image"])
    p_final, p_low = final.softmax(1), low.softmax(1)
    with torch.no_grad():
        winner = p_final.argmax(1)
        counts = torch.bincount(winner.flatten(), minlength=CLASSES)[winner].double()
        weights = 1 / (counts**ALPHA * winner.numel() ** (1 - ALPHA))
        labels = ((p_final + p_low) / 2).argmax(1)
        sure = torch.maximum(p_final, p_low).amax(1) > THRESHOLD
        labels[~sure] = IGNORE
    squares = -(weights * p_final.square().sum(1)).sum() / CLASSES
    guidance = functional.cross_entropy(low, labels, ignore_index=IGNORE)
    return {
        "target/final": LAMBDA_TARGET * squares,
        "target/guidance": LAMBDA_TARGET * LAMBDA_LOW * guidance,
        "target/guided_share": sure.double().mean(),
    }


def _backbone_visits(network):
    """The backbone's parameters as the official code lists them.

    Module by module, and of each module all that it contains: many come several times.
    """
    parts = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    for part in (getattr(network, name) for name in parts):
        for module in part.modules():
            yield from (p for p in module.parameters() if p.requires_grad)


class RepeatedSGD:
    """PyTorch 1.0's SGD, whose list may hold a parameter twice; decay stays in its gradient."""

    def __init__(self, groups) -> None:
        self.param_groups = groups
        self.velocity: dict = {}

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.grad.add_(parameter, alpha=WEIGHT_DECAY)
                velocity = self.velocity.setdefault(parameter, torch.zeros_like(parameter))
                velocity.mul_(MOMENTUM).add_(parameter.grad)
                parameter.sub_(velocity, alpha=group["lr"])


def _optimizer(network, repeated: bool):
    heads = [*network.layer5.parameters(), *network.layer6.parameters()]
    visits = list(_backbone_visits(network))
    if repeated:
        return RepeatedSGD([{"params": visits}, {"params": heads}])
    groups = [{"params": list(dict.fromkeys(visits))}, {"params": heads}]
    return torch.optim.SGD(groups, RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)


def _torch_steps(repeated: bool):
    """State dict after the steps, and the losses of each."""
    network = reference.DeepLab(CLASSES, 14, WIDTH).double().train()
    network.load_state_dict({name: torch.tensor(array) for name, array in _start().items()})
    network.bn1.requires_grad_(False)
    optimizer = _optimizer(network, repeated)
    history = []
    for step in range(STEPS):
        rate = RATE * (1 - step / MAX_STEPS) ** 0.9
        for group, factor in zip(optimizer.param_groups, (1.0, HEAD_RATE), strict=True):
            group["lr"] = factor * rate
        network.zero_grad(set_to_none=True)
        batch = _batch(step)
        source = _source_losses(network, batch["source"])
        (source["source/final"] + source["source/low"]).backward()
        target = _target_losses(network, batch["target"])
        (target["target/final"] + target["target/guidance"]).backward()
        optimizer.step()
        history.append({name: value.item() for name, value in {**source, **target}.items()})
    return reference.arrays(network), history


def _our_steps(repeated: bool):
    model = DeepLabV2(CLASSES, ResNet(14, WIDTH, input_convention=None, param_dtype=jnp.float64))
    variables = from_torch(_start(), model)
    optimizer = sgd(
        parameter_groups(variables["params"], parameter_rules(model, multi=True)),
        optimizer_groups(model, HEAD_RATE, repeated_visits=repeated),
        poly_schedule(RATE, MAX_STEPS),
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )
    terms = passes(model, OBJECTIVE, adapt=True, axis_name=None)
    function = functools.partial(train_step, terms, optimizer, axis_name=None)
    step = jax.jit(function, compiler_options=QUICK_COMPILATION)
    state, history = TrainState.create(variables, optimizer), []
    for i in range(STEPS):
        state, metrics = step(state, _batch(i))
        history.append({name: float(value) for name, value in metrics.items()})
    return to_torch(jax.device_get(state.variables)), history


def _largest_error(found: np.ndarray, expected: np.ndarray) -> float:
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("repeated", [False, True], ids=["once", "repeated visits"])
def test_three_steps(repeated):
    expected, expected_history = _torch_steps(repeated)
    with jax.enable_x64(True):
        found, history = _our_steps(repeated)

    for ours, theirs in zip(history, expected_history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
        assert 0.05 < theirs["target/guided_share"] < 0.95

    start, faults, still = _start(), {}, set()
    for name, array in expected.items():
        if name.endswith("num_batches_tracked"):
            continue
        if np.array_equal(array, start[name]):
            still.add(name)
            np.testing.assert_array_equal(found[name], array, err_msg=name)
        elif not _largest_error(found[name] - start[name], array - start[name]) < 1e-6:
            faults[name] = _largest_error(found[name] - start[name], array - start[name])
    assert faults == {}
    unused = {
        f"layer{head}.conv2d_list.{number}.{leaf}"
        for head in (5, 6)
        for number in (2, 3)
        for leaf in ("weight", "bias")
    }
    assert still == {"bn1.weight", "bn1.bias"} | unused
