"""Checks files before they are used: all there, readable, of the right kind and size, known ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from msl_jax.data import images, label_files
from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.label_counts import LabelCounts, count_label
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.listing import counted
from msl_jax.runtime.errors import UserError

MISSING_IMAGE, MISSING_LABEL = "missing image", "missing label"
Result = TypeVar("Result")

UNREADABLE = "unreadable file"
WRONG_FORMAT = "wrong bit depth or kind of image"
SIZE_MISMATCH = "image and label of different sizes"
UNKNOWN_IDS = "unexpected label ids"
KINDS = (MISSING_IMAGE, MISSING_LABEL, UNREADABLE, WRONG_FORMAT, SIZE_MISMATCH, UNKNOWN_IDS)

_KIND_OF_ERROR: Mapping[type[UserError], str] = {
    images.WrongFormat: WRONG_FORMAT,
    images.SizeMismatch: SIZE_MISMATCH,
    label_files.UnknownIds: UNKNOWN_IDS,
}


class Problem(NamedTuple):
    """Why a pair cannot be used; `kind` is one of `KINDS`."""

    key: str
    kind: str
    message: str


@dataclass(frozen=True)
class PairCheck:
    """The result for an image and its label.

    Attributes:
        problems: everything that is wrong.
        pixels: number of pixels of each id in the label file, if that could be read.
        counts: what the label holds, if all is right with it.
    """

    problems: tuple[Problem, ...] = ()
    pixels: Mapping[int, int] = field(default_factory=dict)
    counts: LabelCounts = field(default_factory=LabelCounts)


@dataclass(frozen=True)
class SplitCheck:
    """The result for a split.

    Attributes:
        title: DATASET/SPLIT.
        expected: published number of images, None if not known.
        num_images: number of image files found.
        num_labels: number of label files found; None if the split is unlabelled.
        problems: everything that is wrong, in the order of the pairs.
        pixels: number of pixels of each id in all label files.
        labels: number of label files in which each id occurs.
        meanings: class name, "ignored" or "UNEXPECTED" for each id that occurs.
        counts: what the labels hold, of those with which all is right.
        label_set: the classes that labels are read as.
        photos: number of images of each class, if whole images are labelled.
    """

    title: str
    expected: int | None
    num_images: int
    num_labels: int | None
    problems: tuple[Problem, ...]
    pixels: Mapping[int, int]
    labels: Mapping[int, int]
    meanings: Mapping[int, str]
    counts: LabelCounts
    label_set: LabelSet
    photos: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_bad(self) -> int:
        """Number of pairs that cannot be used."""
        return len({problem.key for problem in self.problems})

    def expect_any(self) -> None:
        """Checks that the labels, if there are any, teach and measure something.

        Raises:
            UserError: not one can be used, or not one pixel counts.
        """
        if self.num_labels and not self.counts.labels:
            raise UserError(
                f"{self.title}: not one of {counted(self.num_labels, 'label')} can be used; the"
                f" first one: {self.problems[0].message}"
            )
        self.counts.expect_any(self.title)


def check_pair(example: FileExample) -> PairCheck:
    """Reads both files of a pair as the preparation does, but continues after a problem."""
    found: list[Problem] = []

    def note(kind: str, message: str) -> None:
        found.append(Problem(example.key, kind, message))

    photo = _read(example.read_photo, example.image_path, MISSING_IMAGE, note)
    label_path = example.label_path
    if label_path is None:
        return PairCheck(tuple(found))
    ids = _read(lambda: example.read_ids(label_path), label_path, MISSING_LABEL, note)
    if ids is None:
        return PairCheck(tuple(dict.fromkeys(found)))  # one file may be both image and label
    remarks: tuple[str, ...] = ()
    if photo is not None:
        try:
            ids, remarks = images.fit_label(photo, ids, example.image_path, label_path)
        except UserError as error:
            note(_kind(error), str(error))
    pixels, counts = label_files.count_ids(ids), LabelCounts()
    try:
        label = label_files.map_ids(ids, example.lookup, label_path)
        counts = count_label(label, example.key, *remarks)
    except UserError as error:
        note(_kind(error), f"{error} Ids of this file: {_shares(pixels)}.")
    return PairCheck(tuple(found), pixels, LabelCounts() if found else counts)


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
        checks: results for each of them, in the same order.
        label_set: the classes that labels are read as.
        expected: published number of images.
        photos: number of images of each class, if whole images are labelled.
    """
    problems: list[Problem] = []
    pixels, labels, counts = Counter[int](), Counter[int](), LabelCounts()
    for check in checks:
        problems += check.problems
        pixels.update(check.pixels)
        labels.update(check.pixels.keys())
        counts.add(check.counts)
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
        counts,
        label_set,
        photos or {},
    )


def describe(check: SplitCheck) -> str:
    """Formats a check as text: counts, problems by kind, histogram of ids or classes."""
    remarks = check.counts.lines(check.title, check.label_set)
    return "\n".join((_counts(check), *_problem_lines(check), *_histogram(check), *remarks))


def _read(
    read: Callable[[], Result], path: Path, missing: str, note: Callable[[str, str], None]
) -> Result | None:
    if not path.is_file():
        note(missing, f"{path}: {'not a file' if path.exists() else 'no such file'}.")
        return None
    try:
        return read()
    except UserError as error:
        note(_kind(error), str(error))
        return None


def _kind(error: UserError) -> str:
    return _KIND_OF_ERROR.get(type(error), UNREADABLE)


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
