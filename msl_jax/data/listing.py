"""Which files lie in a folder: the one rule by which all folders of users are read.

Links are followed, and every real folder is read once, so that loops end. What systems leave behind
(`LITTER`, and names that begin with a dot) is passed over. Names are the same whether their accents
are composed (NFC) or not (NFD, as macOS writes them).
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.text import has_controls, one_line

# What viewers, archivers and file servers leave behind.
LITTER = frozenset(
    {
        *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "desktop.ini", "icon\r"),
        *("__macosx", "@eadir", "#recycle", "$recycle.bin"),
        *("lost+found", "system volume information"),
    }
)


class Listing(NamedTuple):
    """What lies below folders.

    Attributes:
        files: files and broken links, sorted.
        repeated: links to folders that are read already, under another name.
    """

    files: list[Path]
    repeated: list[Path]


def list_files(*folders: Path) -> Listing:
    """Lists folders and all folders in them; those that are not there have nothing.

    Args:
        folders: their own names may be anything; one may be in another one that comes later.

    Raises:
        UserError: a folder cannot be read.
    """
    files: list[Path] = []
    repeated: list[Path] = []
    waiting = [folder for folder in reversed(folders) if folder.is_dir()]
    parents = {_identity(parent) for folder in waiting for parent in folder.resolve().parents}
    above = parents - set(map(_identity, waiting))
    read: set[tuple[int, int]] = set()
    # Links come last, so that files have the names of their real folders.
    links: list[Path] = []

    def place_of(link: Path) -> tuple[int, Path]:
        return [link.is_relative_to(folder) for folder in folders].index(True), link

    while waiting or links:
        if waiting:
            place = waiting.pop()
        else:
            links.remove(place := min(links, key=place_of))
        if (identity := _identity(place)) in read | above:
            repeated += [place] if place.is_symlink() else []
            continue
        read.add(identity)
        for entry in _entries(place):
            path = Path(entry.path)
            if entry.is_symlink():
                (links if path.is_dir() else files).append(path)
            else:  # the folder has told what it is
                (waiting if entry.is_dir() else files).append(path)
    return Listing(sorted(files, key=attrgetter("parts")), repeated)


def children(folder: Path) -> list[Path]:
    """Entries of a folder, sorted, without litter; none if there is no such folder.

    Raises:
        UserError: the folder cannot be read, or a name has control characters.
    """
    return [folder / entry.name for entry in _entries(folder)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """See `children`."""
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not _is_litter(entry.name)]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from error
    for entry in found:
        _expect_plain(folder, entry.name)
    return sorted(found, key=attrgetter("name"))


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder, sorted; no links that lead back to it or to what it is in.

    Raises:
        UserError: the folder cannot be read.
    """
    real = folder.resolve()
    above = {_identity(place) for place in (real, *real.parents) if place.is_dir()}
    return [path for path in children(folder) if path.is_dir() and _identity(path) not in above]


def matching(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of a pattern below a folder, without litter, in no order.

    Raises:
        UserError: a name has control characters.
    """
    for path in folder.glob(pattern):
        inner = path.relative_to(folder)
        if not any(map(_is_litter, inner.parts)):
            _expect_plain(folder, str(inner))
            yield path


def inside(folder: Path, name: str) -> Path:
    """The path of that name in a folder, as it is spelt there; capitals do not matter.

    Args:
        folder: where to look.
        name: of a file or folder, or several joined by slashes.

    Returns:
        The path; if there is none, the one that was asked for.

    Raises:
        UserError: several entries have that name.
    """
    for part in Path(name).parts:
        alike = [path for path in children(folder) if path.name.casefold() == part.casefold()]
        folder = _only(alike) or (folder / part)
    return folder


def by_name(folder: Path) -> dict[str, Path]:
    """Entries of a folder by their names, accents composed.

    Raises:
        UserError: two have the same name.
    """
    found: dict[str, list[Path]] = {}
    for path in children(folder):
        found.setdefault(composed(path.name), []).append(path)
    return {name: only for name, paths in found.items() if (only := _only(paths))}


def composed(name: str) -> str:
    """A name with its accents composed (NFC)."""
    return unicodedata.normalize("NFC", name)


def pairing_name(path: Path, folder: Path) -> str:
    """The name by which files in different folders belong together: no suffix, accents composed."""
    return composed(below(path, folder).removesuffix(path.suffix))


def below(path: Path, folder: Path) -> str:
    """The path from a folder to something in it, as text; `Path.relative_to` takes far longer.

    >>> below(Path("a/b/c.png"), Path("a")), below(Path("a/b"), Path("."))
    ('b/c.png', 'a/b')
    """
    start = _start(folder)
    assert str(path).startswith(start), (path, folder)
    return str(path)[len(start) :]


def is_below(path: Path, folder: Path) -> bool:
    """Whether a path is in a folder, by its name; `Path.is_relative_to` takes longer.

    >>> is_below(Path("a/b"), Path("a")), is_below(Path("ab/b"), Path("a"))
    (True, False)
    """
    return str(path).startswith(_start(folder))


def _start(folder: Path) -> str:
    """What the paths of all that is in a folder begin with."""
    return "" if str(folder) == "." else str(folder).rstrip("/") + "/"


def by_suffix(files: Sequence[Path], folder: Path) -> str:
    """Says how many files of each kind there are, with an example of each.

    >>> by_suffix([Path("a/x.heic"), Path("a/y.heic"), Path("a/list")], Path("a"))
    '2 .heic (x.heic), 1 without suffix (list)'
    """
    kinds = Counter(path.suffix.lower() for path in files)
    first = {path.suffix.lower(): path.relative_to(folder) for path in reversed(files)}
    return ", ".join(
        f"{number} {suffix or 'without suffix'} ({first[suffix]})"
        for suffix, number in kinds.most_common()
    )


def counted(number: int, noun: str, several: str = "") -> str:
    """A number with its noun; `several` is its plural if that is irregular.

    >>> counted(1, "file"), counted(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def some_of(paths: Sequence[Path], folder: Path) -> str:
    """The first three paths below a folder, in words."""
    shown = ", ".join(str(path.relative_to(folder)) for path in paths[:3])
    return shown + (", ..." if len(paths) > 3 else "")


def _identity(folder: Path) -> tuple[int, int]:
    """What a folder is, whatever its name."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _expect_plain(folder: Path, name: str) -> None:
    """Checks the name of something in a folder, which messages will show.

    Raises:
        UserError: it has control characters.
    """
    if has_controls(name):
        raise UserError(
            f"{folder}: rename {one_line(name)!r}: expected names without line breaks and other"
            " control characters"
        )


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _only(paths: list[Path]) -> Path | None:
    """The one of `paths`; None if there is none.

    Raises:
        UserError: there are several.
    """
    if len(paths) > 1:
        raise UserError(
            f"{paths[0].parent}: {' and '.join(repr(path.name) for path in paths)} are the same"
            " name. Join or rename them."
        )
    return paths[0] if paths else None
