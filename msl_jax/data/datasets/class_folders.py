"""Your own photos to classify: below a root a folder for each domain, with one for each class.

Layout: `ROOT/DOMAIN/CLASS/PHOTO`, or `ROOT/DOMAIN/images/CLASS/PHOTO`. The classes are those that
`ROOT/classes.yaml` lists; without that file, all folders of any domain, by name. A domain without a
folder of any class is unlabelled: its photos lie in its folder, `ROOT/DOMAIN/PHOTO`.
"""

from __future__ import annotations

from pathlib import Path

from msl_jax.data.datasets.class_dataset import (
    ClassDataset,
    class_label_set,
    folder_of_classes,
    photos_in,
)
from msl_jax.data.datasets.class_file import expect_no_other_spelling, read_class_names
from msl_jax.data.datasets.dataset import ClassList, LabelIds, expect_original
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.listing import children, composed, folders_in
from msl_jax.data.photos import CLASSES_FILE
from msl_jax.runtime.errors import UserError


class ClassFolders(ClassDataset):
    """Photos in class folders, below a folder for each split."""

    name = "class_folders"
    title = "class_folders"
    layout = f"{ClassDataset.layout}, or DOMAIN/PHOTO for an unlabelled target"
    splits: tuple[str, ...] = ()  # known when a root is opened
    lists_classes = True

    def __init__(
        self,
        root: str | Path,
        classes_file: ClassList = None,
        num_classes: int | None = None,
    ) -> None:
        """Finds domains and classes.

        Args:
            root: folder of the domains.
            classes_file: see `find_label_set`; default is `classes.yaml` in the root.
            num_classes: expected number of classes.

        Raises:
            UserError: no such folder, no classes, or as `find_label_set`.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{self.title}: {self.root} is not a folder. {self._advice()}")
        self.label_set = self.find_label_set(num_classes, classes_file or self.root / CLASSES_FILE)
        self.splits = tuple(composed(path.name) for path in folders_in(self.root))

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: ClassList) -> LabelSet:
        """The classes that a file lists, or the folders of the domains in its folder.

        Args:
            num_classes: expected number of classes.
            classes_file: see `read_class_names`. If it is the `classes.yaml` of a root and does not
                exist, the classes are the folders in the root's domains, by name. Or what was once
                read there.

        Raises:
            UserError: neither a file nor a root is given, the file is wrong, or there are no
                classes or another number of them.
        """
        if classes_file is None:
            raise UserError(
                "class_folders: give the folder of the domains with --config.data_root=DIR, or a"
                " class file with --config.classes_file=FILE"
            )
        if isinstance(classes_file, LabelSet):
            return classes_file
        path = Path(classes_file)
        listed = path.is_file() or path.name != CLASSES_FILE
        if not listed:
            expect_no_other_spelling(path)
        names = read_class_names(path) if listed else _folders_of_domains(path.parent)
        _expect_number(names, path if listed else path.parent)
        if num_classes not in (None, len(names)):
            raise UserError(
                f"config.num_classes is {num_classes}, but {path if listed else path.parent} has"
                f" {len(names)} classes: {', '.join(names)}"
            )
        return class_label_set(cls.name, names)

    @classmethod
    def open(
        cls,
        root: str | Path,
        num_classes: int | None,
        classes_file: ClassList,
        label_ids: LabelIds = "original",
    ) -> ClassFolders:
        """Opens a root, as the constructor does."""
        expect_original(cls.name, label_ids)
        return cls(root, classes_file, num_classes)

    def unsorted(self, split: str) -> list[Path]:
        """See `ClassDataset`: photos in the folder of a domain that has no folder of a class."""
        if any(folder.is_dir() for folder in self.class_folders(split).values()):
            return []
        return photos_in(self.domain_folder(split))

    def unused(self) -> list[Path]:
        """See `ClassDataset`; links in the root that lead back to it, too."""
        domains = folders_in(self.root)
        loops = [path for path in children(self.root) if path.is_dir() and path not in domains]
        return [*loops, *super().unused()]

    def _advice_on_classes(self) -> str:
        return (
            "Add them, rename folders, or list the classes that all domains share in"
            f" {self.root / CLASSES_FILE} (classes: [bike, mug]). Photos of an unlabelled target"
            " lie in the folder of its domain, which has no folder of a class then."
        )


def _folders_of_domains(root: Path) -> tuple[str, ...]:
    domains = map(folder_of_classes, folders_in(root))
    return tuple(sorted({composed(p.name) for folder in domains for p in folders_in(folder)}))


def _expect_number(names: tuple[str, ...], place: Path) -> None:
    if not 1 <= len(names) < IGNORE:
        raise UserError(
            f"{place}: expected 1 to {IGNORE - 1} classes, found {len(names)}. The layout is"
            f" {ClassDataset.layout}."
        )
