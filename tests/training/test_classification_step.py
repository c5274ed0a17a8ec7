"""One step of classification on two devices against the objective of the whole batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from ml_collections.config_dict import ConfigDict

from msl_jax import losses
from msl_jax.methods import classification, dann
from msl_jax.methods.classification import Objective
from msl_jax.methods.dann import reversal_strength, reverse_gradient
from msl_jax.models.discriminator import Discriminator
from msl_jax.models.initial import initial_params
from msl_jax.models.inputs import TORCHVISION
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate

DEVICES, BATCH, SIZE, CLASSES, STEPS = 2, 3, (4, 5), 4, 10


class Linear(nn.Module):
    """Classifier without batch norm: on two devices it would not see the whole batch."""

    input_convention = TORCHVISION

    @nn.compact
    def __call__(self, images, train: bool = False):
        self.variable("batch_stats", "unused", jnp.zeros, (1,))
        features = jnp.tanh(nn.Dense(6, name="layer")(images.reshape(len(images), -1)))
        return nn.Dense(CLASSES, name="classifier")(features), features


MODEL = Linear()


def _variables(seed: int = 0):
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, *SIZE, 3)))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)


def _batch():
    rng = np.random.default_rng(1)
    shape = (DEVICES, BATCH, *SIZE, 3)
    return {
        "source": {
            "image": rng.integers(0, 256, shape, np.uint8),
            "label": rng.integers(0, CLASSES, shape[:2], np.uint8),
        },
        "target": {"image": rng.integers(0, 256, shape, np.uint8)},
    }


UNUSED = {"unused": jnp.zeros((1,))}


def _forward(params, images):
    images = jnp.asarray(images.reshape(-1, *images.shape[2:]))
    inputs = TORCHVISION.prepare(images)
    return MODEL.apply({"params": params, "batch_stats": UNUSED}, inputs)


def _passes(objective: Objective, *, adapt: bool = True):
    return classification.passes(MODEL, objective, adapt=adapt)


def _step(terms, params, *, made: int = 0):
    """(change of the parameters, metrics) of one step of plain gradient descent at rate 1."""
    optimizer = optax.sgd(1.0)
    variables = {"params": params, "batch_stats": UNUSED}
    state = TrainState.create(jax.tree.map(jnp.array, variables), optimizer)
    state = replicate(state.replace(step=jnp.int32(made)))
    after, metrics = parallel_train_step(terms, optimizer)(state, _batch())
    change = jax.tree.map(lambda new, old: np.asarray(new) - np.asarray(old), after.params, params)
    return change, {name: float(value) for name, value in metrics.items()}


def _assert_descends(change, gradient) -> None:
    jax.tree.map(
        lambda c, g: np.testing.assert_allclose(c, -np.asarray(g), rtol=1e-4, atol=1e-6),
        change,
        gradient,
    )


@pytest.mark.parametrize(
    ("name", "loss"), [("minent", losses.entropy), ("max_square", losses.max_square)]
)
@pytest.mark.parametrize("normalization", ["official", "paper"])
def test_objective_of_the_whole_batch(name: str, loss, normalization: str) -> None:
    objective = Objective(name, lambda_target=0.3, normalization=normalization)
    params, batch = _variables()["params"], _batch()

    def terms(params):
        source, _ = _forward(params, batch["source"]["image"])
        target, _ = _forward(params, batch["target"]["image"])
        return (
            losses.cross_entropy(source, batch["source"]["label"].ravel()),
            0.3 * loss(target, normalization=normalization),
        )

    change, metrics = _step(_passes(objective), params)
    _assert_descends(change, jax.grad(lambda p: sum(terms(p)))(params))
    source, target = map(float, terms(params))
    assert metrics == pytest.approx(
        {"source/cross_entropy": source, f"target/{name}": target}, rel=1e-5
    )


@pytest.mark.parametrize("adapt", [True, False])
def test_cross_entropy_alone(adapt: bool) -> None:
    """The control, and the source-only stage."""
    params, batch = _variables()["params"], _batch()

    def loss(params):
        logits, _ = _forward(params, batch["source"]["image"])
        return losses.cross_entropy(logits, batch["source"]["label"].ravel())

    change, metrics = _step(_passes(Objective("none"), adapt=adapt), params)
    _assert_descends(change, jax.grad(loss)(params))
    assert set(metrics) == {"source/cross_entropy"}


@pytest.mark.parametrize("made", [0, 3, STEPS])
def test_adversarial_step(made: int) -> None:
    """The discriminator descends its own loss, the network ascends a share of it."""
    discriminator = Discriminator(width=5)
    params = dict(_variables()["params"], discriminator=initial_params(discriminator, (6,), 0))
    batch = _batch()

    def domain(params):
        def mean(name: str, label: float):
            _, features = _forward(params, batch[name]["image"])
            logits = discriminator.apply({"params": params["discriminator"]}, features)
            return optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, label)).mean()

        return 0.7 * (mean("source", 0.0) + mean("target", 1.0)) / 2

    def cross_entropy(params):
        logits, _ = _forward(params, batch["source"]["image"])
        return losses.cross_entropy(logits, batch["source"]["label"].ravel())

    strength = 2 / (1 + np.exp(-10 * made / STEPS)) - 1
    gradient = jax.tree.map(
        lambda a, b: a - strength * b, jax.grad(cross_entropy)(params), jax.grad(domain)(params)
    )
    gradient["discriminator"] = jax.grad(domain)(params)["discriminator"]
    terms = dann.passes(MODEL, width=5, weight=0.7, steps=STEPS)
    change, metrics = _step(terms, params, made=made)
    _assert_descends(change, gradient)
    total = metrics["source/domain"] + metrics["target/domain"]
    assert total == pytest.approx(float(domain(params)), rel=1e-5)


def test_reversal() -> None:
    x, strength = jnp.arange(3.0), jnp.float32(0.25)
    value, pull = jax.vjp(reverse_gradient, x, strength)
    np.testing.assert_array_equal(value, x)
    gradient, none = pull(jnp.ones(3))
    np.testing.assert_allclose(gradient, [-0.25] * 3)
    assert none == 0
    assert float(reversal_strength(0.05)) == pytest.approx(np.tanh(0.25), rel=1e-5)


def test_what_is_new_has_its_own_rate() -> None:
    params = {
        "conv1": {"kernel": jnp.ones(2)},
        "classifier": {"bias": jnp.ones(2)},
        "discriminator": {"domain": {"bias": jnp.ones(2)}},
    }
    keys = {"schedule": "inverse", "learning_rate": 0.01, "steps": 4, "momentum": 0.9}
    keys |= {"optimizer": "sgd", "warmup_steps": 0}
    config = ConfigDict({**keys, "weight_decay": 0.0, "head_rate_multiplier": 10.0})
    optimizer = classification.network_optimizer(config, params, adapt=True, new=("discriminator",))
    state = optimizer.init(params)
    gradients = jax.tree.map(jnp.ones_like, params)
    updates, state = optimizer.update(gradients, state, params)
    first = jax.tree.map(lambda leaf: float(leaf[0]), updates)
    assert first["conv1"]["kernel"] == pytest.approx(-0.01)
    assert first["classifier"]["bias"] == pytest.approx(-0.1)
    assert first["discriminator"]["domain"]["bias"] == pytest.approx(-0.1)
    updates, _ = optimizer.update(gradients, state, params)
    second = float(updates["conv1"]["kernel"][0])
    assert second == pytest.approx(-1.9 * 0.01 / (1 + 10 / 4) ** 0.75, rel=1e-5)
