"""Random parameters, kernels drawn one by one on the host.

`model.init` draws the same distributions, but its program takes longer to compile than many
training steps: a kernel of every size is a random generator of its own. Here NumPy draws each
kernel from the seed and its own name. Values therefore depend neither on the platform, nor on the
number of devices, nor on what other parameters the network has.

What is drawn how depends on the parameter's name alone, in all modules: a `kernel` is He-normal,
but normal with 0.01 in a module of the name of a head, and a `scale` or `var` is 1. Initialisers
that a module has for these (`kernel_init`, `scale_init`) do not count; those of all others do.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

# Of all networks; each has some of them.
HEADS = ("low_head", "final_head", "classifier")

# Standard deviation of the classifiers' kernels (official code).
_HEAD_STD = 0.01
# Standard deviation of a normal distribution cut off at two of its own.
_TRUNCATED_STD = 0.87962566103423978

_Path = tuple[str, ...]


def initial_variables(model: Any, seed: int) -> dict[str, Any]:
    """Random variables for a network trained from scratch.

    Kernels of the heads are normal with 0.01, all others He-normal by fan-in, cut off at two
    standard deviations; scales and variances are 1. Everything else, such as biases and means, is
    what the module's own initialiser gives.

    Args:
        model: the network.
        seed: any integer >= 0; the same gives the same.

    Returns:
        ``{"params", "batch_stats"}``, of the dtype `model.param_dtype`.

    >>> from msl_jax.models import DeepLabV2, ResNet
    >>> model = DeepLabV2(num_classes=3, backbone=ResNet(depth=14, width=4))
    >>> variables = initial_variables(model, seed=0)
    >>> variables["params"]["backbone"]["conv1"]["kernel"].shape
    (7, 7, 3, 4)
    """
    return _draw(functools.partial(_init, model), seed)


def initial_heads(model: Any, seed: int) -> dict[str, Any]:
    """New parameters of the heads, for a backbone that comes from elsewhere.

    Args:
        model: the network.
        seed: as of `initial_variables`, whose heads these are.

    Returns:
        ``{"low_head", "final_head"}`` or ``{"classifier"}``, as in the network's `params`.
    """

    def init(key: Array) -> dict[str, Any]:
        params = _init(model, key)["params"]
        return {"params": {head: params[head] for head in HEADS if head in params}}

    return _draw(init, seed)["params"]


def initial_params(module: Any, shape: tuple[int, ...], seed: int) -> Any:
    """Parameters of a module whose input is `[1, *shape]`, drawn as those of a network.

    Raises:
        ValueError: it has other variables than parameters, such as the statistics of batch norm.
    """

    def init(key: Array) -> Any:
        return module.init(key, jnp.zeros((1, *shape), jnp.float32))

    variables = _draw(init, seed)
    _expect_parameters_alone(module, variables)
    return variables["params"]


def uniform_params(module: Any, shape: tuple[int, ...], seed: int) -> Any:
    """As `initial_params`, drawn as PyTorch draws the parameters of a layer.

    Kernels and biases are uniform between -1 and 1 over the square root of the layer's fan-in.

    Raises:
        ValueError: as of `initial_params`; or there is a parameter that is neither, such as the
            scale of a norm.
    """
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), example)
    _expect_parameters_alone(module, variables)
    shapes = flatten_dict(variables["params"])

    def draw(path: tuple[str, ...], leaf: Any) -> jax.Array:
        if path[-1] not in ("kernel", "bias") or (*path[:-1], "kernel") not in shapes:
            raise ValueError(
                f"{type(module).__name__} has a parameter {'/'.join(path)}: expected kernels and"
                " biases of layers alone; initial_params draws all others"
            )
        bound = 1 / math.sqrt(math.prod(shapes[(*path[:-1], "kernel")].shape[:-1]))
        values = _generator("/".join(path), seed).random(leaf.shape, np.float32)
        return jnp.asarray(bound * (2 * values - 1), leaf.dtype)

    return unflatten_dict({path: draw(path, leaf) for path, leaf in shapes.items()})


def _expect_parameters_alone(module: Any, variables: Mapping[str, Any]) -> None:
    if others := variables.keys() - {"params"}:
        raise ValueError(
            f"{type(module).__name__} has {', '.join(sorted(others))} besides its parameters, which"
            " nothing would keep: use a norm without running statistics, or initial_variables"
        )


def abstract_variables(model: Any) -> Any:
    """Shapes and dtypes of the variables, which do not depend on the images' size."""
    return jax.eval_shape(functools.partial(_init, model), jax.random.key(0))


def _init(model: Any, key: Array) -> Any:
    return model.init(key, jnp.zeros((1, 32, 32, 3), jnp.float32))


def _draw(init: Callable[[Array], Any], seed: int) -> dict[str, Any]:
    """Variables with the structure of what `init` makes of a key."""
    key = jax.random.key(seed % 2**32)
    shapes = flatten_dict(jax.eval_shape(init, key))

    @jax.jit  # drops the forward pass, and the kernels with their generators
    def others(key: Array) -> dict[_Path, Array]:
        leaves = flatten_dict(init(key))
        return {path: leaf for path, leaf in leaves.items() if path[-1] not in _OWN}

    values = others(key)
    for path, leaf in shapes.items():
        if make := _OWN.get(path[-1]):
            values[path] = jnp.asarray(make("/".join(path[1:]), leaf.shape, seed), leaf.dtype)
    return unflatten_dict({path: values[path] for path in shapes})


def _kernel(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The float32 kernel `[kh, kw, C, K]` or `[C, K]` of that name."""
    rng = _generator(name, seed)
    values = rng.standard_normal(math.prod(shape), np.float32)
    if name.startswith(tuple(f"{head}/" for head in HEADS)):
        std = _HEAD_STD
    else:
        std = math.sqrt(2 / math.prod(shape[:-1])) / _TRUNCATED_STD
        while (outside := np.flatnonzero(np.abs(values) > 2)).size:
            values[outside] = rng.standard_normal(outside.size, np.float32)
    values *= np.float32(std)
    return values.reshape(shape)


def _ones(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    del name, seed
    return np.ones(shape, np.float32)


def _generator(name: str, seed: int) -> np.random.Generator:
    """Random numbers of one parameter."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.Generator(np.random.Philox([seed, int.from_bytes(digest[:8], "little")]))


# What is not left to the modules, by the last part of the name.
_OWN = {"kernel": _kernel, "scale": _ones, "var": _ones}
