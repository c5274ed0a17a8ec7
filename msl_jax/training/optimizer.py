"""SGD as PyTorch computes it and AdamW, with its schedules and groups of parameters by name."""

from __future__ import annotations

import dataclasses
import functools
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
        rules: pairs (regular expression, group); the first one that matches the start of the name
            applies.

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


def warmed_up(schedule: optax.Schedule, steps: int) -> optax.Schedule:
    """`schedule` times a factor that rises evenly from 1e-6, at step 0, to 1 after `steps`.

    Reference: Hoyer et al. "DAFormer", CVPR 2022, whose code has the 1e-6.

    >>> rate = warmed_up(poly_schedule(0.5, 100, power=0), 4)
    >>> print(f"{rate(0):.7f} {rate(2):.4f} {rate(4):.4f} {rate(50):.4f}")
    0.0000005 0.2500 0.5000 0.5000
    """
    if steps == 0:
        return schedule

    def rate(step: ArrayLike) -> Array:
        value = jnp.asarray(schedule(step))
        risen = jnp.minimum(jnp.asarray(step).astype(value.dtype) / steps, 1)
        return (risen + 1e-6 * (1 - risen)) * value

    return rate


def stage_schedule(
    config: ConfigDict, *, adapt: bool, learning_rate: float | None = None
) -> optax.Schedule:
    """The learning rate of a stage: the adaptation's, or the source-only stage's.

    Args:
        config: complete.
        adapt: of the adaptation; else of the source-only stage.
        learning_rate: at the first step; None for the network's, which alone has a warm-up.
    """
    stage = "" if adapt else "source_"
    if learning_rate is None:
        rate = config[f"{stage}learning_rate"]
        return warmed_up(_falling(config, stage, rate), config.warmup_steps)
    return _falling(config, stage, learning_rate)


def _falling(config: ConfigDict, stage: str, rate: float) -> optax.Schedule:
    if config.schedule == "inverse":
        return inverse_schedule(rate, config[f"{stage}steps"])
    power = 1.0 if config.schedule == "linear" else 0.9
    return poly_schedule(rate, config[f"{stage}poly_steps"], power)


@dataclasses.dataclass(frozen=True)
class Group:
    """How a group of parameters is trained.

    Attributes:
        rate: factor on the learning rate.
        visits: number of SGD updates in every step, see `repeated_sgd`.
    """

    rate: float = 1.0
    visits: int = 1


def stage_optimizer(
    config: ConfigDict,
    labels: Any,
    groups: Mapping[str, Group],
    *,
    adapt: bool,
    others: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformation:
    """The network's optimizer in a stage: `sgd` or `adamw`, as the configuration says.

    Args:
        config: complete.
        labels: as for `sgd`.
        groups: likewise.
        adapt: of the adaptation; else of the source-only stage.
        others: as for `sgd`.

    Raises:
        ValueError: as `sgd`.
    """
    schedule, decay = stage_schedule(config, adapt=adapt), config.weight_decay
    if config.optimizer == "adamw":
        return adamw(labels, groups, schedule, weight_decay=decay, others=others)
    return sgd(
        labels, groups, schedule, momentum=config.momentum, weight_decay=decay, others=others
    )


def sgd(
    labels: Any,
    groups: Mapping[str, Group],
    schedule: optax.Schedule,
    *,
    momentum: float,
    weight_decay: float,
    others: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformation:
    """`repeated_sgd` for each group; parameters of the group `FROZEN` are left alone.

    Args:
        labels: tree of group names from `parameter_groups`.
        groups: settings of all groups but `FROZEN` and those of `others`.
        schedule: step -> rate.
        momentum: factor on the previous velocity.
        weight_decay: factor on the parameters, added to their gradient.
        others: groups with an optimizer of their own, such as a discriminator's Adam.

    Raises:
        ValueError: one of `others` has the name of another group, or no parameters.
    """

    def group_sgd(group: Group) -> optax.GradientTransformation:
        return repeated_sgd(
            lambda step: group.rate * schedule(step),
            momentum=momentum,
            weight_decay=weight_decay,
            visits=group.visits,
        )

    return _partitioned(labels, {name: group_sgd(g) for name, g in groups.items()}, others)


def adamw(
    labels: Any,
    groups: Mapping[str, Group],
    schedule: optax.Schedule,
    *,
    weight_decay: float,
    others: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov, Hutter 2019) in the place of `sgd`; a group's visits do not count.

    Args:
        labels: as for `sgd`.
        groups: likewise.
        schedule: likewise.
        weight_decay: decoupled from the gradient, of every parameter.
        others: likewise.

    Raises:
        ValueError: as `sgd`.
    """

    def of_group(group: Group) -> optax.GradientTransformation:
        rate = functools.partial(_scaled, group.rate, schedule)
        return _promoting(optax.adamw(rate, weight_decay=weight_decay))

    return _partitioned(labels, {name: of_group(group) for name, group in groups.items()}, others)


def _scaled(factor: float, schedule: optax.Schedule, step: ArrayLike) -> Array:
    return factor * schedule(step)


def _partitioned(
    labels: Any,
    transforms: Mapping[str, optax.GradientTransformation],
    others: Mapping[str, optax.GradientTransformation] | None,
) -> optax.GradientTransformation:
    others = others or {}
    if taken := others.keys() & {*transforms, FROZEN}:
        raise ValueError(f"{', '.join(sorted(taken))}: the network's parameters have such a group")
    if empty := others.keys() - set(jax.tree.leaves(labels)):
        raise ValueError(f"no parameters to train in {', '.join(sorted(empty))}")
    promoting = {name: _promoting(other) for name, other in others.items()}
    return optax.partition({**transforms, **promoting, FROZEN: optax.set_to_zero()}, labels)


def without_momentum(state: Any) -> Any:
    """The state of SGD that forgets past gradients and goes on in its schedules."""

    def forgotten(leaf: Array) -> Array:
        return jnp.zeros_like(leaf) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(forgotten, state)


def _promoting(transform: optax.GradientTransformation) -> optax.GradientTransformation:
    """Lets optax's own optimizers raise floats to the power of a step count, an integer.

    Under JAX's strict dtype promotion, which callers may have set, that is an error.
    """

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return transform.update(gradients, state, params)

    return optax.GradientTransformation(transform.init, update)


class SgdState(NamedTuple):
    """Number of steps made, an int32 scalar, and the velocity of each parameter."""

    step: Array
    velocity: Any


def repeated_sgd(
    schedule: optax.Schedule, *, momentum: float, weight_decay: float, visits: int = 1
) -> optax.GradientTransformation:
    """SGD in PyTorch's order of operations, with one or more updates from one gradient.

    Each visit is ``g += wd p``, ``v = momentum v + g``, ``p -= rate v``; `g` keeps its decay for
    the next one. Every parameter decays, scales and offsets included, as in PyTorch.

    One visit is ordinary SGD. More are what PyTorch 1.0 does with a parameter that its list holds
    several times, as in the runs behind the published numbers (see
    `GROUPS` of `msl_jax.models.backbones.resnet.ResNet`): the effective rate is about `visits`
    times as high.

    Args:
        schedule: step -> rate; the same for all visits of a step.
        momentum: factor on the previous velocity.
        weight_decay: factor on the parameters, added to their gradient.
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
