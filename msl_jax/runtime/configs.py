"""The configurations that come with the program.

They are the folder ``configs`` of a clone, which an installed package holds beside its code.
"""

from __future__ import annotations

import ast
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
DEFAULT = "demo"


def folder() -> Path:
    """Where the files are."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def configurations() -> dict[str, str]:
    """`{name: what it is}`, the first line of each file's docstring; runs none of them."""
    files = sorted(folder().glob("*.py"))
    return {path.stem: first_line(ast.parse(path.read_text("utf-8"))) for path in files}


def first_line(tree: ast.Module) -> str:
    """The first line of a module's docstring, empty where there is none."""
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def found(given: str) -> str:
    """`PATH[:VARIANT]` of a configuration that is given as `--config` takes it.

    A file at the path itself comes first. Otherwise ``NAME``, ``NAME.py`` and ``configs/NAME.py``
    are the one that comes with the program; what is neither stays as it is.
    """
    path, colon, variant = given.partition(":")
    name = path.removeprefix("configs/").removesuffix(".py")
    packaged = folder() / f"{name}.py"
    if not Path(path).is_file() and Path(name).name == name and packaged.is_file():
        return f"{packaged}{colon}{variant}"
    return given
