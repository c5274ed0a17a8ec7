"""`python -m msl_jax.convert`: what it says and writes, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from msl_jax.convert import NetworkSpec, to_torch
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.weights import safetensors_files
from msl_jax.weights.find import find

SCRIPT = "msl_jax/convert/__main__.py"

StateDict = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def official(random_variables: Callable[..., Any]) -> StateDict:
    """Arrays of the official network, made small."""
    return to_torch(random_variables(DeepLabV2(num_classes=3, backbone=ResNet(14, 4))))


@pytest.fixture(scope="module")
def imagenet(official: StateDict) -> StateDict:
    """Arrays of torchvision's ResNet, made small, without `fc`."""
    return {n: a for n, a in official.items() if not n.startswith(("layer5", "layer6"))}


@pytest.fixture
def source(tmp_path: Path, official: StateDict) -> Path:
    save_file(official, tmp_path / "in.safetensors")
    return tmp_path / "in.safetensors"


def _description(folder: Path) -> Any:
    return json.loads((folder / "weights.json").read_text())["network"]


def test_says_what_it_recognised(command, source: Path, tmp_path: Path) -> None:
    outcome = command(SCRIPT, source, tmp_path / "out")
    assert outcome.code == 0
    assert outcome.err == ""
    size = sum(leaf.size for leaf in np.load(_npz(source)).values())
    assert outcome.out.splitlines() == [
        f"{source}: DeepLabv2 ResNet-14 of width 4 with two heads (official, AdaptSegNet, ADVENT);"
        " 3 classes; input caffe (BGR minus mean); stride placement caffe",
        f"{tmp_path / 'out'}: 101 arrays, {size:,} numbers",
        "Network: network deeplab, backbone resnet, depth 14, width 4, stride_placement caffe,"
        " aspp_dilations (6, 12, 18, 24), active_dilations (6, 12), num_classes 3,"
        " input_convention caffe",
    ]


def _npz(path: Path) -> Path:
    """The file's arrays but for the counts of batches, which are not taken over."""
    arrays, _ = safetensors_files.read(path)
    kept = {name: array for name, array in arrays.items() if "num_batches" not in name}
    np.savez(path.with_suffix(".npz"), **kept)
    return path.with_suffix(".npz")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"active_dilations": [6, 12], "stride_placement": "caffe"}),
        (["--head_rates=6,12,18,24"], {"active_dilations": [6, 12, 18, 24]}),
        (["--head_rates", "6"], {"active_dilations": [6], "aspp_dilations": [6, 12, 18, 24]}),
        (["--stride_placement=torchvision"], {"stride_placement": "torchvision"}),
        (["--input_convention=torchvision"], {"stride_placement": "caffe"}),
    ],
)
def test_what_cannot_be_seen_is_told(
    command, source: Path, tmp_path: Path, flags: list[str], expected: dict[str, Any]
) -> None:
    assert command(SCRIPT, source, tmp_path / "out", *flags).code == 0
    found = _description(tmp_path / "out")
    assert {key: found["model"][key] for key in expected} == expected
    convention = "torchvision" if "--input_convention=torchvision" in flags else "caffe"
    assert found["input_convention"] == convention


def test_other_number_of_head_convolutions(
    command, tmp_path: Path, official: StateDict, refused
) -> None:
    two = {n: a for n, a in official.items() if ".2." not in n and ".3." not in n}
    save_file(two, tmp_path / "in.safetensors")
    message = refused(SCRIPT, tmp_path / "in.safetensors", "out", "--head_rates=1,2,4")
    assert "missing (4):\n    layer6.conv2d_list.2.bias 3" in message
    assert "set 2 dilations (--config.model.aspp_dilations, convert: --active_dilations)" in message
    assert command(SCRIPT, tmp_path / "in.safetensors", "out", "--head_rates=1,2").code == 0
    assert _description(Path("out"))["model"]["aspp_dilations"] == [1, 2]


@pytest.mark.parametrize("output", ["out", "out.safetensors", "out.SAFETENSORS", "out.pth"])
def test_backbone_alone(command, tmp_path: Path, imagenet: StateDict, output: str) -> None:
    if output.endswith(".pth"):
        pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
    save_file(imagenet, tmp_path / "in.safetensors")
    outcome = command(SCRIPT, tmp_path / "in.safetensors", tmp_path / "new" / output)
    assert outcome.code == 0
    assert "ResNet-14 of width 4 without a classifier; input torchvision (RGB" in outcome.out
    # A user of the official code would otherwise get another network, without a word.
    assert ("does not compute this network" in outcome.out) == (output != "out")
    found = find(tmp_path / "new" / output)
    assert found.heads == ()
    model = {"backbone": "resnet", "depth": 14, "width": 4, "stride_placement": "torchvision"}
    assert found.network == NetworkSpec(model, None, "torchvision")
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / output]


