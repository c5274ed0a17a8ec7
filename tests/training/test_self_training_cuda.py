"""A step of self-training with all its ingredients, lowered for a GPU."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from test_cuda_program import ALL, MODEL, count_operations

from msl_jax.methods.draws import drawing
from msl_jax.methods.segmentation import Objective
from msl_jax.methods.self_training import passes, preparation
from msl_jax.methods.self_training_keys import Settings
from msl_jax.methods.teacher import TEACHER, following
from msl_jax.models.initial import abstract_variables
from msl_jax.training.optimizer import Group, adamw, poly_schedule
from msl_jax.training.state import TrainState
from msl_jax.training.step import train_step

SIZE = (48, 80)
SETTINGS = Settings(
    target_loss="max_square", image_weights=True, max_square_below=True, lambda_masked=1.0
)
FINAL_HEAD_ALONE = ALL - 2  # the low head has two rates


@functools.cache
def _abstract_step() -> Any:
    variables = abstract_variables(MODEL)
    groups = jax.tree.map(lambda _: "all", variables["params"])
    optimizer = adamw(groups, {"all": Group()}, poly_schedule(1e-4, 100), weight_decay=0.01)
    draw = drawing(0, MODEL.num_classes, jitter=0.25, blur=True, cell=16)
    step = functools.partial(
        train_step,
        passes(MODEL, SETTINGS, Objective("none", multi=True, iw_alpha=0.2), axis_name=None),
        optimizer,
        prepare=preparation(MODEL, SETTINGS, draw, axis_name=None),
        carry=following(0.99, axis_name=None),
        axis_name=None,
    )
    state = jax.eval_shape(lambda v: TrainState.create(v, optimizer, {TEACHER: v}), variables)
    images = jax.ShapeDtypeStruct((1, *SIZE, 3), jnp.uint8)
    labels = jax.ShapeDtypeStruct((1, *SIZE), jnp.uint8)
    return step, state, {"source": {"image": images, "label": labels}, "target": {"image": images}}


@pytest.fixture(scope="module")
def program() -> Any:
    return count_operations(*_abstract_step(), "cuda")


def test_the_teacher_sees_the_target_images_once(program) -> None:
    """Forward alone; the passes forward, and backward for kernel and input."""
    both_heads, one_head = 3 * ALL - 1, 3 * FINAL_HEAD_ALONE - 1
    assert program["convolution"] == 2 * both_heads + 2 * one_head + FINAL_HEAD_ALONE


def test_nothing_is_decided_while_it_runs(program) -> None:
    """Not even what is drawn: a branch that depends on data makes a GPU wait for the host."""
    assert program["case on data"] == 0


def test_nothing_of_the_cpu_is_in_it(program) -> None:
    assert program["optimization_barrier"] == 0
    assert program["custom_call"] == 0
