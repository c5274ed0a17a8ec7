"""Anyone's own photos to classify: below a root a folder for each domain, in it one for each class.

Layout: `ROOT/DOMAIN/CLASS/PHOTO`, or `ROOT/DOMAIN/images/CLASS/PHOTO`. The classes are those that
`ROOT/classes.yaml` lists; without that file all folders of any domain, by name.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import yaml

from msl_jax.data.datasets.class_dataset import (
    ClassDataset,
    class_label_set,
    folder_of_classes,
    visible,
)
from msl_jax.data.datasets.folders import CLASSES_FILE
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.runtime.errors import UserError


class ClassFolders(ClassDataset):
    """Photos in folders; its splits are the folders of the root."""

    name = "class_folders"
    title = "class_folders"
    splits: tuple[str, ...] = ()  # known when a root is opened

    def __init__(
        self,
        root: str | Path,
        classes_file: str | Path | None = None,
        num_classes: int | None = None,
    ) -> None:
        """Looks for domains and classes.

        Args:
            root: folder of the domains.
            classes_file: see `find_label_set`; default is `classes.yaml` in the root.
            num_classes: number of classes wanted.

        Raises:
            UserError: no such folder, no classes, or as `find_label_set`.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{self.title}: {self.root} is not a folder. {self._advice()}")
        self.label_set = self.find_label_set(num_classes, classes_file or self.root / CLASSES_FILE)
        self.splits = tuple(path.name for path in visible(self.root) if path.is_dir())

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: str | Path | None) -> LabelSet:
        """The classes that a file lists, or those of the folders beside it.

        Args:
            num_classes: number of classes wanted.
            classes_file: see `read_class_names`. Where it is the `classes.yaml` of a root and does
                not exist, the classes are the folders in the root's domains, by name.

        Raises:
            UserError: no file and no root is named, the file is wrong, there is no class, or
                another number of them.
        """
        if classes_file is None:
            raise UserError(
                "class_folders: name the folder of the domains with --config.data_root=DIR, or a"
                " file of classes with --config.classes_file=FILE"
            )
        path = Path(classes_file)
        listed = path.is_file() or path.name != CLASSES_FILE
        names = read_class_names(path) if listed else _folders_of_domains(path.parent)
        if num_classes not in (None, len(names)):
            raise UserError(
                f"config.num_classes is {num_classes}, but {path if listed else path.parent} has"
                f" {len(names)} classes: {', '.join(names)}"
            )
        return class_label_set(cls.name, names)

    @classmethod
    def open(
        cls, root: str | Path, num_classes: int | None, classes_file: str | Path | None
    ) -> ClassFolders:
        """Opens a root, as the constructor does."""
        return cls(root, classes_file, num_classes)

    def _advice_on_classes(self) -> str:
        return (
            "Add them, rename the folders that are meant, or list the classes that all domains"
            f" share in {self.root / CLASSES_FILE} (classes: [bike, mug])."
        )


def read_class_names(path: Path) -> tuple[str, ...]:
    """Reads names of classes, in the order of the network's outputs.

    The file is YAML: under `classes` a list of names of folders.

    Args:
        path: the file.

    Raises:
        UserError: not such a file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # ValueError: no UTF-8, or a date that does not exist. RecursionError: brackets without end.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _wrong(path, f"cannot be read ({error})") from error
    names = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(names, list) or set(content) != {"classes"}:
        raise _wrong(path, "has something else than one list 'classes'")
    others = [name for name in names if not _is_folder_name(name)]
    if others:
        raise _wrong(path, f"lists {reprlib.repr(others[0])}, which is no name of a folder")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong(path, f"lists {', '.join(twice)} more than once")
    return _counted(tuple(names), path)


def _is_folder_name(name: Any) -> bool:
    return isinstance(name, str) and name == Path(name).name and not name.startswith(".")


def _folders_of_domains(root: Path) -> tuple[str, ...]:
    domains = [folder_of_classes(path) for path in visible(root) if path.is_dir()]
    names = {path.name for folder in domains for path in visible(folder) if path.is_dir()}
    return _counted(tuple(sorted(names)), root)


def _counted(names: tuple[str, ...], place: Path) -> tuple[str, ...]:
    if not 1 <= len(names) < IGNORE:
        raise UserError(
            f"{place}: 1 to {IGNORE - 1} classes expected, found {len(names)}. Expected"
            f" {ClassDataset.layout}."
        )
    return names


def _wrong(path: Path, problem: str) -> UserError:
    return UserError(
        f"{path}: the file of classes {problem}. Expected names of the folders, for example:\n"
        'classes: [bike, mug, "1"]'
    )