def test_process(source: Path, tmp_path: Path) -> None:
    arguments = ["-m", "msl_jax.convert", str(source), str(tmp_path / "out.safetensors")]
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (process.returncode, process.stderr) == (0, "")
    before, after = (safetensors_files.read(path)[0] for path in map(Path, (source, arguments[3])))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, strict=True)


class TestRefused:
    """One message, no traceback, nothing written."""

    @pytest.mark.parametrize("kind", ["file", "folder", "empty folder"])
    def test_existing_output(self, refused, source: Path, tmp_path: Path, kind: str) -> None:
        output = tmp_path / "out.safetensors"
        if kind == "file":
            output.write_text("mine")
        else:
            (output / "mine" if kind == "folder" else output).mkdir(parents=True)
        message = refused(SCRIPT, source, output)
        assert f"{output} exists already and is not replaced; give another name" in message

    def test_output_below_a_file(self, refused, source: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        assert "file" in refused(SCRIPT, source, tmp_path / "file" / "out.safetensors")

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("missing.pth", None, "missing.pth: cannot be read (No such file or directory)"),
            ("missing", None, "missing is not a run: expected a folder with config.json"),
            ("cut.safetensors", b"\x10", "cut.safetensors: no safetensors file that can be read"),
            ("empty.safetensors", b"", "empty.safetensors: no safetensors file that can be read"),
        ],
    )
    def test_input(
        self, refused, tmp_path: Path, name: str, content: bytes | None, message: str
    ) -> None:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert message in refused(SCRIPT, tmp_path / name, "out")

    @pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(99)])
    def test_no_file_of_pytorch(self, refused, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "in.pth").write_bytes(content)
        assert "in.pth: not a readable PyTorch file" in refused(SCRIPT, tmp_path / "in.pth", "out")

    def test_missing_pytorch(self, refused, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch", None)
        assert 'pip install -e ".[convert]"' in refused(SCRIPT, source, "out.pth")

    def test_arrays_that_do_not_fit(self, refused, tmp_path: Path, official: StateDict) -> None:
        arrays = {**official, "extra": np.ones(1, np.float32)}
        del arrays["bn1.bias"]
        save_file(arrays, tmp_path / "in.safetensors")
        message = refused(SCRIPT, tmp_path / "in.safetensors", "out")
        assert message.startswith(f"error: {tmp_path}/in.safetensors: DeepLabv2 ResNet-14")
        assert "missing (1):\n    bn1.bias 4\n  left over (1):\n    extra 1" in message

    def test_rates_that_do_not_exist(self, refused, source: Path) -> None:
        message = refused(SCRIPT, source, "out", "--head_rates=6,7")
        assert "--active_dilations: expected some of (6, 12, 18, 24), found (6, 7)" in message

    def test_rates_against_the_description(
        self, refused, tmp_path: Path, official: StateDict
    ) -> None:
        model = {"network": "deeplab", "backbone": "resnet", "depth": 14, "width": 4}
        model |= {"stride_placement": "caffe", "aspp_dilations": (6, 12, 18, 24)}
        network = NetworkSpec({**model, "active_dilations": (6, 12, 18, 24)}, 3, "caffe")
        path = tmp_path / "in.safetensors"
        safetensors_files.write(path, official, dataclasses.asdict(network))
        message = refused(SCRIPT, path, "out", "--head_rates=6,12")
        assert "--active_dilations is (6, 12), the weights need (6, 12, 18, 24)" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: INPUT, OUTPUT"),
        (["in"], "required: OUTPUT"),
        (["in", "out", "more"], "unrecognized arguments: more"),
        (["in", "out", "--head_rates=6,x"], "expected integers like 6,12, found '6,x'"),
        (["in", "out", "--head_rates=0"], "expected integers like 6,12, found '0'"),
        (["in", "out", "--stride_placement=x"], "invalid choice: 'x'"),
    ],
)
def test_wrong_command_line(command, arguments: list[str], message: str) -> None:
    outcome = command(SCRIPT, *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "usage: python -m msl_jax.convert" in outcome.err


def test_help(command) -> None:
    outcome = command(SCRIPT, "--help")
    assert outcome.code == 0
    assert "--config.init_from and --checkpoint" in " ".join(outcome.out.split())
