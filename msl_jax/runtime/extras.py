"""How what only some commands need is installed: the extras of pyproject.toml."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def command(extra: str) -> str:
    """The command that installs an extra, for messages.

    A clone, where it has to be run, has pyproject.toml beside the package; an installed package
    has not.
    """
    clone = (_PACKAGE.parent / "pyproject.toml").is_file()
    return f'pip install -e ".[{extra}]"' if clone else f'pip install "msl_jax[{extra}]"'
