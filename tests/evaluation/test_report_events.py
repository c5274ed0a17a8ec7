"""Figures read back from TensorBoard's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from msl_jax.experiment.log import StageLog
from msl_jax.report.events import read_scalars

NAME = "loss/source/final"


def _logged(folder: Path, start: int, values: dict[int, float], name: str, pixels: int = 4) -> Path:
    """The file of a process that went on after step `start`."""
    picture = np.random.default_rng(0).integers(0, 256, (pixels, pixels, 3), np.uint8)
    with StageLog("a", folder, start, 20) as log:
        for step, value in values.items():
            log.log(step, {"source/final": value})
            log.picture(step, "target", picture)
    (path,) = (p for p in folder.iterdir() if p.name != "events.out.tfevents.1.before")
    return path.rename(folder / f"events.out.tfevents.{name}")


def test_steps_that_were_made_again_count_once(tmp_path: Path) -> None:
    _logged(tmp_path, 0, {2: 0.5, 4: 0.25, 6: 9.0, 8: 9.0}, "1.before", pixels=100)
    _logged(tmp_path, 4, {6: 0.125}, "2.after")
    scalars = read_scalars(tmp_path)
    assert set(scalars) == {NAME, "speed/steps_per_second"}
    assert scalars[NAME] == {2: 0.5, 4: 0.25, 6: 0.125}


@pytest.mark.parametrize(
    "tail", [b"", b"\xff" * 7, b"\xff" * 40, b"\x04" + b"\0" * 11 + b"\xff" * 8]
)
def test_file_that_ends_early_or_in_rubbish(tmp_path: Path, tail: bytes) -> None:
    path = _logged(tmp_path, 0, {2: 0.5, 4: 0.25}, "1.before")
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert read_scalars(tmp_path)[NAME] == {2: 0.5, 4: 0.25}
    found = []
    for size in range(len(whole)):
        path.write_bytes(whole[:size] + tail)
        found.append(read_scalars(tmp_path).get(NAME, {}))
    assert [values for i, values in enumerate(found) if values not in found[:i]] == [
        {},
        {2: 0.5},
        {2: 0.5, 4: 0.25},
    ]


def test_no_files(tmp_path: Path) -> None:
    assert read_scalars(tmp_path / "missing") == {}
