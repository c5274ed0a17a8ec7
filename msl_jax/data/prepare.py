"""Checks the files of a data set and prepares records of them.

python -m msl_jax.data.prepare NAME --data_root DIR [--check_only]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from msl_jax.data import check
from msl_jax.data.datasets.class_dataset import ClassDataset
from msl_jax.data.datasets.dataset import Dataset
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.datasets.registry import DATASETS, WITHOUT_FILES, open_dataset
from msl_jax.data.decoding import MAX_PIXELS
from msl_jax.data.prepared.progress import progress_bar
from msl_jax.data.prepared.records import Records
from msl_jax.data.prepared.records import prepare as prepare_records
from msl_jax.data.prepared.workers import choose_processes, mapped
from msl_jax.runtime import command_line
from msl_jax.runtime.errors import UserError

# (height, width). The official code's sizes without Multi; of the small ones their configurations'.
_SIZES = {
    "gta5": (720, 1280),
    "synthia": (760, 1280),
    "cityscapes": (512, 1024),
    "crosscity": (512, 1024),
    "camvid": (270, 360),
    "demo": (96, 160),
    "digits": (16, 16),
    "folders": (270, 360),
    # The paper does not say; crops of 224 are cut out of it.
    "office31": (256, 256),
    "class_folders": (256, 256),
}
# Splits that repeat others, and those that no configuration uses.
_REPEATED = ("all", "val_500")
_UNUSED = {"gta5": ("all", "val", "test"), "synthia": ("all",), "cityscapes": ("test",)}
_EPILOG = f"""\
Default sizes (height,width) are those of the paper's recipes without Multi: \
{"; ".join(f"{name} {height},{width}" for name, (height, width) in _SIZES.items())}. \
Multi recipes want --size 640,1280 for cityscapes. Without --split, all splits are checked of \
which anything is there; records are made of those that configurations use. Records of val and \
test splits keep their labels at full size. What was made before a kill is not made again; records \
that exist are not touched.

Exit code: 0 when the files were checked (and the records are there), also where pairs with a \
problem were left out; 1 after an error, and with --strict where any pair has a problem; 2 where \
the command line is wrong; 130 after Ctrl-C."""
_LISTED = 10  # unused files that are named


def prepare(
    dataset: Dataset,
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
        splits: some of its splits; default is all that are there, to prepare: that are used.
        size: (height, width) of the records; default is that of the paper's recipe.
        records_dir: see `records.prepare`.
        check_only: make no records.
        strict: refuse pairs with a problem, instead of leaving them out.
        num_processes: see `records.prepare`.

    Raises:
        UserError: unknown split, none there, no room for the records, or a problem if `strict`.
    """
    chosen = _choose(dataset, splits, check_only)
    bad = sum(_check(dataset, split, num_processes) for split in chosen)
    if isinstance(dataset, FileDataset):
        _print_unused(dataset)
    if isinstance(dataset, ClassDataset):
        for split in chosen:  # with a class missing nothing can be left out to mend it
            dataset.expect_classes(split)
    if bad and strict:
        raise UserError(f"{bad} pairs have a problem, and --strict refuses them.")
    if not check_only:
        for split in chosen:
            records = prepare_records(
                dataset,
                split,
                size or _SIZES[dataset.name],
                records_dir,
                keep_label_size=_keeps_label_size(dataset, split),
                on_bad_example="skip",
                num_processes=num_processes,
                report=False,
            )
            _print_records(f"{dataset.name}/{split}", records)
    if bad:
        print(
            f"{bad} pairs have a problem and are left out. Mend them, or train with"
            " --config.on_bad_example=skip."
        )


def _choose(dataset: Dataset, wanted: Sequence[str] | None, check_only: bool) -> list[str]:
    """The splits to check and prepare; prints which are passed over."""
    passed = _REPEATED if check_only else _UNUSED.get(dataset.name, ())
    splits = wanted or [split for split in dataset.splits if split not in passed]
    there = [split for split in splits if _has_files(dataset, split)]
    absent = [split for split in splits if split not in there]
    if absent and (wanted or not there):
        dataset.examples(absent[0])  # says what was looked for
    for split in absent:
        print(f"{dataset.name}/{split}: 0 images, passed over")
    return there


