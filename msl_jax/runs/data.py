"""What a run began with, and was trained and evaluated on: digests, kept in the workdir.

Labels that were corrected between a kill and the continuation would otherwise give one table of
results for two data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msl_jax.data.prepared.records import Records
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import read_json, write_json

DATA = "data.json"


def expect_same_data(
    workdir: Path,
    found: Mapping[str, Mapping[str, Any]],
    moved: Mapping[str, tuple[Any, Any]] = MappingProxyType({}),
) -> None:
    """Compares a run's data with those it began with; keeps them if it only begins.

    Args:
        workdir: of the run, which the caller has claimed.
        found: by role (``"target_eval"``): ``{"split": name, "examples": number, "labels": digest,
            ...}``, JSON-able.
        moved: where the data were, and where they are now, by the key that says so.

    Raises:
        UserError: they have changed; lists what has. Or they have moved, and what they were is not
            known.
    """
    path, places = workdir / DATA, "".join(f"  {k}: {a} -> {b}\n" for k, (a, b) in moved.items())
    if not path.exists() and moved:
        raise UserError(
            f"{workdir} has no {DATA}, so that nothing tells whether these data are those that its"
            f" run began with:\n{places}Put them back where they were and run the same command as"
            " before, or give another --workdir."
        )
    if not path.exists():
        write_json(path, found)
        return
    if lines := data_changes(workdir, found):
        raise UserError(
            f"the data have changed since the run in {workdir} began:\n"
            + "\n".join(f"  {line}" for line in lines)
            + (f"\nThey are read elsewhere:\n{places.rstrip()}" if places else "")
            + "\nIts figures would not belong together. Put the files back as they were and"
            " run the same command to continue it, or give another --workdir."
        )


def data_changes(workdir: Path, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What differs from the data that a run began with, in words; nothing if it kept no digests.

    Args:
        workdir: of the run.
        found: as in `expect_same_data`, of any roles.

    Raises:
        UserError: the file of the digests is damaged.
    """
    path = workdir / DATA
    before = read_json(path) if path.exists() else {}
    if not isinstance(before, dict) or not all(isinstance(v, dict) for v in before.values()):
        raise UserError(f"{path} is damaged: expected an entry of each split; copy it again")
    return [
        f"{role} ({now.get('split')}): {', '.join(changed)}"
        for role, now in found.items()
        if role in before and (changed := _changed(before[role], now))
    ]


def data_entry(split: str, records: Records) -> dict[str, Any]:
    """What is kept of a role: the name of its split, and its records' number and digests."""
    return {"split": split, "examples": len(records), **records.digests}


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two entries of a role, in words."""
    words = []
    for name, value in now.items():
        if (old := before.get(name)) != value:
            counted = isinstance(old, int) and isinstance(value, int)
            words.append(f"{name} {old} -> {value}" if counted else f"other {name}")
    return words
