"""What a configuration's optimizer makes of gradients, against SGD by hand."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections.config_dict import ConfigDict
from sgd_by_hand import Groups, Sgd

from msl_jax.config.presets import complete
from msl_jax.methods import segmentation
from msl_jax.methods.registry import method_of
from msl_jax.tasks.registry import build_model

DIGITS = Path(__file__).parents[2] / "configs" / "digits.py"
STEPS = 3
KEYS: dict[str, Any] = {
    "source_learning_rate": 0.3,
    "source_steps": 5,
    "source_poly_steps": 7,
    "learning_rate": 0.2,
    "steps": 9,
    "poly_steps": 11,
    "head_rate_multiplier": 0.25,
    "momentum": 0.6,
    "weight_decay": 0.04,
}
# One parameter of each kind.
SEGMENTATION = (
    *("backbone/conv1/kernel", "backbone/bn1/scale", "backbone/layer1_0/conv1/kernel"),
    *("backbone/layer1_0/downsample_conv/kernel", "backbone/layer4_0/bn3/bias"),
    *(f"{head}/conv{i}/kernel" for head in ("final_head", "low_head") for i in (0, 1)),
)
CLASSIFICATION = ("conv1/kernel", "layer1_0/bn1/scale", "classifier/bias", "discriminator/x/kernel")


def _groups(*, repeated: bool, multi: bool) -> Groups:
    """The second of two rates is not summed; the low head is trained in Multi alone."""
    return [
        (".*_head/conv1/", 0, 0),
        ("final_head/", 0.25, 1),
        ("low_head/", 0.25 if multi else 0, 1),
        ("backbone/bn1/", 0, 0),
        ("backbone/conv1/", 1, 1),
        ("backbone/.*/downsample_", 1, 4 if repeated else 1),
        ("backbone/", 1, 3 if repeated else 1),
    ]


def _assert_sgd(
    config: ConfigDict,
    names: Any,
    groups: Groups,
    rates: Any,
    *,
    adapt: bool,
    besides: tuple[str, ...] = (),
) -> None:
    """`besides`: parameters of other optimizers."""
    rng = np.random.default_rng(0)

    def draw() -> Any:
        paths = [tuple(name.split("/")) for name in (*names, *besides)]
        arrays = {path: rng.normal(size=3).astype(np.float32) for path in paths}
        return jax.tree.map(jnp.asarray, unflatten_dict(arrays))

    def network(tree: Any) -> Any:
        flat = flatten_dict(tree)
        return unflatten_dict({path: a for path, a in flat.items() if "/".join(path) in names})

    params = draw()
    expected = network(params)
    method = method_of(config, adapt=adapt)
    optimizer = method.training(config, build_model(config), params).optimizer
    by_hand = Sgd(groups, rates, momentum=0.6, weight_decay=0.04)
    state = optimizer.init(params)
    for _ in range(STEPS):
        gradients = draw()
        updates, state = optimizer.update(gradients, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        expected = by_hand.step(expected, network(gradients))
    for name, found in flatten_dict(network(params)).items():
        wanted = flatten_dict(expected)[name]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg="/".join(name))


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("variant", ["max_square", "max_square_iw_multi"])
def test_segmentation(tiny_config, variant: str, repeated: bool, adapt: bool) -> None:
    config = tiny_config(variant, repeated_visits=repeated, **KEYS)
    first, last = (0.2, 11) if adapt else (0.3, 7)
    rates = [first * (1 - step / last) ** 0.9 for step in range(STEPS)]
    groups = _groups(repeated=repeated, multi=variant.endswith("_multi"))
    _assert_sgd(config, SEGMENTATION, groups, rates, adapt=adapt)


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("schedule", ["inverse", "poly"])
def test_classification(schedule: str, adapt: bool) -> None:
    config = runpy.run_path(str(DIGITS))["get_config"]("dann")
    config.update_from_flattened_dict({**KEYS, "schedule": schedule})
    if schedule == "inverse":
        first, last = (0.2, 9) if adapt else (0.3, 5)
        rates = [first / (1 + 10 * step / last) ** 0.75 for step in range(STEPS)]
    else:
        first, last = (0.2, 11) if adapt else (0.3, 7)
        rates = [first * (1 - step / last) ** 0.9 for step in range(STEPS)]
    groups = [("classifier/", 0.25, 1), ("discriminator/", 0.25, 1), ("", 1, 1)]
    trained = [name for name in CLASSIFICATION if adapt or not name.startswith("discriminator/")]
    _assert_sgd(complete(config), trained, groups, rates, adapt=adapt)


class _Adam:
    """Adam at these rates; the default betas are those of AdaptSegNet's discriminators.

    With a decay it is AdamW.
    """

    def __init__(self, rates: list[float], beta: float = 0.99, decay: float = 0.0) -> None:
        self._rates, self._step, self._beta, self._decay = rates, 0, beta, decay
        self._first: dict[Any, Any] = {}
        self._second: dict[Any, Any] = {}

    def step(self, params: dict[Any, Any], gradients: dict[Any, Any]) -> dict[Any, Any]:
        rate, self._step, new = self._rates[self._step], self._step + 1, {}
        for path, gradient in gradients.items():
            g = np.asarray(gradient, np.float64)
            first = self._first[path] = 0.9 * self._first.get(path, 0) + 0.1 * g
            beta = self._beta
            second = self._second[path] = beta * self._second.get(path, 0) + (1 - beta) * g * g
            direction = first / (1 - 0.9**self._step)
            size = np.sqrt(second / (1 - beta**self._step)) + 1e-8
            old = np.asarray(params[path], np.float64)
            new[path] = old - rate * (direction / size + self._decay * old)
        return new


@pytest.mark.parametrize("frozen_affine", [True, False])
@pytest.mark.parametrize("variant", ["adaptsegnet_single", "minent_advent", "dacs", "cbst"])
def test_frozen_affine(tiny_config, variant: str, frozen_affine: bool) -> None:
    """Batch norm keeps its scales and offsets, if the key says so; convolutions train theirs."""
    keys = {**KEYS, "repeated_visits": True, "method.frozen_affine": frozen_affine}
    groups = _groups(repeated=True, multi=variant == "minent_advent")
    if frozen_affine:
        groups = [("backbone/.*bn./(scale|bias)", 0, 0), *groups]
    rates = [0.2 * (1 - step / 11) ** 0.9 for step in range(STEPS)]
    besides = ("discriminator/x/kernel",) if variant.startswith("adaptsegnet") else ()
    config = tiny_config(variant, **keys)
    names = (*SEGMENTATION, "backbone/layer1_0/conv1/bias")
    _assert_sgd(config, names, groups, rates, adapt=True, besides=besides)


@pytest.mark.parametrize("variant", ["adaptsegnet", "adaptsegnet_single", "advent"])
def test_discriminators(tiny_config, variant: str) -> None:
    """Adam without decay, with the network's schedule but for its warm-up."""
    keys = {**KEYS, "warmup_steps": 2, "method.discriminator_learning_rate": 0.07}
    config = tiny_config(variant, **keys)
    _assert_adam(config, [0.07 * (1 - step / 11) ** 0.9 for step in range(STEPS)])


