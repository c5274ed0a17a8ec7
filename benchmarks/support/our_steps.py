"""Our side of the comparisons: the compiled step and the evaluation, as training runs them."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections.config_dict import ConfigDict

from benchmarks.support import work as settings
from benchmarks.support.measuring import Prepared
from benchmarks.support.work import Backbone, Precision, TrainingWork
from msl_jax.config import base_config
from msl_jax.config.presets import complete
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.methods import segmentation
from msl_jax.methods.labelling import Labelling
from msl_jax.methods.registry import method_of, training_of
from msl_jax.methods.segmentation import Objective
from msl_jax.models import DeepLabV2, ResNet, initial_variables
from msl_jax.models.backbones.efficientnet_lite import EfficientNetLite0
from msl_jax.training.state import TrainState
from msl_jax.training.step import replicate


class Step(NamedTuple):
    """The result of `parallel_train_step`, with its initial state and a batch, on the devices."""

    function: Any
    state: TrainState
    batch: Any


def build(work: TrainingWork) -> Step:
    """The training step, with random weights and images."""
    model, config = network(work), configuration(work)
    adapt = work.part == "adapt"
    variables = _initial_variables(work.depth, work.width, work.backbone)
    method = method_of(config, adapt=adapt)
    variables = method.extend(config, variables)
    training = training_of(config, model, variables["params"], adapt=adapt)
    state = jax.block_until_ready(replicate(training.start(variables)))
    batch = settings.training_batch(work, jax.local_device_count())
    if labelling := method.labelling(config):
        batch["target"]["label"] = _own_labels(labelling, batch["target"]["image"].shape[:-1])
    return Step(training.step(), state, _on_devices(batch))


def _own_labels(labelling: Labelling, shape: tuple[int, ...]) -> np.ndarray:
    """What a network's own labels of these pixels look like, hard or soft (`class_balanced`)."""
    rng = np.random.default_rng(1)
    first = settings.random_labels(rng, shape)
    if labelling.alpha is None:
        return first
    return np.stack([first, settings.random_labels(rng, shape), np.full_like(first, 100)], -1)


def lower(step: Step, work: TrainingWork) -> Any:
    """The step traced and lowered, in the requested precision."""
    with matmul_precision(work.precision):
        return step.function.lower(step.state, step.batch)


@functools.cache
def _initial_variables(depth: int, width: int, backbone: Backbone) -> Any:
    """Random variables on the host; drawing them takes a second."""
    model = network(TrainingWork(depth=depth, width=width, backbone=backbone))
    return jax.device_get(initial_variables(model, seed=0))


def network(work: TrainingWork) -> DeepLabV2:
    """The official network, or another one, in the requested size and precision."""
    return DeepLabV2(
        settings.NUM_CLASSES,
        ResNet(work.depth, work.width, rematerialize=work.rematerialize)
        if work.backbone == "resnet"
        else EfficientNetLite0(rematerialize=work.rematerialize),
        dtype=jnp.bfloat16 if work.precision == "bfloat16" else jnp.float32,
    )


def configuration(work: TrainingWork) -> ConfigDict:
    """The variant's configuration with the official values, but one visit of each parameter."""
    config = base_config("benchmark", "source" if work.part == "source" else work.variant)
    config.repeated_visits = False
    config.steps = config.source_steps = settings.POLY_STEPS
    config.poly_steps = config.source_poly_steps = settings.POLY_STEPS
    config.lambda_target = settings.LAMBDA_TARGET
    config.compute_dtype = "bfloat16" if work.precision == "bfloat16" else "float32"
    return complete(config)


def objective(work: TrainingWork) -> Objective:
    """The objective of a variant with a target loss."""
    return segmentation.objective(configuration(work), adapt=work.part == "adapt")


def matmul_precision(precision: Precision) -> AbstractContextManager[Any]:
    """A context; programs traced in it keep full float32 precision if that is requested."""
    return jax.default_matmul_precision("highest" if precision == "float32" else "default")


def training(**fields: Any) -> Prepared:
    """The training step on uint8 images, compiled ahead of time so that the stages can be timed.

    Args:
        fields: of `TrainingWork`.

    Returns:
        A round is one step. Facts: seconds to build the variables, to trace and lower the step, and
        to compile it (or to load it from a compilation cache).
    """
    work = TrainingWork.from_json(fields)
    clock = _Clock()
    built = build(work)
    _, state, batch = built
    clock.lap("build_seconds")
    lowered = lower(built, work)
    clock.lap("trace_and_lower_seconds")
    compiled = lowered.compile()
    clock.lap("compile_seconds")

    def run() -> None:
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))

    return Prepared(run, clock.laps)


def evaluation(
    *,
    size: Sequence[int],
    depth: int,
    width: int,
    precision: Precision = "float32",
    backbone: Backbone = "resnet",
    batch_size: int = 1,
) -> Prepared:
    """The evaluation of uint8 images with labels of their size, starting from decoded records.

    Args:
        size: height, width.
        depth: number of layers of a ResNet.
        width: channels of its stem.
        precision: see `work.PRECISIONS`.
        backbone: of the network.
        batch_size: images at once on each device.

    Returns:
        A round is one batch. Facts: seconds of the first, including compilation; it does not count
        as a round, so that the compiler's memory is not attributed to the evaluation.
    """
    work = TrainingWork(depth=depth, width=width, precision=precision, backbone=backbone)
    model = network(work)
    variables = replicate(_initial_variables(depth, width, backbone))
    names = LABEL_SETS["cityscapes19"].names
    evaluator = Evaluator(Predictor(model), names, batch_size=batch_size)
    rng, images = np.random.default_rng(0), batch_size * jax.local_device_count()
    batch = {
        "image": settings.random_images(rng, (images, *size)),
        "label": settings.random_labels(rng, (images, *size)),
    }
    clock = _Clock()
    with matmul_precision(precision):  # a program is compiled for the precision at its call
        evaluator.confusion(variables, batch)
    clock.lap("first_image_seconds")

    def run() -> None:
        with matmul_precision(precision):
            evaluator.confusion(variables, batch)

    return Prepared(run, clock.laps)


class _Clock:
    """Seconds from lap to lap, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._start = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._start = now - self._start, now


def _on_devices(batch: Any) -> Any:
    """The batch on the devices, where `Prefetch` would put it."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), ("device",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))
    return jax.block_until_ready(jax.device_put(batch, sharding))
