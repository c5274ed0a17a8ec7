"""`python -m msl_jax.convert` with classifiers: torchvision's names, there and back."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict
from safetensors.numpy import save_file

from msl_jax.config.presets import complete
from msl_jax.convert import NetworkSpec, to_torch
from msl_jax.models import DeepLabV2, ImageClassifier, ResNet
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import Weights, find

SCRIPT = "msl_jax/convert/__main__.py"
CONFIGS = Path(__file__).parents[2] / "configs"
NETWORK = NetworkSpec(
    {
        **{"network": "classifier", "backbone": "resnet", "depth": 14, "width": 4},
        "stride_placement": "torchvision",
    },
    5,
    "torchvision",
)
BACKBONE = ResNet(14, 4, **ResNet.PUBLISHED)
MODEL = ImageClassifier(5, BACKBONE)
FORMS = ["out", "out.safetensors", "out.pth"]


def _config(name: str, **keys: Any) -> ConfigDict:
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]("max_square")
    config.update_from_flattened_dict({"data_root": "none", "init_from": "none", **keys})
    return complete(config)


@pytest.fixture(scope="module")
def run(
    write_run: Callable[[Path, ConfigDict, Any], Path],
    random_variables: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Any]:
    """A run's folder, and the variables of its checkpoint."""
    keys = {"model.depth": 14, "model.width": 4, "num_classes": 5}
    config = _config("office31", **keys)
    variables = random_variables(build_model(config))
    return write_run(tmp_path_factory.mktemp("classifier") / "run", config, variables), variables


def _need_torch(output: str) -> None:
    if output.endswith(".pth"):
        pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")


def _imagenet(path: Path) -> Path:
    """A file like torchvision's, whose classifier has 1,000 classes."""
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype),
        jax.eval_shape(ImageClassifier(1000, BACKBONE).init, jax.random.key(0), _IMAGE),
    )
    save_file({n: np.asarray(a, order="C") for n, a in to_torch(variables).items()}, path)
    return path


_IMAGE = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)


def _assert_identical(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("output", FORMS)
def test_every_form_holds_the_classifier(command, run, tmp_path: Path, output: str) -> None:
    _need_torch(output)
    outcome = command(SCRIPT, run[0], tmp_path / output)
    assert (outcome.code, outcome.err) == (0, "")
    found = find(tmp_path / output)
    assert (found.heads, found.network) == (("classifier",), NETWORK)
    assert found.for_config({"task": "classification", "num_classes": 5}) is found
    assert found.classifies
    _assert_identical(found.load(MODEL), run[1])
    note = "these are the names of torchvision's ResNet with 5 classes; feed RGB, normalised"
    assert (note in outcome.out) == (output != "out")
    assert "official code" not in outcome.out


def test_from_form_to_form(command, run, tmp_path: Path) -> None:
    before = run[0]
    for name in ("first.safetensors", "folder", "last.safetensors"):
        assert command(SCRIPT, before, tmp_path / name).code == 0
        before = tmp_path / name
    _assert_identical(find(before).load(MODEL), run[1])


def test_logits_in_pytorch(command, run, tmp_path: Path) -> None:
    """As its user loads the file: strictly, into a network of so many classes."""
    torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
    from benchmarks.support.torch_classifier import TorchResNet

    assert command(SCRIPT, run[0], tmp_path / "out.pth").code == 0
    network = TorchResNet(5, 14, 4)
    network.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True), strict=True)
    images = np.random.default_rng(0).normal(size=(2, 66, 95, 3)).astype(np.float32)
    with torch.no_grad():
        theirs = network.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))[0].numpy()
    ours = np.asarray(jax.jit(MODEL.apply)(run[1], images)[0])
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("output", ["straight", "folder", "again.safetensors"])
class TestImageNet:
    """The configuration decides what becomes of 1,000 classes, in whatever form they come."""

    @pytest.fixture
    def weights(self, command, tmp_path: Path, output: str) -> Weights:
        path = _imagenet(tmp_path / "imagenet.safetensors")
        if output == "straight":
            return find(path)
        assert command(SCRIPT, path, tmp_path / output).code == 0
        return find(tmp_path / output)

    def test_other_classes(self, weights: Weights) -> None:
        found = weights.for_config({"task": "classification", "num_classes": 5})
        assert not found.classifies
        assert found.network.num_classes is None
        assert found.title.endswith("; classifier skipped: config.num_classes is 5")
        _, drawn = (found.load(MODEL, seed=seed)["params"]["classifier"] for seed in (0, 1))
        assert drawn["kernel"].shape == (128, 5)
        assert not drawn["bias"].any()

    def test_as_many_classes(self, weights: Weights) -> None:
        found = weights.for_config({"task": "classification", "num_classes": 1000})
        assert found.classifies
        bias = found.load(MODEL.clone(num_classes=1000))["params"]["classifier"]["bias"]
        assert (np.asarray(bias) >= 0.5).all()

    def test_segmentation(self, weights: Weights) -> None:
        found = weights.for_config({"task": "segmentation", "num_classes": 1000})
        assert not found.classifies
        assert found.title.endswith("; classifier skipped: segmentation has heads of its own")
        model = DeepLabV2(3, ResNet(14, 4, "torchvision"))
        params = found.load(model)["params"]
        assert params.keys() == {"backbone", "low_head", "final_head"}
        _assert_identical(
            params["backbone"],
            weights.load(ImageClassifier(1000, BACKBONE))["params"]["backbone"],
        )


def test_classes_that_are_not_the_configurations(run) -> None:
    """A run of another number of classes is no ImageNet: nothing is left out without a word."""
    found = find(run[0])
    assert found.for_config({"task": "classification", "num_classes": 7}) is found


def test_caffe_stride_leaves_the_backbone(command, run, tmp_path: Path) -> None:
    assert command(SCRIPT, run[0], tmp_path / "in.safetensors").code == 0
    flags = ("--stride_placement=caffe", "--input_convention=caffe")
    outcome = command(SCRIPT, tmp_path / "in.safetensors", tmp_path / "out", *flags)
    assert outcome.code == 0
    assert "; classifier skipped: it reads features of the other stride placement\n" in outcome.out
    assert find(tmp_path / "out").heads == ()


def test_rates_of_a_classifier(refused, run) -> None:
    message = refused(SCRIPT, run[0], "out", "--head_rates=6,12")
    assert "--active_dilations: a classifier has no dilated heads; leave it out" in message


def test_network_that_pytorch_lacks(
    refused, tmp_path: Path, write_run, random_variables: Callable[..., Any]
) -> None:
    config = _config("digits", init_from="")
    write_run(tmp_path / "run", config, random_variables(build_model(config)))
    message = refused(SCRIPT, tmp_path / "run", tmp_path / "out.pth")
    assert "config.model.network is 'small_resnet', a network of this project" in message
    assert "expected 'classifier' or 'deeplab', for which PyTorch has names" in message
