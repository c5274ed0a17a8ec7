"""Files that claim more than they hold are refused before memory or time is spent on them."""

from __future__ import annotations

import pickle
import re
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from .refusals import cheap_refusal
from .torch_pickles import (
    MAGIC,
    WRITERS,
    call,
    dictionary,
    name,
    pickled,
    storage,
    tensor,
    tupled,
    value,
    write_legacy,
    write_zip,
)

each_format = pytest.mark.parametrize("container", WRITERS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def _with_properties(place: bytes, shape: tuple[int, ...], properties: dict[str, bool]) -> bytes:
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        *(place, value(0), value(shape), value((1,)), value(False), b"}", value(properties)),
    )


HUGE = 2**40
CLAIMS = {
    "stride 0": (tensor(storage(), (19, 2048, 3, 10**6), (0,) * 4), "take 466,944,000,000 bytes"),
    "strides of windows": (tensor(storage(), (4,) * 40, (0,) * 39 + (1,)), "are said to take"),
    "beyond its storage": (tensor(storage(), (2, 4), (4, 1)), "element 7 of a storage of 6"),
    "offset beyond": (tensor(storage(), (2,), (1,), 5), "needs element 6 of a storage of 6"),
    "huge offset": (tensor(storage(), (2,), (1,), 2**62), "of a storage of 6"),
    "huge stride": (tensor(storage(), (2,), (2**62,)), "of a storage of 6"),
    "empty but huge": (
        tensor(storage(), (2**62, 2**62, 0), (0,) * 3),
        "not a readable PyTorch file",
    ),
    "negative size": (tensor(storage(), (-1, 3), (3, 1)), "no count: -1"),
    "negative stride": (tensor(storage(), (2, 3), (-3, 1), 3), "no count: -3"),
    "negative offset": (tensor(storage(), (1,), (1,), -1), "no count: -1"),
    "negative storage": (tensor(storage(elements=-6)), "no count: -6"),
    "size of a bool": (tensor(storage(), (True, 3), (3, 1)), "no count: bool"),
    "size of a float": (tensor(storage(), (2.0, 3), (3, 1)), "no count: float"),
    "size beyond 64 bits": (tensor(storage(), (2**70,), (1,)), "no count: 1180591620717411303424"),
    "too many axes": (tensor(storage(), (1,) * 65, (1,) * 65), "without a shape or strides"),
    "strides of another length": (tensor(storage(), (2, 3), (1,)), "without a shape or strides"),
    "shape of a list": (tensor(storage(), [2, 3], (3, 1)), "without a shape or strides"),
    "no storage": (tensor(value(None)), "a tensor without a storage"),
    "huge storage": (tensor(storage(elements=HUGE), (HUGE,), (1,)), "4,?398,?046,?511,?104 bytes"),
    "shorter than claimed": (tensor(storage(elements=7), (7,), (1,)), "28"),
    "longer than claimed": (tensor(storage(elements=5), (5,), (1,)), "20"),
    "missing storage": (tensor(storage(key="1")), "data/1 is missing|does not fit the tensors"),
    "view beyond its storage": (
        tensor(storage("Float", "0", 6, value(("1", 4, 3)))),
        "a view of 12 bytes of a storage of 24",
    ),
    "view that is none": (tensor(storage("Float", "0", 6, value(1))), "a view of a storage that"),
    "negated bytes": (
        _with_properties(storage("Byte", "0", 24), (24,), {"neg": True}),
        "a conjugated or negated tensor of uint8",
    ),
    "other properties": (
        _with_properties(storage(), (6,), {"transposed": True}),
        "of another kind than conj and neg",
    ),
    "properties in a list": (
        _with_properties(storage(), (6,), ["conj"]),  # type: ignore[arg-type]
        "of another kind than conj and neg",
    ),
}


@each_format
@pytest.mark.parametrize("kind", CLAIMS)
def test_claim(path: Path, kind: str, container: str) -> None:
    body, words = CLAIMS[kind]
    WRITERS[container](path, dictionary({"a": body}))
    assert re.search(words, cheap_refusal(path, 2**20))


def test_two_sizes_of_one_storage(path: Path) -> None:
    bodies = {"a": tensor(storage()), "b": tensor(storage(elements=3), (3,), (1,))}
    write_zip(path, dictionary(bodies))
    assert "data/0 has 24 bytes, expected 12" in cheap_refusal(path, 2**20)
    write_legacy(path, dictionary(bodies))
    assert "a storage of 12 bytes that is not there" in cheap_refusal(path, 2**20)


def test_many_names_for_one_large_storage(path: Path) -> None:
    large = {"0": (2**20, bytes(2**22))}
    one = tensor(storage(elements=2**20), (2**20,), (1,))
    write_zip(path, dictionary({f"layer{i}": one for i in range(8)}), large)
    assert "are said to take 33,554,432 bytes, but on disk there are 4,19" in cheap_refusal(
        path, 2**20
    )


