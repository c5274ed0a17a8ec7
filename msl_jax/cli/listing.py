"""`msl-jax list`: what there is to choose from, one line each.

What it lists is read where it is registered; only backbones and keys need JAX.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping

from msl_jax.data.datasets.registry import names, summary
from msl_jax.methods.variants import VARIANTS_OF
from msl_jax.runtime import command_line, configs
from msl_jax.runtime.registration import import_named

Section = tuple[str, Mapping[str, str]]  # a title and `{name: what it is}`


def configurations() -> list[Section]:
    """Those that come with the program."""
    return [("Configurations: --config NAME", configs.configurations())]


def variants() -> list[Section]:
    """The variants of each task."""
    return [
        (f"Variants of a {task}: --config NAME:VARIANT", {n: v.meaning for n, v in found.items()})
        for task, found in VARIANTS_OF.items()
    ]


def methods() -> list[Section]:
    """The methods, each with the variants that train by it."""
    found: dict[str, list[str]] = {}
    for task in VARIANTS_OF.values():
        for name, variant in task.items():
            if variant.adapt and name not in found.setdefault(variant.method, []):
                found[variant.method].append(name)
    return [
        (
            "Methods, and the variants that train by them",
            {n: ", ".join(v) for n, v in found.items()},
        )
    ]


def datasets() -> list[Section]:
    """The data sets."""
    return [("Data sets: --config.target_train=NAME/SPLIT", {n: summary(n) for n in names()})]


def backbones() -> list[Section]:
    """The backbones, as they are by default, with their keys."""
    from msl_jax.models.backbones.registry import BACKBONES

    found = {
        name: f"{cls().title}; {', '.join(cls.KEYS) or 'no keys'}"
        for name, cls in BACKBONES.items()
    }
    return [("Backbones, and their keys model.KEY: --config.model.backbone=NAME", found)]


LISTS: dict[str, Callable[[], list[Section]]] = {
    "configurations": configurations,
    "variants": variants,
    "methods": methods,
    "datasets": datasets,
    "backbones": backbones,
}


def text(section: Section) -> str:
    """A section on 80 columns."""
    title, items = section
    width = max(map(len, items))
    lines = [title]
    for name, meaning in items.items():
        rows = textwrap.wrap(meaning, 76 - width) or [""]
        lines += [f"  {name:{width}}  {rows[0]}", *(" " * (width + 4) + row for row in rows[1:])]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the command."""
    command_line.guard(_list, "nothing has been changed", only_prints=True)


def _list() -> None:
    parser = argparse.ArgumentParser(
        prog=f"{command_line.PROGRAM} list",
        description="Lists what there is to choose from, with what the files of MSL_JAX_IMPORT"
        " register; without WHAT, all but the keys.",
    )
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        type=command_line.one_of((*LISTS, "keys")),
        help=", ".join((*LISTS, "keys")),
    )
    parser.add_argument("--markdown", action="store_true", help="of keys: as tables in Markdown")
    given = parser.parse_args()
    import_named()
    if given.markdown and given.what != "keys":
        parser.error("--markdown: expected with keys")
    if given.what == "keys":
        from msl_jax.cli import key_listing  # imports JAX

        print(key_listing.markdown() if given.markdown else key_listing.text(), end="")
        return
    for name in [given.what] if given.what else LISTS:
        for section in LISTS[name]():
            print(text(section), flush=True)
