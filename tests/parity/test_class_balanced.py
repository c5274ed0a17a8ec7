"""CBST, CBST-SP and CRST against values made by running their official codes' pieces."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from msl_jax.losses.upsampled import uniform_sums
from msl_jax.methods.cbst import labelled_total, passes
from msl_jax.methods.class_balanced import (
    balanced_labels,
    class_confidences,
    packed,
    rare_classes,
    soft_labels,
    thresholds,
    unpacked,
)
from msl_jax.training.step import Context

GOLDENS = Path(__file__).parents[1] / "goldens" / "peers" / "cbst.npz"
CLASSES, IGNORE = 6, 255

pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def _goldens() -> dict[str, np.ndarray]:
    with np.load(GOLDENS) as arrays:
        return dict(arrays)


def _assert_close(found: Any, expected: Any) -> None:
    """Largest error over largest value."""
    error = np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()
    assert error < 1e-6, error


def _confidences(probabilities: np.ndarray) -> list[np.ndarray]:
    """Those of all images together, by class."""
    every = int(_goldens()["ds_rate"])
    images = [
        class_confidences(image.argmax(-1), image.max(-1), CLASSES, every)
        for image in probabilities
    ]
    return [np.concatenate(found) for found in zip(*images, strict=True)]


@pytest.mark.parametrize("portion", ["0.2", "0.25", "0.5"])
def test_thresholds_and_labels(portion: str) -> None:
    goldens = _goldens()
    probabilities = goldens["probabilities"]
    found = thresholds(_confidences(probabilities), float(portion))
    np.testing.assert_array_equal(found, goldens[f"cbst/{portion}/thresholds"])
    labels = balanced_labels(jnp.asarray(probabilities), jnp.asarray(found))
    expected = goldens[f"cbst/{portion}/labels"]
    np.testing.assert_array_equal(labels, expected)
    assert 0.1 < (expected != IGNORE).mean() < 0.9


@pytest.mark.parametrize("name", ["cbst_mxnet", "cbst_sp"])
def test_thresholds_of_the_first_code(name: str) -> None:
    """Its lists of confidences have a zero more; the prior is not divided by its sum."""
    goldens = _goldens()
    probabilities = goldens["probabilities"]
    if name == "cbst_sp":
        probabilities = probabilities * goldens["prior"]
    lists = [np.append(found, 0)[: found.size + 1] for found in _confidences(probabilities)]
    lists = [found if found.any() else found[:0] for found in lists]
    assert [len(found) for found in lists] == goldens[f"{name}/0.2/class_sizes"].tolist()
    found = thresholds([values.astype(np.float32) for values in lists], 0.2)
    _assert_close(found, goldens[f"{name}/0.2/thresholds"])
    labels = balanced_labels(jnp.asarray(probabilities), jnp.asarray(found))
    np.testing.assert_array_equal(labels, goldens[f"{name}/0.2/labels"])


def test_rare_classes() -> None:
    goldens = _goldens()
    found = rare_classes(goldens["class_pixels"], float(goldens["mine_port"]))
    assert found == tuple(goldens["mine_ids"])


def test_soft_labels() -> None:
    goldens = _goldens()
    probabilities = jnp.asarray(goldens["probabilities"], float)
    found = soft_labels(probabilities, jnp.asarray(goldens["cbst/0.2/thresholds"], float), 0.25)
    expected = goldens["lrent/0.2/labels"]
    labelled = expected[0] != IGNORE
    _assert_close(found[0][labelled], goldens["lrent/0.2/soft_labels_image0"][labelled])
    assert not np.asarray(found[0])[~labelled].any()
    layers = packed(found)
    np.testing.assert_array_equal(layers[..., 0], expected)
    classes, weights = unpacked(layers)
    np.testing.assert_array_equal(classes == IGNORE, np.stack([expected == IGNORE] * 2, -1))
    two = np.sort(found, axis=-1)[..., :-3:-1][expected != IGNORE]
    two /= two.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights[expected != IGNORE], two, atol=0.5 / 510 + 1e-6)


class Logits(nn.Module):
    """A network whose parameters are its logits: of black images the first ones."""

    input_convention = None

    @nn.compact
    def __call__(self, images: Any, train: bool = False, low_head: bool = True) -> Any:
        self.variable("batch_stats", "unused", jnp.zeros, ())
        shape = (1, 7, 9, CLASSES)
        source, target = (self.param(name, nn.initializers.zeros, shape) for name in ("s", "t"))
        return jnp.where(jnp.max(images) > 0, target, source), None


def _batch(labels: np.ndarray) -> dict[str, Any]:
    black = np.zeros((1, 7, 9, 3), np.uint8)
    return {
        "source": {"image": black, "label": labels[:1]},
        "target": {"image": black + 1, "label": labels[1:]},
    }


def _loss_and_gradient(batch: dict[str, Any], lambda_kld: float) -> tuple[Any, Any]:
    """Of both passes together, by the logits of both images."""
    logits, model = jnp.asarray(_goldens()["crst/logits"]), Logits()

    def whole(params: Any) -> Any:
        context, stats = Context(jnp.int32(0), {}), {"unused": jnp.zeros(())}
        both = passes(model, lambda_kld=lambda_kld, axis_name=None)
        return sum(single(params, stats, batch, context)[0] for single in both)

    loss, gradient = jax.value_and_grad(whole)({"s": logits[:1], "t": logits[1:]})
    return loss, jnp.concatenate([gradient["s"], gradient["t"]])


def test_mrkld() -> None:
    """Its published weight is applied twice in the official code."""
    goldens = _goldens()
    weight = float(goldens["crst/mr_weight_kld"] * goldens["crst/sample_weights"][1])
    loss, gradient = _loss_and_gradient(_batch(goldens["crst/labels"]), weight)
    _assert_close(loss, goldens["mrkld/loss"])
    _assert_close(gradient, goldens["mrkld/grad_logits"])
    plain, _ = _loss_and_gradient(_batch(goldens["crst/labels"]), 0.0)
    target = jnp.asarray(goldens["crst/logits"][1:])
    uniform = uniform_sums(target, goldens["crst/labels"][1:])
    _assert_close(loss - plain, weight * uniform.mean)


def test_lrent() -> None:
    """With all classes of a soft label, each a layer of its own."""
    goldens = _goldens()
    soft = jnp.asarray(goldens["lrent/soft_labels"])
    number = float((soft.sum(-1) > 0).sum())

    def loss(logits: Any) -> Any:
        layers = [
            (jnp.where(soft[..., k] > 0, k, IGNORE).astype(jnp.uint8), soft[..., k])
            for k in range(CLASSES)
        ]
        return labelled_total(logits, layers) / number

    found, gradient = jax.value_and_grad(loss)(jnp.asarray(goldens["crst/logits"]))
    _assert_close(found, goldens["lrent/loss"])
    _assert_close(gradient, goldens["lrent/grad_logits"])


def test_packed_labels_of_two_classes_are_soft_labels() -> None:
    """What a run keeps of soft labels gives the same loss where two classes are all there is."""
    labels = _goldens()["crst/labels"]
    soft = np.zeros((*labels.shape, CLASSES))
    for k, weight in ((0, 1 - 102 / 510), (1, 102 / 510)):
        np.put_along_axis(soft, ((labels + k) % CLASSES)[..., None].astype(int), weight, -1)
    soft[labels == IGNORE] = 0
    soft[0] = np.eye(CLASSES)[labels[0] % CLASSES] * (labels[0] != IGNORE)[..., None]
    batch = _batch(labels)
    batch["target"]["label"] = np.asarray(packed(jnp.asarray(soft[1:])))
    loss, _ = _loss_and_gradient(batch, 0.0)
    log_p = jax.nn.log_softmax(jnp.asarray(_goldens()["crst/logits"]))
    _assert_close(loss, -(soft * np.asarray(log_p)).sum() / (labels != IGNORE).sum())
