"""What stands next to a network's arrays in a file, and what is not an array or not plain."""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msl_jax.runtime.errors import UserError
from msl_jax.weights import torch_archive, torch_files
from msl_jax.weights.pickled_tensors import Tensor

torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")

each_format = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def _save(path: Path, content: Any, zipped: bool = True, **options: Any) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped, **options)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def _plain(content: Any) -> Any:
    """PyTorch's objects as this project has them."""
    if isinstance(content, torch.Size):
        return tuple(content)
    if isinstance(content, torch.dtype):
        return np.dtype(str(content).removeprefix("torch."))
    if isinstance(content, torch.device):
        return str(content)
    if isinstance(content, Counter):
        return dict(content)
    if isinstance(content, dict):
        return type(content)((key, _plain(value)) for key, value in content.items())
    if isinstance(content, (list, tuple)):
        return type(content)(map(_plain, content))
    return content


def _assert_same(found: Any, expected: Any) -> None:
    """Also in types, order and the signs of zeros."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        assert list(map(type, found)) == list(map(type, expected))
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        for one, other in zip(found, expected, strict=True):
            _assert_same(one, other)
    elif isinstance(expected, (set, frozenset)):
        assert found == expected
    else:
        assert repr(found) == repr(expected)


def _training() -> dict[str, Any]:
    network = torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv2d(3, 4, 3)))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    network.conv(torch.ones(1, 3, 3, 3)).sum().backward()
    optimizer.step()
    scheduler.step()
    state = scheduler.state_dict()
    return {
        "epoch": 3,
        "large": 2**40,
        "magic": 0x1950A86A20F9469CFC6C,
        "negative": [-7, -(2**40), -1, -(2**31)],
        "loss": [0.25, float("inf"), -0.0, 1e-300],
        "text": "Zürich\n",
        "data": b"\x00\xff",
        "no data": b"",
        "array of bytes": bytearray(b"ab"),
        "nothing": None,
        "flags": (True, False),
        "set": {1, "a", None},
        "frozen": frozenset({2.5}),
        "complex": 1 - 2j,
        "nested": {"a": [({},), OrderedDict(x=[])], 3: {0.5: ()}, None: {True: b"x"}},
        "size": torch.Size([2, 3]),
        "type": torch.float32,
        "device": [torch.device("cpu"), torch.device("cuda", 1)],
        "milestones": Counter({2: 2, 5: 1}),
        "scheduler": {key: value for key, value in state.items() if key != "milestones"},
        "groups": optimizer.state_dict()["param_groups"],
    }


@each_format
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data(path: Path, zipped: bool, protocol: int) -> None:
    content = _training()
    with torch_archive.opened(_save(path, content, zipped, pickle_protocol=protocol)) as archive:
        _assert_same(archive.content, _plain(content))
    if protocol == 2 and zipped:
        del content["frozen"], content["no data"]  # which PyTorch refuses
        loaded = torch.load(_save(path, content), weights_only=True)
        with torch_archive.opened(path) as archive:
            _assert_same(archive.content, _plain(loaded))


NUMPY: dict[str, Any] = {
    **{str(np.dtype(kind)): np.dtype(kind).type(3) for kind in "?bBhHiIlLefdFD"},
    "array": np.arange(6.0).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "scalar": np.array(7),
    "empty": np.zeros((0, 3), np.float16),
    "flags": np.array([True, False]),
}


@each_format
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numbers_of_numpy(path: Path, zipped: bool, protocol: int) -> None:
    with torch_archive.opened(_save(path, NUMPY, zipped, pickle_protocol=protocol)) as archive:
        found = archive.content
    assert list(found) == list(NUMPY)
    for name, value in NUMPY.items():
        assert type(found[name]) is type(value)
        np.testing.assert_array_equal(found[name], value, strict=True)


@pytest.mark.parametrize("protocol", [2, 5])
def test_names_of_an_older_numpy(path: Path, protocol: int) -> None:
    """NumPy 1, with which the official checkpoints were made, has its functions in `numpy.core`."""
    _save(path, NUMPY, zipped=False, pickle_protocol=protocol)
    content = path.read_bytes()
    assert b"numpy._core" in content
    if protocol == 2:
        content = content.replace(b"numpy._core", b"numpy.core")
    else:  # with the length of the text before it
        for part in (b"multiarray", b"numeric"):
            new, old = b"numpy._core." + part, b"numpy.core." + part
            content = content.replace(bytes([len(new)]) + new, bytes([len(old)]) + old)
    path.write_bytes(content)
    with torch_archive.opened(path) as archive:
        assert archive.content["array"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_arrays_of_numpy_are_arrays_by_name(path: Path) -> None:
    _save(path, {"a": torch.ones(2), "b": np.arange(3.0)})
    found = torch_files.read(path)[0]
    np.testing.assert_array_equal(found["b"], np.arange(3.0), strict=True)


def _quantised() -> Any:
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


def _by_channel() -> Any:
    scales, zeros = torch.tensor([0.1, 0.2]), torch.tensor([0, 1])
    return torch.quantize_per_channel(torch.ones(2, 3), scales, zeros, 0, torch.quint8)


NOT_PLAIN: dict[str, tuple[Callable[[], Any], str]] = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "sparse; save its to_dense()"),
    "sparse rows": (lambda: torch.eye(3).to_sparse_csr(), "sparse; save its to_dense()"),
    "quantised": (_quantised, "quantised; save its dequantize()"),
    "quantised by channel": (_by_channel, "quantised; save its dequantize()"),
    "meta": (lambda: torch.zeros(2, device="meta"), "a meta tensor, which has no numbers"),
    "complex32": (lambda: torch.zeros(2, dtype=torch.complex32), "of a type that NumPy lacks"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "nested; save its parts",
    ),
}


@each_format
@pytest.mark.parametrize("kind", NOT_PLAIN)
@pytest.mark.filterwarnings("ignore:.*(Sparse|nested|ComplexHalf|TypedStorage|quantize).*")
def test_not_plain(path: Path, kind: str, zipped: bool) -> None:
    make, words = NOT_PLAIN[kind]
    _save(path, {"a": make(), "b": torch.ones(2)}, zipped)
    with pytest.raises(UserError) as caught:
        torch_files.read(path)
    assert f"{path}: a is not a plain array of numbers: it is {words}" in str(caught.value)
    # Elsewhere in the file it does no harm.
    _save(path, {"state_dict": {"b": torch.ones(2)}, "other": [make()]}, zipped)
    assert torch_files.read(path)[0]["b"].tolist() == [1.0, 1.0]


def test_tensors_elsewhere_are_not_read(path: Path) -> None:
    _save(path, {"state_dict": {"a": torch.ones(2)}, "optimizer": [torch.zeros(10**6)]})
    with torch_archive.opened(path) as archive:
        assert isinstance(archive.content["optimizer"][0], Tensor)
    content = bytearray(path.read_bytes())
    content[2 * 10**6] ^= 1  # in what no one asks for
    path.write_bytes(content)
    assert torch_files.read(path)[0]["a"].tolist() == [1.0, 1.0]


def test_bare_storage(path: Path) -> None:
    tensor = torch.ones(4)
    _save(path, {"state_dict": {"a": tensor}, "storage": torch.randn(3).untyped_storage()})
    assert torch_files.read(path)[0]["a"].tolist() == [1.0] * 4


def test_whole_network(path: Path) -> None:
    """Not malicious, but its class would have to be run."""
    for zipped in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # legacy: the class's source cannot be kept
            _save(path, torch.nn.Linear(2, 3), zipped)
        with pytest.raises(UserError, match=r"refused\. It names torch.nn.modules.linear.Linear, "):
            torch_files.read(path)


def test_program(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.script(torch.nn.Linear(2, 3)).save(str(path))
    with pytest.raises(UserError, match=r"refused\. It is a program \(TorchScript\); reading such"):
        torch_files.read(path)
