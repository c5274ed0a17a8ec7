"""Files in PyTorch's two formats, written without it, instruction by instruction."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAGIC = 0x1950A86A20F9469CFC6C

# Storages of a file by key: the count of elements and the bytes.
Storages = Mapping[str, tuple[int, bytes]]


def value(content: Any) -> bytes:
    """Instructions that push plain data."""
    return pickle.dumps(content, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    """Pushes what a name stands for."""
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def tupled(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tupled(*arguments) + b"R"


def dictionary(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(value(key) + item for key, item in items.items()) + b"u"


def storage(kind: str = "Float", key: Any = "0", elements: Any = 6, *more: bytes) -> bytes:
    parts = (value("storage"), name("torch", f"{kind}Storage"), value(key), value("cpu"))
    return tupled(*parts, value(elements), *more) + b"Q"


def tensor(place: bytes, shape: Any = (2, 3), strides: Any = (3, 1), offset: Any = 0) -> bytes:
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        *(place, value(offset), value(shape), value(strides), value(False), value(None)),
    )


def pickled(body: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


SIX = {"0": (6, bytes(24))}


def write_zip(
    path: Path, body: bytes, storages: Storages = SIX, packed: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", packed) as file:
        file.writestr("weights/data.pkl", pickled(body))
        file.writestr("weights/byteorder", "little")
        for key, (_, data) in storages.items():
            file.writestr(f"weights/data/{key}", data)
        file.writestr("weights/version", "3\n")
    return path


def write_legacy(path: Path, body: bytes, storages: Storages = SIX) -> Path:
    heads = (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True})
    with path.open("wb") as file:
        for head in heads:
            file.write(pickle.dumps(head, 2))
        file.write(pickled(body))
        file.write(pickle.dumps(list(storages), 2))
        for elements, data in storages.values():
            file.write(elements.to_bytes(8, "little") + data)
    return path


WRITERS = {"zip": write_zip, "legacy": write_legacy}
