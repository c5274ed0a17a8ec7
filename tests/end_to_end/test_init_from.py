"""Runs that start from files, and commands that read them, as `init_from` and `--checkpoint`."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict
from PIL import Image
from safetensors.numpy import save_file

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.config.presets import complete
from msl_jax.convert.command import convert
from msl_jax.experiment.run import Experiment
from msl_jax.models.initial import initial_heads
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.weights import safetensors_files, torch_files
from msl_jax.weights.find import find

pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def open_config(tiny_keys: dict[str, Any]) -> Callable[..., ConfigDict]:
    """Function that gives the tiny configuration as a user's command does: with open keys."""
    get_config = runpy.run_path(str(ROOT / "configs" / "camvid_scratch.py"))["get_config"]

    def make(variant: str = "max_square_iw_multi", **keys: Any) -> ConfigDict:
        config = get_config(variant)
        config.update_from_flattened_dict({**tiny_keys, **keys})
        return config

    return make


@pytest.fixture(scope="module")
def files(whole, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The end of a run's source-only stage, from each form to the next."""
    folder = tmp_path_factory.mktemp("files")
    names = ["first.pth", "folder", "second.safetensors", "last.pth"]
    before = f"{whole.workdir}:source"
    for name in names:
        convert(before, str(folder / name))
        before = str(folder / name)
    return {name: folder / name for name in names}


@pytest.fixture(scope="module")
def imagenet(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like torchvision's: a backbone, and a classifier that is left out."""
    arrays, _, _ = torch_files.read(files["first.pth"])
    arrays = {n: a for n, a in arrays.items() if not n.startswith(("layer5", "layer6"))}
    path = tmp_path_factory.mktemp("imagenet") / "resnet14.safetensors"
    save_file({**arrays, "fc.weight": np.ones((9, 128), np.float32)}, path)
    return path


def _assert_identical(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


def _params(path: str | Path) -> Any:
    found = find(path)
    return found.load(found.network.build())["params"]


class TestConverted:
    """All forms of a run's weights are the same network."""

    def test_arrays(self, whole, files: dict[str, Path]) -> None:
        model, expected = build_model(whole.config), whole.variables(":source")
        for path in files.values():
            _assert_identical(find(path).load(model), expected)
        first, second = (torch_files.read(files[n])[0] for n in ("first.pth", "last.pth"))
        third, _ = safetensors_files.read(files["second.safetensors"])
        assert first.keys() == second.keys() == third.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(second[name], array, strict=True)
            np.testing.assert_array_equal(third[name], array, strict=True)

    @pytest.mark.parametrize("name", ["first.pth", "folder", "second.safetensors"])
    def test_evaluation(
        self, whole, open_config, files: dict[str, Path], tmp_path: Path, name: str, capsys
    ) -> None:
        # Of the configuration only the data count: the network comes from the file.
        config = open_config(**{"model.depth": 50, "model.active_dilations": (2,)})
        results = evaluate(config, str(files[name]), str(tmp_path))
        assert results["final"] == {**whole.results["source_only"], "step": None}
        assert f"{files[name]}: " in capsys.readouterr().err
        assert json.loads((tmp_path / "results.json").read_text()) == results

    def test_prediction(self, whole, open_config, files: dict[str, Path], tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "photo.png")
        found = []
        for index, path in enumerate((f"{whole.workdir}:source", files["first.pth"])):
            output = tmp_path / str(index)
            (label,) = predict(open_config(), str(path), str(tmp_path / "photo.png"), str(output))
            found.append(label.read_bytes())
        assert found[0] == found[1]

    def test_default_folders_of_an_evaluation(
        self, whole, open_config, files: dict[str, Path]
    ) -> None:
        for name, folder in (("first.pth", "first-eval"), ("folder", "folder/eval")):
            evaluate(open_config(), str(files[name]))
            assert (files[name].parent / folder / "results.json").is_file()


class TestBackbone:
    def test_both_stages_are_trained(
        self, start, open_config, imagenet: Path, files: dict[str, Path], tmp_path: Path
    ) -> None:
        # With a rate of nearly 0 the backbone that was read is still there after the first stage.
        keys = {"init_from": str(imagenet), "source_learning_rate": 1e-20, "seed": 3}
        run = start(open_config("max_square", **keys), tmp_path / "run")
        assert run.results["source_only"] is not None
        assert run.results["final"]["step"] == 4
        config = json.loads((run.workdir / "config.json").read_text())
        assert config["input_convention"] == config["model"]["stride_placement"] == "torchvision"
        found, expected = _params(f"{run.workdir}:source"), _params(files["first.pth"])
        _assert_identical(found["backbone"], expected["backbone"])
        drawn = initial_heads(build_model(complete(run.config)), 3)
        for head in ("final_head", "low_head"):  # biases have taken up some of that rate
            for conv in ("conv0", "conv1"):
                kernels = [params[head][conv]["kernel"] for params in (found, drawn)]
                np.testing.assert_array_equal(*kernels)
        kernels = [params["final_head"]["conv0"]["kernel"] for params in (found, expected)]
        assert not np.array_equal(*kernels)

    def test_conventions_that_are_set_otherwise_are_refused(
        self, open_config, imagenet: Path, tmp_path: Path
    ) -> None:
        keys = {"input_convention": "caffe", "model.stride_placement": "caffe", "model.width": 8}
        with pytest.raises(UserError) as caught:
            train(open_config(init_from=str(imagenet), **keys), str(tmp_path / "run"))
        message = str(caught.value)
        assert f"config.init_from={imagenet} (torchvision ResNet-14 of width 4" in message
        assert "config.input_convention is 'caffe', the weights need 'torchvision'" in message
        assert "config.model.stride_placement is 'caffe'" in message
        assert "config.model.width is 8, the weights need 4" in message
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "command", [evaluate, lambda *args: predict(*args, "photo.png", "out")]
    )
    def test_nothing_to_predict_with(self, open_config, imagenet: Path, command: Any) -> None:
        message = rf"has no trained classifier.* from it: --config\.init_from={imagenet}"
        with pytest.raises(UserError, match=message):
            command(open_config(), str(imagenet))


class TestTrainedNetwork:
    def test_adaptation_begins_at_once(
        self, start, whole, tiny_config, files: dict[str, Path], tmp_path: Path
    ) -> None:
        """It is the second stage of the run that the file was converted from."""
        config = tiny_config(init_from=str(files["first.pth"]))
        run = start(config, tmp_path / "run")
        assert run.results == whole.results
        assert not (run.workdir / "source").exists()
        _assert_identical(run.variables(), whole.variables())
        assert train(config, str(run.workdir)) == run.results  # finished: nothing is trained again

    def test_interrupted_adaptation_continues(
        self, whole, tiny_config, files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Stopped(Exception):
            pass

        def stop(self: Experiment, *_: Any) -> None:
            raise Stopped

        config = tiny_config(init_from=str(files["folder"]))
        with monkeypatch.context() as patch:
            patch.setattr(Experiment, "_train", stop)
            with pytest.raises(Stopped):
                train(config, str(tmp_path / "run"))
        assert (tmp_path / "run" / "source_only.json").is_file()
        assert train(config, str(tmp_path / "run")) == whole.results

    def test_weights_that_change_before_the_first_checkpoint(
        self, tiny_config, files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The baseline would be of one network, the adaptation of another."""

        class Stopped(Exception):
            pass

        def stop(self: Experiment, *_: Any) -> None:
            raise Stopped

        weights = tmp_path / "w.safetensors"
        weights.write_bytes(files["second.safetensors"].read_bytes())
        config = tiny_config(init_from=str(weights))
        with monkeypatch.context() as patch:
            patch.setattr(Experiment, "_train", stop)
            with pytest.raises(Stopped):
                train(config, str(tmp_path / "run"))
        arrays, description = safetensors_files.read(weights)
        assert description is not None
        name = next(iter(arrays))
        safetensors_files.write(weights, {**arrays, name: arrays[name] + 1}, description)
        with pytest.raises(UserError, match=r"init_from \(.*w\.safetensors\): other weights"):
            train(config, str(tmp_path / "run"))

    def test_weights_are_not_needed_again(
        self, start, open_config, files: dict[str, Path], tmp_path: Path
    ) -> None:
        """Their file may go when the run has its first checkpoint; `~` is the user's home."""
        (tmp_path / "w.pth").write_bytes(files["first.pth"].read_bytes())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(tmp_path))
            config = open_config(init_from="~/w.pth")
            run = start(config, tmp_path / "run")
            (tmp_path / "w.pth").unlink()
            assert train(config, str(tmp_path / "run")) == run.results  # finished
            (tmp_path / "run" / "results.json").unlink()
            assert train(config, "~/run") == run.results  # continued
            shutil.rmtree(tmp_path / "run" / "adapt")
            (tmp_path / "run" / "results.json").unlink()
            with pytest.raises(UserError, match=r"w\.pth"):
                train(config, str(tmp_path / "run"))
            (tmp_path / "w.pth").write_bytes(files["first.pth"].read_bytes())
            assert train(config, str(tmp_path / "run")) == run.results
            config.momentum = 0.5
            (tmp_path / "w.pth").unlink()
            with pytest.raises(UserError, match=r"differs in\n  momentum: 0\.9 -> 0\.5\n"):
                train(config, str(tmp_path / "run"))

    def test_another_number_of_classes(
        self, start, open_config, files: dict[str, Path], tmp_path: Path
    ) -> None:
        path = files["second.safetensors"]
        arrays, description = safetensors_files.read(path)
        for name, array in arrays.items():
            if name.startswith(("layer5", "layer6")):
                arrays[name] = np.concatenate([array, array[:3]])
        assert description is not None
        safetensors_files.write(tmp_path / "14.safetensors", arrays, description)
        keys = {"init_from": str(tmp_path / "14.safetensors")}
        with pytest.raises(UserError) as caught:
            train(open_config(**keys), str(tmp_path / "run"))
        assert "config.num_classes is 11, the weights need 14" in str(caught.value)
        assert "--config.reinit_heads=true loads the backbone" in str(caught.value)
        assert not (tmp_path / "run").exists()
        run = start(open_config(reinit_heads=True, **keys), tmp_path / "run")
        assert run.results["final"]["step"] == 4
        assert (run.workdir / "source" / "4").is_dir()  # new heads are trained first
