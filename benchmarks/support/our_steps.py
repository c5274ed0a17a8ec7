"""Our side of the comparisons: the compiled step and the evaluation, as training runs them."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.support import work as settings
from benchmarks.support.measuring import Prepared
from benchmarks.support.work import Precision, TrainingWork
from msl_jax.data.labels import LABEL_SETS
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.methods.segmentation import (
    Objective,
    TargetLoss,
    optimizer_groups,
    parameter_rules,
    passes,
)
from msl_jax.methods.variants import VARIANTS
from msl_jax.models import DeepLabV2, initial_variables
from msl_jax.training.optimizer import parameter_groups, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate


class Step(NamedTuple):
    """What `parallel_train_step` compiles, with its first state and a batch, on the devices."""

    function: Any
    state: TrainState
    batch: Any


def build(work: TrainingWork) -> Step:
    """The step of this work with random weights and images."""
    model = network(work)
    variables = _initial_variables(work.depth, work.width)
    goal = objective(work)
    optimizer = sgd(
        parameter_groups(variables["params"], parameter_rules(model, multi=goal.multi)),
        optimizer_groups(settings.HEAD_RATE, repeated_visits=False),
        poly_schedule(settings.LEARNING_RATE, settings.POLY_STEPS),
        momentum=settings.MOMENTUM,
        weight_decay=settings.WEIGHT_DECAY,
    )
    terms = passes(model, goal, "caffe", adapt=work.part == "adapt")
    state = jax.block_until_ready(replicate(TrainState.create(variables, optimizer)))
    batch = _on_devices(settings.training_batch(work, jax.local_device_count()))
    return Step(parallel_train_step(terms, optimizer), state, batch)


def lower(step: Step, work: TrainingWork) -> Any:
    """The step traced and lowered, in the precision asked for."""
    with matmul_precision(work.precision):
        return step.function.lower(step.state, step.batch)


@functools.cache
def _initial_variables(depth: int, width: int) -> Any:
    """Random variables on the host, which take a second to draw."""
    model = network(TrainingWork(depth=depth, width=width))
    return jax.device_get(initial_variables(model, seed=0))


def network(work: TrainingWork) -> DeepLabV2:
    """The official network, of the size and precision asked for."""
    return DeepLabV2(
        settings.NUM_CLASSES,
        work.depth,
        work.width,
        rematerialize=work.rematerialize,
        dtype=jnp.bfloat16 if work.precision == "bfloat16" else jnp.float32,
    )


def objective(work: TrainingWork) -> Objective:
    """The variant's objective with the official weights."""
    variant = VARIANTS["source" if work.part == "source" else work.variant]
    return Objective(
        cast(TargetLoss, variant.target_loss),
        multi=variant.multi,
        lambda_target=settings.LAMBDA_TARGET,
        lambda_source_low=settings.LAMBDA_LOW,
        lambda_low=settings.LAMBDA_LOW,
        iw_alpha=settings.IW_ALPHA if variant.weighted else None,
        guidance_threshold=settings.GUIDANCE_THRESHOLD,
    )


def matmul_precision(precision: Precision) -> AbstractContextManager[Any]:
    """Within it programs are traced that keep all digits of float32, if they are to."""
    return jax.default_matmul_precision("highest" if precision == "float32" else "default")


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
    *, size: Sequence[int], depth: int, width: int, precision: Precision = "float32"
) -> Prepared:
    """The evaluation of one uint8 image with labels of its size, from the decoded record on.

    Args:
        size: height, width.
        depth: layers of the network.
        width: channels of its stem.
        precision: see `work.PRECISIONS`.

    Returns:
        A round is one image a device. Facts: seconds of the first, with compilation; it is no
        round, so that the compiler's memory is not that of the evaluation.
    """
    model = network(TrainingWork(depth=depth, width=width, precision=precision))
    variables = replicate(_initial_variables(depth, width))
    names = LABEL_SETS["cityscapes19"].names
    evaluator = Evaluator(Predictor(model, "caffe"), names, batch_size=1)
    rng, devices = np.random.default_rng(0), jax.local_device_count()
    batch = {
        "image": settings.random_images(rng, (devices, *size)),
        "label": settings.random_labels(rng, (devices, *size)),
    }
    clock = _Clock()
    with matmul_precision(precision):  # programs are compiled for the precision of their call
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
    """The batch where `Prefetch` would put it."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), ("device",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))
    return jax.block_until_ready(jax.device_put(batch, sharding))
