"""What a kind of task gives to a run: the seam between the experiment and what is special to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jax import Array
from ml_collections.config_dict import ConfigDict

from msl_jax.data.labels import LabelSet
from msl_jax.data.prepared.records import Records
from msl_jax.tasks.photos import PhotoOptions, PhotoResults

# (variables, records, "source" or "target") -> M of results.json.
Measure = Callable[[Any, Records, str], dict[str, Any]]
# (variables, records read) -> picture uint8 [H, W, 3].
Draw = Callable[[Any, list[dict[str, Any]]], np.ndarray]

# (variables, images uint8 [B, H, W, 3]) -> probabilities [B, H, W, C], or [B, C] where an image has
# one label.
Probabilities = Callable[[Any, Array], Array]
# (variables, images uint8 [B, H, W, 3]) -> predicted classes and their probabilities, [B, H, W], or
# [B] where an image has one label.
Predict = Callable[[Any, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Task(Protocol):
    """The parts of a run that differ between kinds of task; `config` is complete everywhere.

    Attributes:
        pictured: images of each domain in a picture of `draw`.
    """

    pictured: int

    def model(self, config: ConfigDict) -> Any:
        """The network that the configuration describes, a Flax module with `num_classes`."""
        ...

    def measure(self, config: ConfigDict, model: Any, names: tuple[str, ...]) -> Measure:
        """Function that evaluates variables; `names` are those of the classes."""
        ...

    def probabilities(self, config: ConfigDict, model: Any) -> Probabilities:
        """Pure function of (variables, images), as the configuration's evaluation keys ask for."""
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
        options: PhotoOptions,
        output: Path,
    ) -> PhotoResults:
        """What is to be written of photos into `output`.

        Raises:
            UserError: options that these classes, or this kind of task, cannot have.
        """
        ...
