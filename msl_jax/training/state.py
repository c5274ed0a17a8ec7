"""What a training run carries from step to step."""

from __future__ import annotations

import dataclasses
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
        batch_stats: running statistics of its batch norm, empty for a network without any.
        opt_state: state of the optimizer.
        carried: what the method carries besides the network, such as a teacher; empty for most.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any
    carried: Any = flax.struct.field(default_factory=dict)

    @classmethod
    def create(
        cls, variables: Any, optimizer: optax.GradientTransformation, carried: Any = None
    ) -> TrainState:
        """State before the first step for the network's `variables`."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(variables["params"]),
            carried={} if carried is None else carried,
        )

    @property
    def variables(self) -> dict[str, Any]:
        """The network's variables, for `model.apply`."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def rest(self) -> dict[str, Any]:
        """All but the network's variables: the fields of the state by name."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if name not in self.variables}
