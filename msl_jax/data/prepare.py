"""Checks the files of a data set and prepares records of them.

python -m msl_jax.data.prepare NAME --data_root DIR [--check_only]
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from msl_jax.data import check
from msl_jax.data.datasets.class_dataset import ClassDataset
from msl_jax.data.datasets.class_file import expect_no_other_spelling
from msl_jax.data.datasets.dataset import Dataset, RegisteredDataset
from msl_jax.data.datasets.draft import draft_classes
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.datasets.folders import Folders
from msl_jax.data.datasets.registry import default_size, names, open_dataset, reads_files
from msl_jax.data.limits import MAX_PIXELS
from msl_jax.data.photos import CLASSES_FILE, open_photos
from msl_jax.data.prepared.records import Records
from msl_jax.data.prepared.records import prepare as prepare_records
from msl_jax.data.prepared.workers import choose_processes, mapped
from msl_jax.data.proportions import remark_on_stretched, stretched_size
from msl_jax.runtime import command_line
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import write_text
from msl_jax.runtime.progress import Bar
from msl_jax.runtime.registration import import_named


def prepare(
    dataset: RegisteredDataset,
    splits: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    records_dir: str | None = None,
    *,
    check_only: bool = False,
    strict: bool = False,
    num_processes: int | None = None,
) -> None:
    """Checks splits, then prepares their records; prints what it finds.

    Args:
        dataset: what to prepare.
        splits: some of its splits; default is all that have files, except that records are only
            made of those that configurations use.
        size: (height, width) of the records; default is that of the paper's recipe.
        records_dir: see `records.prepare`.
        check_only: make no records.
        strict: stop at pairs with a problem instead of skipping them.
        num_processes: see `records.prepare`.

    Raises:
        UserError: unknown split, no files, no room for the records, or a problem if `strict`.
    """
    chosen = _choose(dataset, splits, check_only)
    check_only = check_only or not dataset.label_set.classes
    checks = [_check(dataset, split, num_processes) for split in chosen]
    bad = sum(found.num_bad for found in checks if found)
    size = size or dataset.default_size
    remarks = dataset.remarks()
    if isinstance(dataset, Folders):
        photos = [example.image_path for split in chosen for example in dataset.pairs(split)]
        if stretched := stretched_size(photos, size):
            remarks.append(remark_on_stretched(stretched, size, "--size"))
    for remark in remarks:
        print(remark)
    for found in filter(None, checks):
        found.expect_any()
    if isinstance(dataset, ClassDataset):
        for split in chosen:  # a missing class cannot be fixed by skipping examples
            dataset.expect_classes(split)
    if bad and strict:
        raise UserError(f"{bad} pairs have a problem, which --strict does not allow.")
    if not check_only:
        for split in chosen:
            records = prepare_records(
                dataset,
                split,
                size,
                records_dir,
                keep_label_size=_keeps_label_size(dataset, split),
                on_bad_example="skip",
                num_processes=num_processes,
                report=False,
            )
            _print_records(f"{dataset.name}/{split}", records)
    if bad:
        print(
            f"{bad} pairs have a problem and are skipped. Fix them, or train with"
            " --config.on_bad_example=skip."
        )


def _choose(
    dataset: RegisteredDataset, wanted: Sequence[str] | None, check_only: bool
) -> list[str]:
    """The splits to check and prepare; prints which ones have no files."""
    passed = dataset.repeated_splits if check_only else dataset.unused_splits
    splits = wanted or [split for split in dataset.splits if split not in passed]
    there = [split for split in splits if _has_files(dataset, split)]
    absent = [split for split in splits if split not in there]
    if absent and (wanted or not there):
        dataset.examples(absent[0])  # says what was looked for
    for split in absent:
        print(f"{dataset.name}/{split}: 0 images, skipped")
    return there


def _has_files(dataset: Dataset, split: str) -> bool:
    known = split in dataset.splits
    return known and bool(not isinstance(dataset, FileDataset) or dataset.pairs(split))


def _keeps_label_size(dataset: Dataset, split: str) -> bool:
    """Whether records keep label maps at their size: those of evaluation splits do."""
    return not ("train" in split or split == "all" or isinstance(dataset, ClassDataset))


def _check(dataset: Dataset, split: str, num_processes: int | None) -> check.SplitCheck | None:
    """Checks a split and prints the result; None if there are no files to check."""
    title = f"{dataset.name}/{split}"
    if not isinstance(dataset, FileDataset):
        print(f"{title}: {len(dataset.examples(split)):,} images, generated when they are read")
        return None
    dataset.expect_encoding(split)
    pairs = dataset.pairs(split)
    with (
        Bar(f"checking {title}", len(pairs)) as bar,
        mapped(check.check_pair, pairs, choose_processes(num_processes, len(pairs))) as checks,
    ):
        expected = dataset.expected.get(split)
        photos = dataset.photos_by_class(split) if isinstance(dataset, ClassDataset) else None
        found = check.summarize(title, pairs, bar.each(checks), dataset.label_set, expected, photos)
    print(check.describe(found), flush=True)
    return found


def _print_records(title: str, records: Records) -> None:
    height, width = records[0]["image"].shape[:2]
    size = sum(path.stat().st_size for path in records.folder.iterdir())
    print(
        f"{title}: {len(records):,} records of {height}x{width} (height x width), {size / 1e6:,.0f}"
        f" MB, in {records.folder}",
        flush=True,
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=command_line.program("python -m msl_jax.data.prepare"),
        description="Checks the files of a data set (all there, readable, image and label of the"
        " same size, known label ids) and prepares the records that training reads. Training"
        " prepares what it needs itself: this command tells beforehand what is wrong.",
        epilog=_epilog(),
        formatter_class=_Formatter,
    )
    parser.add_argument(
        "name", metavar="NAME", type=command_line.one_of(names()), help=", ".join(names())
    )
    parser.add_argument("--data_root", metavar="DIR", help="folder of the files, never written to")
    parser.add_argument("--check_only", action="store_true", help="make no records")
    parser.add_argument("--strict", action="store_true", help="stop if any pair has a problem")
    parser.add_argument("--split", nargs="+", metavar="SPLIT", help="default: see below")
    parser.add_argument(
        "--size", type=_size, metavar="HEIGHT,WIDTH", help="of the records, e.g. 720,1280"
    )
    parser.add_argument(
        "--num_classes", type=int, metavar="N", help="classes of the labels, e.g. 16 with SYNTHIA"
    )
    parser.add_argument(
        "--classes_file",
        metavar="FILE",
        help="of folders and class_folders; default: classes.yaml in DIR, drafted if folders have"
        " labels and no such file",
    )
    parser.add_argument(
        "--label_ids",
        choices=("original", "train"),
        default="original",
        help="train: label files in train ids (copies of gta5, synthia, cityscapes, crosscity)",
    )
    parser.add_argument("--records_dir", metavar="DIR", help="default: TFDS_DATA_DIR or TFDS's own")
    parser.add_argument(
        "--num_processes",
        type=int,
        metavar="N",
        help="default: one for each core; 1: threads of this one",
    )
    given = parser.parse_args(argv)
    if given.data_root is None and reads_files(given.name):
        parser.error(f"{given.name} is read from files: give their folder with --data_root DIR")
    return given


class _Formatter(argparse.HelpFormatter):
    """Keeps the paragraphs of the epilog."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            super(_Formatter, self)._fill_text(part, width, indent) for part in text.split("\n\n")
        )


