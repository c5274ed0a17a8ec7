"""Decoders on damaged bytes: an error that names the file, or a right result, and nothing else.

A quick round by default; `MSL_JAX_FUZZ_EXAMPLES=20000` makes it a long one.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from png_files import GREY, PALETTE, RGB, chunks, joined, png

from msl_jax.data import decoding, images, label_files
from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.labels import IGNORE, id_lookup
from msl_jax.data.prepared.encoding import Encoder
from msl_jax.runtime.errors import UserError

LONG = int(os.environ.get("MSL_JAX_FUZZ_EXAMPLES", "0"))
fuzzed = settings(
    max_examples=LONG or 1000,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

RNG = np.random.default_rng(0)
SIZE = (19, 23)
COLORS = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
IDS = RNG.integers(0, 12, SIZE, np.uint8)
DEEP = RNG.integers(0, 23, (*SIZE, 3)) * np.array([1, 2500, 0])


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PHOTOS: dict[str, bytes] = {
    "RGB": _saved(Image.fromarray(COLORS), "PNG"),
    "RGBA": _saved(Image.fromarray(COLORS).convert("RGBA"), "PNG"),
    "grey": _saved(Image.fromarray(IDS), "PNG"),
    "palette": _saved(Image.fromarray(IDS).convert("P"), "PNG", transparency=bytes(range(256))),
    "16-bit grey": png(DEEP[..., 0], GREY, 16),
    "16-bit RGB": png(DEEP, RGB, 16),
    "interlaced": png(COLORS, RGB, interlaced=True),
    "text": joined(
        [*chunks(png(COLORS, RGB))[:1], (b"tEXt", b"a\0b"), *chunks(png(COLORS, RGB))[1:]]
    ),
    "JPEG": _saved(Image.fromarray(COLORS), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "progressive JPEG": _saved(Image.fromarray(COLORS), "JPEG", progressive=True),
    "grey JPEG": _saved(Image.fromarray(IDS), "JPEG"),
    "CMYK JPEG": _saved(Image.fromarray(COLORS).convert("CMYK"), "JPEG"),
}
LABELS: dict[str, bytes] = {
    "grey": png(IDS, GREY),
    "interlaced grey": png(IDS, GREY, interlaced=True),
    "palette": png(IDS, PALETTE),
    "interlaced palette": png(IDS, PALETTE, interlaced=True),
    "4-bit palette": png(IDS, PALETTE, 4),
}
DEEP_LABELS: dict[str, bytes] = {
    "16-bit RGB": png(DEEP, RGB, 16),
    "interlaced": png(DEEP, RGB, 16, interlaced=True),
}
EVERY = [*PHOTOS.values(), *LABELS.values(), *DEEP_LABELS.values()]


# What happens to files.


@st.composite
def _flipped(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bits are flipped."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        damaged[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(damaged)


@st.composite
def _truncated(draw: st.DrawFn, content: bytes) -> bytes:
    return content[: draw(st.integers(0, len(content) - 1))]


@st.composite
def _overwritten(draw: st.DrawFn, content: bytes) -> bytes:
    """A stretch is overwritten, as after a bad sector, perhaps with lengths of chunks in it."""
    start = draw(st.integers(0, len(content) - 1))
    new = draw(st.binary(min_size=1, max_size=12) | st.just(b"\xff" * 4) | st.just(bytes(16)))
    return content[:start] + new + content[start + len(new) :]


@st.composite
def _spliced(draw: st.DrawFn, content: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    other = draw(st.sampled_from(EVERY))
    return content[: draw(st.integers(0, len(content)))] + other[draw(st.integers(0, len(other))) :]


def _damaged(seeds: dict[str, bytes]) -> st.SearchStrategy[bytes]:
    """One of the seeds, damaged."""
    kinds = (_flipped, _truncated, _overwritten, _spliced)

    def damage(content: bytes) -> st.SearchStrategy[bytes]:
        return st.one_of([kind(content) for kind in kinds])

    return st.sampled_from(list(seeds.values())).flatmap(damage)


@st.composite
def _forged(draw: st.DrawFn, seeds: dict[str, bytes]) -> bytes:
    """A PNG whose header, chunks or order were changed, with valid checksums."""
    parts = chunks(draw(st.sampled_from([c for c in seeds.values() if c[1:4] == b"PNG"])))
    how = draw(st.sampled_from(["size", "kind", "drop", "repeat", "add", "data"]))
    place = draw(st.integers(0, len(parts) - 1))
    if how == "size":
        sides = st.integers(0, 64) | st.sampled_from([0, 8193, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
        parts[0] = (b"IHDR", struct.pack(">II", draw(sides), draw(sides)) + parts[0][1][8:])
    elif how == "kind":
        kind = [draw(st.sampled_from(n)) for n in ((1, 2, 4, 8, 16, 3), (0, 2, 3, 4, 6, 7))]
        parts[0] = (b"IHDR", parts[0][1][:8] + bytes([*kind, 0, 0, draw(st.integers(0, 2))]))
    elif how == "drop":
        del parts[place]
    elif how == "repeat":
        parts.insert(place, parts[draw(st.integers(0, len(parts) - 1))])
    elif how == "add":
        names = [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tRNS", b"gAMA", b"acTL", b"fcTL"]
        parts.insert(place, (draw(st.sampled_from(names)), draw(st.binary(max_size=30))))
    else:
        kind, data = parts[place]
        parts[place] = (kind, draw(_overwritten(data)) if data else b"x")
    return joined(parts)


# What must come of it.

Reader = Callable[[Path], np.ndarray]


@pytest.fixture(scope="module")
def read() -> Callable[..., np.ndarray | None]:
    """Function that returns what a reader makes of bytes; None for a `UserError`."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "file.png"

    def run(reader: Reader, content: bytes) -> np.ndarray | None:
        path.write_bytes(content)
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as a user runs it: a warning is no error
                result = reader(path)
        except UserError as error:
            result, message = None, str(error)
        assert result is not None or str(path) in message
        assert time.monotonic() - start < 5
        return result

    yield run
    folder.cleanup()


