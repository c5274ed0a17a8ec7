"""The backbone of docs/architecture.md: added as the page says, it does what any other does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from msl_jax.commands.evaluate import evaluate
from msl_jax.config.keys import check_config
from msl_jax.config.presets import complete
from msl_jax.convert import to_torch
from msl_jax.convert.command import convert
from msl_jax.models import DeepLabV2, initial_variables
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.inputs import network_input
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find
from msl_jax.weights.registry import NAMES

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
KEYS = {"model.backbone": "toy", "model.features": 4}


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    """The page's code, registered for these tests alone."""
    names = {
        **{"BACKBONES": BACKBONES, "NAMES": NAMES, "__name__": __name__},
    }
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if "class Toy" in block:
            exec(compile(block, "architecture.md", "exec"), names)
    yield
    del BACKBONES["toy"], NAMES["toy"]


@pytest.fixture(scope="module")
def run(toy, start, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return start(tiny_config(**KEYS), tmp_path_factory.mktemp("toy") / "run")


def _identical(found: Any, expected: Any) -> bool:
    return bool(jax.tree.all(jax.tree.map(np.array_equal, found, expected)))


def test_configuration_builds_it(tiny_config) -> None:
    config = tiny_config(**KEYS)
    check_config(config)
    model = build_model(config)
    assert isinstance(model, DeepLabV2)
    assert type(model.backbone) is BACKBONES["toy"]
    assert model.backbone.features == 4
    assert config.input_convention == "toy"
    final, low = jax.eval_shape(
        model.init_with_output, jax.random.key(0), jnp.zeros((1, 33, 49, 3))
    )[0]
    assert final.shape == low.shape == (1, 5, 7, 11)
    images = jnp.asarray([[[[0, 127, 255]]]], jnp.uint8)
    np.testing.assert_array_equal(network_input(model, images), [[[[-127 / 128, 0, 1]]]])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model.features": 0}, "model.features: expected at least 1, found 0"),
        ({"input_convention": "caffe"}, "input_convention: expected one of 'toy', found 'caffe'"),
    ],
)
def test_its_keys_are_checked(tiny_config, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_config(tiny_config(**{**KEYS, **keys}))


def test_its_key_exists_for_every_network(tiny_config) -> None:
    assert tiny_config().model.features == 8
    assert tiny_config().model.backbone == "resnet"
    assert complete(tiny_config(**KEYS, shrink=True)).model.features == 4


def test_stages_train_what_its_groups_say(run) -> None:
    """The stem's norm has no visits, so that the optimizer leaves it; all else moves."""
    assert run.results["final"]["step"] == run.config.steps
    first = initial_variables(build_model(run.config), run.config.seed)["params"]["backbone"]
    for which in (":source", ""):
        found = run.variables(which)["params"]["backbone"]
        for name, leaf in flatten_dict(found, sep="/").items():
            same = np.array_equal(leaf, flatten_dict(first, sep="/")[name])
            assert same == name.startswith("bn0/"), name


def test_checkpoint_says_what_it_is(run) -> None:
    found = find(run.workdir).network
    assert found.model == {
        **{"network": "deeplab", "backbone": "toy", "features": 4},
        **{"aspp_dilations": (1, 2), "active_dilations": (1,)},
    }
    assert (found.num_classes, found.input_convention) == (11, "toy")
    config = json.loads((run.workdir / "config.json").read_text())
    assert config["model"]["backbone"] == "toy"


def test_evaluation_of_a_checkpoint(run, tmp_path: Path) -> None:
    found = evaluate(run.config, str(run.workdir), str(tmp_path))
    assert found["final"] == run.results["final"]


@pytest.fixture
def public(run, tmp_path: Path) -> Path:
    """A file as its authors would write it: their names, their layouts, saved in parallel."""
    arrays = {}
    variables = run.variables()
    for path, leaf in flatten_dict(variables["params"] | {}).items():
        part, module, kind = path
        array = np.asarray(leaf)
        if kind == "kernel":
            array = array.transpose(3, 2, 0, 1)
        if part == "backbone":
            place = 2 * int(module[-1]) + module.startswith("bn")
            name = f"features.{place}.{'bias' if kind == 'bias' else 'weight'}"
        else:
            head = {"low_head": "low", "final_head": "high"}[part]
            name = f"{head}.conv2d_list.{module[-1]}.{'bias' if kind == 'bias' else 'weight'}"
        arrays[f"module.{name}"] = np.ascontiguousarray(array)
    for (_, module, kind), leaf in flatten_dict(variables["batch_stats"]).items():
        name = f"module.features.{2 * int(module[-1]) + 1}"
        arrays[f"{name}.running_{kind}"] = np.asarray(leaf)
        arrays[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
    save_file(arrays, tmp_path / "toy.safetensors")
    return tmp_path / "toy.safetensors"


def test_public_file(run, public: Path) -> None:
    found = find(public)
    assert (
        found.title
        == "toy network; 11 classes; input toy (RGB of -1 to 1); prefix 'module.' removed"
    )
    assert found.network.model == {"network": "deeplab", "backbone": "toy", "features": 4}
    assert set(found.heads) == {"low_head", "final_head"}
    assert _identical(found.load(build_model(run.config)), run.variables())


def test_adaptation_starts_from_a_public_file(
    run, public: Path, start, tiny_config, tmp_path: Path
) -> None:
    config = tiny_config("max_square", init_from=str(public), **KEYS)
    assert start(config, tmp_path / "run").results["source_only"]["target"] is not None


def test_public_file_of_the_other_backbone_is_refused(
    run, public: Path, tiny_config, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"config.model.backbone is 'resnet', the weights need 'toy'"
    ):
        complete(tiny_config(), find(public).network)
    with pytest.raises(
        UserError, match=r"toy network .* does not fit the network: ResNet-14 of width 4"
    ):
        find(public).load(build_model(tiny_config()))
    resnet = to_torch(initial_variables(build_model(tiny_config()), 0))
    save_file(
        {n: np.ascontiguousarray(a) for n, a in resnet.items()}, tmp_path / "resnet.safetensors"
    )
    assert find(tmp_path / "resnet.safetensors").network.model["backbone"] == "resnet"
    with pytest.raises(UserError, match=r"Set --config.model.backbone=resnet"):
        find(tmp_path / "resnet.safetensors").load(build_model(run.config))


def test_conversion_there_and_back(run, public: Path, tmp_path: Path, capsys) -> None:
    convert(str(run.workdir), str(tmp_path / "out.safetensors"))
    written, given = load_file(tmp_path / "out.safetensors"), load_file(public)
    assert {f"module.{name}" for name in written} == set(given)
    for name, array in written.items():
        np.testing.assert_array_equal(array, given[f"module.{name}"])
    assert "note: the network expects RGB of -1 to 1" in capsys.readouterr().out
    assert find(tmp_path / "out.safetensors").network == find(run.workdir).network
    with pytest.raises(UserError, match="--stride_placement: a toy has none"):
        convert(str(public), str(tmp_path / "out"), stride_placement="caffe")
    with pytest.raises(UserError, match="--input_convention: expected one of toy for a toy"):
        convert(str(public), str(tmp_path / "out"), input_convention="caffe")


def test_error_names_what_each_backbone_expects(tmp_path: Path) -> None:
    save_file({"x.weight": np.zeros((2, 2), np.float32)}, tmp_path / "x.safetensors")
    message = (
        "not the weights of a ResNet or DeepLabv2 or an EfficientNet-Lite or a toy network:"
        " expected one 7x7 convolution conv1.weight or one 3x3 convolution _conv_stem.weight or one"
        " convolution features.0.weight, found none among 1 names"
    )
    with pytest.raises(UserError, match=message):
        find(tmp_path / "x.safetensors")
