"""Anyone's own images: a folder of labelled ones, a folder of photos, and a file of classes.

Layout of a root: `images/` with photos (the root itself where there is no such folder), `labels/`
with a label map of the same name for those that have one: 8-bit ids, PNG or another lossless
format. Folders inside both keep their structure. The classes are listed in `classes.yaml`, see
`read_classes`.
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.images import PHOTO_SUFFIXES
from msl_jax.data.labels import IGNORE, LabelClass, LabelSet, id_lookup
from msl_jax.runtime.errors import UserError

CLASSES_FILE = "classes.yaml"
_LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
_HOLD_OUT = 10  # one labelled image of so many evaluates the source domain
_EXAMPLE = """classes:
  - {id: 0, name: road, color: [128, 64, 128]}
  - {id: 1, name: sky, color: [70, 130, 180]}
ignored: [2]"""


@dataclass(frozen=True)
class Classes:
    """The classes of a file, in the order of the network's outputs.

    Attributes:
        label_set: names and colours.
        ids: id in label files -> train id, or `IGNORE`.
    """

    label_set: LabelSet
    ids: dict[int, int]


def read_classes(path: str | Path) -> Classes:
    """Reads the classes of label files.

    The file is YAML: under `classes` a list of id (0 to 255), name and colour (red, green, blue);
    under `ignored`, if need be, ids that occur and do not count. 255 never counts. An id in a label
    file that is listed nowhere is an error.

    Args:
        path: the file.

    Raises:
        UserError: not such a file; says what is wrong, and shows one.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    # ValueError: no UTF-8, or a date that does not exist. RecursionError: brackets without end.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _wrong(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise _wrong(path, "has no list 'classes'")
    unknown = sorted(set(content) - {"classes", "ignored"})
    if unknown:
        raise _wrong(path, f"has keys that mean nothing: {', '.join(map(str, unknown))}")
    entries = content["classes"]
    for entry in entries:
        if not _is_entry(entry):
            raise _wrong(
                path, f"has an entry without id, name and colour as below: {_short(entry)}"
            )
    ignored = content.get("ignored") or []
    if not isinstance(ignored, list) or not all(map(_is_byte, ignored)):
        raise _wrong(path, f"has 'ignored' that is no list of ids from 0 to 255: {_short(ignored)}")
    names, ids = [str(entry["name"]) for entry in entries], [entry["id"] for entry in entries]
    for kind, values in (("name", names), ("id", [*ids, *ignored])):
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise _wrong(path, f"lists the {kind} {', '.join(twice)} more than once")
    if not 1 <= len(entries) < IGNORE:
        raise _wrong(path, f"lists {len(entries)} classes, expected 1 to {IGNORE - 1}")
    classes = tuple(LabelClass(str(entry["name"]), tuple(entry["color"])) for entry in entries)
    train_ids = {label_id: index for index, label_id in enumerate(ids)}
    ignored_ids = dict.fromkeys([*ignored, IGNORE], IGNORE)
    return Classes(LabelSet("folders", classes), {**ignored_ids, **train_ids})


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == {"id", "name", "color"}
        and _is_byte(entry["id"])
        and isinstance(entry["color"], list)
        and len(entry["color"]) == 3
        and all(map(_is_byte, entry["color"]))
    )


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


# YAML's references let a few lines stand for gigabytes of text.
_short = reprlib.repr


def _wrong(path: str | Path, problem: str) -> UserError:
    return UserError(f"{path}: the file of classes {problem}. Expected, for example:\n{_EXAMPLE}")


class Folders(FileDataset):
    """Images of one domain.

    `source_train` and `source_eval` share the labelled images, nine to one; `target_train` is all
    images, `target_eval` those with labels or, where none has, all of them.
    """

    name = "folders"
    title = "folders"
    layout = "images/ with photos, and labels/ with label maps of the same names"
    splits = ("source_train", "source_eval", "target_train", "target_eval")
    label_globs = tuple(f"labels/**/*{suffix}" for suffix in _LABEL_SUFFIXES)

    def __init__(self, root: str | Path, classes_file: str | Path) -> None:
        """Checks that there are images.

        Args:
            root: folder of the images.
            classes_file: see `read_classes`.

        Raises:
            UserError: no such folder, or the file of classes is wrong.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder. {self._advice()}")
        classes = read_classes(classes_file)
        self.label_set, self._lookup = classes.label_set, id_lookup(classes.ids)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files, and of the ids of the classes, which records hold as train ids."""
        ids = hashlib.sha256(self._lookup.tobytes()).hexdigest()[:8]
        return f"{super().fingerprint}-{ids}"

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: str | Path | None) -> LabelSet:
        """The classes of a file.

        Raises:
            UserError: no file is named, it is wrong, or it lists another number of classes.
        """
        if classes_file is None:
            raise UserError("folders: name the file of classes with --config.classes_file=FILE")
        label_set = read_classes(classes_file).label_set
        if num_classes not in (None, label_set.num_classes):
            raise UserError(
                f"config.num_classes is {num_classes}, but {classes_file} lists"
                f" {label_set.num_classes} classes: {', '.join(label_set.names)}"
            )
        return label_set

    @classmethod
    def open(
        cls, root: str | Path, num_classes: int | None, classes_file: str | Path | None
    ) -> Folders:
        """Opens a domain; the file of classes is `classes.yaml` in its root by default.

        Raises:
            UserError: as the constructor and `find_label_set`.
        """
        classes_file = classes_file or Path(root) / CLASSES_FILE
        cls.find_label_set(num_classes, classes_file)
        return cls(root, classes_file)

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split by name.

        Args:
            split: one of `splits`.
        """
        every = self._all()
        labelled = [example for example in every if example.label_path is not None]
        if split == "source_train":
            return [example for place, example in enumerate(labelled) if place % _HOLD_OUT]
        if split == "source_eval":
            return labelled[::_HOLD_OUT]
        if split == "target_eval":
            return labelled or every
        return [FileExample(e.key, e.image_path, None, self._lookup) for e in every]

    def _all(self) -> list[FileExample]:
        labels, images = self.root / "labels", self.root / "images"
        folder = images if images.is_dir() else self.root
        photos = [path for path in _files(folder, PHOTO_SUFFIXES) if labels not in path.parents]
        maps = _by_name(labels, _files(labels, _LABEL_SUFFIXES))
        names = [photo.relative_to(folder) for photo in photos]
        _by_name(folder, [folder / name for name in names if name.with_suffix("") in maps])
        return [
            FileExample(str(name), photo, maps.get(name.with_suffix("")), self._lookup)
            for name, photo in zip(names, photos, strict=True)
        ]


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files and broken links with such a suffix in a folder and all inside it, sorted."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return sorted(path for path in found if not path.is_dir())


def _by_name(folder: Path, paths: Iterable[Path]) -> dict[Path, Path]:
    """Files by their names in `folder` without suffix, by which image and label find each other.

    Raises:
        UserError: two files have one name.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        name = path.relative_to(folder).with_suffix("")
        if name in found:
            raise UserError(
                f"{found[name]} and {path} have one name but for the suffix, so which label belongs"
                " to which image cannot be told. Rename or remove one."
            )
        found[name] = path
    return found
