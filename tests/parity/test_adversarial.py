"""AdaptSegNet and ADVENT against values made by running the pieces of their official codes."""

from __future__ import annotations

import functools
import itertools
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from msl_jax.methods import adversarial, minent_advent
from msl_jax.methods.adversarial import SOURCE, domain_loss, self_information
from msl_jax.models.discriminator import PixelDiscriminator
from msl_jax.models.layers import Conv
from msl_jax.training.optimizer import Group, parameter_groups, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import Context, train_step

GOLDENS = Path(__file__).parents[1] / "goldens" / "peers"
SEE = {"softmax": jax.nn.softmax, "entropy": self_information}
GANS = {"bce": "vanilla", "ls": "least_squares"}
LAYERS = ("conv1", "conv2", "conv3", "conv4", "classifier")

pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def _goldens(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        return dict(arrays)


def _ours(arrays: dict[str, np.ndarray], prefix: str = "") -> dict[str, Any]:
    """Parameters in float64 from PyTorch's `LAYER.weight` and `LAYER.bias`."""
    layers = {
        key.removeprefix(prefix).partition(".")[0] for key in arrays if key.startswith(prefix)
    }
    return {
        layer: {
            "kernel": jnp.asarray(arrays[f"{prefix}{layer}.weight"], float).transpose(2, 3, 1, 0),
            "bias": jnp.asarray(arrays[f"{prefix}{layer}.bias"], float),
        }
        for layer in layers
    }


def _leaves(params: Any, layers: tuple[str, ...] = LAYERS) -> dict[str, np.ndarray]:
    """Arrays in PyTorch's order by PyTorch's names."""
    found = {}
    for layer in layers:
        found[f"{layer}.weight"] = np.asarray(params[layer]["kernel"]).transpose(3, 2, 0, 1)
        found[f"{layer}.bias"] = np.asarray(params[layer]["bias"])
    return found


def _drawn(seed: int, classes: int, width: int) -> dict[str, np.ndarray]:
    """A discriminator's weights as those of the golden values were drawn."""
    rng, arrays = np.random.default_rng(seed), {}
    channels = [classes, *(width * 2**i for i in range(4)), 1]
    for layer, (before, after) in zip(LAYERS, itertools.pairwise(channels), strict=True):
        bound = (before * 16) ** -0.5
        shapes = {"weight": (after, before, 4, 4), "bias": (after,)}
        for name, shape in shapes.items():
            arrays[f"{layer}.{name}"] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return arrays


def _assert_close(found: Any, expected: Any, name: str = "") -> None:
    """Largest error over largest value."""
    error = np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()
    assert error < 1e-6, (name, error)


class Logits(nn.Module):
    """A network whose parameters are its logits: final, and low likewise."""

    input_convention = None
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, images: Any, train: bool = False, low_head: bool = True) -> Any:
        self.variable("batch_stats", "unused", jnp.zeros, ())
        final, low = (self.param(name, nn.initializers.zeros, self.shape) for name in ("f", "l"))
        return final, low if low_head else None


def _batch(logits: Any) -> dict[str, Any]:
    images = np.zeros((*logits.shape[:3], 3), np.uint8)
    return {"source": {"image": images, "label": images[..., 0]}, "target": {"image": images}}


def _gradient(single: Any, params: Any, batch: Any) -> tuple[Any, dict[str, Any]]:
    context, stats = Context(jnp.int32(0), {}), {"unused": jnp.zeros(())}
    gradient, (_, metrics) = jax.grad(single, has_aux=True)(params, stats, batch, context)
    return gradient, metrics


def test_self_information() -> None:
    goldens = _goldens("advent")
    found, pull = jax.vjp(self_information, jnp.asarray(goldens["logits"]))
    assert (jax.nn.softmax(goldens["logits"]) == 0).any()
    _assert_close(found, goldens["map"])
    _assert_close(pull(jnp.asarray(goldens["cotangent"]))[0], goldens["map_vjp_logits"])


def test_entropy_of_both_heads() -> None:
    goldens = _goldens("advent")
    logits = jnp.asarray(goldens["logits"])
    _, target = minent_advent.passes(
        Logits(logits.shape), lambda_ent={"final": 0.25, "low": 0.5}, axis_name=None
    )
    gradient, metrics = _gradient(target, {"f": logits, "l": logits}, _batch(logits))
    for name, key, weight in (("final", "f", 0.25), ("low", "l", 0.5)):
        _assert_close(metrics[f"target/entropy_{name}"], weight * goldens["entropy"])
        _assert_close(gradient[key], weight * goldens["entropy_grad_logits"])


