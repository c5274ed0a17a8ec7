from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from msl_jax.convert import to_torch
from msl_jax.runtime.errors import UserError
from msl_jax.weights import safetensors_files, torch_files

from .torch_pickles import SIX, WRITERS, Storages, dictionary, storage, tensor, value

each_format = pytest.mark.parametrize("container", WRITERS)

ARRAYS = {"b.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.count": np.array(7)}
KINDS = {"float32": "Float", "int64": "Long", "float16": "Half", "bfloat16": "BFloat16"}


def _tensors(arrays: dict[str, np.ndarray]) -> tuple[dict[str, bytes], Storages]:
    """Instructions that make them, by name, and their storages."""
    items, storages = {}, {}
    for number, (name, array) in enumerate(arrays.items()):
        place = storage(KINDS[str(array.dtype)], str(number), array.size)
        strides = tuple(stride // array.itemsize for stride in array.strides)
        items[name] = tensor(place, array.shape, strides)
        storages[str(number)] = (array.size, array.tobytes())
    return items, storages


def _write(path: Path, arrays: dict[str, np.ndarray], container: str = "zip") -> Path:
    items, storages = _tensors(arrays)
    return WRITERS[container](path, dictionary(items), storages)


def _assert_arrays(found: dict[str, np.ndarray]) -> None:
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


class TestRead:
    @each_format
    def test_arrays(self, path: Path, container: str) -> None:
        found, description, keys = torch_files.read(_write(path, ARRAYS, container))
        _assert_arrays(found)
        assert (description, keys) == (None, ())

    @each_format
    @pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
    def test_half_precision(self, path: Path, container: str, kind: type) -> None:
        array = np.array([1 / 3, 1e4]).astype(kind)
        found, _, _ = torch_files.read(_write(path, {"a": array}, container))
        np.testing.assert_array_equal(found["a"], array, strict=True)

    @each_format
    def test_under_a_key(self, path: Path, container: str) -> None:
        items, storages = _tensors(ARRAYS)
        beside = {"epoch": value(3), "best_MIou": value(np.float64(0.41))}
        WRITERS[container](path, dictionary({**beside, "model": dictionary(items)}), storages)
        found, _, keys = torch_files.read(path)
        _assert_arrays(found)
        assert keys == ("model",)

    @each_format
    def test_memory(self, path: Path, container: str) -> None:
        """Little more than the arrays themselves, and nothing for what is not asked for."""
        layer = np.ones(2**20, np.float32)
        items, storages = _tensors({f"layer{i}": layer for i in range(8)})
        names = list(items)
        wanted = {name: items[name] for name in names[:4]}
        optimizer = {"state": b"](" + b"".join(items[name] for name in names[4:]) + b"e"}
        content = {"model": dictionary(wanted), "optimizer": dictionary(optimizer)}
        WRITERS[container](path, dictionary(content), storages)
        del layer, items, storages, wanted, optimizer, content
        tracemalloc.start()
        try:
            found = torch_files.read(path)[0]
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(found) == 4
        assert kept < 1.01 * 4 * 2**22
        # Of the older format up to 64 MiB are looked through for the end of the pickle, before.
        assert peak < 1.02 * (4 if container == "zip" else 8) * 2**22


_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from msl_jax.convert.__main__ import main
from msl_jax.weights.find import find
sys.argv = ["convert", {file!r}, {folder!r}]
main()
print(find({file!r}).title)
"""


@each_format
def test_without_pytorch(
    tmp_path: Path, path: Path, state_dict: dict[str, np.ndarray], container: str
) -> None:
    """A process of its own, in which PyTorch cannot be imported."""
    items, storages = _tensors(state_dict)
    WRITERS[container](path, dictionary({"net": dictionary(items)}), storages)
    program = _WITHOUT_TORCH.format(file=str(path), folder=str(tmp_path / "converted"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    title = done.stdout.splitlines()[-1]
    assert title.startswith("DeepLabv2 ResNet-14 of width 4 with two heads")
    assert title.endswith("; found under 'net'")
    assert (tmp_path / "converted" / "weights.json").is_file()


class TestWrite:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")

    def test_there_and_back(self, path: Path) -> None:
        description = {"depth": 14, "rates": [6, 12], "classes": None}
        torch_files.write(path, ARRAYS, description)
        found, read, _ = torch_files.read(path)
        _assert_arrays(found)
        assert read == description

    def test_pytorch_takes_the_file(self, path: Path) -> None:
        torch = self.torch
        network = torch.nn.Sequential(OrderedDict(layer1=torch.nn.Linear(3, 2)))
        state = {name: value.numpy() + 1 for name, value in network.state_dict().items()}
        torch_files.write(path, state, {"depth": 14})
        network.load_state_dict(torch.load(path, weights_only=True))
        np.testing.assert_array_equal(network.layer1.bias.detach().numpy(), state["layer1.bias"])

    def test_whole_network(self, path: Path, variables: Any) -> None:
        state_dict = to_torch(variables)
        torch_files.write(path, state_dict, {})
        found = torch_files.read(path)[0]
        assert list(found) == list(state_dict)
        for name, array in state_dict.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


WRITE = {".pth": torch_files.write, ".safetensors": safetensors_files.write}


@pytest.mark.parametrize("suffix", WRITE)
def test_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    if suffix == ".pth":
        pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")

    def fill_up(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(OSError, match="No space left"):
        WRITE[suffix](tmp_path / f"weights{suffix}", ARRAYS, {})
    assert list(tmp_path.iterdir()) == []


def test_writing_needs_pytorch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r'to write this .*install -e ".\[convert\]".*\.safetens'):
        torch_files.write(path, ARRAYS, {})
    assert not path.exists()


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (value([1, 2]), "expected arrays by name, alone or under a key like .*; found list"),
            (value({}), r"found dict with the keys \[\]"),
            (value({"model": {}, "epoch": 1}), r"found dict with the keys \['model', 'epoch'\]"),
            (value({"state_dict": {"a": 1}}), r"found dict with the keys \['state_dict'\]"),
            (
                dictionary({"a": tensor(storage()), "epoch": value(3), "lr": value(0.1)}),
                "these are not arrays: epoch, lr. Save the network's state_dict",
            ),
        ],
    )
    @each_format
    def test_other_content(self, path: Path, body: bytes, message: str, container: str) -> None:
        WRITERS[container](path, body, SIX if b"storage" in body else {})
        with pytest.raises(UserError, match=rf"weights\.pth: .*{message}"):
            torch_files.read(path)

    @each_format
    @pytest.mark.parametrize("part", [0, 1, 10, 100, 0.3, 0.6, 0.9, -200, -1])
    def test_truncated(self, path: Path, container: str, part: float) -> None:
        arrays = {f"layer{index}": np.ones(100, np.float32) for index in range(5)}
        content = _write(path, arrays, container).read_bytes()
        end = int(part * len(content)) if 0 < part < 1 else int(part)
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"weights\.pth: not a readable PyTorch file.*trunc"):
            torch_files.read(path)

    @pytest.mark.parametrize(
        "content",
        [
            b"\x89PNG\r\n\x1a\n" + bytes(200),
            b"<!DOCTYPE html><html><body>404</body></html>",  # what a failed download leaves
            json.dumps({"a": [1, 2]}).encode(),
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4665a5\n",
        ],
        ids=["PNG", "HTML", "JSON", "Git LFS"],
    )
    def test_other_kind(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"file \(it begins with b.* of another kind") as caught:
            torch_files.read(path)
        assert repr(content[:8])[:-1] in str(caught.value)

    @pytest.mark.parametrize("kind", ["missing", "folder"])
    def test_no_file(self, path: Path, kind: str) -> None:
        if kind == "folder":
            path.mkdir()
        with pytest.raises(UserError, match=r"weights\.pth: cannot be read"):
            torch_files.read(path)