def _assert_adam(config: ConfigDict, rates: list[float]) -> None:
    rng = np.random.default_rng(0)
    paths = [
        ("discriminator", head, layer, "kernel") for head in ("a", "b") for layer in ("x", "y")
    ]

    def draw() -> dict[Any, Any]:
        return {path: jnp.asarray(rng.normal(size=3), jnp.float32) for path in paths}

    params = expected = draw()
    network = {("backbone", "conv1", "kernel"): jnp.ones(3)}
    whole = unflatten_dict({**params, **network})
    method = method_of(config, adapt=True)
    optimizer = method.training(config, build_model(config), whole).optimizer
    by_hand, state = _Adam(rates), optimizer.init(whole)
    for _ in rates:
        gradients = draw()
        updates, state = optimizer.update(unflatten_dict({**gradients, **network}), state, whole)
        whole = jax.tree.map(jnp.add, whole, updates)
        expected = by_hand.step(expected, gradients)
    for path, value in expected.items():
        np.testing.assert_allclose(flatten_dict(whole)[path], value, rtol=1e-4, atol=1e-5)


# A warm-up over two steps of three, with the factor of its beginning.
_RISING = [1e-6, 0.5 + 0.5e-6, 1.0]
_SAME_SIZE = {"target_augmentation.crop": (16, 24)}


