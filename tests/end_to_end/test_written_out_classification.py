"""Whole runs of classification against ones written out: every key is away from its default."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from sgd_by_hand import Sgd

from msl_jax import losses
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.digits import Digits
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prepared.records import prepare
from msl_jax.models.backbones.small_resnet import SmallResNet
from msl_jax.models.discriminator import Discriminator
from msl_jax.models.initial import initial_params, initial_variables
from msl_jax.models.inputs import TORCHVISION

from .written_out import assert_same_change, on_devices, split

pytestmark = pytest.mark.usefixtures("made_digits")

DEVICES, MICRO_BATCHES, SEED, SIZE, CROP = 2, 2, 3, (20, 22), (16, 18)
KEYS: dict[str, Any] = {
    "seed": SEED,
    "accumulate": MICRO_BATCHES,
    "source_steps": 2,
    "source_learning_rate": 0.2,
    "steps": 8,
    "keep_every": 2,
    "learning_rate": 0.05,
    "head_rate_multiplier": 3.0,
    "momentum": 0.7,
    "weight_decay": 0.03,
    "lambda_target": 1.5,
    "normalization": "official",
    "method.discriminator_width": 6,
    "source_size": SIZE,
    "target_size": SIZE,
    "source_augmentation.scale": (0.9, 1.2),
    "source_augmentation.crop": CROP,
    "source_augmentation.jitter": 0.2,
    "target_augmentation.scale": (0.8, 1.1),
    "target_augmentation.crop": (17, 20),
    "target_augmentation.jitter": 0.4,
    "flip": True,
}
AUGMENTATIONS = {
    f"{domain}_augmentation": Augmentation(
        mirror=False, blur=False, scale=scale, crop=crop, jitter=jitter
    )
    for domain, scale, crop, jitter in (
        ("source", (0.9, 1.2), CROP, 0.2),
        ("target", (0.8, 1.1), (17, 20), 0.4),
    )
}
MODEL, DISCRIMINATOR = SmallResNet(10, 8, 4), Discriminator(6)
GROUPS = [("classifier/", 3.0, 1), ("discriminator/", 3.0, 1), ("", 1.0, 1)]


@pytest.fixture(scope="module")
def run(start, made_digits, digits_config, tmp_path_factory: pytest.TempPathFactory):
    config = digits_config("max_square", **KEYS)
    return start(config, tmp_path_factory.mktemp("max_square") / "run")


@pytest.fixture(scope="module")
def aligned(run, start, digits_config, tmp_path_factory: pytest.TempPathFactory):
    """The adaptation of another variant, from the same source stage."""
    config = digits_config("dann", init_from=f"{run.workdir}:source", **KEYS)
    return start(config, tmp_path_factory.mktemp("dann") / "run")


def _forward(params: Any, stats: Any, images: Any) -> Any:
    """Logits and features of all devices' images `[D, B, H, W, 3]`, and their statistics."""

    def single(stats: Any, images: Any) -> Any:
        network = {name: leaf for name, leaf in params.items() if name != "discriminator"}
        found, updates = MODEL.apply(
            {"params": network, "batch_stats": stats},
            TORCHVISION.prepare(images),
            train=True,
            mutable=["batch_stats"],
        )
        return *found, updates["batch_stats"]

    logits, features, stats = jax.vmap(single)(stats, images)
    return logits.reshape(-1, 10), features.reshape(-1, features.shape[-1]), stats


def _objective(
    params: Any, stats: Any, batch: Any, strength: Any, *, variant: str, adapt: bool
) -> tuple[Any, Any]:
    """Eq. 1, and the statistics; where a discriminator is trained, what has its gradient.

    The discriminator descends its own loss on features that it takes as they are; the network
    ascends `strength` of the same loss with a discriminator that it takes as it is.
    """
    logits, features, stats = _forward(params, stats, batch["source"]["image"])
    labels = jnp.asarray(batch["source"]["label"]).reshape(-1)
    total = losses.cross_entropy(logits, labels)
    if not adapt:
        return total, stats
    logits, target_features, stats = _forward(params, stats, batch["target"]["image"])
    if variant == "max_square":
        return total + 1.5 * losses.max_square(logits, normalization="official"), stats

    def domain(discriminator: Any, features: Any, label: float) -> Any:
        told = DISCRIMINATOR.apply({"params": discriminator}, features)
        missed = optax.sigmoid_binary_cross_entropy(told, jnp.full_like(told, label))
        return 1.5 * missed.mean() / 2

    discriminator, fixed = params["discriminator"], jax.lax.stop_gradient
    for found, label in ((features, 0.0), (target_features, 1.0)):
        total += domain(discriminator, fixed(found), label)
        total -= strength * domain(fixed(discriminator), found, label)
    return total, stats


