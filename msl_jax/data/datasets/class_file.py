"""`classes.yaml`: the classes of label files, or of folders of photos, as a user lists them."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from msl_jax.data.labels import IGNORE, Color, LabelClass, LabelSet
from msl_jax.data.listing import children, composed
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import read_text
from msl_jax.runtime.text import has_controls, one_line

_EXAMPLE = """classes:
  - {id: 0, name: road, color: [128, 64, 128]}
  - {id: 1, name: sky, color: [70, 130, 180]}
ignored: [2]"""
_FOLDERS_EXAMPLE = 'classes: [bike, mug, "1"]'


def read_classes(path: str | Path) -> LabelSet:
    """Reads the classes of label files, in the order of the network's outputs.

    The file is YAML: `classes` is a list of id (0 to 254), name and colour (red, green, blue);
    `ignored`, which is optional, lists ids or colours that occur but do not count. 255 never
    counts. An id or colour in a label file that is not listed is an error. Names are what is
    written, be it `no`, `null` or `1e3`.

    Args:
        path: the file.

    Raises:
        UserError: not such a file; says what is wrong, and shows an example.
    """
    content = _read(path, _EXAMPLE)
    unknown = sorted(set(content) - {"classes", "ignored"})
    if unknown:
        raise _wrong(path, f"has unknown keys: {one_line(', '.join(map(str, unknown)))}")
    entries = content["classes"]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("name") == "":  # as in a draft
            raise _wrong(path, f"has no name for the class of id {one_line(str(entry.get('id')))}")
        if problem := _problem(entry):
            raise _wrong(path, f"has an entry {problem}: {_short(entry)}")
        if has_controls(entry["name"]):
            raise _wrong(path, f"has {_short(entry['name'])}, a name with control characters")
    others = content.get("ignored") or []
    if not isinstance(others, list) or not all(_is_byte(x) or _is_color(x) for x in others):
        raise _wrong(
            path, f"has an 'ignored' that does not list ids 0 to 255 or colours: {_short(others)}"
        )
    classes = tuple(
        LabelClass(entry["name"], _color(entry["color"]), id=int(entry["id"])) for entry in entries
    )
    ignored = tuple(int(x) if isinstance(x, str) else _color(x) for x in others)
    names: list[object] = [label.name for label in classes]
    ids: list[object] = [label.id for label in classes]
    for kind, values in (("name", names), ("id", [*ids, *ignored])):
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise _wrong(path, f"lists the {kind} {', '.join(twice)} more than once")
    if IGNORE in ids:
        raise _wrong(
            path,
            f"gives {names[ids.index(IGNORE)]} the id {IGNORE}, which marks pixels that never"
            " count. Give the class another id, here and in the label maps",
        )
    if not 1 <= len(entries) < IGNORE:
        raise _wrong(path, f"lists {len(entries)} classes, expected 1 to {IGNORE - 1}")
    return LabelSet("folders", classes, ignored)


def listed_ids(label_set: LabelSet) -> dict[int, int]:
    """The train id of each id in label files, `IGNORE` of those that do not count."""
    ignored = (value for value in label_set.ignored if isinstance(value, int))
    classes = {label.id: i for i, label in enumerate(label_set.classes) if label.id is not None}
    return {**dict.fromkeys([*ignored, IGNORE], IGNORE), **classes}


def listed_colors(label_set: LabelSet) -> dict[Color, tuple[int, ...]]:
    """The ids of each colour in label files; one that does not count has `IGNORE`."""
    colors: dict[Color, tuple[int, ...]]
    colors = {value: (IGNORE,) for value in label_set.ignored if not isinstance(value, int)}
    for label in label_set.classes:
        if label.id is not None:
            colors[label.color] = (*colors.get(label.color, ()), label.id)
    return colors


def class_file_text(label_set: LabelSet, ids: Sequence[int]) -> str:
    """What `read_classes` reads as these classes with these ids in label files."""
    entries = [
        {"id": label_id, "name": label.name, "color": list(label.color)}
        for label, label_id in zip(label_set.classes, ids, strict=True)
    ]
    content = {"classes": entries}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Reads names of folders of photos, in the order of the network's outputs.

    The file is YAML: `classes` is a list of names, as they are written.

    Args:
        path: the file.

    Raises:
        UserError: not such a file.
    """
    content = _read(path, _FOLDERS_EXAMPLE)
    if set(content) != {"classes"}:
        raise _wrong(path, "has something other than a list 'classes'", _FOLDERS_EXAMPLE)
    names = [composed(name) if isinstance(name, str) else name for name in content["classes"]]
    others = [name for name in names if not _is_folder_name(name)]
    if others:
        problem = f"lists {reprlib.repr(others[0])}, which is not a folder's name"
        raise _wrong(path, problem, _FOLDERS_EXAMPLE)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong(path, f"lists {', '.join(twice)} more than once", _FOLDERS_EXAMPLE)
    return tuple(names)