@pytest.mark.parametrize(
    ("seen", "gan"), [("softmax", "bce"), ("softmax", "ls"), ("entropy", "bce")]
)
def test_discriminator_and_its_losses(seen: str, gan: str) -> None:
    """One discriminator, on the final head; each pass moves what it should."""
    goldens = _goldens("discriminator")
    place = f"{seen}/{gan}"
    params = {name: jnp.asarray(goldens[f"{name}_logits"], float) for name in ("source", "target")}
    module, weights = PixelDiscriminator(3), _ours(goldens, "weights/")
    for name, logits in params.items():
        outputs = module.apply({"params": weights}, SEE[seen](logits))
        _assert_close(outputs, goldens[f"{seen}/output_{name}"])

    source, target = adversarial.passes(
        Logits(params["source"].shape),
        module,
        see=SEE[seen],
        gan=GANS[gan],
        lambda_adv={"final": 0.25},
        axis_name=None,
    )
    batch = _batch(params["source"])
    gradients, metrics = [], {}
    for single, logits in ((source, params["source"]), (target, params["target"])):
        trained = {"f": logits, "l": logits, "discriminator": {"final": weights}}
        gradient, found = _gradient(single, trained, batch)
        gradients.append(gradient)
        metrics |= found
    cross_entropy = -jax.nn.log_softmax(params["source"])[..., 0].mean()
    _assert_close(metrics.pop("source/final"), cross_entropy)
    expected = {
        "source/discriminator_final": goldens[f"{place}/discriminator_source"],
        "target/discriminator_final": goldens[f"{place}/discriminator_target"],
        "target/adversarial_final": 0.25 * goldens[f"{place}/adversarial"],
    }
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        _assert_close(metrics[name], value, name)
    _assert_close(gradients[1]["f"], 0.25 * goldens[f"{place}/grad_target_logits"])
    without = (jax.nn.softmax(params["source"]).at[..., 0].add(-1)) / math.prod(
        batch["source"]["label"].shape
    )
    _assert_close(
        gradients[0]["f"], without
    )  # the discriminator's loss on the source moves D alone
    total = jax.tree.map(jnp.add, *(gradient["discriminator"]["final"] for gradient in gradients))
    for name, found in _leaves(total).items():
        if seen == "softmax":
            _assert_close(found, goldens[f"{place}/grad/{name}"], name)
        else:
            _assert_close(np.linalg.norm(found), goldens[f"{place}/grad_norm/{name}"], name)


def test_discriminator_of_full_size() -> None:
    goldens = _goldens("discriminator")
    logits = np.random.default_rng(4).integers(-160, 161, (1, 19, 66, 131)) / 32
    module = PixelDiscriminator()

    def adversarial_loss(params: Any, logits: Any) -> Any:
        outputs: Any = module.apply({"params": params}, jax.nn.softmax(logits))
        return domain_loss(outputs, SOURCE, "vanilla"), outputs

    arguments = _ours(_drawn(3, 19, 64)), jnp.asarray(logits.transpose(0, 2, 3, 1))
    (loss, outputs), (gradient, by_logits) = jax.value_and_grad(
        adversarial_loss, (0, 1), has_aux=True
    )(*arguments)
    _assert_close(outputs, goldens["full/output"])
    _assert_close(loss, goldens["full/adversarial"])
    _assert_close(jnp.linalg.norm(by_logits), goldens["full/grad_logits_norm"])
    leaves = _leaves(gradient)
    assert list(leaves) == goldens["full/names"].tolist()
    for i, array in enumerate(leaves.values()):
        norm = np.linalg.norm(array)
        _assert_close(norm, goldens["full/grad_norms"][i])
        assert abs(array.flat[0] - goldens["full/grad_first"][i]) < 1e-6 * norm / array.size**0.5


class TwoHeads(nn.Module):
    """The network of the three steps: four convolutions, no norms."""

    input_convention = None

    @nn.compact
    def __call__(self, images: Any, train: bool = False, low_head: bool = True) -> Any:
        self.variable("batch_stats", "unused", jnp.zeros, ())
        conv = functools.partial(Conv, size=3, use_bias=True)
        features = jnp.tanh(conv(6, stride=4, name="conv1")(images))
        low = conv(5, name="low")(features)
        return conv(5, name="final")(jnp.tanh(conv(8, name="conv2")(features))), low