# Zip archives.


def _packed(path: Path, claimed: int, size: int, elements: int | None = None) -> None:
    one = tensor(storage("Byte", "0", claimed), (elements or claimed,), (1,))
    zeros = {"0": (size, bytes(size))}
    write_zip(path, dictionary({"a": one}), zeros, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < size // 500


@pytest.mark.parametrize("elements", [2**26, 1])
def test_zip_bomb(path: Path, elements: int) -> None:
    _packed(path, 2**26, 2**26, elements)
    assert "are said to take 67,108,864 bytes, but on disk there are" in cheap_refusal(path, 2**20)


def test_zip_that_unpacks_to_more_than_it_says(path: Path) -> None:
    """The claim is plausible, what is packed is not: no more is unpacked than was claimed."""
    _packed(path, 2**16, 0x4030201)
    content = path.read_bytes()
    said, less = struct.pack("<I", 0x4030201), struct.pack("<I", 2**16)
    assert content.count(said) == 2  # in the entry's header and in the directory
    path.write_bytes(content.replace(said, less))
    assert "Bad CRC-32" in cheap_refusal(path, 2**21)


def test_pickle_that_unpacks_to_more_than_is_read(path: Path) -> None:
    write_zip(path, value("x" * 2**26), packed=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**17
    assert "data.pkl has 67108" in cheap_refusal(path, 2**20)


def test_many_entries_for_the_same_bytes(path: Path) -> None:
    """They would become as many copies."""
    places = [storage("Byte", str(i), 2**22) for i in range(8)]
    body = dictionary({place.hex(): tensor(place, (2**22,), (1,)) for place in places})
    write_zip(path, body, {"0": (2**22, bytes(2**22))})
    with zipfile.ZipFile(path, "a") as file:
        first = file.getinfo("weights/data/0")
        for i in range(1, 8):
            other = zipfile.ZipInfo(f"weights/data/{i}")
            other.header_offset, other.CRC = first.header_offset, first.CRC
            other.compress_size = other.file_size = 2**22
            file.filelist.append(other)
        file.writestr("weights/last", "")  # so that the directory is written
    assert "are said to take 33,554,432 bytes" in cheap_refusal(path, 2**20)


ZIPS: dict[str, tuple[dict[str, bytes], str]] = {
    "no pickle": ({"weights/version": b"3"}, "0 files data.pkl, expected 1"),
    "two pickles": ({"a/data.pkl": b"", "b/data.pkl": b""}, "2 files data.pkl, expected 1"),
    "a program": (
        {"a/data.pkl": b"\x80\x02N.", "a/constants.pkl": b"", "a/code/a.py": b"import os"},
        "refused. It is a program (TorchScript); reading such a file can run code.",
    ),
    "empty pickle": ({"a/data.pkl": b""}, "a pickle that does not end"),
    "order of bytes": ({"a/data.pkl": b"", "a/byteorder": b"medium"}, "the byte order b'medium'"),
    "long order of bytes": ({"a/data.pkl": b"", "a/byteorder": bytes(9)}, "byteorder has 9 bytes"),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_zip(path: Path, kind: str) -> None:
    entries, words = ZIPS[kind]
    with zipfile.ZipFile(path, "w") as file:
        for entry, content in entries.items():
            file.writestr(entry, content)
    assert words in cheap_refusal(path, 2**20)


def test_two_entries_of_one_name(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in (pickled(b"N"), pickled(b"}")):
            file.writestr("a/data.pkl", content)
    assert "two entries of one name" in cheap_refusal(path, 2**20)


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packing(path: Path, packed: int) -> None:
    write_zip(path, b"}", packed=packed)
    assert "packed otherwise" in cheap_refusal(path, 2**20)


def test_encrypted_zip(path: Path) -> None:
    content = bytearray(write_zip(path, b"}").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "not a readable PyTorch file" in cheap_refusal(path, 2**20)


# The formats before.


def test_tar(path: Path) -> None:
    """PyTorch's first format."""
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("storages"))
    assert "a tar archive, in which PyTorch saved before" in cheap_refusal(path, 2**20)


LEGACY: dict[str, tuple[bytes, str]] = {
    "no mark": (pickle.dumps({"a": 1}, 2), "a pickle without the mark of PyTorch"),
    "mark of another type": (pickle.dumps(float(2**80), 2), "without the mark of PyTorch"),
    "another version": (pickle.dumps(MAGIC, 2) + pickle.dumps(1000, 2), "without the version of"),
}


@pytest.mark.parametrize("kind", LEGACY)
def test_legacy(path: Path, kind: str) -> None:
    content, words = LEGACY[kind]
    path.write_bytes(content)
    assert words in cheap_refusal(path, 2**20)


@pytest.mark.parametrize("keys", [("1",), ("0", "1"), ()])
def test_keys_of_legacy_storages(path: Path, keys: tuple[str, ...]) -> None:
    body = dictionary({"a": tensor(storage())})
    write_legacy(path, body, {key: (6, bytes(24)) for key in keys})
    assert "not a readable PyTorch file" in cheap_refusal(path, 2**20)


# Bombs: little to read, much to make, compare or show.

DICT = name("collections", "OrderedDict")
PUT, GET = b"q\x63", b"h\x63"
# In the memo, a tuple of 10^7 elements; those that it is made of stay on the stack. A few bytes
# more make it 10^30, but a reader that unfolds them would then never fail a test.
NESTED = b"N" + PUT + (b"(" + GET * 10 + b"t" + PUT) * 7
MEBIBYTE = value("x" * 2**20) + PUT
ENCODED = call(name("_codecs", "encode"), GET, value("latin1"))
PAIRS = b"](" + b"".join(value(i) + b"N\x86" for i in range(1000)) + b"e" + PUT
BYTES = b"B" + struct.pack("<I", 2**20) + bytes(2**20) + PUT
DTYPE = call(name("numpy", "dtype"), value("u1"))
ARRAY = call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b")", b"N")
STATE = tupled(value(1), value((2**20,)), DTYPE, value(False), GET) + b"b"

BOMBS: dict[str, tuple[bytes, str]] = {
    "nested tuples as a key": (tupled(NESTED, b"}" + GET + b"Ns"), "a key of the type tuple"),
    "nested tuples in a set": (tupled(NESTED, b"\x8f(" + GET + b"\x90"), "a key of the type tuple"),
    "nested tuples as a size": (
        tupled(NESTED, call(name("torch", "Size"), GET)),
        "no count: tuple",
    ),
    "nested tuples as a device": (
        tupled(NESTED, call(name("torch", "device"), GET)),
        "a device or layout without a name",
    ),
    "nested tuples as a type": (
        tupled(NESTED, call(name("numpy", "dtype"), GET)),
        "a NumPy type without a name",
    ),
    "nested tuples as an id": (tupled(NESTED, GET + b"Q"), "of the kind ''"),
    "nested tuples as content": (b"}" + value("a") + tupled(NESTED) + b"s", r"the keys \['a'\]"),
    "nested lists": (b"]" * 30000 + b"a" * 29999, "found list"),
    "nested dictionaries": ((b"}" + value("a")) * 30000 + b"N" + b"s" * 30000, "found dict"),
    "nested single tuples": (b")" + b"\x85" * 10**5, "found tuple"),
    "nested marks": (b"(" * 10**5, "leaves something|empty stack"),
    "list in itself": (b"}" + value("x") + b"]" + PUT + GET + b"as", "found dict"),
    "dictionary in itself": (b"}" + PUT + value("x") + GET + b"s", "found dict"),
    "long text in a tuple as a key": (b"}" + value(("x" * 5000,)) + b"Ns", "a key longer than"),
    "long key": (b"}" + value("x" * 5000) + b"Ns", "a key longer than 4096 characters"),
    "numbers in a tuple as a key": (b"}" + value((1, 2)) + b"Ns", "a key of the type tuple"),
    "huge integer": (b"\x8b\x00\x00\x01\x00" + bytes(2**16), "more than 1024 bits"),
    "huge integer as a key": (b"}" + value(2**61) + b"Ns", r"beyond 2\^60"),
    "text that claims 2^63 bytes": (b"\x8d" + b"\xff" * 7 + b"\x7f", "does not end"),
    "bytes that claim 2^64": (b"\x8e" + b"\xff" * 8, "does not end"),
    "bytearray that claims 2^60": (b"\x96" + bytes(7) + b"\x10", "does not end"),
    "negative length": (b"T\xff\xff\xff\xff", "does not end"),
    "name that does not end": (b"c" + b"a" * 10**5, "a name that does not end"),
    "text copied again and again": (tupled(MEBIBYTE, ENCODED * 200), "unfolds into far more"),
    "list copied again and again": (
        tupled(PAIRS, call(DICT, GET) * 1000),
        "unfolds into far more",
    ),
    "array copied again and again": (
        tupled(BYTES, (ARRAY + STATE) * 200),
        "unfolds into far more",
    ),
    "too many instructions": (b"(" + b"N" * 2_000_001 + b"t", "more than 2,000,000 instructions"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bomb(path: Path, kind: str) -> None:
    body, words = BOMBS[kind]
    write_zip(path, body)
    most = 200 * 2**20 if "unfolds" in words else 60 * 2**20
    assert re.search(words, cheap_refusal(path, most))


def test_numpy_array_that_does_not_fill_its_shape(path: Path) -> None:
    short = pickle.dumps(np.zeros(4, np.uint8), 3)[2:-1].replace(b"K\x04\x85", b"J\0\0\0\x7f\x85")
    write_zip(path, dictionary({"a": short}))
    assert "a NumPy array of 4 bytes, which do not fill its shape" in cheap_refusal(path, 2**20)
