"""Readers of `.pth` files on damaged bytes: an error that names the file, or a right result.

A quick round by default; `MSL_JAX_FUZZ_EXAMPLES=20000` makes it a long one.
"""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msl_jax.runtime.errors import UserError
from msl_jax.weights import torch_files
from msl_jax.weights.pickled_tensors import NAMES

from .torch_pickles import (
    WRITERS,
    Storages,
    call,
    dictionary,
    name,
    storage,
    tensor,
    tupled,
    value,
    write_legacy,
    write_zip,
)

LONG = int(os.environ.get("MSL_JAX_FUZZ_EXAMPLES", "0"))
fuzzed = settings(
    max_examples=LONG or 60,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "conv1.weight": RNG.standard_normal((4, 3, 2, 2)).astype(np.float32),
    "bn1.bias": RNG.standard_normal(4).astype(np.float16),
    "bn1.num_batches_tracked": np.array(7),
    "half": RNG.standard_normal(5).astype(ml_dtypes.bfloat16),
}
KINDS = dict(zip(ARRAYS, ("Float", "Half", "Long", "BFloat16"), strict=True))


def _strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def _body() -> tuple[bytes, Storages]:
    """A training's file: the arrays, optimizer and numbers of NumPy beside them."""
    items, storages = {}, {}
    for key, (title, array) in zip("0123", ARRAYS.items(), strict=True):
        place = storage(KINDS[title], key, array.size)
        items[title] = tensor(place, array.shape, _strides(array))
        storages[key] = (array.size, array.tobytes())
    beside = {"epoch": 3, "best": np.float64(0.4), "groups": [{"lr": 0.1, "params": [0, 1]}]}
    state = call(name("collections", "OrderedDict")) + dictionary(items)[1:]
    metadata = value({"_metadata": {"": {"version": 1}}}) + b"b"
    return dictionary({"state_dict": state + metadata, "beside": value(beside)}), storages


BODY, STORAGES = _body()


def _file(container: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return WRITERS[container](Path(folder) / "in.pth", BODY, STORAGES).read_bytes()


FILES = {container: _file(container) for container in WRITERS}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed") / "in.pth"


def _read(path: Path, content: bytes) -> dict[str, np.ndarray] | None:
    """Arrays, or None where the file is refused; in little memory and time in either case."""
    path.write_bytes(content)
    start = time.process_time()
    tracemalloc.start()  # only here: it slows down what makes the examples
    try:
        found = torch_files.read(path)[0]
    except UserError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < 2000
        found = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10 * 2**20
    assert time.process_time() - start < 10
    return found


def _assert_right(found: dict[str, np.ndarray]) -> None:
    for title, array in ARRAYS.items():
        np.testing.assert_array_equal(found[title], array, strict=True)


@pytest.mark.parametrize("container", WRITERS)
def test_file_that_is_whole(path: Path, container: str) -> None:
    found = _read(path, FILES[container])
    assert found is not None
    _assert_right(found)


@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize("part", range(8))
def test_every_truncation(path: Path, container: str, part: int) -> None:
    content = FILES[container]
    for length in range(part, len(content), 64):
        assert _read(path, content[:length]) is None


@st.composite
def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data) - 1))
        end = min(len(data), place + draw(st.sampled_from((1, 1, 2, 4, 8, 40))))
        kind = draw(st.sampled_from(("replace", "number", "insert", "remove", "repeat")))
        if kind == "replace":
            data[place:end] = draw(st.binary(min_size=end - place, max_size=end - place))
        elif kind == "number":
            number = draw(st.sampled_from((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)))
            data[place : place + 8] = struct.pack("<Q", number)
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "remove":
            del data[place:end]
        else:
            data[place:place] = data[place:end]
        if not data:
            break
    return bytes(data)


@fuzzed
@given(data=st.data())
@pytest.mark.parametrize("container", WRITERS)
def test_damaged_file(path: Path, container: str, data: st.DataObject) -> None:
    _read(path, data.draw(_damaged(FILES[container])))


@fuzzed
@given(place=st.integers(0, len(FILES["zip"]) - 1), difference=st.integers(1, 255))
def test_changed_byte_of_a_zip_is_noticed(path: Path, place: int, difference: int) -> None:
    """Or makes no difference."""
    content = bytearray(FILES["zip"])
    content[place] ^= difference
    if (found := _read(path, bytes(content))) is not None:
        _assert_right(found)


