"""One step of self-training in rounds, on two devices and in one, and written out."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_accumulation import MODEL, _variables

from msl_jax.losses import IGNORE
from msl_jax.methods.cbst import passes
from msl_jax.methods.method import Training
from msl_jax.models import resize_align_corners
from msl_jax.models.inputs import network_input
from msl_jax.training.step import replicate, train_step

DEVICES, SIZE, CLASSES, KLD = 2, (17, 25), 3, 0.3

pytestmark = pytest.mark.usefixtures("x64")


def _batch(*, soft: bool) -> Any:
    """Two examples of each domain; of the second device's nearly all pixels are ignored."""
    rng = np.random.default_rng(0)
    shape = (2, DEVICES, 1, *SIZE)
    labels = rng.integers(0, CLASSES, shape).astype(np.uint8)
    labels[rng.random(shape) < np.reshape([0.1, 0.9], (2, 1, 1, 1))] = IGNORE
    source, target = labels
    if soft:
        second = (target + 1) % CLASSES
        share = rng.integers(0, 256, target.shape).astype(np.uint8)
        target = np.stack([target, second, share], axis=-1)
        target[target[..., 0] == IGNORE] = IGNORE
    images = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    return {
        "source": {"image": images[0], "label": source},
        "target": {"image": images[1], "label": target},
    }


def _whole(batch: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batch)


@pytest.mark.parametrize("soft", [False, True])
def test_two_devices_are_one_with_the_whole_batch(soft: bool) -> None:
    batch, optimizer = _batch(soft=soft), optax.sgd(0.05)
    of_devices = Training(passes(MODEL, lambda_kld=KLD), optimizer)
    state = replicate(of_devices.start(jax.tree.map(jnp.array, _variables())))
    found = jax.device_get(of_devices.step()(state, batch))
    alone = Training(passes(MODEL, lambda_kld=KLD, axis_name=None), optimizer)
    step = jax.jit(functools.partial(train_step, *alone[:2], axis_name=None))
    expected = jax.device_get(step(alone.start(_variables()), _whole(batch)))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    assert 0.1 < found[1]["target/labelled_share"] < 0.9


def test_terms_written_out() -> None:
    """With soft labels and the regulariser."""
    batch, variables = _whole(_batch(soft=True)), _variables()
    log_p = {}
    for domain, of_domain in batch.items():
        logits = MODEL.apply(variables, network_input(MODEL, of_domain["image"]))[0]
        log_p[domain] = np.asarray(jax.nn.log_softmax(resize_align_corners(logits, SIZE)))
    labels, layers = batch["source"]["label"], batch["target"]["label"]
    first, second, share = layers[..., 0], layers[..., 1], layers[..., 2] / 510
    number = (labels != IGNORE).sum() + (first != IGNORE).sum()

    def picked(domain: str, classes: Any) -> Any:
        """-log p of these classes, 0 where there is none."""
        index = np.where(classes == IGNORE, 0, classes)[..., None].astype(int)
        found = -np.take_along_axis(log_p[domain], index, axis=-1)[..., 0]
        return np.where(classes == IGNORE, 0, found)

    target = (1 - share) * picked("target", first) + share * picked("target", second)
    labelled = first != IGNORE
    expected = {
        "source/final": picked("source", labels).sum() / number,
        "target/final": target.sum() / number,
        "target/kld": -KLD * log_p["target"][labelled].mean(),
        "target/labelled_share": labelled.mean(),
    }
    found: dict[str, Any] = {}
    for single in passes(MODEL, lambda_kld=KLD, axis_name=None):
        params, stats = variables["params"], variables["batch_stats"]
        found |= single(params, stats, batch, None)[1][1]
    assert {name: float(value) for name, value in found.items()} == {
        name: pytest.approx(float(value), rel=1e-6) for name, value in expected.items()
    }


def test_batch_without_a_label_has_no_loss() -> None:
    batch = _whole(_batch(soft=False))
    for of_domain in batch.values():
        of_domain["label"] = np.full_like(of_domain["label"], IGNORE)
    variables = _variables()
    for single in passes(MODEL, lambda_kld=KLD, axis_name=None):
        loss, _ = single(variables["params"], variables["batch_stats"], batch, None)
        assert float(loss) == 0
