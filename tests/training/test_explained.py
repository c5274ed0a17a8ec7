"""Passes that do not fit their step or its batch are refused in words, while they are traced."""

from __future__ import annotations

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from jax import lax

from msl_jax.methods import segmentation
from msl_jax.models.inputs import TORCHVISION
from msl_jax.training.explained import expect_labels_of_images
from msl_jax.training.state import TrainState
from msl_jax.training.step import train_step

OPTIMIZER = optax.sgd(0.1)
IMAGES, LABELS = jnp.zeros((2, 8, 8, 3), jnp.uint8), jnp.zeros((2, 8, 8), jnp.uint8)
SOURCE = {"image": IMAGES, "label": LABELS}
WHOLE = {"source": SOURCE, "target": {"image": IMAGES}}


class Network(nn.Module):
    input_convention = TORCHVISION

    @nn.compact
    def __call__(self, images, train=False, low_head=True):
        return nn.Conv(3, (1, 1))(images), None


def _trace(batch: Any, passes: Any = None, axis_name: str | None = None, **options: Any) -> Any:
    model = Network()
    if passes is None:
        objective = segmentation.Objective()
        passes = segmentation.passes(model, objective, adapt=True, axis_name=axis_name)
    state = TrainState.create(model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3))), OPTIMIZER)
    step = functools.partial(train_step, passes, OPTIMIZER, axis_name=None, **options)
    return jax.eval_shape(step, state, batch)


def test_what_fits() -> None:
    _, metrics = _trace(WHOLE)
    assert metrics.keys() == {"source/final", "target/final"}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_passes_with_an_axis_and_a_step_without(accumulate: int) -> None:
    message = r"axis_name=None: .* axis 'devices', over which one of its passes .*axis_name=None"
    with pytest.raises(ValueError, match=message):
        _trace(WHOLE, axis_name="devices", accumulate=accumulate)


def test_carry_with_an_axis_and_a_step_without() -> None:
    def sums(carried: Any, variables: Any, steps: Any) -> Any:
        return lax.pmean(steps, "rows")

    with pytest.raises(ValueError, match="axis 'rows', over which"):
        _trace(WHOLE, carry=sums)


@pytest.mark.parametrize(
    ("batch", "lacks", "found"),
    [
        ({"source": SOURCE}, "target", "batch['source']['image'], batch['source']['label']."),
        ({**WHOLE, "source": {"image": IMAGES}}, "label", "batch['target']['image']."),
        ({}, "source", "nothing."),
    ],
)
def test_batch_that_lacks_a_part(batch: Any, lacks: str, found: str) -> None:
    with pytest.raises(ValueError, match=f"the batch lacks '{lacks}'.*{re.escape(found)}"):
        _trace(batch)


@pytest.mark.parametrize("domain", ["source", "target"])
@pytest.mark.parametrize("shape", [(2, 8, 6), (2, 3, 4), (2, 6, 8, 1), (2, 8, 6, 3)])
def test_labels_of_other_pixels(domain: str, shape: tuple[int, ...]) -> None:
    images = jnp.zeros((2, 6, 8, 3), jnp.uint8)
    fitting = {"image": images, "label": jnp.zeros((2, 6, 8), jnp.uint8)}
    _trace({"source": fitting, "target": fitting})
    batch = {"source": fitting, "target": fitting}
    batch[domain] = {**fitting, "label": jnp.zeros(shape, jnp.uint8)}
    message = f"batch['{domain}']['label']: expected [2, 6, 8], a label for each pixel"
    with pytest.raises(ValueError, match=f"{re.escape(message)}.*found {re.escape(str([*shape]))}"):
        _trace(batch)


def test_soft_labels_and_labels_of_whole_images_are_let_through() -> None:
    soft = {"image": IMAGES, "label": jnp.zeros((2, 8, 8, 3), jnp.uint8)}
    _trace({"source": SOURCE, "target": soft})
    expect_labels_of_images({"source": {"image": IMAGES, "label": jnp.zeros(2, jnp.uint8)}})


def test_errors_of_ones_own_pass_stay() -> None:
    def misspelt(params: Any, stats: Any, batch: Any, context: Any) -> Any:
        return nowhere  # noqa: F821

    def no_weight(params: Any, stats: Any, batch: Any, context: Any) -> Any:
        return params["weight"]

    def of_something_else(params: Any, stats: Any, batch: Any, context: Any) -> Any:
        return {}["target"]  # the batch has a part of that name

    def without_a_name(params: Any, stats: Any, batch: Any, context: Any) -> Any:
        raise KeyError

    with pytest.raises(NameError, match="nowhere"):
        _trace(WHOLE, [misspelt])
    with pytest.raises(KeyError, match="weight"):
        _trace(WHOLE, [no_weight])
    with pytest.raises(KeyError, match="target"):
        _trace(WHOLE, [of_something_else])
    with pytest.raises(KeyError) as raised:
        _trace(WHOLE, [without_a_name])
    assert raised.value.args == ()
