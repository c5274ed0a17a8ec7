"""Predictions and their evaluation with a network that is only a formula."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.data.labels import IGNORE
from msl_jax.evaluation import segmentation, summary
from msl_jax.evaluation.segmentation import Evaluator, Predictor, group_by_label_size, predict
from msl_jax.models import DeepLabV2, ResNet, resize_align_corners
from msl_jax.models.inputs import CAFFE, TORCHVISION, InputConvention

SIZE = (33, 41)
NAMES = ("road", "car", "pole")


@dataclasses.dataclass(frozen=True)
class Formula:
    """Every eighth pixel, times a factor that grows to the right: mirrored images differ."""

    input_convention: InputConvention = CAFFE

    def apply(self, variables, images, *, train: bool, low_head: bool):
        assert not train
        assert not low_head
        logits = images[:, ::8, ::8] * variables["factor"]
        ramp = jnp.arange(1, logits.shape[2] + 1, dtype=logits.dtype)
        return logits * ramp[None, None, :, None], None


VARIABLES = {"factor": np.float32(0.01)}


@pytest.fixture
def images() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)), jnp.uint8)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def _view(images, size, *, scaled=SIZE, mirrored=False) -> np.ndarray:
    """Probabilities of one view, written out."""
    inputs = resize_align_corners(CAFFE.prepare(images), scaled)
    inputs = inputs[:, :, ::-1] if mirrored else inputs
    logits, _ = Formula().apply(VARIABLES, inputs, train=False, low_head=False)
    found = _softmax(np.asarray(resize_align_corners(logits, size)))
    return found[:, :, ::-1] if mirrored else found


def _close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class TestPredictor:
    @pytest.mark.parametrize("size", [SIZE, (17, 50)])
    def test_probabilities_at_any_size(self, images, size):
        found = Predictor(Formula())(VARIABLES, images, size)
        assert found.shape == (2, *size, 3)
        assert found.dtype == jnp.float32
        _close(found, _view(images, size))

    def test_convention_reaches_the_network(self, images):
        found = Predictor(Formula(TORCHVISION))(VARIABLES, images, SIZE)
        assert np.abs(found - _view(images, SIZE)).max() > 0.1

    def test_flip_is_the_mean_of_both_views(self, images):
        found = Predictor(Formula(), flip=True)(VARIABLES, images, SIZE)
        plain, mirrored = _view(images, SIZE), _view(images, SIZE, mirrored=True)
        assert np.abs(plain - mirrored).max() > 0.1
        _close(found, (plain + mirrored) / 2)

    def test_flip_makes_mirrored_images_alike(self, images):
        predictor = Predictor(Formula(), flip=True)
        found = predictor(VARIABLES, images[:, :, ::-1], SIZE)
        _close(found, predictor(VARIABLES, images, SIZE)[:, :, ::-1])

    def test_scales_and_flip(self, images):
        predictor = Predictor(Formula(), flip=True, scales=(1.0, 1.5))
        found = predictor(VARIABLES, images, SIZE)
        larger = (50, 62)  # 1.5 times 33 and 41, rounded
        views = [
            _view(images, SIZE, scaled=scaled, mirrored=mirrored)
            for scaled in (SIZE, larger)
            for mirrored in (False, True)
        ]
        _close(found, sum(views) / 4)

    def test_deeplab(self, images):
        model = DeepLabV2(3, ResNet(14, 4), aspp_dilations=(1,), active_dilations=(1,))
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
        rng = np.random.default_rng(0)
        variables = jax.tree.map(
            lambda leaf: rng.uniform(0, 0.2, leaf.shape).astype(np.float32), shapes
        )
        labels, confidence = predict(Predictor(model), variables, images, (20, 30))
        assert labels.shape == confidence.shape == (2, 20, 30)
        assert labels.max() < 3
        assert 1 / 3 <= confidence.min() <= confidence.max() <= 1


def test_predict(images):
    labels, confidence = predict(Predictor(Formula()), VARIABLES, images, SIZE)
    probabilities = _view(images, SIZE)
    assert (labels.dtype, confidence.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(labels, probabilities.argmax(-1))
    assert len(np.unique(labels)) == 3
    _close(confidence, probabilities.max(-1))


@pytest.mark.parametrize("rows", [1, 5, 32, 33])
def test_predict_in_strips(images, rows, monkeypatch):
    """A large photo is predicted in parts, the last of which overlaps: the same result."""
    predictor = Predictor(Formula(), flip=True, scales=(1.0, 1.5))
    size = (33, 50)
    whole = predict(predictor, VARIABLES, images, size)
    views, batch, classes = 4, 2, 3
    monkeypatch.setattr(segmentation, "STRIP", rows * size[1] * views * batch * classes + 1)
    labels, confidence = predict(predictor, VARIABLES, images, size)
    np.testing.assert_array_equal(labels, whole[0])
    np.testing.assert_allclose(confidence, whole[1], rtol=1e-6)


@pytest.mark.parametrize("strip", [1, 200 * 12, 10**9])
def test_memory_of_a_prediction(images, strip, monkeypatch):
    """The probabilities in memory at a time are bounded, however large the photo."""
    shapes = []
    original = segmentation.mean_probabilities

    def note(views, size, rows=None):
        result = original(views, size, rows)
        shapes.append(result.shape)
        return result

    monkeypatch.setattr(segmentation, "mean_probabilities", note)
    monkeypatch.setattr(segmentation, "STRIP", strip)
    labels, _ = predict(Predictor(Formula()), VARIABLES, images[:1], (100, 200))
    assert labels.shape == (1, 100, 200)
    assert len(shapes) == 1  # one program for all strips
    assert shapes[0][1] * 200 * 3 <= max(strip, 200 * 3)


class FakeRecords:
    """Labelled examples in memory."""

    folder = Path("records")

    def __init__(self, count: int, sizes=(SIZE,)) -> None:
        rng = np.random.default_rng(1)
        self.rows = []
        for index in range(count):
            label = rng.integers(0, 3, sizes[index % len(sizes)]).astype(np.uint8)
            label[rng.random(label.shape) < 0.3] = IGNORE
            image = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
            self.rows.append({"key": str(index), "image": image, "label": label})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.rows[index]


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(Predictor(Formula()), NAMES, batch_size=1)


class TestEvaluator:
    def _expected(self, records: FakeRecords) -> dict:
        counts = np.zeros((3, 3), np.int64)
        for row in records.rows:
            image = jnp.asarray(row["image"])[None]
            found = _view(image, row["label"].shape)[0].argmax(-1)
            counted = row["label"] != IGNORE
            np.add.at(counts, (row["label"][counted], found[counted]), 1)
        return summary(counts, NAMES)

    @pytest.mark.parametrize("count", [4, 5])
    def test_all_records_once_on_two_devices(self, evaluator, count):
        """Also where the last batch is not full."""
        assert jax.local_device_count() == 2
        records = FakeRecords(count)
        assert evaluator(VARIABLES, records, None) == self._expected(records)

    def test_labels_at_another_size(self, evaluator):
        records = FakeRecords(2, sizes=[(66, 82)])
        found = evaluator(VARIABLES, records, None)
        assert found == self._expected(records)
        assert evaluator(VARIABLES, records, SIZE) != found

    @pytest.mark.parametrize("count", [1, 7])
    def test_labels_of_different_sizes(self, evaluator, count):
        """Each is compared at its own size, whatever the others in the set have."""
        records = FakeRecords(count, sizes=[SIZE, (20, 21), (66, 82)])
        assert evaluator(VARIABLES, records, None) == self._expected(records)
        assert evaluator(VARIABLES, records, SIZE)["pixel_accuracy"] > 0

    def test_network_is_compiled_once_for_all_sizes(self, monkeypatch):
        traced, apply = [], Formula.apply
        monkeypatch.setattr(
            Formula, "apply", lambda *args, **kwargs: traced.append(1) or apply(*args, **kwargs)
        )
        evaluator = Evaluator(Predictor(Formula()), NAMES, batch_size=1)
        evaluator(VARIABLES, FakeRecords(3, sizes=[SIZE, (20, 21), (66, 82)]), None)
        assert len(traced) == 1


def _examples(*sizes: tuple[int, int]) -> list[dict]:
    return [
        {"image": np.full((1, 4, 5, 3), i, np.uint8), "label": np.full((1, *size), i, np.uint8)}
        for i, size in enumerate(sizes)
    ]


def test_group_by_label_size():
    small, large = (2, 3), (3, 2)
    batches = list(group_by_label_size(_examples(small, large, small, small, large, small), 3))
    assert [batch["label"].shape for batch in batches] == [(3, *small), (3, *large), (3, *small)]
    assert [batch["image"].shape for batch in batches] == [(3, 4, 5, 3)] * 3
    firsts = [
        [(int(image[0, 0, 0]), int(label[0, 0])) for image, label in zip(*pair, strict=True)]
        for pair in ((batch["image"], batch["label"]) for batch in batches)
    ]
    blank = (0, IGNORE)
    assert firsts == [
        [(0, 0), (2, 2), (3, 3)],
        [(1, 1), (4, 4), blank],
        [(5, 5), blank, blank],
    ]
    assert (batches[2]["label"][1:] == IGNORE).all()
