"""The files of a round of labels: whether they are those that were written, and of which network.

See `msl_jax.experiment.rounds`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import read_json

LABELS, SOFT, ROUND = "labels", "soft", "round.json"


def check(folder: Path) -> str:
    """Compares the files of a round with their checksums.

    Returns:
        The digest of the network that made the labels, see `msl_jax.runs.arrays`.

    Raises:
        DamagedError: a file is missing or has changed.
    """
    try:
        found = read_json(folder / ROUND)
        images, network = found["images"], found["network"]
        named = [(f"{image['key']}.png", image["sha256"]) for image in images]
    except (UserError, LookupError, TypeError) as error:
        raise DamagedError(f"{folder / ROUND} is damaged ({error})") from error
    for name, expected in named:
        files = [folder / kind / name for kind in (LABELS, SOFT) if (folder / kind).is_dir()]
        try:
            intact = digest(files) == expected
        except OSError:
            intact = False
        if not intact:
            raise DamagedError(f"{folder}: the labels {name} are missing or have changed")
    return network


def digest(files: Sequence[Path]) -> str:
    """Of the content of all files together.

    Raises:
        OSError: one cannot be read.
    """
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def set_aside(folder: Path) -> Path:
    """Renames a folder, so that nothing in it is lost; returns its new name."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.aside-{number}")).exists():
        number += 1
    return folder.rename(aside)
