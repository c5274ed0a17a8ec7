"""SGD as PyTorch computes it, with poly schedule and groups of parameters by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax
import optax

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


def sgd(
    groups: Any,
    multipliers: dict[str, float],
    schedule: optax.Schedule,
    *,
    momentum: float,
    weight_decay: float,
) -> optax.GradientTransformation:
    """SGD in PyTorch's order: `g += wd p`, `v = momentum v + g`, `p -= rate v`.

    Weight decay acts on every parameter of a trained group, scales and offsets included, as in the
    official code. Parameters of the group `FROZEN` are left alone.

    Args:
        groups: tree from `parameter_groups`.
        multipliers: group -> factor on the rate.
        schedule: step -> rate.
        momentum: share of the old velocity.
        weight_decay: factor of the squared norm's gradient.
    """

    def group_sgd(multiplier: float) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(weight_decay),
            optax.trace(decay=momentum),
            optax.scale_by_schedule(lambda step: -multiplier * schedule(step)),
        )

    transforms = {name: group_sgd(factor) for name, factor in multipliers.items()}
    return optax.partition({**transforms, FROZEN: optax.set_to_zero()}, groups)
