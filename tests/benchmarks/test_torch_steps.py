"""PyTorch's side of the comparisons does what ours does: the same losses for the same weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import our_steps, work
from msl_jax.convert import from_torch
from msl_jax.evaluation import confusion_matrix
from msl_jax.methods.segmentation import passes
from msl_jax.training.step import Context

torch = pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")

from benchmarks.support import torch_steps  # noqa: E402
from benchmarks.support.torch_efficientnet import DeepLabLite0  # noqa: E402
from benchmarks.support.torch_network import DeepLab, arrays, randomize  # noqa: E402

DEPTH, WIDTH = 14, 4
SIZES = {"source_size": (24, 32), "target_size": (16, 40)}


def _work(part: work.Part, backbone: work.Backbone = "resnet") -> work.TrainingWork:
    return work.TrainingWork(part, **SIZES, depth=DEPTH, width=WIDTH, backbone=backbone)


def _random_network(backbone: work.Backbone = "resnet") -> DeepLab | DeepLabLite0:
    if backbone == "resnet":
        network = DeepLab(work.NUM_CLASSES, DEPTH, WIDTH)
    else:
        network = DeepLabLite0(work.NUM_CLASSES)
    randomize(network)
    return network


def _our_losses(todo: work.TrainingWork, variables, threshold_passed: bool) -> dict[str, float]:
    adapt = todo.part == "adapt"
    goal = our_steps.objective(todo)
    terms = passes(our_steps.network(todo), goal, adapt=adapt, axis_name=None)
    batch = jax.tree.map(lambda leaf: leaf[0], work.training_batch(todo))

    def losses(variables):
        stats, metrics = variables["batch_stats"], {}
        for term in terms:
            _, (stats, found) = term(variables["params"], stats, batch, Context(jnp.int32(0), {}))
            metrics |= found
        return metrics

    metrics = {name: float(value) for name, value in jax.jit(losses)(variables).items()}
    if adapt:
        assert (metrics.pop("target/guided_share") > 0.05) == threshold_passed
    return metrics


@pytest.mark.parametrize("threshold_passed", [True, False])
@pytest.mark.parametrize(
    ("part", "backbone"),
    [("adapt", "resnet"), ("source", "resnet"), ("adapt", "efficientnet_lite0")],
)
def test_losses(part, backbone, threshold_passed):
    todo, network = _work(part, backbone), _random_network(backbone)
    with torch.no_grad():  # confident about many pixels, or about none
        for head in (network.layer5, network.layer6):
            for parameter in head.parameters():
                parameter *= 20.0 if threshold_passed else 0.01
    variables = from_torch(arrays(network), our_steps.network(todo))
    step = torch_steps.TrainingStep(network, adapt=part == "adapt")
    losses = step(torch_steps.training_batch(todo))
    expected = _our_losses(todo, variables, threshold_passed)
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("part", work.PARTS)
def test_what_sgd_moves(part):
    network = _random_network()
    before = arrays(network)
    step = torch_steps.TrainingStep(network, adapt=part == "adapt")
    step(torch_steps.training_batch(_work(part)))
    after = arrays(network)
    still = {name for name in before if np.array_equal(before[name], after[name])}
    unused = [(5, 2), (5, 3), (6, 2), (6, 3)] + [(5, 0), (5, 1)] * (part == "source")
    assert still == {"bn1.weight", "bn1.bias"} | {
        f"layer{head}.conv2d_list.{number}.{leaf}"
        for head, number in unused
        for leaf in ("weight", "bias")
    }


def test_velocities_that_exist_before_the_first_step_change_nothing():
    results = []
    for held in (False, True):
        network = _random_network()
        step = torch_steps.TrainingStep(network, adapt=False)
        if held:
            step.hold_velocities()
        for _ in range(2):
            step(torch_steps.training_batch(_work("source")))
        results.append(arrays(network))
    for name, array in results[0].items():
        np.testing.assert_array_equal(results[1][name], array, err_msg=name)


@pytest.mark.parametrize("memory_format", work.MEMORY_FORMATS)
def test_memory_format(memory_format):
    prepared = torch_steps.training(**_work("adapt").as_json(), memory_format=memory_format)
    prepared.run()
    assert prepared.facts == {"memory_format": memory_format}
    network = torch_steps._network(DEPTH, WIDTH, memory_format, "resnet")
    final, _ = network(torch.zeros(1, 3, 32, 48))
    assert final.is_contiguous(memory_format=torch_steps._FORMATS[memory_format])


def test_confusion():
    rng = np.random.default_rng(0)
    labels = work.random_labels(rng, (1, 20, 30))
    predictions = rng.integers(0, work.NUM_CLASSES, labels.shape)
    found = torch_steps.confusion_of(labels.astype(np.int64), predictions, work.NUM_CLASSES)
    np.testing.assert_array_equal(found, confusion_matrix(labels, predictions, work.NUM_CLASSES))
