"""Our side of the comparisons: the compiled step and the evaluation, as training runs them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

import jax
import numpy as np
from ml_collections.config_dict import ConfigDict

from benchmarks import work as settings
from benchmarks.measuring import Prepared
from benchmarks.work import TrainingWork
from msl_jax import parts, presets
from msl_jax.config import base_config
from msl_jax.data.labels import LABEL_SETS
from msl_jax.data.records import Records
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.models import DeepLabV2, initial_variables
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate


def configuration(work: TrainingWork) -> ConfigDict:
    """A complete configuration: IW maximum squares and guidance, or the source-only row."""
    config = base_config("benchmark", "source" if work.part == "source" else "max_square_iw_multi")
    config.update_from_flattened_dict(
        {
            "model.depth": work.depth,
            "model.width": work.width,
            "num_classes": settings.NUM_CLASSES,
            "lambda_target": settings.LAMBDA_TARGET,
            "repeated_visits": False,
            "input_convention": "caffe",
        }
    )
    return presets.complete(config)


def training(**fields: Any) -> Prepared:
    """The training step on uint8 images, compiled ahead of time so that its parts are timed.

    Args:
        fields: of `TrainingWork`.

    Returns:
        A round is one step. Facts: seconds to build the variables, to trace and lower the step, and
        to compile it (or to load it, where a compilation cache holds it).
    """
    work = TrainingWork.from_json(fields)
    clock = _Clock()
    config = configuration(work)
    model = parts.build_model(config)
    variables = initial_variables(model, seed=0)
    part = parts.build_training(config, model, variables["params"], adapt=work.part == "adapt")
    state = jax.block_until_ready(replicate(TrainState.create(variables, part.optimizer)))
    del variables  # as in training: the step is given the only copy
    clock.lap("build_seconds")
    step: Any = parallel_train_step(*part)
    batch = _on_devices(settings.training_batch(work, jax.local_device_count()))
    lowered = step.lower(state, batch)
    clock.lap("trace_and_lower_seconds")
    compiled = lowered.compile()
    clock.lap("compile_seconds")

    def run() -> None:
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))

    return Prepared(run, clock.laps)


def evaluation(*, size: Sequence[int], depth: int, width: int) -> Prepared:
    """The evaluation of one uint8 image with labels of its size, from the record on.

    Args:
        size: height, width.
        depth: layers of the network.
        width: channels of its stem.

    Returns:
        A round is one image. Facts: seconds of the first image, with compilation; it is no round,
        so that the compiler's memory is not that of the evaluation.
    """
    label_size = (size[0], size[1])
    model = DeepLabV2(settings.NUM_CLASSES, depth, width)
    initial: Any = initial_variables(model, seed=0)
    variables = replicate(initial)
    evaluator = Evaluator(Predictor(model, "caffe"), LABEL_SETS["cityscapes19"].names, batch_size=1)
    records = cast(Records, OneRecord(label_size))
    clock = _Clock()
    evaluator(variables, records, label_size)
    clock.lap("first_image_seconds")
    return Prepared(lambda: evaluator(variables, records, label_size), clock.laps)


class OneRecord:
    """Stands for the records of a split: one random example that lies in memory."""

    def __init__(self, size: tuple[int, int]) -> None:
        rng = np.random.default_rng(0)
        self._example = {
            "image": settings.random_images(rng, size),
            "label": settings.random_labels(rng, size),
            "key": "random",
        }

    def __len__(self) -> int:
        """One."""
        return 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The example."""
        return self._example


class _Clock:
    """Seconds from lap to lap, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._start = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._start = now - self._start, now


def _on_devices(batch: Any) -> Any:
    """The batch where `Prefetch` would put it."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), ("device",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))
    return jax.block_until_ready(jax.device_put(batch, sharding))
