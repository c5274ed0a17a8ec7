"""Opens and decodes untrusted image files: the one place that calls Pillow on them.

A file that Pillow decodes need not be right. Its PNG decoder ignores the checksums of the pixels,
other formats have none; some formats are programs (EPS starts Ghostscript); a few bytes can decode
to gigabytes. What is rejected here becomes a `UserError` that names the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageFile, features

from msl_jax.data.limits import MAX_PIXELS
from msl_jax.runtime.errors import UserError

# Progressive JPEGs have about ten. A scan takes a few bytes and is a pass over all pixels.
MAX_SCANS = 200

# Pillow's names of the formats that are read, with the suffixes that their files have.
_LOSSLESS = {"PNG": (".png",), "BMP": (".bmp",), "TIFF": (".tif", ".tiff"), "GIF": (".gif",)}
_FORMATS = {
    **_LOSSLESS,
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    **({"AVIF": (".avif",)} if features.check("avif") else {}),  # from Pillow 11.3 on
}
LOSSLESS, FORMATS = tuple(_LOSSLESS), tuple(_FORMATS)
LABEL_SUFFIXES = tuple(suffix for suffixes in _LOSSLESS.values() for suffix in suffixes)
PHOTO_SUFFIXES = tuple(suffix for suffixes in _FORMATS.values() for suffix in suffixes)

Result = TypeVar("Result")


class WrongFormat(UserError):
    """An image of the wrong kind or bit depth."""


def decode(
    path: Path,
    use: Callable[[Image.Image], Result],
    *,
    formats: Sequence[str] = FORMATS,
    prepare: Callable[[ImageFile.ImageFile], object] | None = None,
    first_of: Sequence[str] = (),
) -> Result:
    """Decodes the picture in a file.

    Args:
        path: the file; its name does not matter.
        use: turns the decoded picture into the result.
        formats: Pillow's names of the formats that it may have.
        prepare: called with the opened picture before it is decoded.
        first_of: formats of which the first picture is read where there are several.

    Raises:
        UserError: no such file; or it is visibly damaged or larger than `MAX_PIXELS`; or raised by
            `use` or `prepare`.
        WrongFormat: it is of another format, or has several pictures.
    """

    def load(image: ImageFile.ImageFile) -> Image.Image:
        if prepare is not None:
            prepare(image)
        image.load()
        return image

    image = look(path, load, formats=formats, first_of=first_of)
    with _faults(path):
        return use(image)


def look(
    path: Path,
    use: Callable[[ImageFile.ImageFile], Result],
    *,
    formats: Sequence[str] = FORMATS,
    first_of: Sequence[str] = (),
) -> Result:
    """What an opened picture says before it is decoded; arguments and errors as of `decode`."""
    if not path.is_file():  # opening a pipe would block, a device would never end
        raise UserError(f"{path}: {'not a file' if path.exists() else 'no such file'}.")
    with _faults(path), Image.open(path, formats=FORMATS) as image:
        _check(image, path, formats, first_of)
        return use(image)


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turns whatever a decoder raises into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, str(error)) from error
    except Exception as error:
        # Decoders raise nearly anything on damaged bytes: OSError, SyntaxError, struct.error, ...
        raise UserError(
            f"{path}: not a readable image ({type(error).__name__}: {error}); the file is damaged,"
            " incomplete or of another kind. Fetch it again or leave it out."
        ) from error


def _check(
    image: ImageFile.ImageFile, path: Path, formats: Sequence[str], first_of: Sequence[str]
) -> None:
    """Rejects an opened file by what is known without decoding it."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height} pixels")
    # MPO: a JPEG to which a camera appended a second view.
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    if kind not in formats:
        raise WrongFormat(
            f"{path}: {' or '.join(formats)} expected, found {kind}. A label map keeps every id as"
            " it is; JPEG and other lossy compression changes them."
        )
    pictures = 1 if image.format in ("MPO", *first_of) else getattr(image, "n_frames", 1)
    if pictures > 1:
        raise WrongFormat(
            f"{path}: one picture expected, found {pictures} (an animation, or pages). Save the"
            " right one as a file of its own."
        )
    if kind == "PNG":
        with Image.open(path, formats=(kind,)) as again:
            again.verify()  # the checksums, and that it has an end
    if kind == "JPEG":
        scans = _count(path, b"\xff\xda")
        if scans > MAX_SCANS:
            raise UserError(
                f"{path}: a JPEG of {scans} scans, more than the {MAX_SCANS} that are read; it"
                " would take very long to decode. Save it again or leave it out."
            )


def _count(path: Path, mark: bytes) -> int:
    """Counts a mark in a file of any size, roughly: one across two blocks is missed."""
    with path.open("rb") as file:
        return sum(block.count(mark) for block in iter(lambda: file.read(1 << 20), b""))


def _too_large(path: Path, found: str) -> UserError:
    return UserError(
        f"{path}: too large ({found}): images of at most {MAX_PIXELS:,} pixels are read. Resize it"
        " or leave it out."
    )
