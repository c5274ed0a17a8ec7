"""Steps of AdaptSegNet and ADVENT: devices, micro-batches, discriminators, programs for GPUs."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from test_cuda_program import MODEL as DEEPLAB
from test_cuda_program import count_operations

from msl_jax.methods import adversarial, minent_advent
from msl_jax.models.discriminator import PixelDiscriminator
from msl_jax.models.initial import abstract_variables, uniform_params
from msl_jax.models.layers import Conv
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate, train_step

DEVICES, BATCH, SIZE, CLASSES = 2, 2, (40, 66), 3
DISCRIMINATOR = PixelDiscriminator(2, param_dtype=jnp.float64)
LAMBDAS = {"final": 0.7, "low": 0.4}


class TwoHeads(nn.Module):
    """A network without norms, which would see each device's part alone; in float64."""

    input_convention = None

    @nn.compact
    def __call__(self, images: Any, train: bool = False, low_head: bool = True) -> Any:
        self.variable("batch_stats", "unused", jnp.zeros, ())
        conv = functools.partial(Conv, use_bias=True, param_dtype=jnp.float64)
        features = nn.relu(conv(4, stride=8, name="layer")(images.astype(jnp.float64)))
        low = conv(CLASSES, name="low")(features) if low_head else None
        return conv(CLASSES, name="final")(features), low


MODEL = TwoHeads()


def _terms(name: str, axis_name: str | None) -> Any:
    """The passes of a method, on a few devices or on one."""
    common: dict[str, Any] = {"lambda_source_low": 0.3, "axis_name": axis_name}
    if name == "minent_advent":
        return minent_advent.passes(MODEL, lambda_ent=LAMBDAS, **common)
    see = adversarial.self_information if name == "advent" else jax.nn.softmax
    gan = "least_squares" if name == "least_squares" else "vanilla"
    return adversarial.passes(MODEL, DISCRIMINATOR, see=see, gan=gan, lambda_adv=LAMBDAS, **common)


METHODS = ("adaptsegnet", "least_squares", "advent", "minent_advent")
OPTIMIZER = optax.sgd(1.0)


def _variables() -> Any:
    images = jnp.zeros((1, *SIZE, 3))
    variables = jax.jit(MODEL.init)(jax.random.key(0), images)
    discriminators = {
        head: uniform_params(DISCRIMINATOR, (*SIZE, CLASSES), seed)
        for seed, head in enumerate(LAMBDAS)
    }
    params = {**variables["params"], "discriminator": discriminators}
    return {"params": params, "batch_stats": variables["batch_stats"]}


@functools.cache
def _batch() -> Any:
    """`[D, B, ...]`, every pixel labelled."""
    rng = np.random.default_rng(1)
    shape = (DEVICES, BATCH, *SIZE)
    images = rng.normal(size=(2, *shape, 3))  # as they enter the network, in float64
    labels = rng.integers(0, CLASSES, shape).astype(np.uint8)
    return {"source": {"image": images[0], "label": labels}, "target": {"image": images[1]}}


@functools.cache
def _whole(name: str) -> tuple[Any, Any]:
    """Change of the parameters and metrics of a step on one device that has all images."""
    batch = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), _batch())
    step = functools.partial(train_step, _terms(name, None), OPTIMIZER, axis_name=None)
    start = _variables()
    state, metrics = jax.jit(step)(TrainState.create(start, OPTIMIZER), batch)
    return jax.tree.map(lambda new, old: new - old, state.params, start["params"]), metrics


def _in_parts(name: str, accumulate: int) -> tuple[Any, Any]:
    """The same on all devices, in micro-batches."""
    step = parallel_train_step(_terms(name, "devices"), OPTIMIZER, accumulate=accumulate)
    start = _variables()
    before = jax.device_get(start["params"])
    state, metrics = step(replicate(TrainState.create(start, OPTIMIZER)), _batch())
    return jax.tree.map(lambda new, old: new - old, jax.device_get(state.params), before), metrics


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("name", "accumulate"), [*((name, BATCH) for name in METHODS), ("adaptsegnet", 1)]
)
def test_devices_and_micro_batches_are_one_batch(name: str, accumulate: int) -> None:
    expected, expected_metrics = _whole(name)
    found, metrics = _in_parts(name, accumulate)
    assert metrics == {
        key: pytest.approx(float(value), rel=1e-9) for key, value in expected_metrics.items()
    }

    def check(path: Any, a: Any, b: Any) -> None:
        error = np.abs(a - b).max()
        # What has no term of its own has no gradient: MinEnt has no discriminators.
        assert error <= 1e-9 * np.abs(b).max(), (jax.tree_util.keystr(path), error)

    jax.tree_util.tree_map_with_path(check, found, expected)
    moved = jax.tree.map(lambda leaf: float(np.abs(leaf).max()), expected)
    discriminators = jax.tree.leaves(moved.pop("discriminator"))
    assert min(jax.tree.leaves(moved)) > 1e-6
    if name == "minent_advent":
        assert max(discriminators) == 0
    else:
        assert min(discriminators) > 1e-6


