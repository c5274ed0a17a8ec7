"""Every key of a configuration with meaning, default and valid values, as text and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

from msl_jax.config.keys import method_keys
from msl_jax.config.presets import PRESETS
from msl_jax.config.table import SECTIONS
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.keys import Key
from msl_jax.models.spec import NETWORKS

_HEAD = """\
# Keys

<!-- Made by `msl-jax list keys --markdown`. -->

`--config.KEY=VALUE` sets a key; tuples are given as `'(512,1024)'`. The defaults are those before a
configuration's file sets its own; where one depends on the preset, the recipe of the method comes
first. What a run used is in its `config.json`. Some configurations have keys of their own, which
the head of their file names: `city` (crosscity), `source` and `target` (cityscapes_idd, digits,
idd_cityscapes, office31, pacs).
"""


class Row(NamedTuple):
    """A key as it is shown."""

    name: str
    default: str
    expected: str
    meaning: str


def sections() -> dict[str, list[Row]]:
    """The keys by title: the common ones, those of each network, those of each method."""
    networks = {
        name: {f"model.{key}": found for key, found in module.KEYS.items()}
        for name, module in {**BACKBONES, **NETWORKS}.items()
        if module.KEYS
    }
    return {
        **{title: _rows(keys) for title, keys in SECTIONS.items()},
        **_of_several("Network", networks),
        **_of_several("Method", method_keys()),
    }


def _rows(keys: Mapping[str, Key]) -> list[Row]:
    return [Row(name, _default(name, key), key.expected, key.meaning) for name, key in keys.items()]


def _of_several(what: str, groups: Mapping[str, Mapping[str, Key]]) -> dict[str, list[Row]]:
    """The rows of groups by title; those that look the same have one."""
    titles: dict[tuple[Row, ...], list[str]] = {}
    for name, keys in groups.items():
        titles.setdefault(tuple(_rows(keys)), []).append(name)
    return {f"{what} {', '.join(names)}": list(rows) for rows, names in titles.items()}


def _default(name: str, key: Key) -> str:
    """The default; of an open key, what decides it."""
    if key.default is not None:
        return _written(key.default)
    if name in PRESETS["official"]:
        values = {_written(values[name]): preset for preset, values in PRESETS.items()}
        return " or ".join(f"{v} ({p})" if len(values) > 1 else v for v, p in values.items())
    if key.from_scratch is not None:
        return f"{_written(key.from_scratch)} or as the weights need"
    return "open"


def _written(value: Any) -> str:
    """A value as a command line has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value == "" else str(value)


def text() -> str:
    """All keys on 80 columns."""
    parts = []
    for title, rows in sections().items():
        parts.append(textwrap.fill(title, 80, subsequent_indent="    ") + "\n")
        for row in rows:
            parts.append(f"  {row.name} = {row.default}\n")
            for about in (row.meaning, "" if row.expected == "text" else row.expected):
                parts += [f"      {line}\n" for line in textwrap.wrap(about, 73)]
        parts.append("\n")
    return "".join(parts)


def markdown() -> str:
    """docs/keys.md."""
    parts = [_HEAD]
    for title, rows in sections().items():
        parts += [f"\n## {title}\n\n| key | default | values | meaning |\n|---|---|---|---|\n"]
        parts += [f"| `{r.name}` | {r.default} | {r.expected} | {r.meaning} |\n" for r in rows]
    return "".join(parts)
