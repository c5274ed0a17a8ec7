"""SGD as PyTorch computes it, with its schedules and groups of parameters by name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike
from ml_collections.config_dict import ConfigDict

# A frozen parameter stays exactly as it is: no gradient step and no weight decay.
FROZEN = "frozen"


def parameter_groups(params: Any, rules: Sequence[tuple[str, str]]) -> Any:
    """Tree of group names with the structure of `params`.

    Args:
        params: tree of parameters; a leaf's name is its path, e.g. ``backbone/bn1/scale``.
        rules: pairs (regular expression, group); the first that matches the start of the name
            decides.

    Raises:
        ValueError: a parameter that no rule matches.
    """

    def group(path: Any, _leaf: Any) -> str:
        name = "/".join(str(key.key) for key in path)
        for pattern, group_name in rules:
            if re.match(pattern, name):
                return group_name
        raise ValueError(f"parameter {name} matches none of the rules {[r for r, _ in rules]}")

    return jax.tree_util.tree_map_with_path(group, params)


def poly_schedule(learning_rate: float, max_steps: int, power: float = 0.9) -> optax.Schedule:
    """`learning_rate * (1 - step / max_steps) ** power`, 0 from `max_steps` on (Section 4.2)."""
    return optax.polynomial_schedule(learning_rate, 0.0, power, max_steps)


def inverse_schedule(learning_rate: float, steps: int) -> optax.Schedule:
    """`learning_rate / (1 + 10 p) ** 0.75` with p = step / steps (Ganin et al. 2016).

    >>> schedule = inverse_schedule(0.01, 100)
    >>> print(f"{schedule(0):.5f} {schedule(100):.5f}")
    0.01000 0.00166
    """

    def rate(step: ArrayLike) -> Array:
        progress = jnp.asarray(step, jnp.float32) / steps
        return learning_rate / (1 + 10 * progress) ** 0.75

    return rate


def stage_schedule(config: ConfigDict, *, adapt: bool) -> optax.Schedule:
    """The learning rate of a stage: the adaptation's, or the source-only stage's."""
    stage = "" if adapt else "source_"
    rate = config[f"{stage}learning_rate"]
    if config.schedule == "inverse":
        return inverse_schedule(rate, config[f"{stage}steps"])
    return poly_schedule(rate, config[f"{stage}poly_steps"])


@dataclasses.dataclass(frozen=True)
class Group:
    """How a group of parameters is trained.

    Attributes:
        rate: factor on the learning rate.
        visits: how often SGD comes by in every step, see `repeated_sgd`.
    """

    rate: float = 1.0
    visits: int = 1


def sgd(
    labels: Any,
    groups: Mapping[str, Group],
    schedule: optax.Schedule,
    *,
    momentum: float,
    weight_decay: float,
) -> optax.GradientTransformation:
    """`repeated_sgd` for each group; parameters of the group `FROZEN` are left alone.

    Args:
        labels: tree of group names from `parameter_groups`.
        groups: settings of all groups but `FROZEN`.
        schedule: step -> rate.
        momentum: share of the old velocity.
        weight_decay: factor of the squared norm's gradient.
    """

    def group_sgd(group: Group) -> optax.GradientTransformation:
        return repeated_sgd(
            lambda step: group.rate * schedule(step),
            momentum=momentum,
            weight_decay=weight_decay,
            visits=group.visits,
        )

    transforms = {name: group_sgd(group) for name, group in groups.items()}
    return optax.partition({**transforms, FROZEN: optax.set_to_zero()}, labels)


class SgdState(NamedTuple):
    """Steps made, int32 scalar, and the velocity of each parameter."""

    step: Array
    velocity: Any


def repeated_sgd(
    schedule: optax.Schedule, *, momentum: float, weight_decay: float, visits: int = 1
) -> optax.GradientTransformation:
    """SGD in PyTorch's order, that may come by several times in one step with one gradient.

    Each visit is ``g += wd p``, ``v = momentum v + g``, ``p -= rate v``; `g` keeps its decay for
    the next one. Decay acts on every parameter, scales and offsets included, as in PyTorch.

    One visit is ordinary SGD. More are what PyTorch 1.0 does where its list of parameters holds
    one several times, as in the runs that made the published numbers (see
    `msl_jax.methods.segmentation.OFFICIAL_VISITS`): an effective rate of about `visits` times.

    Args:
        schedule: step -> rate; all visits of a step have the same.
        momentum: share of the old velocity.
        weight_decay: factor of the squared norm's gradient.
        visits: at least 1.
    """

    def init(params: Any) -> SgdState:
        return SgdState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Any, state: SgdState, params: Any = None) -> tuple[Any, SgdState]:
        rate, velocity = schedule(state.step), state.velocity
        moved = jax.tree.map(jnp.zeros_like, params)
        for _ in range(visits):
            gradients = jax.tree.map(
                lambda g, p, m: g + weight_decay * (p + m), gradients, params, moved
            )
            velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, gradients)
            moved = jax.tree.map(lambda m, v: m - jnp.asarray(rate, v.dtype) * v, moved, velocity)
        return moved, SgdState(state.step + 1, velocity)

    return optax.GradientTransformation(init, update)
