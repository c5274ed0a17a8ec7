"""The two formats of PyTorch's files: a zip archive, and before 1.6 pickles with raw storages.

Both hold one pickle, in which tensors are views of storages, and the bytes of those. The pickle is
read at once, a storage when it is asked for. Each size is compared with what is there before
memory is taken for it.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msl_jax.weights import pickled_tensors, pickled_values
from msl_jax.weights.pickle_reader import MOST_BYTES, load
from msl_jax.weights.pickle_vocabulary import Malformed, Refused, Vocabulary, printable
from msl_jax.weights.pickled_tensors import Storage

_ZIP = b"PK\x03\x04"
# How `torch.serialization` marks the older format.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_CHUNK = 2**16  # stays in the cache between the checksum and the copy


class Archive(NamedTuple):
    """An opened file.

    Attributes:
        content: what was saved, with `Tensor` in place of each tensor.
        read: bytes of a whole storage, `[nbytes]` uint8; raises Malformed where they are not there.
        swap: whether they are in the other byte order than this machine's.
        size: bytes of the file.
    """

    content: Any
    read: Callable[[Storage], np.ndarray]
    swap: bool
    size: int


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Opens a file of PyTorch, in either format.

    Raises:
        Refused: it is a program, or names what is neither a tensor nor plain data.
        ValueError, RuntimeError, OSError, EOFError, zipfile.BadZipFile, zlib.error: it is damaged,
            or of another kind.
    """
    with path.open("rb") as file:
        start = file.read(512)
        if start.startswith(_ZIP):
            yield _zip(file)
        elif start[257:262] == b"ustar":
            raise Malformed("a tar archive, in which PyTorch saved before version 0.2")
        elif start.startswith(b"\x80"):  # a pickle of protocol 2 or above
            yield _legacy(file)
        else:
            raise Malformed(f"it begins with {start[:16]!r}")


def _vocabulary(persistent: Callable[[Any], Any]) -> Vocabulary:
    return Vocabulary(pickled_tensors.NAMES, pickled_values.build, persistent)


def _zip(file: io.BufferedReader) -> Archive:
    archive = zipfile.ZipFile(file)
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise Malformed("a zip archive with two entries of one name")
    # All lie in one folder, of any name.
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise Malformed(f"a zip archive with {len(roots)} files data.pkl, expected 1")
    root = roots[0]
    if f"{root}constants.pkl" in entries:
        raise Refused("It is a program (TorchScript)")

    def read(name: str, most: int, exact: bool = False) -> np.ndarray:
        entry = entries.get(f"{root}{name}")
        if entry is None:
            raise Malformed(f"{printable(name)} is missing")
        if entry.file_size > most or (exact and entry.file_size != most):
            wanted = f"{most}" if exact else f"at most {most}"
            raise Malformed(f"{printable(name)} has {entry.file_size} bytes, expected {wanted}")
        return _unpacked(archive, entry)

    order = bytes(read("byteorder", 6)) if f"{root}byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise Malformed(f"the byte order {order!r}")
    pickle = bytes(read("data.pkl", MOST_BYTES))
    content, _ = load(pickle, _vocabulary(pickled_tensors.storage))
    return Archive(
        content,
        lambda storage: read(f"data/{storage.key}", storage.nbytes, exact=True),
        order.decode() != sys.byteorder,
        _size(file),
    )


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """The bytes of an entry, compared with their checksum."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Malformed("an entry that is packed otherwise than by PyTorch or by zip's default")
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        raise Malformed("an entry of two sizes")
    if entry.CRC == 0:  # PyTorch can be told not to compute checksums
        del entry.CRC  # zipfile then compares none
    data = np.empty(entry.file_size, np.uint8)
    with archive.open(entry) as packed:
        place = 0
        while chunk := packed.read(min(_CHUNK, len(data) - place)):
            data[place : place + len(chunk)] = np.frombuffer(chunk, np.uint8)
            place += len(chunk)
    if place != len(data):
        raise Malformed("an entry that ends early")
    return data


def _legacy(file: io.BufferedReader) -> Archive:
    size = _size(file)
    file.seek(0)
    start = file.read(min(size, MOST_BYTES))
    declared: dict[str, Storage] = {}

    def persistent(identity: Any) -> Storage:
        storage = pickled_tensors.storage(identity)
        declared.setdefault(storage.key, storage)
        return storage

    vocabulary = _vocabulary(persistent)
    place = 0
    for title, expected in (("mark", _MAGIC), ("version", _PROTOCOL)):
        found, place = load(start, vocabulary, place)
        if type(found) is not int or found != expected:
            raise Malformed(f"a pickle without the {title} of PyTorch")
    _, place = load(start, vocabulary, place)  # sizes of C's types on the machine that wrote it
    content, place = load(start, vocabulary, place)
    keys, place = load(start, vocabulary, place)
    if type(keys) is not list or any(type(key) is not str or key not in declared for key in keys):
        raise Malformed("a list of storages that does not fit the tensors")
    places: dict[str, tuple[int, int]] = {}
    for key in keys:  # each behind the count of its elements
        storage = declared[key]
        file.seek(place)
        count = int.from_bytes(file.read(8), "little")
        place += 8
        if count * storage.dtype.itemsize != storage.nbytes or place + storage.nbytes > size:
            raise Malformed(f"a storage of {storage.nbytes} bytes that is not there")
        places[key] = (place, storage.nbytes)
        place += storage.nbytes

    def read(storage: Storage) -> np.ndarray:
        place, nbytes = places.get(storage.key, (0, -1))
        if nbytes != storage.nbytes:
            raise Malformed(f"a storage of {storage.nbytes} bytes that is not there")
        data = np.empty(nbytes, np.uint8)
        file.seek(place)
        if file.readinto(data.data) != nbytes:
            raise Malformed("a storage that ends early")
        return data

    return Archive(content, read, sys.byteorder != "little", size)


def _size(file: io.BufferedReader) -> int:
    return os.fstat(file.fileno()).st_size
