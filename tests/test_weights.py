"""Weights are found and read wherever they lie."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from ml_collections.config_dict import ConfigDict
from safetensors.numpy import save_file

from msl_jax.convert import NetworkSpec, to_torch
from msl_jax.convert.command import convert
from msl_jax.models import DeepLabV2
from msl_jax.models.initial import initial_heads
from msl_jax.runs import checksums
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.workdir import claim_workdir
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.training.state import TrainState
from msl_jax.weights import find as weights
from msl_jax.weights.find import find

NETWORK = NetworkSpec(
    {
        **{"network": "deeplab", "backbone": "resnet", "depth": 14, "width": 4},
        **{"stride_placement": "caffe", "aspp_dilations": (1, 2), "active_dilations": (1,)},
    },
    11,
    "torchvision",
)
KINDS = ["run", "folder", "weights.safetensors", "weights.pth"]


def _assert_identical(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


@pytest.fixture(scope="module")
def config(tiny_config: Callable[..., ConfigDict]) -> ConfigDict:
    return tiny_config("source")


@pytest.fixture(scope="module")
def model(config: ConfigDict) -> DeepLabV2:
    return build_model(config)


@pytest.fixture(scope="module")
def variables(model: DeepLabV2, random_variables: Callable[..., Any]) -> Any:
    return random_variables(model)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, config: ConfigDict, variables: Any) -> Path:
    """A run's folder with one checkpoint."""
    folder = tmp_path_factory.mktemp("weights") / "run"
    claim_workdir(folder, config, config)
    checkpoints = Checkpoints(folder / "source")
    state = TrainState.create(variables, optax.trace(0.9)).replace(step=np.array(4, np.int32))
    checkpoints.save(state, {}, {"target": {"miou": 0.5}})
    return folder


@pytest.fixture(scope="module")
def place(run: Path) -> Callable[[str], Path]:
    """Function that gives the run's weights in the form of one of `KINDS`, converted once."""

    def make(kind: str) -> Path:
        if kind.endswith(".pth"):
            pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
        path = run.parent / kind
        if not path.exists():
            convert(str(run), str(path))
        return path

    return make


@pytest.mark.parametrize("kind", KINDS)
class TestEachKind:
    def test_network_and_heads(self, place: Callable[[str], Path], kind: str) -> None:
        found = find(place(kind))
        assert found.network == NETWORK
        assert set(found.heads) == {"final_head", "low_head"}
        assert (found.step, found.run is None) == ((4, False) if kind == "run" else (None, True))

    def test_variables(
        self, place: Callable[[str], Path], kind: str, model: DeepLabV2, variables: Any
    ) -> None:
        _assert_identical(find(place(kind)).load(model), variables)

    def test_new_heads(
        self, place: Callable[[str], Path], kind: str, model: DeepLabV2, variables: Any
    ) -> None:
        """Also for another number of classes; the seed alone decides what they are."""
        model = model.clone(num_classes=5, aspp_dilations=(6,), active_dilations=(6,))
        found = find(place(kind))
        drawn = [found.load(model, reinit_heads=True, seed=seed) for seed in (1, 1, 2)]
        _assert_identical(drawn[0], drawn[1])
        expected = initial_heads(model, seed=1)
        for head in ("final_head", "low_head"):
            _assert_identical(drawn[0]["params"][head], expected[head])
            kernels = [tree["params"][head]["conv0"]["kernel"] for tree in drawn]
            assert not np.array_equal(kernels[0], kernels[2])
        _assert_identical(drawn[0]["params"]["backbone"], variables["params"]["backbone"])
        _assert_identical(drawn[0]["batch_stats"], variables["batch_stats"])

    def test_another_network(
        self, place: Callable[[str], Path], kind: str, model: DeepLabV2
    ) -> None:
        path = place(kind)
        with pytest.raises(UserError) as caught:
            find(path).load(model.clone(num_classes=5))
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "of another shape (8)" in message
        assert "expected 5, found 11" in message