def _has_files(dataset: Dataset, split: str) -> bool:
    known = split in dataset.splits
    return known and bool(not isinstance(dataset, FileDataset) or dataset.pairs(split))


def _keeps_label_size(dataset: Dataset, split: str) -> bool:
    """Whether records keep label maps as they are: those that evaluate do."""
    return not ("train" in split or split == "all" or isinstance(dataset, ClassDataset))


def _check(dataset: Dataset, split: str, num_processes: int | None) -> int:
    """Checks a split and prints what was found; returns the number of pairs with a problem."""
    title = f"{dataset.name}/{split}"
    if not isinstance(dataset, FileDataset):
        print(f"{title}: {len(dataset.examples(split)):,} images, made when they are read")
        return 0
    pairs = dataset.pairs(split)
    with (
        progress_bar(f"checking {title}", len(pairs)) as step,
        mapped(check.check_pair, pairs, choose_processes(num_processes, len(pairs))) as checks,
    ):
        counted = (pair for pair in checks if step() or True)
        expected = dataset.expected.get(split)
        photos = dataset.photos_by_class(split) if isinstance(dataset, ClassDataset) else None
        found = check.summarize(title, pairs, counted, dataset.label_set, expected, photos)
    print(check.describe(found), flush=True)
    return found.num_bad


def _print_unused(dataset: FileDataset) -> None:
    paths, what = dataset.labels_without_image(), "labels have no image"
    if isinstance(dataset, ClassDataset):
        paths, what = dataset.unused(), "files or folders are of no class"
    if paths:
        print(f"{dataset.name}: {len(paths):,} {what} and are not used:")
        for path in paths[:_LISTED]:
            print(f"    {path}")
        if len(paths) > _LISTED:
            print("    ...")


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
        prog="python -m msl_jax.data.prepare",
        description="Checks the files of a data set (all there, readable, image and label of one"
        " size, known label ids) and prepares the records that training reads. Training prepares"
        " what it needs by itself: this command tells beforehand what is wrong.",
        epilog=_EPILOG,
        formatter_class=_Formatter,
    )
    parser.add_argument("name", metavar="NAME", choices=DATASETS, help=", ".join(DATASETS))
    parser.add_argument("--data_root", metavar="DIR", help="folder of the files, never written to")
    parser.add_argument("--check_only", action="store_true", help="make no records")
    parser.add_argument("--strict", action="store_true", help="refuse any pair with a problem")
    parser.add_argument("--split", nargs="+", metavar="SPLIT", help="default: see below")
    parser.add_argument(
        "--size", type=_size, metavar="HEIGHT,WIDTH", help="of the records, e.g. 720,1280"
    )
    parser.add_argument(
        "--num_classes", type=int, metavar="N", help="classes of the labels, e.g. 16 with SYNTHIA"
    )
    parser.add_argument("--records_dir", metavar="DIR", help="default: TFDS_DATA_DIR or TFDS's own")
    parser.add_argument(
        "--num_processes",
        type=int,
        metavar="N",
        help="default: one for each core; 1: threads of this one",
    )
    given = parser.parse_args(argv)
    if given.data_root is None and given.name not in WITHOUT_FILES:
        parser.error(f"{given.name} is read from files: give their folder with --data_root DIR")
    return given


class _Formatter(argparse.HelpFormatter):
    """Keeps the paragraphs of the epilog."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            super(_Formatter, self)._fill_text(part, width, indent) for part in text.split("\n\n")
        )


def _size(text: str) -> tuple[int, int]:
    height, width = (int(part) for part in text.split(","))
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError
    return height, width


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = _parse(argv)
    command_line.guard(
        lambda: prepare(
            open_dataset(given.name, given.data_root, given.num_classes),
            given.split,
            given.size,
            given.records_dir,
            check_only=given.check_only,
            strict=given.strict,
            num_processes=given.num_processes,
        ),
        interrupted="the same command goes on with what is not finished",
    )


if __name__ == "__main__":
    main()
