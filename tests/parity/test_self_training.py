"""Self-training against values made by running the pieces of DACS, DAFormer and MIC themselves."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from msl_jax.losses.upsampled import cross_entropy_sums
from msl_jax.methods import strong_augmentation
from msl_jax.methods.class_mix import chosen_classes, mixed, pasted
from msl_jax.methods.draws import Draws, drawing
from msl_jax.methods.masking import cells, kept_pixels
from msl_jax.methods.method import Training
from msl_jax.methods.segmentation import Objective
from msl_jax.methods.self_training import passes, preparation
from msl_jax.methods.self_training_keys import Settings
from msl_jax.methods.teacher import TEACHER, following, moved_teacher
from msl_jax.models.layers import Conv
from msl_jax.training.optimizer import Group, parameter_groups, poly_schedule, sgd, warmed_up
from msl_jax.training.step import Context, train_step

GOLDENS = Path(__file__).parents[1] / "goldens" / "peers"
IGNORE, CLASSES = 255, 19

pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def _goldens(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        return dict(arrays)


def _assert_close(found: Any, expected: Any, name: str = "") -> None:
    """Largest error over largest value."""
    error = np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()
    assert error < 1e-6, (name, error)


def _favouring(ids: np.ndarray, num_classes: int) -> np.ndarray:
    """Draws `[C + 1]` by which these ids are chosen, if they are half of those that occur."""
    draws = np.full(num_classes + 1, 0.9)
    draws[np.where(ids == IGNORE, num_classes, ids)] = 0.1
    return draws


class TestClassMix:
    def test_mask(self):
        goldens = _goldens("dacs")
        labels = goldens["labels"][None]
        draws = _favouring(goldens["chosen_classes"], CLASSES)
        chosen = chosen_classes(labels, jnp.asarray(draws[None]))
        assert set(np.flatnonzero(chosen[0])) == {
            CLASSES if c == IGNORE else c for c in goldens["chosen_classes"]
        }
        np.testing.assert_array_equal(pasted(labels, chosen)[0], goldens["mask"])

    def test_number_of_classes(self):
        uniform = jnp.asarray(np.random.default_rng(0).random((1, CLASSES + 1)))
        for number, expected in enumerate(_goldens("dacs")["number_chosen"], start=1):
            labels = np.arange(2, 2 + number, dtype=np.uint8)
            labels[-1] = IGNORE if number % 2 else labels[-1]
            chosen = chosen_classes(labels[None, None], uniform)
            assert int(chosen.sum()) == expected, number

    def test_mixed(self):
        """Image, label, weight, and the loss on them with its gradient."""
        goldens = _goldens("dacs")
        mask = jnp.asarray(goldens["mask"][None], bool)
        images = [jnp.asarray(goldens[f"{name}_image"][None]) for name in ("source", "target")]
        np.testing.assert_array_equal(mixed(mask, *images)[0], goldens["mixed_image"])
        labels = mixed(mask, goldens["labels"][None], goldens["teacher_labels"][:1])
        np.testing.assert_array_equal(labels[0], goldens["mixed_labels"])
        weights = jnp.where(mask, 1, goldens["share_of_both_images"])
        np.testing.assert_array_equal(weights[0], goldens["mixed_weights"])

        def loss(logits: Any) -> Any:
            return cross_entropy_sums((logits,), labels, weights)[0].total / labels.size

        value, gradient = jax.value_and_grad(loss)(jnp.asarray(goldens["logits"], float))
        _assert_close(value, goldens["mixed_loss"])
        _assert_close(jnp.linalg.norm(gradient), goldens["mixed_loss_grad_norm"])
        _assert_close(gradient[0, 0], goldens["mixed_loss_grad_row0"])


class TestTeacher:
    @pytest.mark.parametrize(("kind", "first"), [("dacs", 1), ("daformer", 0)])
    def test_moving_average(self, kind: str, first: int):
        """DACS moves the teacher after a step, DAFormer at its beginning, and copies in step 0."""
        goldens = _goldens("dacs")
        teacher = goldens["ema/student"][0]
        for step, expected in enumerate(goldens[f"ema/{kind}_teacher"]):
            student = goldens["ema/student"][step + first]
            teacher = moved_teacher(teacher, student, step, float(goldens["ema/alpha"]))
            np.testing.assert_allclose(teacher, expected, rtol=1e-12, err_msg=str(step))


class TestStrongAugmentation:
    @pytest.mark.parametrize("case", [0, 1, 2])
    def test_color_jitter(self, case: int):
        goldens = _goldens("dacs")
        found = strong_augmentation.color_jitter(
            jnp.asarray(goldens["jitter/image"]),
            jnp.asarray(goldens[f"jitter/{case}/order"][None]),
            jnp.asarray(goldens[f"jitter/{case}/factors"][None]),
        )
        np.testing.assert_allclose(found, goldens[f"jitter/{case}/output"], atol=1e-12)

    def test_blur(self):
        goldens = _goldens("dacs")
        found = strong_augmentation.gaussian_blur(
            jnp.asarray(goldens["blur/image"]), jnp.asarray(goldens["blur/sigma"][None])
        )
        np.testing.assert_allclose(found, goldens["blur/output"], atol=1e-12)

    def test_sizes_of_the_blur(self):
        goldens = _goldens("dacs")
        found = [strong_augmentation.kernel_size(int(side)) for side in goldens["blur/sizes"]]
        assert found == goldens["blur/kernel_of_size"].tolist()


@pytest.mark.parametrize("case", [0, 1, 2])
def test_masked_pixels(case: int) -> None:
    goldens = _goldens("daformer_mic")
    size = tuple(goldens[f"mic/{case}/size"].tolist())
    uniform = jnp.asarray(goldens[f"mic/{case}/uniform"])
    assert cells(size, int(goldens[f"mic/{case}/block"])) == uniform.shape[1:]
    found = kept_pixels(uniform, size, float(goldens[f"mic/{case}/ratio"]))
    np.testing.assert_array_equal(found, goldens[f"mic/{case}/mask"])


def test_warm_up_and_linear_decay() -> None:
    goldens = _goldens("daformer_mic")
    schedule = warmed_up(poly_schedule(6e-5, 40_000, power=1.0), 1_500)
    found = [float(schedule(step)) for step in goldens["lr/steps"]]
    np.testing.assert_allclose(found, goldens["lr/values"], rtol=1e-6)


class Network(nn.Module):
    """The network of the three steps, with its final head alone: three convolutions, no norms."""

    input_convention = None

    @nn.compact
    def __call__(self, images: Any, train: bool = False, low_head: bool = True) -> Any:
        assert not low_head
        self.variable("batch_stats", "unused", jnp.zeros, ())
        conv = functools.partial(Conv, size=3, use_bias=True)
        x = jnp.tanh(conv(6, stride=4, name="conv1")(images.astype(float) / 255 - 0.5))
        return conv(5, name="final")(jnp.tanh(conv(8, name="conv2")(x))), None


LAYERS = ("conv1", "conv2", "final")


def _from_torch(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    return {
        layer: {
            "kernel": jnp.asarray(arrays[f"{prefix}{layer}.weight"], float).transpose(2, 3, 1, 0),
            "bias": jnp.asarray(arrays[f"{prefix}{layer}.bias"], float),
        }
        for layer in LAYERS
    }


def _draw(context: Context, shape: tuple[int, int, int]) -> Draws:
    """The official run's classes; no other draw counts."""
    goldens = _goldens("dacs_three_steps")
    chosen = [
        [_favouring(goldens[f"chosen/{step}/{image}"], 5) for image in range(shape[0])]
        for step in range(3)
    ]
    draws = drawing(0, 5, jitter=0.0, blur=False, cell=32)(context, shape)
    return draws._replace(classes=jnp.asarray(np.array(chosen))[context.step])


