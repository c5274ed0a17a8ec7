"""What a method brings to a run: the seam between an adaptation's equations and the training loop.

A method is one file that reads from top to bottom as the equations of its paper, a line in
`msl_jax.methods.registry`, and one variant or more that name it. It says

    KEYS                what can be set of it: the configuration's group `method`
    RECIPE              what its official code has where the configuration leaves a key open
    extend              what it trains besides the network, such as a discriminator
    training            its passes, its optimizer, and what it carries besides the network
    labelling           how target images are labelled in rounds, if it trains on such labels

and knows nothing of files, batches, devices beyond the axis they are summed over, or evaluation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from ml_collections.config_dict import ConfigDict

from msl_jax.losses.upsampled import LossSum
from msl_jax.methods.labelling import Labelling
from msl_jax.models import keys
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.state import TrainState
from msl_jax.training.step import Carry, Pass, Prepare, TrainStep, parallel, train_step


def Key(
    default: bool | int | float | str,
    meaning: str,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
) -> keys.Key:
    """A key `config.method.NAME` of a method's own.

    Args:
        default: its value where nothing is given; values are of its type.
        meaning: in a few words.
        low: smallest value of a number.
        high: largest value of a number.
        choices: all values of a word.
    """
    if choices:
        return keys.choice(choices, default=default, meaning=meaning)
    kind = type(default)
    if kind in (bool, str):
        expected = "true or false" if kind is bool else "text"
        return keys.Key(kind, expected, lambda v: isinstance(v, kind), default, meaning=meaning)
    if low == -math.inf:
        expected = "a finite number" if high == math.inf else f"at most {high}"
    else:
        expected = f"at least {low}" if high == math.inf else f"a number in [{low}, {high}]"

    def accepts(value: Any) -> bool:
        return math.isfinite(value) and low <= value <= high

    return keys.Key(kind, expected, accepts, default, meaning=meaning)


def _nothing(of: Any) -> dict[str, Any]:
    del of
    return {}


def _unchanged(state: TrainState) -> TrainState:
    return state


class Training(NamedTuple):
    """What a stage optimises, and how; see `msl_jax.training.step.train_step`.

    Attributes:
        passes: the terms of the objective, in order.
        optimizer: takes their summed gradient.
        carry: what becomes of the carried state after each step, None for nothing.
        carried: gives, for the variables before the first step, what is carried then.
        prepare: what is made of a micro-batch before the passes, None for nothing.
        recommended: the state with the network that the method recommends as its `variables`, which
            are evaluated, kept as the weights of the run, and loaded from it; where that is not the
            one that is trained, they change places. Twice is the state itself.
        others: networks, by name, of a state after `recommended` that are evaluated for the log
            alone.
        shown: of a micro-batch that `prepare` has made, images worth a look by name, each with
            "image" `[B, H, W, 3]` in 0..255, "label" and "weight" `[B, H, W]`, weights in [0, 1].
    """

    passes: Sequence[Pass]
    optimizer: optax.GradientTransformation
    carry: Carry | None = None
    carried: Callable[[Any], Any] = _nothing
    prepare: Prepare | None = None
    recommended: Callable[[TrainState], TrainState] = _unchanged
    others: Callable[[TrainState], Mapping[str, Any]] = _nothing
    shown: Callable[[Any], Mapping[str, Any]] = _nothing

    def start(self, variables: Any) -> TrainState:
        """State before the first step."""
        # Copies: the step reuses the memory of its arguments, each of which must have its own.
        carried = jax.tree.map(jnp.copy, self.carried(variables))
        return TrainState.create(variables, self.optimizer, carried)

    def on_device(self, *, accumulate: int = 1) -> TrainStep:
        """The step on one device's part of the batch, under `pmap`; not compiled."""
        return functools.partial(
            train_step,
            self.passes,
            self.optimizer,
            prepare=self.prepare,
            carry=self.carry,
            accumulate=accumulate,
        )

    def step(self, *, accumulate: int = 1) -> TrainStep:
        """The step, compiled for all local devices at its first call."""
        return parallel(self.on_device(accumulate=accumulate))


class Method(Protocol):
    """How a stage trains; `config` is complete everywhere."""

    @property
    def KEYS(self) -> Mapping[str, keys.Key]:
        """Keys of the configuration's group `method`; empty where the common ones suffice."""
        ...

    @property
    def RECIPE(self) -> Mapping[str, Any]:
        """Values of keys that a configuration leaves open; they come before the preset's."""
        ...

    def problems(self, config: ConfigDict) -> list[str]:
        """What in a configuration does not suit the method: lines of a message, or none."""
        ...

    def extend(self, config: ConfigDict, variables: Any) -> dict[str, Any]:
        """The network's variables with those of all that is trained besides."""
        ...

    def training(self, config: ConfigDict, model: Any, params: Any) -> Training:
        """The objective and the optimizer.

        Args:
            config: complete and checked.
            model: its network, a Flax module, with the batch norm that the stage is to have.
            params: the parameters that the stage trains, see `extend`; or their shapes.
        """
        ...

    def labelling(self, config: ConfigDict) -> Labelling | None:
        """How the target images are labelled before each round, None for a method without rounds.

        Batches then have labels of the target, and SGD's momentum is lost between the rounds.
        """
        ...

    def concern(self, config: Any, metrics: Mapping[str, float]) -> str:
        """What a user should know where it lasts, see `concerns`: a sentence, or empty.

        Args:
            config: complete, or one that a run has saved as JSON.
            metrics: of the passes, means over some steps.
        """
        ...


class BaseMethod:
    """The defaults: no keys, no recipe, nothing trained besides the network, no rounds."""

    KEYS: Mapping[str, keys.Key] = {}
    RECIPE: Mapping[str, Any] = {}

    def problems(self, config: ConfigDict) -> list[str]:
        """See `Method`."""
        del config
        return []

    def extend(self, config: ConfigDict, variables: Any) -> dict[str, Any]:
        """See `Method`."""
        del config
        return variables

    def labelling(self, config: ConfigDict) -> Labelling | None:
        """See `Method`."""
        del config
        return None

    def concern(self, config: Any, metrics: Mapping[str, float]) -> str:
        """See `Method`."""
        del config, metrics
        return ""


def over_devices(value: Array, axis_name: str | None = AXIS) -> Array:
    """The sum over the devices; the value itself where there is no such axis."""
    return value if axis_name is None else lax.psum(value, axis_name)


def share(loss: LossSum, axis_name: str | None = AXIS) -> Array:
    """This device's share of a loss: its total over the count of all devices."""
    count = jnp.maximum(over_devices(loss.count, axis_name), 1)
    return loss.total / count.astype(loss.total.dtype)


def share_of_mean(mean: Array, axis_name: str | None = AXIS) -> Array:
    """This device's share of a mean over as many items as on every other device."""
    return mean if axis_name is None else mean / lax.psum(1, axis_name)
