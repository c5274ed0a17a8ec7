"""Bad weights and checkpoints: every command says what is wrong and writes nothing."""

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
from PIL import Image
from safetensors.numpy import save_file

from msl_jax.config.presets import complete
from msl_jax.convert import to_torch
from msl_jax.runs import checkpoints, checksums
from msl_jax.runs.workdir import claim_workdir
from msl_jax.weights import find

ROOT = Path(__file__).parents[2]
CAMVID = f"--config={ROOT / 'configs' / 'camvid_scratch.py'}"


@pytest.fixture
def arrays(tiny_run: tuple[Path, Any]) -> dict[str, np.ndarray]:
    """The same weights as PyTorch names them."""
    return {name: np.array(array, order="C") for name, array in to_torch(tiny_run[1]).items()}


# Files.


def _infect(arrays: dict[str, np.ndarray], value: float) -> dict[str, np.ndarray]:
    broken = arrays["layer6.conv2d_list.0.bias"].copy()
    broken[0] = value
    return {**arrays, "layer6.conv2d_list.0.bias": broken}


Arrays = dict[str, np.ndarray]
FILES: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "NaN": (
        lambda arrays: _infect(arrays, np.nan),
        "other than finite floating-point numbers (1): layer6.conv2d_list.0.bias",
    ),
    "infinite": (
        lambda arrays: _infect(arrays, np.inf),
        "other than finite floating-point numbers (1): ",
    ),
    "integers": (
        lambda arrays: {name: array.astype(np.int32) for name, array in arrays.items()},
        "arrays with values other than finite floating-point numbers (",
    ),
    "an array is missing": (
        lambda arrays: {n: a for n, a in arrays.items() if n != "bn1.bias"},
        "missing (1):\n    bn1.bias 4",
    ),
    "an array is left over": (
        lambda arrays: {**arrays, "extra": np.ones(1, np.float32)},
        "left over (1):\n    extra 1",
    ),
    "an array of another shape": (
        lambda arrays: {**arrays, "bn1.bias": np.ones(5, np.float32)},
        "bn1.bias",
    ),
    "another network": (
        lambda arrays: {"fc.weight": np.ones((2, 2), np.float32)},
        "not the weights of a ResNet or DeepLabv2",
    ),
    "no array": (lambda arrays: {}, "not the weights of a ResNet or DeepLabv2"),
    "another depth": (
        lambda arrays: {n: a for n, a in arrays.items() if not n.startswith("layer4")},
        "bottleneck blocks in its stages; expected one of ResNet-14",
    ),
    "an unknown prefix": (
        lambda arrays: {f"net.{name}": array for name, array in arrays.items()},
        "unknown prefix 'net.'",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_bad_arrays(refused, arrays: Arrays, tmp_path: Path, kind: str) -> None:
    change, words = FILES[kind]
    save_file(change(arrays), tmp_path / "in.safetensors")
    message = refused("msl_jax/convert/__main__.py", tmp_path / "in.safetensors", "out")
    assert "in.safetensors: " in message
    assert words in message


BYTES: dict[str, tuple[str, bytes, str]] = {
    "empty .pth": ("in.pth", b"", "not a readable PyTorch file"),
    "web page as .pth": ("in.pth", b"<!DOCTYPE html><html>", "not a readable PyTorch file"),
    "pointer of Git LFS as .pth": (
        "in.pth",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4665a5\nsize 173\n",
        "not a readable PyTorch file",
    ),
    "picture as .pth": ("in.pth", b"\x89PNG\r\n\x1a\n" + bytes(99), "not a readable PyTorch file"),
    "empty .safetensors": ("in.safetensors", b"", "no safetensors file that can be read"),
    "web page as .safetensors": (
        "in.safetensors",
        b"<!DOCTYPE html><html>404</html>",
        "no safetensors file that can be read",
    ),
    "header longer than the file": (
        "in.safetensors",
        (2**62).to_bytes(8, "little") + b"{}",
        "no safetensors file that can be read",
    ),
}


@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize("command_line", ["train", "predict", "convert"])
def test_bad_file(refused, tmp_path: Path, command_line: str, kind: str) -> None:
    name, content, words = BYTES[kind]
    file = tmp_path / name
    file.write_bytes(content)
    photo = tmp_path / "photo.png"
    Image.new("RGB", (9, 9)).save(photo)
    arguments = {
        "train": ["train.py", CAMVID, f"--config.init_from={file}", "--workdir=run"],
        "predict": ["predict.py", f"--checkpoint={file}", f"--input={photo}", "--output=out"],
        "convert": ["msl_jax/convert/__main__.py", file, "out"],
    }
    message = refused(*arguments[command_line])
    assert f"{file}: " in message
    assert words in message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_file(refused, arrays: Arrays, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"in{suffix}"
    if suffix == ".pth":
        torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, file)
    else:
        save_file(arrays, file)
    content = file.read_bytes()
    for length in (1, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        message = refused("msl_jax/convert/__main__.py", file, "out")
        assert f"{file}: no" in message  # of safetensors, or not a readable one of PyTorch


# Checkpoints of a run, and converted ones.


def _configuration(**values: Any) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        path = run / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def _without(key: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        path = run / "config.json"
        config = json.loads(path.read_text())
        del config[key]
        path.write_text(json.dumps(config))

    return change


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda run: (run / name).write_text(text)


RUNS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no such step": (lambda run: None, ":77", "no checkpoint '77'"),
    "no such name": (lambda run: None, ":newest", "no checkpoint 'newest'"),
    "no checkpoint": (
        lambda run: shutil.rmtree(run / "source"),
        "",
        "no checkpoint yet in adapt or source",
    ),
    "variables are missing": (
        lambda run: shutil.rmtree(run / "source" / "4" / "variables"),
        "",
        "source/4 is damaged (variables/",
    ),
    "no configuration": (
        lambda run: (run / "config.json").unlink(),
        "",
        "is not a run: expected a folder with config.json",
    ),
    "configuration is no JSON": (_text("config.json", "{"), "", "config.json"),
    "configuration is a list": (_text("config.json", "[]"), "", "config.json is not complete"),
    "configuration lacks the network": (_without("model"), "", "config.json is not complete"),
    "configuration of another variant": (
        _configuration(variant="max_squares"),
        "",
        "unknown variant 'max_squares'",
    ),
    "configuration of another network": (
        _configuration(model={"depth": 18}),
        "",
        "config.json is not complete",
    ),
}


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("script", ["eval.py", "predict.py"])
def test_bad_run(refused, run: Path, tmp_path: Path, script: str, kind: str) -> None:
    change, which, words = RUNS[kind]
    change(run)
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    arguments = [f"--input={tmp_path / 'photo.png'}"] if script == "predict.py" else []
    message = refused(script, f"--checkpoint={run}{which}", "--output=out", *arguments)
    assert words in message


def test_checkpoint_of_another_class_count(refused, run: Path) -> None:
    message = refused("eval.py", f"--checkpoint={run}", "--output=out", "--config.num_classes=10")
    assert f"{run} (run camvid_scratch:source, source step 4): these weights do not fit" in message
    assert "config.num_classes is 10, the weights need 11" in message


def test_start_from_another_network(refused, run: Path, tiny_flags) -> None:
    flags = tiny_flags(init_from=run, **{"model.depth": 26})
    message = refused("train.py", f"{CAMVID}:hard", *flags, "--workdir=new")
    assert "config.model.depth is 26, the weights need 14" in message


def test_run_that_holds_nan(
    refused, tiny_run: tuple[Path, Any], write_run, tiny_config, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(checkpoints, "_expect_finite", lambda *args, **keys: None)
    broken = jax.tree.map(lambda leaf: leaf * np.float32(np.nan), tiny_run[1])
    folder = write_run(tmp_path / "broken", tiny_config("source"), broken)
    message = refused("eval.py", f"--checkpoint={folder}", "--output=out")
    assert "arrays with values other than finite floating-point numbers (" in message


@pytest.mark.parametrize("dtype", [np.complex64, np.int32])
def test_run_of_other_numbers(
    refused, tiny_run: tuple[Path, Any], write_run, tiny_config, tmp_path: Path, dtype: type
) -> None:
    other = jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), tiny_run[1])
    folder = write_run(tmp_path / "other", tiny_config("source"), other)
    message = refused("eval.py", f"--checkpoint={folder}", "--output=out")
    assert "arrays with values other than finite floating-point numbers (" in message


def test_no_run_yet(refused) -> None:
    message = refused("eval.py", f"{CAMVID}:hard")
    assert "no run of camvid_scratch:hard below" in message
    assert "(python train.py --config camvid_scratch:hard)" in message


def test_no_run_yet_of_an_own_file(refused, tmp_path: Path) -> None:
    """Its path is not known: the configuration's name is not that of its file."""
    code = "from msl_jax.config import base_config\nget_config = lambda: base_config('other')"
    (tmp_path / "mine.py").write_text(code)
    message = refused("eval.py", f"--config={tmp_path / 'mine.py'}")
    assert "(python train.py --config FILE:max_square_iw_multi)" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "weights.json"),
        ("[]", "weights.json: the description is not readable"),
        ('{"network": {}, "heads": [], "from": ""}', "the network's description is not readable"),
        ('{"network": [], "heads": [], "from": ""}', "the network's description is not readable"),
    ],
)
def test_bad_converted_checkpoint(
    refused, tiny_run: tuple[Path, Any], tmp_path: Path, content: str, words: str
) -> None:
    folder, variables = tiny_run
    find.save(tmp_path / "converted", find.find(folder), variables)
    (tmp_path / "converted" / "weights.json").write_text(content)
    (tmp_path / "converted" / checksums.NAME).unlink()
    checksums.write(tmp_path / "converted")  # as if written so
    assert words in refused("eval.py", f"--checkpoint={tmp_path / 'converted'}", "--output=out")


def test_workdir_of_another_configuration(refused, tiny_keys, tiny_flags, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    given = runpy.run_path(str(ROOT / "configs" / "camvid_scratch.py"))["get_config"]("source")
    given.update_from_flattened_dict(tiny_keys)
    claim_workdir(workdir, given, complete(given))
    keys = tiny_flags(momentum=0.8, preset="paper", source_poly_steps=9)
    message = refused("train.py", f"{CAMVID}:source", *keys, f"--workdir={workdir}")
    assert message.splitlines() == [
        f"error: {workdir} holds a run of another configuration; it differs in",
        "  momentum: 0.9 -> 0.8",
        "  preset: 'official' -> 'paper'",
        "  source_poly_steps: None (decided: 4) -> 9",
        "Run the same command as before to continue it, or give another --workdir.",
    ]
