"""`msl-jax export --onnx`: onnxruntime predicts from it what the run's network predicts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from ml_collections.config_dict import ConfigDict
from PIL import Image

from msl_jax.commands import onnx_program
from msl_jax.commands.export import export
from msl_jax.models.initial import abstract_variables
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model, task_of
from msl_jax.weights.find import find

pytest.importorskip("jax2onnx", reason="of the extra `onnx`")
onnxruntime = pytest.importorskip("onnxruntime", reason="of the extra `onnx`")


def test_the_cards_python_runs(
    whole: Any, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(str(whole.workdir), str(tmp_path / "out"), onnx=True)
    assert json.loads((folder / "network.json").read_text())["onnx"]["opset"] > 20
    photo = rng.integers(0, 256, (*whole.config.target_size, 3), np.uint8)
    Image.fromarray(photo).save(folder / "photo.png")
    monkeypatch.chdir(folder)
    network = _network(whole.config, find(str(whole.workdir)).load(build_model(whole.config)))
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert len(blocks) == 2
    for python in blocks:  # each alone
        names: dict[str, Any] = {}
        exec(python.replace("photo.jpg", "photo.png"), names)
        np.testing.assert_allclose(names["probabilities"], network(photo[None]), atol=1e-5)


@pytest.mark.parametrize(
    "keys",
    [
        {"model.depth": 50, "model.stride_placement": "torchvision"},
        {"model.backbone": "efficientnet_lite0"},
        {"flip": True, "scales": (0.75, 1.5)},
    ],
)
def test_equal(keys: dict[str, Any], tiny_config: Any, rng: np.random.Generator) -> None:
    config = tiny_config("source", target_size=(33, 48), **keys)
    network = _network(config, _tame(build_model(config), rng))
    program = onnx_program.to_onnx(network, _images(*config.target_size))
    session = onnxruntime.InferenceSession(program.SerializeToString())
    for batch in (1, 3):
        images = rng.integers(0, 256, (batch, *config.target_size, 3), np.uint8)
        (found,) = session.run(["probabilities"], {"images": images})
        expected = np.asarray(jax.jit(network)(images))
        assert expected.std(axis=(0, 1, 2)).min() > 1e-4, "the same everywhere"
        np.testing.assert_allclose(np.log(found), np.log(expected), rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))


def test_what_onnxruntime_computes_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(onnx_program._REWRITTEN, "exp", lambda x, **_: lax.add(x, x))
    with pytest.raises(UserError, match=r"within 0\.0001 of JAX's, found [\d.]+ between"):
        onnx_program.to_onnx(_softmax, _images(16, 16))


def test_what_cannot_be_converted_is_said() -> None:
    def network(images: Array) -> Array:
        return lax.digamma(_softmax(images))

    assert network(np.zeros((1, 2, 2, 3), np.uint8)).shape == (1, 2, 2, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lax.digamma_p, "name", "unheard_of")
        with pytest.raises(UserError, match=r"jax2onnx cannot convert this network: .*unheard_of"):
            onnx_program.to_onnx(network, _images(16, 16))


def _softmax(images: Array) -> Array:
    return jax.nn.softmax(jnp.asarray(images, jnp.float32) / jnp.float32(255))


def _network(config: ConfigDict, variables: Any) -> Callable[[Array], Array]:
    probabilities = task_of(config).probabilities(config, build_model(config))
    return lambda images: probabilities(variables, images)


def _images(height: int, width: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jax.export.symbolic_shape(f"b, {height}, {width}, 3"), jnp.uint8)


def _tame(model: Any, rng: np.random.Generator) -> Any:
    """Weights by which features keep their size, so that no class has all the probability."""

    def drawn(leaf: Any) -> Array:
        if leaf.ndim < 2:
            return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), leaf.dtype)
        spread = 1 / math.sqrt(math.prod(leaf.shape[:-1]))
        return jnp.asarray(rng.normal(0, spread, leaf.shape), leaf.dtype)

    return jax.tree.map(drawn, abstract_variables(model))