class _Loader(yaml.BaseLoader):
    """Refuses a key that is given twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for place, key in enumerate(keys) if key in keys[:place]]:
            where = node.value[keys.index(twice[0])][0].start_mark
            raise yaml.MarkedYAMLError(problem=f"{twice[0]!r} is given twice", problem_mark=where)
        return super().construct_mapping(node, deep=deep)


def _read(path: str | Path, example: str) -> dict[str, Any]:
    """The file's content, in which every scalar is text as it is written: `no` is not False."""
    try:
        content = yaml.load(read_text(Path(path)), Loader=_Loader)
    except FileNotFoundError as error:
        draft = "python -m msl_jax.data.prepare folders --data_root DIR drafts it from label maps"
        near = "".join(f"; there is {found}" for found in _class_files_near(Path(path))[:1])
        raise _wrong(path, f"cannot be read: no such file{near} ({draft})", example) from error
    # ValueError: not UTF-8. RecursionError: nested too deeply.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _wrong(path, f"cannot be read ({error})", example) from error
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise _wrong(path, "has no list 'classes'", example)
    return content


def _class_files_near(path: Path) -> list[Path]:
    """Class files of another spelling, and those a folder above or below, where one is missing."""
    folder = path.parent
    places = [folder, *(child for child in children(folder) if child.is_dir()), folder.parent]
    spelt = re.compile(r"class(es)?\.ya?ml", re.IGNORECASE)
    return [found for place in places for found in children(place) if spelt.fullmatch(found.name)]


def expect_no_other_spelling(path: Path, *, near: bool = False) -> None:
    """Checks that the folder of a class file which is missing has none of another spelling.

    Args:
        path: of the missing file.
        near: look a folder above and below too.

    Raises:
        UserError: it has, such as ``classes.yml``.
    """
    for found in _class_files_near(path):
        same_folder = found.parent == path.parent
        if near or same_folder:
            what = "Rename" if same_folder else "Move"
            raise UserError(
                f"{path}: no such file; there is {found}. {what} it, or name it as classes_file."
            )


def _problem(entry: Any) -> str:
    """What an entry lacks or has wrong, as a part of a sentence; empty for none."""
    if not isinstance(entry, dict):
        return "that is not id, name and color as below"
    valid = {
        "id": _is_byte,
        "name": lambda name: isinstance(name, str) and bool(name.strip()),
        "color": _is_color,
    }
    if missing := [key for key in valid if key not in entry]:
        return f"without {' and '.join(missing)}"
    if entry.keys() - valid:
        return "with more than id, name and color"
    wrong = [key for key, is_valid in valid.items() if not is_valid(entry[key])]
    return f"with {' and '.join(wrong)} other than below" if wrong else ""


def _is_byte(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9]{1,3}", value)) and int(value) <= 255


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_byte, value))


def _color(value: list[str]) -> Color:
    red, green, blue = map(int, value)
    return red, green, blue


def _is_folder_name(name: Any) -> bool:
    if not isinstance(name, str) or has_controls(name):
        return False
    return name == Path(name).name and not name.startswith(".")


# With YAML's references a few lines can expand to gigabytes of text.
_short = reprlib.repr


def _wrong(path: str | Path, problem: str, example: str = _EXAMPLE) -> UserError:
    return UserError(f"{path}: the class file {problem}. Expected, for example:\n{example}")