@pytest.mark.parametrize(("size", "outputs"), [((16, 31), (1, 1)), ((64, 33), (2, 1))])
def test_maps_under_32_are_filled_up(size: tuple[int, int], outputs: tuple[int, int]) -> None:
    module = PixelDiscriminator(2)
    params = uniform_params(module, (32, 32, 5), 0)
    maps = jax.random.normal(jax.random.key(0), (2, *size, 5))
    apply = jax.jit(module.apply)
    found: Any = apply({"params": params}, maps)
    assert found.shape == (2, *outputs, 1)
    missing = [(0, max(0, 32 - side)) for side in size]
    filled = np.pad(np.asarray(maps), ((0, 0), *missing, (0, 0)))
    np.testing.assert_array_equal(found, apply({"params": params}, filled))


def test_discriminator_is_drawn_as_in_pytorch() -> None:
    """Uniformly within one over the root of the fan-in, whatever the platform draws in."""
    params = uniform_params(PixelDiscriminator(16), (32, 32, 5), 7)
    channels = {"conv1": 5, "conv2": 16, "conv3": 32, "conv4": 64, "classifier": 128}
    for name, layer in params.items():
        bound = (16 * channels[name]) ** -0.5
        assert layer["kernel"].shape[:3] == (4, 4, channels[name])
        for leaf in layer.values():
            assert np.abs(leaf).max() <= bound
        if layer["kernel"].size > 2000:
            assert np.abs(layer["kernel"]).max() > 0.99 * bound
            assert np.std(layer["kernel"]) == pytest.approx(bound / 3**0.5, rel=0.05)
            assert abs(np.mean(layer["kernel"])) < 0.05 * bound
    assert np.std(params["conv4"]["bias"]) == pytest.approx((16 * 64) ** -0.5 / 3**0.5, rel=0.2)
    again, other = (uniform_params(PixelDiscriminator(16), (32, 32, 5), seed) for seed in (7, 8))
    jax.tree.map(np.testing.assert_array_equal, params, again)
    assert not np.array_equal(params["conv1"]["kernel"], other["conv1"]["kernel"])


def test_bfloat16_is_near() -> None:
    params = uniform_params(PixelDiscriminator(16), (32, 32, 5), 0)
    maps = jax.nn.softmax(jax.random.normal(jax.random.key(0), (2, 64, 96, 5)))
    exact, rounded = (
        jax.jit(PixelDiscriminator(16, jnp.dtype(dtype)).apply)({"params": params}, maps)
        for dtype in ("float32", "bfloat16")
    )
    assert exact.dtype == rounded.dtype == jnp.float32
    assert 0 < np.abs(exact - rounded).max() < 0.02 * np.abs(exact).max()


@functools.cache
def _program(name: str) -> Any:
    """Operations of a step as it is lowered for GPUs, network and discriminators in bfloat16."""
    model = DEEPLAB.clone(dtype=jnp.bfloat16)
    module = PixelDiscriminator(8, jnp.dtype("bfloat16"))
    variables = abstract_variables(model)
    if name == "minent_advent":
        terms = minent_advent.passes(model, lambda_ent=LAMBDAS, axis_name=None)
    else:
        discriminator = jax.eval_shape(lambda: uniform_params(module, (32, 32, CLASSES), 0))
        variables["params"]["discriminator"] = dict.fromkeys(LAMBDAS, discriminator)
        terms = adversarial.passes(
            model,
            module,
            see=adversarial.self_information,
            lambda_adv=LAMBDAS,
            axis_name=None,
        )
    step = functools.partial(train_step, terms, OPTIMIZER, axis_name=None)
    state = jax.eval_shape(lambda v: TrainState.create(v, OPTIMIZER), variables)
    batch = {
        "source": {
            "image": jax.ShapeDtypeStruct((1, 48, 80, 3), jnp.uint8),
            "label": jax.ShapeDtypeStruct((1, 48, 80), jnp.uint8),
        },
        "target": {"image": jax.ShapeDtypeStruct((1, 64, 96, 3), jnp.uint8)},
    }
    return count_operations(step, state, batch, "cuda")


# Of a discriminator: forward three times; gradients by the kernels twice; by the inputs of all
# convolutions once, by those of all but the first twice.
OF_A_DISCRIMINATOR = 3 * 5 + 2 * 5 + 5 + 2 * 4


def test_every_convolution_of_the_discriminators_is_one() -> None:
    found = {name: _program(name)["convolution"] for name in ("advent", "minent_advent")}
    assert found["advent"] - found["minent_advent"] == 2 * OF_A_DISCRIMINATOR


@pytest.mark.parametrize("name", ["advent", "minent_advent"])
def test_a_gpu_waits_for_nothing(name: str) -> None:
    program = _program(name)
    assert program["optimization_barrier"] == 0
    assert program["custom_call"] == 0
    assert program["case on data"] == 0
