"""A run keeps its classes, whatever becomes of the files and folders that listed them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.convert.command import convert
from msl_jax.data.known_classes import KnownClasses
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import LabelSet
from msl_jax.runs.classes import saved_classes
from msl_jax.runtime.errors import UserError
from msl_jax.weights.find import find

CAMVID = LABEL_SETS["camvid"]


@pytest.fixture
def copied(whole, tmp_path: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(whole.workdir, tmp_path / "copy"))


def _exchange_first_two(workdir: Path) -> LabelSet:
    path = workdir / "classes.json"
    values = json.loads(path.read_text())
    first, second, *rest = values["classes"]
    path.write_text(json.dumps({**values, "classes": [second, first, *rest]}))
    return LabelSet.from_json(json.loads(path.read_text()))


@pytest.mark.parametrize("name", LABEL_SETS)
def test_classes_as_json(name: str) -> None:
    label_set = LABEL_SETS[name]
    assert LabelSet.from_json(json.loads(json.dumps(label_set.to_json()))) == label_set


def _listed(others: dict[str, Any] | None = None, **keys: Any) -> str:
    """A list of one class."""
    label = {"name": "b", "color": [1, 2, 3], "parts": [], "id": 1, **keys}
    return json.dumps({"name": "a", "classes": [label], **(others or {})})


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"name": "a", "classes": []}', '{"name": "a", "classes": [3]}'),
        _listed(color=[1, 2]),
        _listed(color=[1, 2, 256]),
        _listed(id=300),
        _listed({"ignored": [-1]}),
        _listed({"lists": 3}),
        _listed({"lists": {"c": 3}}),
        _listed({"lists": {"c": json.loads(_listed(name="other"))}}),
    ],
)
def test_damaged_list_is_named(copied: Path, text: str) -> None:
    (copied / "classes.json").write_text(text)
    with pytest.raises(UserError, match=r"classes\.json"):
        find(copied)


@pytest.mark.parametrize("name", ["folder", "file.safetensors", "file.pth"])
def test_a_run_and_what_is_converted_from_it_have_its_classes(
    whole, tmp_path: Path, name: str
) -> None:
    known = saved_classes(whole.workdir)
    assert known == KnownClasses(CAMVID, str(whole.workdir), {})  # users list none
    assert find(whole.workdir).classes == CAMVID
    if name.endswith(".pth"):
        pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
    convert(str(whole.workdir), str(tmp_path / name))
    assert find(tmp_path / name).classes == CAMVID


def test_predictions_have_the_runs_colours(whole, copied: Path, tmp_path: Path) -> None:
    """Not those of the data set, which need not even be there."""
    config = json.loads((copied / "config.json").read_text())
    lost = dict.fromkeys(("data_root", "source_root", "target_root"), str(tmp_path / "lost"))
    (copied / "config.json").write_text(json.dumps({**config, **lost}))
    exchanged = _exchange_first_two(copied)
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).save(photo)
    (labels,) = predict(whole.config, str(copied), str(photo), str(tmp_path / "out"))
    ids, colors = (
        np.asarray(Image.open(tmp_path / "out" / kind / "photo.png"))
        for kind in ("labels", "colors")
    )
    assert labels.name == "photo.png"
    np.testing.assert_array_equal(colors, exchanged.palette[ids])


def _evaluate(workdir: Path, config) -> None:
    evaluate(config, str(workdir))


def _convert_and_evaluate(workdir: Path, config) -> None:
    converted = workdir.with_name("converted")
    convert(str(workdir), str(converted))
    evaluate(config, str(converted))


def _continue(workdir: Path, config) -> None:
    for name in ("results.json", "adapt"):
        path = workdir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    train(config, str(workdir))


def _start_from(workdir: Path, config) -> None:
    config = config.copy_and_resolve_references()
    config.init_from = f"{workdir}:source"
    train(config, str(workdir.with_name("new")))
    assert not workdir.with_name("new").exists()


@pytest.mark.parametrize("use", [_evaluate, _convert_and_evaluate, _continue, _start_from])
def test_data_of_other_classes_are_refused_with_both_lists(
    whole, copied: Path, use: Callable[..., None]
) -> None:
    exchanged = _exchange_first_two(copied)
    with pytest.raises(UserError) as caught:
        use(copied, whole.config)
    message = str(caught.value)
    for label_set in (exchanged, CAMVID):
        assert ", ".join(label_set.names) in message
    assert "different classes" in message