def test_three_steps_of_dacs() -> None:
    goldens = _goldens("dacs_three_steps")
    start = _from_torch(goldens, "init/")
    start["final"]["kernel"] *= goldens["final_weight_factor"]
    optimizer = sgd(
        parameter_groups(start, [("final/", "head"), ("", "network")]),
        {"network": Group(), "head": Group(rate=10.0)},
        poly_schedule(float(goldens["learning_rate"]), int(goldens["max_steps"])),
        momentum=0.9,
        weight_decay=5e-4,
    )
    model = Network()
    settings = Settings(
        teacher_decay=float(goldens["alpha"]),
        confidence=float(goldens["threshold"]),
        jitter=0.0,
        blur=False,
    )
    training = Training(
        passes(model, settings, Objective("none"), axis_name=None),
        optimizer,
        following(settings.teacher_decay, axis_name=None),
        lambda variables: {TEACHER: variables},
        preparation(model, settings, _draw, axis_name=None),
    )
    step = jax.jit(
        functools.partial(
            train_step,
            training.passes,
            optimizer,
            prepare=training.prepare,
            carry=training.carry,
            axis_name=None,
        )
    )
    state = training.start({"params": start, "batch_stats": {"unused": jnp.zeros(())}})
    for i in range(3):
        batch = {
            "source": {"image": goldens["source_images"][i], "label": goldens["source_labels"][i]},
            "target": {"image": goldens["target_images"][i]},
        }
        state, metrics = step(state, batch)
        names = ("source/final", "mixed/final", "teacher/confident_share")
        by_class = (f"teacher/labels/{label}_share" for label in range(len(start["final"]["bias"])))
        assert set(metrics) == {*names, *by_class}
        found = [float(metrics[name]) for name in names]
        np.testing.assert_allclose(found, goldens[f"losses/{i}"], rtol=1e-6, err_msg=str(i))
    networks = {"student": state.params, "teacher": state.carried[TEACHER]["params"]}
    for network, params in networks.items():
        after = _from_torch(goldens, f"{network}/")
        for layer in LAYERS:
            for name in ("kernel", "bias"):
                moved = [np.asarray(p[layer][name] - start[layer][name]) for p in (params, after)]
                _assert_close(*moved, f"{network} {layer} {name}")