@pytest.mark.parametrize("seeds", [PHOTOS, LABELS, DEEP_LABELS], ids=["photos", "ids", "16 bits"])
def test_seeds_are_read(read, seeds: dict[str, bytes]) -> None:
    for name, content in seeds.items():
        assert (read(images.read_image, content) is None) == (name == "16-bit grey")
    expected = {id(LABELS): IDS, id(DEEP_LABELS): DEEP[..., 0]}.get(id(seeds))
    reader = label_files.read_rgb16_ids if seeds is DEEP_LABELS else label_files.read_label_ids
    for content in seeds.values() if expected is not None else ():
        np.testing.assert_array_equal(read(reader, content), expected)


@fuzzed
@given(damaged=_damaged(PHOTOS))
def test_damaged_photo(read, damaged: bytes) -> None:
    """A damaged PNG is rejected, or the damage does not matter. A JPEG has no checksums."""
    found = read(images.read_image, damaged)
    if found is not None:
        assert (found.dtype, found.ndim, found.shape[2]) == (np.uint8, 3, 3)
        assert 0 < found.size <= 3 * decoding.MAX_PIXELS
        if damaged[1:4] == b"PNG":
            whole = [read(images.read_image, seed) for seed in EVERY]
            assert any(np.array_equal(found, other) for other in whole if other is not None)


@fuzzed
@given(damaged=_damaged(LABELS))
def test_damaged_label(read, damaged: bytes) -> None:
    found = read(label_files.read_label_ids, damaged)
    assert found is None or np.array_equal(found, IDS)


@fuzzed
@given(damaged=_damaged(DEEP_LABELS))
def test_damaged_16_bit_label(read, damaged: bytes) -> None:
    found = read(label_files.read_rgb16_ids, damaged)
    assert found is None or np.array_equal(found, DEEP[..., 0])


@fuzzed
@given(content=_forged({**PHOTOS, **LABELS, **DEEP_LABELS}))
def test_forged_png(read, content: bytes) -> None:
    """An image has the size that its header says, or there is an error."""
    sizes = [struct.unpack(">II", data[:8]) for kind, data in chunks(content) if kind == b"IHDR"]
    for reader in (images.read_image, label_files.read_label_ids, label_files.read_rgb16_ids):
        found = read(reader, content)
        if found is not None:
            assert found.shape[1::-1] in sizes


@fuzzed
@given(image=_damaged(PHOTOS), label=_damaged(LABELS))
def test_damaged_pair(read, image: bytes, label: bytes) -> None:
    """In the encoder an error is returned, so that it can be counted."""
    lookup = id_lookup({number: number for number in range(12)})

    def encode(path: Path) -> np.ndarray:
        label_path = path.with_name("label.png")
        label_path.write_bytes(label)
        row = Encoder((8, 12))(FileExample("key", path, label_path, lookup))
        if isinstance(row, UserError):
            raise UserError(f"{path}: {row}")
        return np.asarray(row["label"])

    found = read(encode, image)
    if found is not None:
        assert found.shape == (8, 12)
        assert set(np.unique(found)) <= {*range(12), IGNORE}


# Memory.


def _bombs() -> dict[str, bytes]:
    zeros = bytes(200 * 2**20)

    packed = zlib.compress(zeros, 9)
    header, data, end = chunks(png(COLORS, RGB))
    wide = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    return {
        "pixels": joined([(b"IHDR", wide + header[1][8:]), (b"IDAT", packed), end]),
        "more rows than the header says": joined([header, (b"IDAT", packed), end]),
        "text": joined([header, (b"zTXt", b"a\0\0" + packed), data, end]),
        "international text": joined([header, (b"iTXt", b"a\0\1\0\0\0" + packed), data, end]),
        "profile": joined([header, (b"iCCP", b"a\0\0" + packed), data, end]),
        "text after the pixels": joined([header, data, (b"zTXt", b"a\0\0" + packed), end]),
        "endless length": joined([header]) + struct.pack(">I", 2**31 - 1) + b"IDAT" + data[1],
        "JPEG": PHOTOS["JPEG"].replace(struct.pack(">HH", *SIZE), b"\xff\xff\xff\xff", 1),
    }


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    """In a process that may not have more: 200 MB that a few bytes decode to would end it."""
    bombs = _bombs()
    for name, content in bombs.items():
        assert len(content) < 2**19
        (tmp_path / f"{name}.png").write_bytes(content)
    code = """
import resource, sys
from pathlib import Path
from msl_jax.data import images, label_files
from msl_jax.runtime.errors import UserError
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)
for path in sorted(Path(sys.argv[1]).iterdir()):
    for reader in (images.read_image, label_files.read_label_ids, label_files.read_rgb16_ids):
        try:
            print(path.stem, reader, reader(path).shape)
        except UserError as error:
            print(path.stem, reader, "MemoryError" in str(error))
"""

    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3 * len(bombs)
    assert not [line for line in lines if line.endswith("True")], run.stdout
