"""SGD in the order of PyTorch's loop, in NumPy: one array and one visit at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

# (start of a parameter's name, factor of the rate, visits): the first that matches counts, and a
# factor of 0 leaves the parameter alone.
Groups = Sequence[tuple[str, float, int]]


class Sgd:
    """The loop over steps, groups and visits."""

    def __init__(
        self, groups: Groups, rates: Sequence[float], *, momentum: float, weight_decay: float
    ) -> None:
        """Nothing has been moved yet; `rates` are those of the steps, in their order."""
        self._groups, self._rates = groups, iter(rates)
        self._momentum, self._decay = momentum, weight_decay
        self._velocity: dict[tuple[str, ...], np.ndarray] = {}

    def step(self, params: Any, gradients: Any) -> Any:
        """The parameters after one more step."""
        rate, new = next(self._rates), {}
        for path, gradient in flatten_dict(gradients).items():
            value = np.asarray(flatten_dict(params)[path], np.float64)
            name = "/".join(path)
            factor, visits = next(g[1:] for g in self._groups if re.match(g[0], name))
            velocity = self._velocity.get(path, np.zeros_like(value))
            pull = np.asarray(gradient, np.float64)
            for _ in range(visits if factor else 0):
                pull = pull + self._decay * value
                velocity = self._momentum * velocity + pull
                value = value - factor * rate * velocity
            self._velocity[path] = velocity
            new[path] = value.astype(np.float32)
        return unflatten_dict(new)