VARIANTS = {
    "adaptsegnet_bce": (jax.nn.softmax, "vanilla"),
    "adaptsegnet_ls": (jax.nn.softmax, "least_squares"),
    "advent": (self_information, "vanilla"),
}
# Network and discriminators, as the layers are listed in the golden values.
NETWORK = ("conv1", "low", "conv2", "final")


def _three_steps(variant: str) -> tuple[Any, list[dict[str, float]]]:
    """Parameters after the steps, and the metrics of each."""
    goldens = _goldens("adversarial_three_steps")
    see, gan = VARIANTS[variant]
    params = _ours(goldens, "init/")
    drawn = {"low": _drawn(9, 5, 3), "final": _drawn(10, 5, 3)}
    params["discriminator"] = {head: _ours(arrays) for head, arrays in drawn.items()}
    steps = int(goldens["max_steps"])
    adam = optax.adam(poly_schedule(float(goldens["learning_rate_d"]), steps), b1=0.9, b2=0.99)
    optimizer = sgd(
        parameter_groups(
            params,
            [("discriminator/", "discriminator"), ("(low|final)/", "head"), ("", "network")],
        ),
        {"network": Group(), "head": Group(rate=10.0)},
        poly_schedule(float(goldens["learning_rate"]), steps),
        momentum=0.9,
        weight_decay=5e-4,
        others={"discriminator": adam},
    )
    terms = adversarial.passes(
        TwoHeads(),
        PixelDiscriminator(3),
        see=see,
        gan=gan,
        lambda_adv={head: float(goldens[f"lambda_adv_{head}"]) for head in ("low", "final")},
        lambda_source_low=float(goldens["lambda_seg_low"]),
        axis_name=None,
    )
    step = jax.jit(functools.partial(train_step, terms, optimizer, axis_name=None))
    state = TrainState.create(
        {"params": params, "batch_stats": {"unused": jnp.zeros(())}}, optimizer
    )
    history = []
    for i in range(3):
        images = {
            domain: jnp.asarray(goldens[f"{domain}_images"][i] / 255 - 0.5)
            for domain in ("source", "target")
        }
        source = {"image": images["source"], "label": goldens["source_labels"][i]}
        state, metrics = step(state, {"source": source, "target": {"image": images["target"]}})
        history.append({name: float(value) for name, value in metrics.items()})
    return jax.device_get(state.params), history


def _as_logged(metrics: dict[str, float]) -> list[float]:
    """The losses of a step without their weights, in the order of the golden values."""
    goldens = _goldens("adversarial_three_steps")
    unweighted = [metrics["source/low"] / goldens["lambda_seg_low"], metrics["source/final"]]
    for head in ("low", "final"):
        unweighted.append(metrics[f"target/adversarial_{head}"] / goldens[f"lambda_adv_{head}"])
    for head in ("low", "final"):
        halves = (metrics[f"{domain}/discriminator_{head}"] for domain in ("source", "target"))
        unweighted.append(sum(halves))
    return unweighted


@pytest.mark.parametrize("variant", VARIANTS)
def test_three_steps(variant: str) -> None:
    goldens = _goldens("adversarial_three_steps")
    params, history = _three_steps(variant)
    for i, metrics in enumerate(history):
        np.testing.assert_allclose(
            _as_logged(metrics), goldens[f"{variant}/losses/{i}"], rtol=1e-6, err_msg=str(i)
        )
    for name, found in _leaves(params, NETWORK).items():
        start, after = goldens[f"init/{name}"], goldens[f"{variant}/final/{name}"]
        _assert_close(found - start, after - start, name)
    for head, seed in (("low", 9), ("final", 10)):
        start = _drawn(seed, 5, 3)
        leaves = _leaves(params["discriminator"][head])
        for i, (name, found) in enumerate(leaves.items()):
            norm = goldens[f"{variant}/d_{head}/delta_norms"][i]
            change = found - start[name]
            assert np.linalg.norm(change) == pytest.approx(norm, rel=1e-6), name
            probes = goldens[f"{variant}/d_{head}/probes"][i] - start[name].flat[[0, -1]]
            error = np.abs(change.flat[[0, -1]] - probes).max()
            assert error < 1e-6 * norm / change.size**0.5, name
