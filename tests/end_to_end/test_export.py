"""`msl-jax export`: the program that is written predicts what the run's network predicts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

import msl_jax
from msl_jax.cli import export as cli
from msl_jax.commands.export import export
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model, task_of
from msl_jax.weights.find import find

pytest.importorskip("flatbuffers", reason="JAX's serialization, of the extra `export`")


def _expected(run: Any, images: np.ndarray) -> np.ndarray:
    model = build_model(run.config)
    probabilities = task_of(run.config).probabilities(run.config, model)
    return np.asarray(jax.jit(probabilities)(find(str(run.workdir)).load(model), images))


@pytest.fixture(scope="module")
def exported(whole: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(str(whole.workdir), str(tmp_path_factory.mktemp("export") / "out"))


def test_the_program_is_the_network(whole: Any, exported: Path, rng: np.random.Generator) -> None:
    program = jax.export.deserialize((exported / "network.jax_export").read_bytes())
    assert set(program.platforms) == {"cpu", "cuda"}
    for batch in (1, 3):
        images = rng.integers(0, 256, (batch, *whole.config.target_size, 3), np.uint8)
        found = np.asarray(program.call(images))
        assert found.shape == (batch, *whole.config.target_size, whole.config.num_classes)
        np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(found, _expected(whole, images), rtol=1e-5, atol=1e-7)


def test_what_is_told_of_it(whole: Any, exported: Path) -> None:
    told = json.loads((exported / "network.json").read_text())
    height, width = whole.config.target_size
    assert told["input"]["shape"] == ["b", height, width, 3]
    assert told["output"]["shape"] == ["b", height, width, 11]
    classes = json.loads((whole.workdir / "classes.json").read_text())["classes"]
    assert told["classes"] == classes
    card = (exported / "README.md").read_text()
    percent = f"{100 * whole.results['final']['target']['miou']:.1f}"
    assert f"| camvid/test_dusk (target) | mIoU {percent} |" in card
    assert "| unlabelled images | camvid/train_dusk |" in card
    assert "step 4 of adapt" in card
    assert f"Photos are resized to {width}x{height} whatever their proportions" in card
    assert "\n| licence | of the weights: the terms of the data they were trained on" in card
    assert f"| made with | msl_jax {msl_jax.__version__}, jax {jax.__version__} |" in card


def test_the_cards_python_runs(
    whole: Any,
    exported: Path,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (python,) = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.S)
    (tmp_path / "network.jax_export").symlink_to(exported / "network.jax_export")
    size = whole.config.target_size
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(pixels[::-1, ::-1]).save(tmp_path / "photo.png", exif=exif)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(python.replace("photo.jpg", "photo.png"), names)
    assert names["classes"].shape == (1, *size)
    expected = _expected(whole, pixels[None]).argmax(-1)
    assert (np.asarray(names["classes"]) == expected).mean() > 0.99


def test_a_size_of_its_own(whole: Any, tmp_path: Path) -> None:
    export(f"{whole.workdir}:source", str(tmp_path / "out"), (32, 48))
    told = json.loads((tmp_path / "out" / "network.json").read_text())
    assert told["input"]["shape"] == ["b", 32, 48, 3]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| unlabelled images | none |" in card


def test_what_is_refused(whole: Any, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already and is not replaced"):
        export(str(whole.workdir), str(exported))
    with pytest.raises(UserError, match="is not a run"):
        export(str(tmp_path / "nothing"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_onnx_without_its_packages(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r'jax2onnx is missing: pip install -e "\.\[onnx\]"'):
        export(str(whole.workdir), str(tmp_path / "out"), onnx=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("size", "message"), [("32", "expected HEIGHT,WIDTH, found '32'"), ("8,32", "at least 16")]
)
def test_wrong_size(
    size: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["msl-jax export", "run", "out", f"--size={size}"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
