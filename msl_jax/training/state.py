"""What a training run carries from step to step."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax.numpy as jnp
import optax
from jax import Array


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes: a plain tree, as checkpoints keep it.

    Attributes:
        step: steps made so far, int32 scalar.
        params: parameters of the network.
        batch_stats: running statistics of its norms, empty for a network without any.
        opt_state: state of the optimizer.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @classmethod
    def create(cls, variables: Any, optimizer: optax.GradientTransformation) -> TrainState:
        """State before the first step for the network's `variables`."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(variables["params"]),
        )

    @property
    def variables(self) -> dict[str, Any]:
        """The network's variables, for `model.apply`."""
        return {"params": self.params, "batch_stats": self.batch_stats}
