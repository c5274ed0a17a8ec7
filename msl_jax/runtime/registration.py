"""What a user's own file adds to the tables of this package, and which file that was.

A file that `--config` names, a notebook or a script calls the functions `register_...`. A run keeps
the names of the files that it needs (the key `registered_by`), but nothing executes a file because
a run's folder names it, which may come from somebody else: the user names it, as `--config` or in
the environment variable `MSL_JAX_IMPORT`.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import absolute

VARIABLE = "MSL_JAX_IMPORT"


class _Origin(NamedTuple):
    file: str  # absolute, "" for a notebook or a prompt
    module: str


_origins: dict[tuple[str, str], _Origin] = {}  # by kind and name


def register(table: MutableMapping[str, Any], kind: str, name: str, entry: Any) -> None:
    """Puts `entry` into a table of the package, for a function that a user's file calls.

    The same file may do so again, as when it is read twice, perhaps under two names (as `--config`
    and imported by another file), or a cell of a notebook is repeated.

    Args:
        table: by name.
        kind: what the entries are, for messages and `files_of`.
        name: letters, digits and underscores.
        entry: what the table holds.

    Raises:
        UserError: the name is impossible, or taken by the package or another file.
    """
    origin, before = _caller(), _origins.get((kind, name))
    where = origin.file or "this session"
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise UserError(
            f"{where}: the name of a {kind} has letters, digits and underscores and begins with a"
            f" letter; found {name!r}"
        )
    if name in table and (before is None or before.file != origin.file):
        by = "msl_jax itself" if before is None else before.file or "this session"
        raise UserError(
            f"{where}: there is a {kind} {name!r} already, of {by}; give it another name"
        )
    table[name] = entry
    _origins[kind, name] = origin


def files_of(entries: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The files that registered these (kind, name), sorted; what the package has comes of none."""
    found = {_origins[entry].file for entry in entries if entry in _origins}
    return tuple(sorted(found - {""}))


def modules() -> set[str]:
    """The modules that registered something, which other processes may be unable to import."""
    return {origin.module for origin in _origins.values()}


def import_named() -> None:
    """Executes each file of `MSL_JAX_IMPORT`, once, unless it has registered something already.

    Raises:
        UserError: one is not there, or fails.
    """
    for path in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if _missing([path]):
            _import(Path(path))


def expect_files(files: Any, origin: str) -> None:
    """Sees to it that what a run needs is registered, after what `MSL_JAX_IMPORT` names is read.

    A file elsewhere of the same name will do: files move.

    Args:
        files: as `files_of` gave them, from JSON.
        origin: the file that asks for them, for messages.

    Raises:
        UserError: one of them has registered nothing; or one that the variable names is not there.
    """
    if not isinstance(files, list | tuple) or not all(isinstance(file, str) for file in files):
        raise UserError(f"{origin}: registered_by: expected a list of files, found {files!r}")
    if _missing(files):
        import_named()
    if missing := _missing(files):
        raise UserError(
            f"{origin}: this run needs what {' and '.join(missing)}"
            f" register{'' if missing[1:] else 's'} (key registered_by). That is code, which no"
            " command executes only because a run's folder names it: set"
            f" {VARIABLE}={os.pathsep.join(missing)} for this command, with the place where each"
            " file is now. Instead, training, evaluation and prediction take the file that has"
            " get_config, and what it imports, by --config FILE"
        )


def _missing(files: Iterable[str]) -> list[str]:
    known = {Path(origin.file).name for origin in _origins.values()}
    return [file for file in files if Path(file).name not in known]


@functools.cache
def _import(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{VARIABLE}: there is no file {path}; give the Python file that registers")
    spec = importlib.util.spec_from_file_location(f"{VARIABLE.lower()}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{VARIABLE}: {path} is not a Python file (*.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # as dataclasses and pickle expect it
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{VARIABLE}: {path}: {type(error).__name__}: {error}") from error


def _caller() -> _Origin:
    """The first file outside this package among those that called."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "msl_jax":
        frame = frame.f_back
    file = frame.f_globals.get("__file__") or ""
    return _Origin(str(absolute(file)) if file else "", frame.f_globals.get("__name__", ""))