@fuzzed
@given(data=st.data())
@pytest.mark.parametrize("container", WRITERS)
def test_damaged_pickle(path: Path, container: str, data: st.DataObject) -> None:
    """In a container that is whole, so that checksums do not protect the pickle."""
    body = data.draw(_damaged(BODY))
    _read(path, WRITERS[container](path, body, STORAGES).read_bytes())


# Programs that make some sense: more of them reach what the instructions do.

_NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from((2**31, 2**40, 2**62, 2**63, 2**70, -(2**40))),
)
_PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        _NUMBERS,
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=8),
        st.sampled_from(("storage", "cpu", "0", "1", "latin1", "<", "f4", "i8", "V4", "conj")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=8).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=8,
)
_SIZES = st.lists(_NUMBERS, max_size=4).map(tuple)


def _known(full_name: str) -> bytes:
    module, _, attribute = full_name.rpartition(".")
    return name(module, attribute)


_NAMES = st.sampled_from(sorted(NAMES)).map(_known)
_STORAGES = st.builds(
    storage,
    st.sampled_from(("Float", "Half", "Byte", "QInt8", "ComplexDouble")),
    st.sampled_from(("0", "1", "9")),
    st.sampled_from((48, 4, 1, 5, 2**40, -1)),
)
_TENSORS = st.builds(tensor, _STORAGES, _SIZES, _SIZES, _NUMBERS)
_ARRAYS = st.sampled_from(list(ARRAYS.values())[:3]).map(lambda array: value(array))
_VALUES: st.SearchStrategy[bytes] = st.recursive(
    st.one_of(_PLAIN.map(value), _NAMES, _STORAGES, _TENSORS, _ARRAYS),
    lambda inner: st.one_of(
        st.builds(lambda function, items: call(function, *items), _NAMES, st.lists(inner)),
        st.builds(lambda items: tupled(*items), st.lists(inner, max_size=7)),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(dictionary),
        st.builds(lambda made, state: made + state + b"b", inner, inner),
        st.builds(lambda items, extra: b"(" + b"".join(items) + extra, st.lists(inner), inner),
        inner.map(lambda item: item + b"Q"),
        inner.map(lambda item: item + b"\x94"),
        st.integers(0, 9).map(lambda index: b"h" + bytes([index])),
        st.builds(lambda first, second: first + second + b"\x86", inner, inner),
        st.builds(lambda first, second: b"}" + first + second + b"s", inner, inner),
        st.builds(lambda items: b"\x8f(" + b"".join(items) + b"\x90", st.lists(inner)),
    ),
    max_leaves=12,
)


@fuzzed
@given(
    items=st.dictionaries(st.sampled_from(("a", "b", "c")), _VALUES, min_size=1),
    container=st.sampled_from(sorted(WRITERS)),
)
def test_random_program(path: Path, items: dict[str, bytes], container: str) -> None:
    write = {"zip": write_zip, "legacy": write_legacy}[container]
    _read(path, write(path, dictionary(items), STORAGES).read_bytes())


@fuzzed
@given(content=st.binary(max_size=300))
@pytest.mark.parametrize("start", [b"\x80\x02", b"PK\x03\x04", pickle.dumps(2**40, 2), b""])
def test_random_bytes(path: Path, start: bytes, content: bytes) -> None:
    assert _read(path, start + content) is None


@fuzzed
@given(shape=_SIZES, strides=_SIZES, offset=_NUMBERS)
def test_only_what_lies_within_the_storage_is_read(
    path: Path, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    """Against a table of every element's place."""
    numbers = np.arange(24, dtype=np.uint8)
    body = dictionary({"a": tensor(storage("Byte", "0", 24), shape, strides, offset)})
    write_zip(path, body, {"0": (24, numbers.tobytes())})
    found = _read(path, path.read_bytes())
    small = all(0 <= number <= 40 for number in (*shape, *strides, offset))
    if not small or len(shape) != len(strides):
        assert found is None or 0 in shape or set(shape) <= {1}
        return
    places = offset + sum(
        (
            stride * np.arange(size).reshape((-1,) + (1,) * (len(shape) - axis - 1))
            for axis, (size, stride) in enumerate(zip(shape, strides, strict=True))
        ),
        start=np.zeros(shape, np.int64),
    )
    if places.size and places.max() >= 24:
        assert found is None
    else:
        assert found is not None
        np.testing.assert_array_equal(found["a"], numbers[places], strict=True)


def test_zip_of_something_else(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "text")
    assert _read(path, path.read_bytes()) is None
