"""What a kind of task gives to a run: the seam between the experiment and what is special to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import optax
from ml_collections.config_dict import ConfigDict

from msl_jax.data.labels import LabelSet
from msl_jax.data.prepared.records import Records
from msl_jax.training.step import Passes


class Training(NamedTuple):
    """What a stage optimises, and how: the first arguments of `train_step`."""

    passes: Passes
    optimizer: optax.GradientTransformation


# (variables, records, "source" or "target") -> M of results.json.
Measure = Callable[[Any, Records, str], dict[str, Any]]
# (variables, records read) -> picture uint8 [H, W, 3].
Draw = Callable[[Any, list[dict[str, Any]]], np.ndarray]

# (variables, images uint8 [B, H, W, 3]) -> predicted classes and their probabilities, [B, H, W], or
# [B] where an image has one label.
Predict = Callable[[Any, np.ndarray], tuple[np.ndarray, np.ndarray]]


class PhotoResults(Protocol):
    """What predict.py writes of photos."""

    def add(self, photo: Path, image: np.ndarray, variables: Any) -> None:
        """Predicts a photo, uint8 `[H, W, 3]`; `photo` is its path below the input."""
        ...

    def close(self) -> tuple[list[Path], str]:
        """Ends the writing; returns the main files, in order, and a line that says where."""
        ...


class Task(Protocol):
    """The parts of a run that differ between kinds of task; `config` is complete everywhere.

    Attributes:
        pictured: images of each domain in a picture of `draw`.
    """

    pictured: int

    def model(self, config: ConfigDict) -> Any:
        """The network that the configuration describes, a Flax module with `num_classes`."""
        ...

    def stage_variables(self, config: ConfigDict, variables: Any, *, adapt: bool) -> dict[str, Any]:
        """The network's variables with all that the stage trains beside them."""
        ...

    def training(self, config: ConfigDict, model: Any, params: Any, *, adapt: bool) -> Training:
        """The objective and the optimizer of a stage.

        Args:
            config: complete and checked.
            model: its network.
            params: the parameters that the stage trains, or their shapes; see `stage_variables`.
            adapt: of the adaptation; else of the source-only stage.
        """
        ...

    def measure(self, config: ConfigDict, model: Any, names: tuple[str, ...]) -> Measure:
        """Function that evaluates variables; `names` are those of the classes."""
        ...

    def prediction(self, config: ConfigDict, model: Any) -> Predict:
        """Function that predicts images as the configuration's evaluation keys ask for."""
        ...

    def draw(self, config: ConfigDict, model: Any, label_set: LabelSet) -> Draw:
        """Function that shows what the network makes of some examples."""
        ...

    def photo_results(
        self,
        config: ConfigDict,
        model: Any,
        label_set: LabelSet,
        photos: Mapping[Path, Path],
        output: Path,
    ) -> PhotoResults:
        """What is to be written of `photos`, by their paths below the input, into `output`.

        Raises:
            UserError: files that lie there already, or two photos of one result.
        """
        ...