@pytest.mark.parametrize("schedule", ["poly", "linear"])
@pytest.mark.parametrize("variant", ["dacs", "mic", "self_training_multi"])
def test_self_training(tiny_config, variant: str, schedule: str) -> None:
    keys = {**KEYS, **_SAME_SIZE, "repeated_visits": True, "schedule": schedule}
    warm = variant != "dacs"
    if warm:
        keys["warmup_steps"] = 2
    config = tiny_config(variant, **keys)
    power = 0.9 if schedule == "poly" else 1
    falling = [0.2 * (1 - step / 11) ** power for step in range(STEPS)]
    rates = [rate * (_RISING[i] if warm else 1) for i, rate in enumerate(falling)]
    groups = _groups(repeated=True, multi=variant == "self_training_multi")
    if variant != "self_training_multi":  # which trains scales and offsets of batch norm
        groups = [("backbone/.*bn./(scale|bias)", 0, 0), *groups]
    _assert_sgd(config, SEGMENTATION, groups, rates, adapt=True)


@pytest.mark.parametrize(
    ("variant", "adapt"), [("mic", True), ("max_square", True), ("max_square", False)]
)
def test_adamw(tiny_config, variant: str, adapt: bool) -> None:
    """Heads have a rate of their own; what is frozen does not decay either."""
    config = tiny_config(variant, **KEYS, **_SAME_SIZE, optimizer="adamw", warmup_steps=2)
    rng = np.random.default_rng(0)
    paths = {name: tuple(name.split("/")) for name in SEGMENTATION}

    def draw() -> dict[Any, Any]:
        return {path: jnp.asarray(rng.normal(size=3), jnp.float32) for path in paths.values()}

    params = start = draw()
    first, last = (0.2, 11) if adapt else (0.3, 7)
    rates = [first * (1 - step / last) ** 0.9 * _RISING[step] for step in range(STEPS)]
    heads = [0.25 * rate for rate in rates]
    by_hand = {
        name: _Adam(heads if "head" in name else rates, beta=0.999, decay=0.04) for name in paths
    }
    method, tree = method_of(config, adapt=adapt), unflatten_dict(params)
    optimizer = method.training(config, build_model(config), tree).optimizer
    expected, state = dict(params), optimizer.init(tree)
    for _ in range(STEPS):
        gradients = draw()
        updates, state = optimizer.update(unflatten_dict(gradients), state, tree)
        tree = jax.tree.map(jnp.add, tree, updates)
        for name, path in paths.items():
            own = {path: expected[path]}, {path: gradients[path]}
            expected |= by_hand[name].step(*own)
    for name, path in paths.items():
        trained = name in (
            *("backbone/conv1/kernel", "backbone/layer1_0/conv1/kernel"),
            *("backbone/layer1_0/downsample_conv/kernel", "final_head/conv0/kernel"),
            *(["backbone/layer4_0/bn3/bias"] if variant != "mic" else []),
        )
        wanted = expected[path] if trained else start[path]
        np.testing.assert_allclose(flatten_dict(tree)[path], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("head", "head: the network's parameters have such a group"),
        ("blocks", "blocks: the network's parameters have such a group"),
        ("frozen", "frozen: the network's parameters have such a group"),
        ("final_head", "final_head: a part of the network"),
        ("backbone", "backbone: a part of the network"),
        ("critics", "no parameters to train in critics"),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_names_that_another_optimizer_cannot_have(
    tiny_config, optimizer: str, name: str, message: str
) -> None:
    """They would take parameters away from the network's optimizer, or none at all."""
    config, others = tiny_config("max_square", optimizer=optimizer), {name: optax.adam(0.1)}
    params = unflatten_dict({tuple(key.split("/")): jnp.ones(3) for key in SEGMENTATION})
    if name in ("head", "blocks", "frozen"):
        params[name] = {"kernel": jnp.ones(3)}
    with pytest.raises(ValueError, match=message):
        segmentation.network_optimizer(
            config, build_model(config), params, adapt=True, multi=False, others=others
        )


@pytest.mark.parametrize("multi", [True, False])
def test_low_head_decays_only_where_the_passes_train_it(tiny_config, multi: bool) -> None:
    """Whatever the variant says: its method may leave the head out."""
    config = tiny_config("max_square_multi", weight_decay=0.1)
    params = unflatten_dict({tuple(key.split("/")): jnp.ones(3) for key in SEGMENTATION})
    model = build_model(config)
    optimizer = segmentation.network_optimizer(config, model, params, adapt=True, multi=multi)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params)
    assert bool((updates["low_head"]["conv0"]["kernel"] != 0).all()) == multi
    assert bool((updates["final_head"]["conv0"]["kernel"] != 0).all())
