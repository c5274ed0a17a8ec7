"""Metrics of Cityscapes against the benchmark's own scripts, digit for digit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msl_jax.data.label_sets import LABEL_SETS, cityscapes_ids
from msl_jax.data.labels import IGNORE, id_lookup
from msl_jax.evaluation import confusion_matrix, iou, summary

LABEL_SET = LABEL_SETS["cityscapes19"]
C = LABEL_SET.num_classes
TRAIN_IDS = cityscapes_ids(LABEL_SET)
IGNORED = [label_id for label_id, train_id in TRAIN_IDS.items() if train_id == IGNORE]
EVALUATED = sorted(set(TRAIN_IDS) - set(IGNORED), key=lambda label_id: TRAIN_IDS[label_id])
NOWHERE, ONLY_PREDICTED, ONLY_PREDICTED_ON_IGNORED = 31, 27, 28  # train, truck, bus
SIZES = [(48, 64), (48, 64), (31, 50), (70, 33)]

Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module of the official evaluation, which looks for the data set when it is imported."""
    pytest.importorskip("cityscapesscripts", reason="cityscapesscripts (extra: test) is missing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CITYSCAPES_DATASET", str(tmp_path_factory.mktemp("cityscapes")))
        from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
    return evalPixelLevelSemanticLabeling


@pytest.fixture(scope="module")
def evaluate(scripts) -> Callable[[list[Pair]], dict[str, Any]]:
    """Function that gives the official results of files of labels and predictions."""
    args = copy.copy(scripts.args)
    args.evalInstLevelScore = args.JSONOutput = False
    args.quiet = True

    def run(pairs: list[Pair]) -> dict[str, Any]:
        labels, predictions = ([str(path) for path in paths] for paths in zip(*pairs, strict=True))
        return scripts.evaluateImgLists(predictions, labels, args)

    return run


def _write(folder: Path, rng: np.random.Generator, of_no_class: float = 0.0) -> list[Pair]:
    """Files of labels and predictions; a share of the latter has ids that are not evaluated."""
    found = [i for i in TRAIN_IDS if i not in (NOWHERE, ONLY_PREDICTED, ONLY_PREDICTED_ON_IGNORED)]
    frequencies = rng.permutation(0.85 ** np.arange(len(found)))
    frequencies /= frequencies.sum()
    predicted = [i for i in EVALUATED if i not in (NOWHERE, ONLY_PREDICTED_ON_IGNORED)]
    pairs = []
    for frame, size in enumerate(SIZES):
        label = rng.choice(found, size, p=frequencies).astype(np.uint8)
        ignored = np.isin(label, IGNORED)
        prediction = np.where(
            ignored | (rng.random(size) < 0.4), rng.choice(predicted, size), label
        ).astype(np.uint8)
        prediction[ignored & (rng.random(size) < 0.2)] = ONLY_PREDICTED_ON_IGNORED
        nothing = rng.random(size) < of_no_class
        prediction[nothing] = rng.choice(IGNORED, size)[nothing]
        pair = tuple(
            folder / f"zurich_000000_{frame:06}_{kind}.png" for kind in ("gtFine_labelIds", "pred")
        )
        for path, array in zip(pair, (label, prediction), strict=True):
            Image.fromarray(array).save(path)
        pairs.append(pair)
    return pairs


def _read(path: Path) -> np.ndarray:
    """Train ids of a file of label ids."""
    with Image.open(path) as image:
        return id_lookup(TRAIN_IDS)[np.array(image)]


def _scores(results: dict[str, Any]) -> dict[str, float | None]:
    scores = {name: results["classScores"][name] for name in LABEL_SET.names}
    return {name: None if np.isnan(score) else score for name, score in scores.items()}


def test_ids(scripts):
    assert {x.id: x.trainId for x in scripts.labels if x.id >= 0} == TRAIN_IDS
    assert [scripts.id2label[label_id].name for label_id in EVALUATED] == list(LABEL_SET.names)


@pytest.mark.parametrize("seed", range(4))
def test_confusion_iou_and_mean(evaluate, tmp_path: Path, seed: int):
    pairs = _write(tmp_path, np.random.default_rng(seed))
    expected = evaluate(pairs)
    counts = np.zeros((C, C), np.int64)
    for label, prediction in pairs:
        counts += np.asarray(confusion_matrix(_read(label), _read(prediction), C))
    found = summary(counts, LABEL_SET.names)

    np.testing.assert_array_equal(
        counts, np.array(expected["confMatrix"])[np.ix_(EVALUATED, EVALUATED)]
    )
    assert found["iou"] == _scores(expected)
    assert found["miou"] == expected["averageScoreClasses"]
    # The files hold what they are meant to hold.
    assert found["iou"]["train"] is found["iou"]["bus"] is None
    assert found["iou"]["truck"] == 0.0
    assert np.array(expected["confMatrix"])[IGNORED].sum(1).all()


def test_predictions_of_no_class_are_misses(evaluate, tmp_path: Path):
    pairs = _write(tmp_path, np.random.default_rng(0), of_no_class=0.1)
    expected = evaluate(pairs)
    counts = np.zeros((C + 1, C + 1), np.int64)
    for label, prediction in pairs:
        train_ids = _read(prediction)
        counts += np.asarray(
            confusion_matrix(_read(label), np.where(train_ids == IGNORE, C, train_ids), C + 1)
        )
    found = iou(counts)[:C]

    np.testing.assert_array_equal(
        counts[:C, C], np.array(expected["confMatrix"])[np.ix_(EVALUATED, IGNORED)].sum(1)
    )
    assert counts[:C, C].sum() > 0
    np.testing.assert_array_equal(found, [expected["classScores"][n] for n in LABEL_SET.names])
