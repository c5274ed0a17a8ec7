"""What a run starts from, and what it continues with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict

from msl_jax.config import base_config, presets
from msl_jax.config.keys import FREE_KEYS
from msl_jax.experiment.setup import resolve, with_photo_size
from msl_jax.models.backbones.resnet import ResNet
from msl_jax.models.keys import count
from msl_jax.models.spec import NetworkSpec
from msl_jax.runs import workdir as runs
from msl_jax.runtime.errors import UserError
from msl_jax.weights.find import Weights, save

MODEL = {
    **{"network": "deeplab", "backbone": "resnet", "depth": 14, "width": 4},
    "aspp_dilations": (6, 12, 18, 24),
}
CAFFE = NetworkSpec(
    {**MODEL, "stride_placement": "caffe", "active_dilations": (6, 12)}, 19, "caffe"
)
TORCHVISION = NetworkSpec(
    {**MODEL, "stride_placement": "torchvision", "active_dilations": (6,)}, 19, "torchvision"
)


@pytest.fixture
def write_weights(tmp_path: Path) -> Callable[[NetworkSpec], Path]:
    """Function that writes a converted checkpoint of a network, with one array in its place."""

    def write(network: NetworkSpec) -> Path:
        path = tmp_path / "weights"
        if path.exists():
            path.rename(tmp_path / "earlier")
        heads, array = ("final_head", "low_head"), {"params": np.zeros(1, np.float32)}
        save(path, Weights(str(path), "made here", network, heads, read=lambda *_: {}), array)
        return path

    return write


def _given(**keys: Any) -> ConfigDict:
    config = base_config("x", "max_square")
    config.update_from_flattened_dict(keys)
    return config


def _begin(workdir: Path, given: ConfigDict) -> ConfigDict:
    """The complete configuration of a run that has made nothing yet."""
    config, _ = resolve(given, workdir)
    runs.claim_workdir(workdir, given, config)
    return config


@pytest.mark.parametrize("shrink", [False, True])
def test_new_run(tmp_path: Path, shrink: bool) -> None:
    given = _given(shrink=shrink)
    config, start = resolve(given, tmp_path / "run")
    assert start is None
    assert config.to_dict() == presets.complete(given).to_dict()
    assert not (tmp_path / "run").exists()


def test_weights_decide_what_is_open(tmp_path: Path, write_weights) -> None:
    keys = {"init_from": str(write_weights(CAFFE)), "model.depth": 14, "model.width": 4}
    config, start = resolve(_given(**keys), tmp_path / "run")
    assert start is not None
    assert (config.input_convention, config.model.active_dilations) == ("caffe", (6, 12))


def test_run_keeps_what_was_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be it that a newer version would decide otherwise."""
    given = _given(shrink=True)
    config = _begin(tmp_path / "run", given)
    monkeypatch.setitem(presets.PRESETS["official"], "lambda_source_low", 0.7)
    monkeypatch.setitem(ResNet.KEYS, "width", count(64, small=16))
    assert resolve(given, tmp_path / "new")[0].lambda_source_low == 0.7
    again, _ = resolve(given, tmp_path / "run")
    assert again.to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("stretched", "given", "kept"),
    [
        (False, None, "shorter"),
        (True, None, "target"),
        (True, "longer", "longer"),
        (False, "target", "target"),
    ],
)
def test_photos_are_stretched_as_the_trainings_were(
    stretched: bool, given: str | None, kept: str
) -> None:
    asked = _given(target_size=(64, 128), photo_size=given)
    config = presets.complete(asked)
    found = with_photo_size(config, asked, stretched)
    assert found.photo_size == kept
    assert {**found.to_dict(), "photo_size": ""} == {**config.to_dict(), "photo_size": ""}


def test_free_keys_are_those_of_the_last_start(tmp_path: Path) -> None:
    config = _begin(tmp_path / "run", _given())
    free = {"debug": True, "keep_every": 4, "photo_size": "own"}
    given = _given(**free)
    assert runs.finished_results(tmp_path / "run", given) is None
    again, _ = resolve(given, tmp_path / "run")
    assert {key: again[key] for key in FREE_KEYS} == free
    assert again.to_dict() == {**config.to_dict(), **free}
    with pytest.raises(UserError, match="keep_every: expected 0 or more, found -1"):
        resolve(_given(keep_every=-1), tmp_path / "run")


def test_free_key_of_another_type(tmp_path: Path) -> None:
    _begin(tmp_path / "run", _given())
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "keep_every": True}))
    with pytest.raises(UserError, match=r"config\.json has a key or value of the wrong type"):
        resolve(_given(), tmp_path / "run")


@pytest.mark.parametrize("begun", [False, True])
def test_weights_are_needed_until_the_run_has_its_own(
    tmp_path: Path, write_weights, begun: bool
) -> None:
    path, workdir = write_weights(CAFFE), tmp_path / "run"
    given = _given(**{"init_from": str(path), "model.depth": 14, "model.width": 4})
    config = _begin(workdir, given)
    if begun:
        (workdir / "source" / "10").mkdir(parents=True)
    again, start = resolve(given, workdir)
    assert (again.to_dict(), start is None) == (config.to_dict(), begun)
    write_weights(TORCHVISION)  # another file of the same name
    if begun:
        assert resolve(given, workdir)[0].to_dict() == config.to_dict()
    else:
        with pytest.raises(UserError, match="input_convention is 'caffe', the weights need 'torch"):
            resolve(given, workdir)