def _epilog() -> str:
    sizes = {name: default_size(name) for name in names()}
    return f"""\
Default sizes (height,width) are those of the paper's recipes without Multi: \
{"; ".join(f"{name} {height},{width}" for name, (height, width) in sizes.items())}. \
Multi recipes need --size 640,1280 for cityscapes. Without --split, all splits that have files are \
checked, and records are made of those that configurations use. Records of val and test splits \
keep their labels at full size. After a kill the same command continues; records that exist are \
not touched.

Exit code: 0 if the files were checked (and the records are there), even if pairs with a problem \
were skipped; 1 after an error, and with --strict if any pair has a problem; 2 if the command line \
is wrong; 130 after Ctrl-C."""


def _size(text: str) -> tuple[int, int]:
    height, width = (int(part) for part in text.split(","))
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError
    return height, width


def _open(given: argparse.Namespace) -> RegisteredDataset:
    """The data set of a command line; drafts the class file of label maps that have none."""
    if given.name == Folders.name and not given.classes_file:
        root = Path(given.data_root)
        path = root / CLASSES_FILE
        if root.is_dir() and not os.path.lexists(path):
            expect_no_other_spelling(path, near=True)
            if label_maps := open_photos(root).label_maps:
                raise _drafted(path, draft_classes(label_maps), write=not given.check_only)
            print(f"folders: no {CLASSES_FILE} in {root}: its photos are checked, no records made")
            return Folders(root, None)
    return open_dataset(
        given.name, given.data_root, given.num_classes, given.classes_file, given.label_ids
    )


def _drafted(path: Path, draft: str, *, write: bool) -> UserError:
    """Prints a draft and writes it to its place; returns what is to be done with it."""
    print(draft)
    done = "a draft is above"
    if write and not os.path.lexists(path):  # it took a while to make
        with contextlib.suppress(OSError):
            write_text(path, draft)
            done = "a draft has been written there"
    return UserError(
        f"{path}: the file that lists the classes of the labels is missing; {done}. Write the names"
        " of the classes into it and give the same command again, or name another with"
        " --classes_file."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command_line.guard(lambda: _run(argv), interrupted="the same command continues")


def _run(argv: Sequence[str] | None) -> None:
    import_named()
    given = _parse(argv)
    prepare(
        _open(given),
        given.split,
        given.size,
        given.records_dir,
        check_only=given.check_only,
        strict=given.strict,
        num_processes=given.num_processes,
    )


if __name__ == "__main__":
    main()
