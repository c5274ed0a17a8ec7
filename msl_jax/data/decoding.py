"""Opens and decodes image files that nobody has checked: the one place that calls Pillow on them.

A file that Pillow decodes need not be right. Its PNG decoder passes over the checksums of the
pixels, other formats have none; some formats are programs (EPS starts Ghostscript); a few bytes can
decode to gigabytes. What is refused here becomes a `UserError` that names the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageFile

from msl_jax.runtime.errors import UserError

# Width times height. The largest street scenes known (Mapillary) have 22 million pixels; at this
# size a photo takes 450 MB while it is converted.
MAX_PIXELS = 64 * 2**20
# Progressive JPEGs have about ten. Each one is a pass over all pixels that takes a few bytes.
MAX_SCANS = 200

LOSSLESS = ("PNG", "BMP", "TIFF", "GIF")
FORMATS = (*LOSSLESS, "JPEG", "WEBP", "PPM")

Result = TypeVar("Result")


class WrongFormat(UserError):
    """An image of another kind or bit depth than it must have."""


def decode(
    path: Path,
    use: Callable[[Image.Image], Result],
    *,
    formats: Sequence[str] = FORMATS,
    prepare: Callable[[ImageFile.ImageFile], object] | None = None,
) -> Result:
    """Decodes the picture in a file.

    Args:
        path: the file; its name does not matter.
        use: makes the result of the decoded picture.
        formats: Pillow's names of the formats that it may have.
        prepare: called with the opened picture before it is decoded.

    Raises:
        UserError: there is no such file; or it is damaged as far as that can be seen, of another
            format, or larger than `MAX_PIXELS`; or raised by `use` or `prepare`.
        WrongFormat: it holds several pictures.
    """
    if not path.is_file():  # opening a pipe would wait, a device would never end
        raise UserError(f"{path}: {'not a file' if path.exists() else 'no such file'}.")
    with _faults(path):
        with Image.open(path, formats=FORMATS) as image:
            _check(image, path, formats)
            if prepare is not None:
                prepare(image)
            image.load()
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


def _check(image: ImageFile.ImageFile, path: Path, formats: Sequence[str]) -> None:
    """Refuses an opened file by what can be known without decoding it."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height} pixels")
    # MPO: a JPEG to which a camera appended a second view.
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    if kind not in formats:
        raise WrongFormat(f"{path}: {' or '.join(formats)} expected, found {kind}.")
    pictures = getattr(image, "n_frames", 1)
    if pictures > 1 and image.format != "MPO":
        raise WrongFormat(
            f"{path}: one picture expected, found {pictures} (an animation, or pages). Save the one"
            " that is meant as a file of its own."
        )
    if kind == "PNG":
        with Image.open(path, formats=(kind,)) as again:
            again.verify()  # the checksums, and that it has an end
    if kind == "JPEG":
        scans = _count(path, b"\xff\xda")
        if scans > MAX_SCANS:
            raise UserError(
                f"{path}: a JPEG of {scans} scans, more than the {MAX_SCANS} that are read; it"
                " would take very long to decode. Save it anew or leave it out."
            )


def _count(path: Path, mark: bytes) -> int:
    """Counts a mark in a file of any size; one that two blocks share does not matter here."""
    with path.open("rb") as file:
        return sum(block.count(mark) for block in iter(lambda: file.read(1 << 20), b""))


def _too_large(path: Path, found: str) -> UserError:
    return UserError(
        f"{path}: too large ({found}): images of at most {MAX_PIXELS:,} pixels are read. Resize it"
        " or leave it out."
    )
