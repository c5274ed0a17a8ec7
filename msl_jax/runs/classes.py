"""The classes of a run, kept in its workdir: what its network was trained to tell apart.

Class files and folders change after a training. A network does not: its outputs keep the names and
colours that they had, and the labels of its domains the ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msl_jax.data.known_classes import KnownClasses, ReadList
from msl_jax.data.labels import LabelSet
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import read_json, write_json
from msl_jax.runtime.text import one_line

CLASSES = "classes.json"


def keep_classes(
    workdir: Path, label_set: LabelSet, lists: Mapping[str, ReadList] | None = None
) -> None:
    """Keeps the classes of a run that begins; those of one that has begun stay.

    Args:
        workdir: of the run.
        label_set: the classes, in the order of the outputs.
        lists: see `KnownClasses`.
    """
    path = workdir / CLASSES
    if not path.exists():
        known = KnownClasses(label_set, str(workdir), lists or {})
        write_json(path, classes_to_json(known))


def saved_classes(workdir: Path) -> KnownClasses | None:
    """The classes of the run in `workdir`, None where none are kept.

    Raises:
        UserError: the file is damaged.
    """
    return _known(_saved(workdir), workdir)


def saved_classes_by_first(workdir: Path) -> KnownClasses | None:
    """All processes: `saved_classes` as process 0 reads them."""
    return _known(parallel.by_first(lambda: _saved(workdir)), workdir)


def classes_to_json(known: KnownClasses, *, files: bool = True) -> dict[str, Any]:
    """Classes as `known_classes` reads them; `files`: with the files that listed them."""
    lists = {
        domain: {**found.classes.to_json(), **({"file": found.file} if files else {})}
        for domain, found in known.lists.items()
    }
    return {**known.classes.to_json(), **({"lists": lists} if lists else {})}


def known_classes(values: Any, origin: str, whose: str) -> KnownClasses:
    """Classes as `classes_to_json` gave them.

    Args:
        values: what JSON had.
        origin: file that they come from.
        whose: what they belong to.

    Raises:
        UserError: they are damaged; names `origin`.
    """
    try:
        lists = {
            domain: ReadList(LabelSet.from_json(found), one_line(str(found.get("file", ""))))
            for domain, found in values.get("lists", {}).items()
        }
        known = KnownClasses(LabelSet.from_json(values), whose, lists)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{origin}: the list of classes is not readable ({error})") from error
    for domain, found in known.lists.items():
        known.expect(found.classes, f"{origin}: {one_line(domain)}")
    return known


def _saved(workdir: Path) -> Any:
    path = workdir / CLASSES
    return read_json(path) if path.exists() else None


def _known(values: Any, workdir: Path) -> KnownClasses | None:
    if values is None:
        return None
    return known_classes(values, str(workdir / CLASSES), str(workdir))