def _trained(variables: Any, variant: str, rates: list[float], records_dir: str, adapt: bool):
    """Variables after steps at these rates."""
    records = [
        prepare(Digits(), split, SIZE, records_dir) for split in ("mnist_train", "uci_train")
    ]
    batches = TrainingBatches(
        records[0],
        records[1] if adapt else None,
        batch_size=DEVICES * MICRO_BATCHES * 2,
        seed=SEED,
        **AUGMENTATIONS,
    )
    of_batch = functools.partial(_objective, variant=variant, adapt=adapt)
    gradient = jax.jit(jax.grad(of_batch, has_aux=True))
    params, stats = dict(variables["params"]), variables["batch_stats"]
    if adapt and variant == "dann":
        params["discriminator"] = initial_params(DISCRIMINATOR, (16,), SEED)
    sgd = Sgd(GROUPS, rates, momentum=0.7, weight_decay=0.03)
    for step in range(len(rates)):
        strength = np.float32(2 / (1 + np.exp(-10 * step / 8)) - 1)  # grows over the 8 steps
        stats, gradients = on_devices(stats, DEVICES), []
        for micro in split(next(batches), DEVICES, MICRO_BATCHES):
            found, stats = gradient(params, stats, micro, strength)
            gradients.append(found)
        stats = jax.tree.map(lambda leaf: leaf.mean(0), stats)
        mean = jax.tree.map(lambda *parts: np.mean(parts, axis=0), *gradients)
        params = jax.tree.map(jnp.asarray, sgd.step(params, mean))
    batches.close()
    params.pop("discriminator", None)
    return {"params": params, "batch_stats": stats}


def _rates(first: float, steps: int) -> list[float]:
    """Of the first two steps: the inverse schedule."""
    return [first / (1 + 10 * step / steps) ** 0.75 for step in range(2)]


def test_source_stage(run) -> None:
    first, rates = initial_variables(MODEL, SEED), _rates(0.2, 2)
    expected = _trained(first, "max_square", rates, run.config.records_dir, adapt=False)
    assert_same_change(first, run.variables(":source"), expected, limit=0.02)


@pytest.mark.parametrize(("name", "variant"), [("run", "max_square"), ("aligned", "dann")])
def test_adaptation(name: str, variant: str, run, request: pytest.FixtureRequest) -> None:
    """Its first two steps, in the second of which the reversal is at work."""
    first, adapted = run.variables(":source"), request.getfixturevalue(name).variables(":2")
    rates = _rates(0.05, 8)
    expected = _trained(first, variant, rates, run.config.records_dir, adapt=True)
    assert_same_change(first, adapted, expected, limit=0.02)


@jax.jit
def _probabilities(variables: Any, images: Any) -> Any:
    """Of the middle of images `[B, 20, 22, 3]`, a mean with that of the mirrored ones."""
    middle = images[:, 2:18, 2:20]
    views = [TORCHVISION.prepare(view) for view in (middle, middle[:, :, ::-1])]
    first, second = (jax.nn.softmax(MODEL.apply(variables, view)[0]) for view in views)
    return (first + second) / 2


def test_evaluation(run, tmp_path: Path) -> None:
    records = prepare(Digits(), "uci_test", SIZE, run.config.records_dir)
    images, labels = (
        np.stack([records[i][key] for i in range(len(records))]) for key in ("image", "label")
    )
    right = np.asarray(_probabilities(run.variables(), images)).argmax(-1) == labels
    assert run.results["final"]["target"]["accuracy"] == right.mean()
    found = evaluate(run.config, str(run.workdir), str(tmp_path))
    assert found["final"] == run.results["final"]
    assert (found["seed"], found["flip"]) == (SEED, True)


def test_photos_are_looked_at_as_in_the_evaluation(run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    (table,) = predict(
        run.config, str(run.workdir), str(tmp_path / "photo.png"), str(tmp_path / "out")
    )
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    small = np.array(Image.fromarray(noise).resize(SIZE[::-1], Image.Resampling.BICUBIC))
    (expected,) = np.asarray(_probabilities(run.variables(), small[None]))
    assert int(row["class"]) == expected.argmax()
    assert float(row["probability"]) == pytest.approx(expected.max(), abs=2e-6)
