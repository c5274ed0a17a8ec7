"""What is read equals what `torch.load` reads, for all that PyTorch can save."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from msl_jax.runtime.errors import UserError
from msl_jax.weights import torch_files

torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")

each_format = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])

_NAMES = (
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool"),
    *("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)
NUMBERS = tuple(getattr(torch, name) for name in _NAMES if hasattr(torch, name))


def _save(path: Path, content: Any, zipped: bool = True, **options: Any) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def _numpy(tensor: Any) -> np.ndarray:
    """A tensor as an array, also of the types that PyTorch does not hand to NumPy."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    kind = str(tensor.dtype).removeprefix("torch.")
    if hasattr(ml_dtypes, kind):
        unsigned = {1: torch.uint8, 2: torch.int16}[tensor.element_size()]
        return tensor.view(unsigned).numpy().view(getattr(ml_dtypes, kind))
    return tensor.numpy()


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _assert_equal(path: Path, expected: Any = None) -> dict[str, np.ndarray]:
    """Compares names, types, shapes and all bits, NaN and signed zeros too."""
    if expected is None:
        expected = torch.load(path, weights_only=True)
    found, description, keys = torch_files.read(path)
    assert (description, keys) == (None, ())
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        array = _numpy(tensor)
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(_bits(found[name]), _bits(array), name)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def _random(kind: Any, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Any bits, among them NaN, infinities and denormal numbers."""
    size = torch.empty((), dtype=kind).element_size() * int(np.prod(shape))
    data = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    if kind == torch.bool:
        data %= 2
    return torch.from_numpy(data).view(kind).reshape(shape)


@each_format
@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_types(path: Path, zipped: bool, kind: Any) -> None:
    shapes = ((3, 4), (1,), (), (0,), (2, 0, 3), (1, 1, 7, 1))
    tensors = {str(shape): _random(kind, shape, len(shape)) for shape in shapes if 0 not in shape}
    empty = {str(shape): torch.empty(shape, dtype=kind) for shape in shapes if 0 in shape}
    saved = {**tensors, **empty}
    unreadable = not zipped and _is_raw(kind)  # by PyTorch itself
    _assert_equal(_save(path, saved, zipped), saved if unreadable else None)


def _views() -> dict[str, Any]:
    base = torch.arange(60.0).reshape(3, 4, 5)
    return {
        "whole": base,
        "transposed": base.transpose(0, 2),
        "permuted": base.permute(1, 2, 0),
        "slice": base[1:, 1::2, 2:4],
        "row": base[2, 3],
        "number": base[1, 2, 3],
        "diagonal": base[0].diagonal(),
        "expanded": base[:, :1, :1].expand(3, 4, 6),
        "windows": base.reshape(-1).unfold(0, 5, 2),
        "strided": torch.as_strided(base, (2, 3), (7, 2), 4),
        "empty slice": base[:, 4:],
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "again": base,
    }


@each_format
def test_views(path: Path, zipped: bool) -> None:
    found = _assert_equal(_save(path, _views(), zipped))
    found["whole"][2, 3, 0] = -1.0  # they share their memory, as the tensors do
    assert found["row"][0] == found["again"][2, 3, 0] == found["transposed"][0, 3, 2] == -1.0


@each_format
def test_one_element_of_a_large_storage(path: Path, zipped: bool) -> None:
    _assert_equal(_save(path, {"a": torch.randn(10**5)[77:78]}, zipped))


@each_format
def test_conjugated_and_negated(path: Path, zipped: bool) -> None:
    one, other = torch.tensor([1 + 2j, 3 - 4j]), torch.tensor([1 + 2j, 3 - 4j])
    tensors = {"conj": one.conj(), "neg": other.conj().imag, "plain": other.imag}
    found = _assert_equal(_save(path, tensors, zipped))
    assert found["conj"].tolist() == [1 - 2j, 3 + 4j]
    assert found["neg"].tolist() == [-2.0, 4.0]


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.bn = torch.nn.BatchNorm2d(4)
        self.tied = self.conv
        self.gain = torch.nn.Parameter(torch.randn(3).half(), requires_grad=False)
        self.register_buffer("mask", torch.tensor([True, False]))


@each_format
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_state_dict(path: Path, zipped: bool, protocol: int) -> None:
    """An OrderedDict with `_metadata`, in which names share storages."""
    state = Network().state_dict()
    assert state._metadata["conv"] == {"version": 1}
    _save(path, state, zipped, pickle_protocol=protocol)
    _assert_equal(path, state)
    if protocol == 2:  # with weights_only PyTorch takes no others
        _assert_equal(path)


@each_format
def test_parameters(path: Path, zipped: bool) -> None:
    parameters = dict(Network().named_parameters())
    labelled = torch.nn.Parameter(torch.randn(2))
    labelled.label = "with an attribute"  # type: ignore[attr-defined]
    tensor = torch.randn(3)
    tensor.note = {"of": [1, "the user"]}  # type: ignore[attr-defined]
    _assert_equal(_save(path, {**parameters, "labelled": labelled, "noted": tensor}, zipped))


def test_byte_order(path: Path) -> None:
    """A file from a big-endian machine, which PyTorch marks as such."""
    kinds = [kind for kind in NUMBERS if not _is_raw(kind)]  # of which PyTorch turns no bytes
    _save(path, {str(kind): _random(kind, (3, 2)) for kind in kinds})
    data = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(data, "w") as after:
        for entry in before.infolist():
            content = before.read(entry)
            if entry.filename.endswith("byteorder"):
                content = b"big"
            elif "/data/" in entry.filename:
                kind = kinds[int(entry.filename.rpartition("/")[2])]
                size = torch.empty((), dtype=kind).element_size() // (2 if kind.is_complex else 1)
                content = np.frombuffer(content, f"u{size}").byteswap().tobytes()
            after.writestr(entry.filename, content)
    path.write_bytes(data.getvalue())
    found = _assert_equal(path)
    assert all(array.dtype.isnative for array in found.values())


def _is_raw(kind: Any) -> bool:
    """Whether PyTorch saves numbers of this type as bytes without a type."""
    return ("uint" in str(kind) and kind != torch.uint8) or "float8" in str(kind)


def test_file_without_checksums(path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        _save(path, _views())
    finally:
        torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(path) as file:
        assert {entry.CRC for entry in file.infolist()} == {0}
    _assert_equal(path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_file_zipped_again(path: Path, packed: int) -> None:
    _save(path, _views())
    data = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(data, "w", packed) as after:
        for entry in before.infolist():
            after.writestr(entry.filename, before.read(entry))
    path.write_bytes(data.getvalue())
    _assert_equal(path)


def test_name_of_the_folder_in_the_archive(tmp_path: Path) -> None:
    """It is the file's own, at the time of saving."""
    _save(tmp_path / "before.tar", _views())
    _assert_equal((tmp_path / "before.tar").rename(tmp_path / "after.pth"))


def test_bytes_that_were_changed_are_noticed(path: Path) -> None:
    """PyTorch reads such a file without a word."""
    content = bytearray(_save(path, {"a": torch.full((100,), 7.0)}).read_bytes())
    content[content.index(np.float32(7).tobytes() * 10)] ^= 1
    path.write_bytes(content)
    assert not torch.load(path, weights_only=True)["a"].eq(7).all()
    with pytest.raises(UserError, match="Bad CRC-32 for file 'weights/data/0'"):
        torch_files.read(path)


def test_views_of_storages(path: Path) -> None:
    """Before 0.4 a storage could be a part of another one; the persistent id says which."""
    _save(path, {"a": torch.arange(6.0)}, zipped=False)
    content = path.read_bytes()
    assert content.count(b"K\x06Nt") == 1  # six elements, and no view
    place = content.index(b"K\x06Nt")
    view = b"K\x06X\x01\x00\x00\x00vK\x02K\x03\x87t"  # key, first element, elements
    content = content[:place] + view + content[place + 4 :]
    size = b"K\x06\x85"
    assert content.count(size) == 1
    path.write_bytes(content.replace(size, b"K\x03\x85"))
    assert _assert_equal(path)["a"].tolist() == [2.0, 3.0, 4.0]


# Files of PyTorch's first years.


class _Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Writes text as Python 2 does: without a type of its own."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_str(self, text: str) -> None:
        data = text.encode()
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    dispatch[str] = save_str


def _module(pickler: type) -> Any:
    """A module of pickling, as `torch.save` asks for it."""

    class Module:
        Pickler = pickler
        __name__ = "pickle"

        @staticmethod
        def dump(content: Any, file: Any, protocol: int) -> None:
            pickler(file, protocol).dump(content)

    return Module


def test_text_of_python_2(path: Path) -> None:
    state = OrderedDict(sorted(Network().state_dict().items()))
    _save(path, {"state_dict": state, "é": 1}, zipped=False, pickle_module=_module(_Python2))
    assert b"U\x06weight" not in path.read_bytes()
    assert b"U\x0bconv.weight" in path.read_bytes()
    found, _, keys = torch_files.read(path)
    assert keys == ("state_dict",)
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)


def test_pairs_of_python_2(path: Path) -> None:
    """How it pickles an OrderedDict."""
    pairs = [["b", torch.ones(2)], ["a", torch.zeros(3)]]

    class Pairs:
        def __reduce__(self) -> Any:
            return OrderedDict, (pairs,)

    _save(path, Pairs(), zipped=False)
    assert list(_assert_equal(path)) == ["b", "a"]
