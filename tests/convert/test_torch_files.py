from __future__ import annotations

import json
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msl_jax.runtime.errors import UserError
from msl_jax.weights import safetensors_files, torch_files

torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")

each_format = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])

ARRAYS = {"b.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.count": np.array(7)}


def _save(path: Path, content: Any, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def _tensors(**more: Any) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in ARRAYS.items()} | more


def _assert_arrays(found: dict[str, np.ndarray]) -> None:
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def _training_state() -> dict[str, Any]:
    """What the official code keeps beside the weights, and what others do."""
    network = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "optimizer": optimizer.state_dict(),
        "best_MIou": np.float64(0.41),
        "numbers": [np.float32(1), np.int64(2), np.uint8(3), np.bool_(True), None, "text"],
    }


class TestRead:
    @each_format
    @pytest.mark.parametrize("state", ["alone", "state_dict", "parameters"])
    def test_arrays(self, path: Path, zipped: bool, state: str) -> None:
        content: Any = OrderedDict(_tensors())
        if state == "state_dict":
            content = {**_training_state(), "state_dict": content}
        elif state == "parameters":
            parameter = torch.nn.Parameter(content["b.weight"])
            content = _tensors(**{"b.weight": parameter})
        found, description = torch_files.read(_save(path, content, zipped))
        _assert_arrays(found)
        assert description is None

    @each_format
    @pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
    def test_precision(self, path: Path, zipped: bool, kind: str) -> None:
        exact = torch.tensor([1 / 3, 1e4]).to(getattr(torch, kind))
        found, _ = torch_files.read(_save(path, {"a": exact}, zipped))
        assert found["a"].dtype == (np.float32 if kind == "bfloat16" else np.dtype(kind))
        assert found["a"].tolist() == exact.tolist()

    def test_scalar_of_an_older_numpy(self, path: Path) -> None:
        """NumPy 1, with which the official checkpoints were made, has it in `numpy.core`."""
        _save(path, {"state_dict": _tensors(), "best_MIou": np.float64(0.41)}, zipped=False)
        new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
        assert path.read_bytes().count(new) == 1
        path.write_bytes(path.read_bytes().replace(new, old))
        _assert_arrays(torch_files.read(path)[0])


class TestWrite:
    def test_there_and_back(self, path: Path) -> None:
        description = {"depth": 14, "rates": [6, 12], "classes": None}
        torch_files.write(path, ARRAYS, description)
        found, read = torch_files.read(path)
        _assert_arrays(found)
        assert read == description

    def test_pytorch_takes_the_file(self, path: Path) -> None:
        network = torch.nn.Sequential(OrderedDict(layer1=torch.nn.Linear(3, 2)))
        state = {name: value.numpy() + 1 for name, value in network.state_dict().items()}
        torch_files.write(path, state, {"depth": 14})
        network.load_state_dict(torch.load(path, weights_only=True))
        np.testing.assert_array_equal(network.layer1.bias.detach().numpy(), state["layer1.bias"])


WRITERS = {".pth": torch_files.write, ".safetensors": safetensors_files.write}


@pytest.mark.parametrize("suffix", WRITERS)
def test_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def fill_up(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(OSError, match="No space left"):
        WRITERS[suffix](tmp_path / f"weights{suffix}", ARRAYS, {})
    assert list(tmp_path.iterdir()) == []


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1, 2], "expected arrays by name, alone or under 'state_dict'; found list"),
            ({}, r"found dict with the keys \[\]"),
            ({"model": {}, "epoch": 1}, r"found dict with the keys \['model', 'epoch'\]"),
            ({"state_dict": {"a": 1}}, r"found dict with the keys \['a'\]"),
            (_tensors(epoch=3, lr=0.1), "these are none: epoch, lr. Save the network's state_dict"),
            ({"a": torch.zeros(2).to_sparse()}, "a is no plain array of numbers: .*[Ss]parse"),
            ({"a": torch.zeros(2, device="meta")}, "a is no plain array of numbers: .*meta"),
        ],
    )
    def test_other_content(self, path: Path, content: Any, message: str) -> None:
        with pytest.raises(UserError, match=rf"weights\.pth: .*{message}"):
            torch_files.read(_save(path, content))

    @each_format
    @pytest.mark.parametrize("part", [0, 1, 10, 100, 0.3, 0.6, 0.9, -200, -1])
    def test_truncated(self, path: Path, zipped: bool, part: float) -> None:
        tensors = {f"layer{index}": torch.randn(100) for index in range(5)}
        content = _save(path, tensors, zipped).read_bytes()
        end = int(part * len(content)) if 0 < part < 1 else int(part)
        path.write_bytes(content[:end])
        with pytest.raises(
            UserError, match=r"weights\.pth: no PyTorch file that can be read.*trunc"
        ):
            torch_files.read(path)

    @pytest.mark.parametrize(
        "content",
        [
            b"\x89PNG\r\n\x1a\n" + bytes(200),
            b"<!DOCTYPE html><html><body>404</body></html>",  # what a failed download leaves
            json.dumps({"a": [1, 2]}).encode(),
        ],
        ids=["PNG", "HTML", "JSON"],
    )
    def test_other_kind(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"no PyTorch file that can be read .*of another kind"):
            torch_files.read(path)

    def test_zip_of_something_else(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "text")
        with pytest.raises(UserError, match="no PyTorch file that can be read"):
            torch_files.read(path)


def test_missing_pytorch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    for use in (lambda: torch_files.read(path), lambda: torch_files.write(path, ARRAYS, {})):
        with pytest.raises(UserError, match=r"pip install '.\[convert\]'.*\.safetensors"):
            use()