@pytest.mark.parametrize("kind", ["folder", "weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("heads", [(), ("final_head",)])
def test_weights_that_lack_heads(
    tmp_path: Path, model: DeepLabV2, variables: Any, kind: str, heads: tuple[str, ...]
) -> None:
    """ImageNet's, AdaptSegNet's single level: what is missing is drawn, in each form."""
    if kind.endswith(".pth"):
        pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
    params = {part: variables["params"][part] for part in ("backbone", *heads)}
    save_file(to_torch({**variables, "params": params}), tmp_path / "in.safetensors")
    convert(str(tmp_path / "in.safetensors"), str(tmp_path / kind), active_dilations=(1, 2))
    found = find(tmp_path / kind)
    assert found.heads == heads
    assert found.network.num_classes == (11 if heads else None)
    loaded = found.load(model, seed=3)
    drawn = initial_heads(model, seed=3)
    for head in ("final_head", "low_head"):
        expected = variables["params"] if head in heads else drawn
        _assert_identical(loaded["params"][head], expected[head])
    _assert_identical(loaded["params"]["backbone"], variables["params"]["backbone"])


class TestDescription:
    def test_conventions_of_a_file(self, tmp_path: Path, variables: Any) -> None:
        """Our own files say what cannot be seen in the arrays; those of others follow custom."""
        arrays, path = to_torch(variables), tmp_path / "weights.safetensors"
        save_file(arrays, path)
        assert find(path).network.input_convention == "caffe"
        known = dataclasses.replace(
            NETWORK, model={**NETWORK.model, "stride_placement": "torchvision"}
        )
        save_file(arrays, path, metadata={"msl_jax": json.dumps(dataclasses.asdict(known))})
        found = find(path)
        assert found.network == known
        assert "input torchvision (RGB normalised); stride placement torchvision" in found.title

    def test_arrays_are_believed_more(self, tmp_path: Path, variables: Any) -> None:
        wrong = NetworkSpec({**NETWORK.model, "depth": 50, "width": 7}, 3, "torchvision")
        metadata = {"msl_jax": json.dumps(dataclasses.asdict(wrong))}
        save_file(to_torch(variables), tmp_path / "weights.safetensors", metadata=metadata)
        assert find(tmp_path / "weights.safetensors").network == NETWORK

    @pytest.mark.parametrize("text", ["[]", "3", '{"depth": 14}', '"caffe"'])
    def test_unreadable_in_a_file(self, tmp_path: Path, variables: Any, text: str) -> None:
        path = tmp_path / "weights.safetensors"
        save_file(to_torch(variables), path, metadata={"msl_jax": text})
        with pytest.raises(UserError, match=r"safetensors: the network's description is not read"):
            find(path)

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "3", "{}", '{"network": {}, "heads": [], "from": ""}',
         '{"network": null, "heads": [], "from": ""}', '{"network": {}, "heads": 3, "from": ""}',
         '{"network": {"model": {}}, "heads": [["x"]], "from": ""}',
         '{"network": {"model": {}}, "heads": ["x"], "from": ""}'],
    )  # fmt: skip
    def test_unreadable_in_a_folder(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "weights.json").write_text(text)
        checksums.write(tmp_path)
        with pytest.raises(UserError, match=rf"{tmp_path}/weights\.json: .*(not readable|Expect)"):
            find(tmp_path)


class TestNothingThere:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("x.pth", r"x\.pth: cannot be read \(No such file"),
            ("x.PT", r"x\.PT: cannot be read \(No such file"),
            ("x.safetensors", r"x\.safetensors: cannot be read \(No such file"),
            ("x", "x is not a run: expected a folder with config.json.*does not exist"),
            ("folder.pth", r"folder\.pth: cannot be read \(Is a directory\)"),
            ("empty", "empty is not a run: expected a folder with config.json"),
        ],
    )
    def test_path(self, tmp_path: Path, name: str, message: str) -> None:
        (tmp_path / "folder.pth").mkdir()
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match=message):
            find(tmp_path / name)

    def test_other_network(self, tmp_path: Path) -> None:
        path = tmp_path / "vgg.safetensors"
        save_file({"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)}, path)
        with pytest.raises(UserError, match=rf"{path}: not the weights of a ResNet or DeepLabv2"):
            find(path)

    def test_arrays_of_a_folder(self, place: Callable[[str], Path], tmp_path: Path) -> None:
        folder = shutil.copytree(place("folder"), tmp_path / "folder")
        (folder / "variables" / "manifest.ocdbt").unlink()
        with pytest.raises(UserError, match=r"folder is damaged \(variables/manifest\.ocdbt: No"):
            find(folder)
        (folder / "SHA256SUMS").unlink()
        with pytest.raises(UserError, match=r"folder is damaged \(SHA256SUMS: No such file"):
            find(folder)

    def test_configuration_of_a_run_that_lacks_keys(self, run: Path, tmp_path: Path) -> None:
        run = shutil.copytree(run, tmp_path / "run")
        values = json.loads((run / "config.json").read_text())
        del values["input_convention"]
        (run / "config.json").write_text(json.dumps(values))
        with pytest.raises(UserError, match=r"config.json is not complete \('input_convention'\)"):
            find(run)


def test_converted_folder_is_written_whole_or_not_at_all(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(folder: Path, tree: Any) -> None:
        folder.mkdir()
        (folder / "half").write_text("")
        raise OSError("No space left on device")

    monkeypatch.setattr(weights, "write_tree", fill_up)
    with pytest.raises(OSError, match="No space left"):
        convert(str(run), str(tmp_path / "folder"))
    assert list(tmp_path.iterdir()) == []
