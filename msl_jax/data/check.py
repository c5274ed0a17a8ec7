"""Checks files before they are used: all there, whole, of the right kind and size, known ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msl_jax.data import images
from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.runtime.errors import UserError

MISSING_IMAGE, MISSING_LABEL = "missing image", "missing label"
UNREADABLE = "unreadable file"
WRONG_FORMAT = "wrong bit depth or kind of image"
SIZE_MISMATCH = "image and label of two sizes"
UNKNOWN_IDS = "unexpected label ids"
KINDS = (MISSING_IMAGE, MISSING_LABEL, UNREADABLE, WRONG_FORMAT, SIZE_MISMATCH, UNKNOWN_IDS)

_KIND_OF_ERROR: Mapping[type[UserError], str] = {
    images.WrongFormat: WRONG_FORMAT,
    images.SizeMismatch: SIZE_MISMATCH,
    images.UnknownIds: UNKNOWN_IDS,
}


class Problem(NamedTuple):
    """Why a pair cannot be used; `kind` is one of `KINDS`."""

    key: str
    kind: str
    message: str


@dataclass(frozen=True)
class PairCheck:
    """What was found in an image and its label.

    Attributes:
        problems: all that is wrong.
        pixels: number of pixels of each id in the label file, where that could be read.
    """

    problems: tuple[Problem, ...] = ()
    pixels: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitCheck:
    """What was found in a split.

    Attributes:
        title: DATASET/SPLIT.
        expected: number of images that was published, None where that is not known.
        num_images: number of image files that are there.
        num_labels: number of label files that are there; None where the split has none.
        problems: all that is wrong, in the order of the pairs.
        pixels: number of pixels of each id in all label files.
        labels: number of label files in which each id occurs.
        meanings: class name, "ignored" or "UNEXPECTED" of each id that occurs.
        photos: number of images of each class, where an image has one as a whole.
    """

    title: str
    expected: int | None
    num_images: int
    num_labels: int | None
    problems: tuple[Problem, ...]
    pixels: Mapping[int, int]
    labels: Mapping[int, int]
    meanings: Mapping[int, str]
    photos: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_bad(self) -> int:
        """Number of pairs that cannot be used."""
        return len({problem.key for problem in self.problems})


def check_pair(example: FileExample) -> PairCheck:
    """Reads both files of a pair as preparation does, and goes on after a problem."""
    found: list[Problem] = []

    def note(kind: str, message: str) -> None:
        found.append(Problem(example.key, kind, message))

    image = _read(images.read_image, example.image_path, MISSING_IMAGE, note)
    if example.label_path is None:
        return PairCheck(tuple(found))
    ids = _read(example.read_ids, example.label_path, MISSING_LABEL, note)
    if ids is None:
        return PairCheck(tuple(found))
    if image is not None:
        try:
            images.check_pair(image, ids, example.image_path, example.label_path)
        except UserError as error:
            note(_kind(error), str(error))
    pixels = _count(ids)
    try:
        images.map_ids(ids, example.lookup, example.label_path)
    except UserError as error:
        note(_kind(error), f"{error} Ids of this file: {_shares(pixels)}.")
    return PairCheck(tuple(found), pixels)


def summarize(
    title: str,
    pairs: Sequence[FileExample],
    checks: Iterable[PairCheck],
    label_set: LabelSet,
    expected: int | None = None,
    photos: Mapping[str, int] | None = None,
) -> SplitCheck:
    """Adds up the checks of a split.

    Args:
        title: DATASET/SPLIT.
        pairs: the pairs as they should be.
        checks: what was found in each of them, in the same order.
        label_set: the classes that labels are read as.
        expected: number of images that was published.
        photos: number of images of each class, where an image has one as a whole.
    """
    problems: list[Problem] = []
    pixels, labels = Counter[int](), Counter[int]()
    for check in checks:
        problems += check.problems
        pixels.update(check.pixels)
        labels.update(check.pixels.keys())
    missing = Counter(problem.kind for problem in problems)
    num_labelled = sum(pair.label_path is not None for pair in pairs)
    lookup = pairs[0].lookup if pairs else np.empty(0)
    return SplitCheck(
        title,
        expected,
        len(pairs) - missing[MISSING_IMAGE],
        num_labelled - missing[MISSING_LABEL] if num_labelled else None,
        tuple(problems),
        pixels,
        labels,
        {label_id: _meaning(label_id, lookup, label_set) for label_id in sorted(pixels)},
        photos or {},
    )


def describe(check: SplitCheck) -> str:
    """Writes a check for a reader: counts, problems by kind, histogram of ids or classes."""
    return "\n".join((_counts(check), *_problem_lines(check), *_histogram(check)))


def _read(
    read: Callable[[Path], np.ndarray], path: Path, missing: str, note: Callable[[str, str], None]
) -> np.ndarray | None:
    if not path.is_file():
        note(missing, f"{path}: {'not a file' if path.exists() else 'no such file'}.")
        return None
    try:
        return read(path)
    except UserError as error:
        note(_kind(error), str(error))
        return None


def _kind(error: UserError) -> str:
    return _KIND_OF_ERROR.get(type(error), UNREADABLE)


def _count(ids: np.ndarray) -> dict[int, int]:
    counts = np.bincount(ids.ravel())
    return {int(label_id): int(counts[label_id]) for label_id in np.flatnonzero(counts)}


def _shares(pixels: Mapping[int, int]) -> str:
    total = sum(pixels.values())
    return ", ".join(f"{label_id} ({number / total:.1%})" for label_id, number in pixels.items())


def _meaning(label_id: int, lookup: np.ndarray, label_set: LabelSet) -> str:
    train_id = int(lookup[label_id]) if label_id < len(lookup) else -1
    if train_id == IGNORE:
        return "ignored"
    return label_set.names[train_id] if train_id >= 0 else "UNEXPECTED"


def _counts(check: SplitCheck) -> str:
    images_text = f"{check.num_images:,} images"
    if check.expected is not None:
        images_text += f" of {check.expected:,} expected"
    labels_text = "no labels" if check.num_labels is None else f"{check.num_labels:,} labels"
    if check.photos:
        labels_text = f"{sum(map(bool, check.photos.values()))} of {len(check.photos)} classes"
    if not check.num_bad:
        return f"{check.title}: {images_text}, {labels_text}, no problem"
    return f"{check.title}: {images_text}, {labels_text}, {check.num_bad:,} with a problem"


def _problem_lines(check: SplitCheck) -> Iterator[str]:
    for kind in KINDS:
        messages = [problem.message for problem in check.problems if problem.kind == kind]
        if messages:
            yield f"  {kind}: {len(messages):,}"
            yield from (f"    {message}" for message in messages)


def _histogram(check: SplitCheck) -> Iterator[str]:
    total = sum(check.pixels.values())
    if total:
        yield "  ids in the labels (id, read as, share of the pixels, in how many labels):"
    for label_id, meaning in check.meanings.items():
        share = check.pixels[label_id] / total
        yield f"    {label_id:5d}  {meaning:<14}{share:8.3%}{check.labels[label_id]:9,}"
    if check.photos:
        yield "  images of each class:"
    for name, number in check.photos.items():
        yield f"    {number:7,}  {name}{'' if number else '  MISSING'}"
