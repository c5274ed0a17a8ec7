"""Random parameters, drawn one by one on the host.

`model.init` draws the same distributions, but its program takes longer to compile than many
training steps: a kernel of every size is a random generator of its own. Here only shapes come from
the network; NumPy draws each kernel from the seed and its own name. Values therefore depend neither
on the platform, nor on the number of devices, nor on what other parameters the network has.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Of all networks; each has some of them.
HEADS = ("low_head", "final_head", "classifier")

# Standard deviation of the classifiers' kernels (official code).
_HEAD_STD = 0.01
# Standard deviation of a normal distribution cut off at two of its own.
_TRUNCATED_STD = 0.87962566103423978


def initial_variables(model: Any, seed: int) -> dict[str, Any]:
    """Random variables for a network trained from scratch.

    Convolutions of the backbone are He-normal by fan-in, cut off at two standard deviations;
    classifiers are normal with 0.01; scales and variances are 1, all others 0. These are the
    distributions of the modules' own initialisers.

    Args:
        model: the network.
        seed: any integer >= 0; the same gives the same.

    Returns:
        ``{"params", "batch_stats"}``, of the dtype `model.param_dtype`.

    >>> from msl_jax.models import DeepLabV2
    >>> model = DeepLabV2(num_classes=3, depth=14, width=4)
    >>> variables = initial_variables(model, seed=0)
    >>> variables["params"]["backbone"]["conv1"]["kernel"].shape
    (7, 7, 3, 4)
    """
    shapes = abstract_variables(model)
    return {collection: _draw(tree, seed) for collection, tree in shapes.items()}


def initial_heads(model: Any, seed: int) -> dict[str, Any]:
    """New parameters of the heads, for a backbone that comes from elsewhere.

    Args:
        model: the network.
        seed: as of `initial_variables`, whose heads these are.

    Returns:
        ``{"low_head", "final_head"}`` or ``{"classifier"}``, as in the network's `params`.
    """
    params = abstract_variables(model)["params"]
    return _draw({head: params[head] for head in HEADS if head in params}, seed)


def initial_params(module: Any, shape: tuple[int, ...], seed: int) -> Any:
    """Parameters of a module without statistics, whose input is `[1, *shape]`."""
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    shapes: Any = jax.eval_shape(module.init, jax.random.key(0), example)
    return _draw(shapes["params"], seed)


def abstract_variables(model: Any) -> Any:
    """Shapes and dtypes of the variables, which do not depend on the images' size."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), image)


def _draw(shapes: Any, seed: int) -> Any:
    """A tree of arrays like the tree of shapes, whose paths name the parameters."""

    def draw(path: Any, leaf: Any) -> jax.Array:
        name = "/".join(key.key for key in path)
        if name.endswith("/kernel"):
            values = _kernel(name, leaf.shape, seed)
        else:
            values = np.full(leaf.shape, name.endswith(("/scale", "/var")), np.float32)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _kernel(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The float32 kernel `[kh, kw, C, K]` or `[C, K]` of that name."""
    digest = hashlib.sha256(name.encode()).digest()
    rng = np.random.Generator(np.random.Philox([seed, int.from_bytes(digest[:8], "little")]))
    values = rng.standard_normal(math.prod(shape), np.float32)
    if name.startswith(tuple(f"{head}/" for head in HEADS)):
        std = _HEAD_STD
    else:
        std = math.sqrt(2 / math.prod(shape[:-1])) / _TRUNCATED_STD
        while (outside := np.flatnonzero(np.abs(values) > 2)).size:
            values[outside] = rng.standard_normal(outside.size, np.float32)
    values *= np.float32(std)
    return values.reshape(shape)
