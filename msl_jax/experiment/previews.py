"""Pictures of a run: evaluation images with predictions, and what a method trains on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from msl_jax.data.prefetch import Prefetch
from msl_jax.data.prepared.records import Records
from msl_jax.evaluation import pictures
from msl_jax.methods.method import Training
from msl_jax.runtime.files import atomic_write
from msl_jax.runtime.parallel import AXIS
from msl_jax.tasks.task import Draw
from msl_jax.training.state import TrainState
from msl_jax.training.step import Context


class Samples:
    """One picture of a few images of each domain, with what the network makes of them."""

    def __init__(self, draw: Draw, records: Mapping[str, Records], count: int) -> None:
        """Reads the images, evenly spaced over the records.

        Args:
            draw: shows variables and images.
            records: of each domain.
            count: images of each domain.
        """
        self._draw = draw
        self._rows = {domain: list(source.spread(count)) for domain, source in records.items()}

    def __call__(self, variables: Any) -> dict[str, np.ndarray]:
        """One picture uint8 `[H, W, 3]` of each domain."""
        return {domain: self._draw(variables, rows) for domain, rows in self._rows.items()}

    def save(self, variables: Any, folder: Path, name: str) -> None:
        """Writes ``NAME_DOMAIN.png`` for each domain into `folder`."""
        _save(self(variables), folder, name)


class BatchPreview:
    """Pictures of what a method makes of the next batch, before the passes see it."""

    def __init__(
        self,
        training: Training,
        batches: Prefetch,
        palette: np.ndarray,
        accumulate: int,
        count: int,
    ) -> None:
        """Compiles nothing yet.

        Args:
            training: the method's.
            batches: of the training; nothing is taken away.
            palette: colours of the train ids, uint8 `[256, 3]`.
            accumulate: micro-batches of a step.
            count: images of each kind.
        """
        self._batches, self._palette = batches, palette
        self._accumulate, self._count = accumulate, count
        self._make: Callable[[Any, Context], Any] | None = None
        if (prepare := training.prepare) is not None:

            def make(batch: Any, context: Context) -> Any:
                return training.shown(prepare(batch, context)[0])

            # One device of one: `prepare` adds up over the axis of the devices.
            self._make = jax.jit(jax.vmap(make, (0, None), axis_name=AXIS))

    def __call__(self, state: TrainState) -> dict[str, np.ndarray]:
        """By name, uint8 `[H, W, 3]`: rows of image, label and weight (grey).

        Args:
            state: as it is trained; its next step will see these images, but for the share of other
                devices in what is added up over all of them.
        """
        if self._make is None or (batch := self._batches.peek()) is None:
            return {}
        # The first micro-batch of the first device.
        first = jax.tree.map(lambda leaf: leaf[:1, : leaf.shape[1] // self._accumulate], batch)
        context = Context(state.step, state.carried)
        made = jax.device_get(self._make(*jax.device_get((first, context))))
        return {name: self._drawn(images) for name, images in made.items()}

    def save(self, state: TrainState, folder: Path, name: str) -> None:
        """Writes ``NAME_KIND.png`` into `folder`."""
        _save(self(state), folder, name)

    def _drawn(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        rows = zip(*(images[key][0] for key in ("image", "label", "weight")), strict=True)
        return pictures.column(
            [
                pictures.row(
                    [
                        np.rint(np.clip(image, 0, 255)).astype(np.uint8),
                        pictures.colorize(label, self._palette),
                        pictures.confidence_map(weight),
                    ]
                )
                for image, label, weight in itertools.islice(rows, self._count)
            ]
        )


def _save(drawn: Mapping[str, np.ndarray], folder: Path, name: str) -> None:
    for kind, picture in drawn.items():
        with atomic_write(folder / f"{name}_{kind}.png") as partial:
            Image.fromarray(picture).save(partial, format="png")
