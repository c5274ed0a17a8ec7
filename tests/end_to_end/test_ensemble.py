"""Several checkpoints that predict together: `eval.py --checkpoint A,B`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.images import resize_label
from msl_jax.data.prepared.records import prepare
from msl_jax.evaluation.confusion import confusion_matrix, summary
from msl_jax.models import DeepLabV2, ResNet, initial_variables, resize_align_corners
from msl_jax.models.inputs import CAFFE, TORCHVISION
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.ensemble import Ensemble, build_together
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find


@pytest.fixture(scope="module")
def both(whole, source) -> str:
    return f"{whole.workdir},{source.workdir}"


def _variables(*members: Any) -> dict[str, Any]:
    return {
        collection: {f"members_{i}": member[collection] for i, member in enumerate(members)}
        for collection in ("params", "batch_stats")
    }


def test_mean_of_logits_each_with_its_own_input() -> None:
    members = tuple(
        DeepLabV2(3, ResNet(14, 4, input_convention=convention), (1,), (1,))
        for convention in (CAFFE, TORCHVISION)
    )
    variables = [initial_variables(member, seed) for seed, member in enumerate(members)]
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 41, 3), np.uint8)
    ensemble = Ensemble(members, 3)
    entering = ensemble.input_convention.prepare(jnp.asarray(images))
    np.testing.assert_array_equal(entering, images.astype(np.float32))
    found, low = jax.jit(lambda v, x: ensemble.apply(v, x))(_variables(*variables), entering)
    assert low is None
    logits = [
        member.apply(v, member.input_convention.prepare(jnp.asarray(images)))[0]
        for member, v in zip(members, variables, strict=True)
    ]
    assert np.abs(logits[0] - logits[1]).max() > 0.1 * np.abs(logits[0]).max()
    np.testing.assert_allclose(found, (logits[0] + logits[1]) / 2, rtol=1e-4, atol=1e-5)


def test_evaluation(whole, source, both: str, tiny_keys: dict[str, Any], tmp_path: Path) -> None:
    results = evaluate(whole.config, both, str(tmp_path))
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert results["variant"] == "max_square_iw_multi+source"
    assert results["final"]["step"] is None
    places = [whole.workdir / "adapt" / "4", source.workdir / "source" / "4"]
    assert results["checkpoints"] == [str(place) for place in places]

    records = prepare(
        CamVid(tiny_keys["data_root"]), "test_dusk", (16, 32), tiny_keys["records_dir"]
    )
    model, networks = build_model(whole.config), [run.variables() for run in (whole, source)]

    @jax.jit
    def predicted(image: Any) -> Any:
        logits = [model.apply(v, TORCHVISION.prepare(image))[0] for v in networks]
        return resize_align_corners((logits[0] + logits[1]) / 2, (16, 32)).argmax(-1)

    total = np.zeros((11, 11), np.int64)
    for record in (records[i] for i in range(len(records))):
        label = resize_label(record["label"], (16, 32))
        total += confusion_matrix(label[None], predicted(record["image"][None]), 11)
    names = tuple(results["final"]["target"]["iou"])
    assert results["final"]["target"] == summary(total, names)
    for run in (whole, source):
        assert results["final"]["target"] != run.results["final"]["target"]


def test_a_network_with_itself_is_itself(whole, tmp_path: Path) -> None:
    best = f"{whole.workdir}:best"
    alone, together = (
        evaluate(whole.config, path, str(tmp_path / str(i)))["final"]
        for i, path in enumerate((best, f"{best},{best}"))
    )
    assert {**together, "step": alone["step"]} == alone


def test_photos(whole, both: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    found = []
    for i, path in enumerate((both, str(whole.workdir))):
        (file,) = predict(whole.config, path, str(tmp_path / "photo.png"), str(tmp_path / str(i)))
        found.append(np.asarray(Image.open(file)))
    assert found[0].shape == found[1].shape == (40, 50)
    assert not np.array_equal(*found)


def test_results_need_a_folder(whole, both: str) -> None:
    with pytest.raises(UserError, match=r"--output is needed: .* belong to neither"):
        evaluate(whole.config, both)


@pytest.mark.parametrize("end", [",", ",,"])
def test_nothing_next_to_a_comma(whole, end: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a path, or several: PATH,PATH"):
        evaluate(whole.config, f"{whole.workdir}{end}", str(tmp_path / "out"))


def test_path_that_does_not_exist_is_named(whole, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}/no is not a run"):
        evaluate(whole.config, f"{whole.workdir},{tmp_path}/no", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_folder_with_a_comma_in_its_name(whole, tmp_path: Path) -> None:
    (tmp_path / "a,b").symlink_to(whole.workdir, target_is_directory=True)
    for which in ("", ":best"):
        results = evaluate(whole.config, f"{tmp_path}/a,b{which}", str(tmp_path / f"out{which}"))
        assert "checkpoints" not in results


def test_other_classes(whole) -> None:
    config = whole.config.copy_and_resolve_references()
    config.num_classes = 5
    weights = find(whole.workdir)
    message = "cannot be averaged: config.num_classes is 11 in the first and 5 in the second"
    with pytest.raises(UserError, match=message):
        build_together([(weights, whole.config), (weights, config)])


def test_other_names_of_the_classes(whole) -> None:
    """As many classes are not the same ones."""
    weights = find(whole.workdir)
    assert weights.known is not None
    classes = weights.known.classes
    turned = dataclasses.replace(classes, classes=classes.classes[::-1])
    known = weights.known._replace(classes=turned)
    other = dataclasses.replace(weights, path="other", known=known)
    with pytest.raises(UserError, match="and other have different classes"):
        build_together([(weights, whole.config), (other, whole.config)])


def test_classifiers(whole) -> None:
    config = whole.config.copy_and_resolve_references()
    config.task, config.model.network = "classification", "small_resnet"
    weights = find(whole.workdir)
    with pytest.raises(UserError, match="segmentation are averaged, found task 'classification'"):
        build_together([(weights, config), (weights, config)])
