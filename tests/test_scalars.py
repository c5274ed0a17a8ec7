"""The file of scalars of a stage, over interruptions."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from msl_jax.runs.scalars import NAME, ScalarLog, read_scalars


def _logged(folder: Path, start: int, values: dict[int, float]) -> bytes:
    """The file of a process that went on after step `start`."""
    log = ScalarLog(folder, start)
    for step, value in values.items():
        log.write(step, {"loss/a": value, "speed": 2.0})
    return (folder / NAME).read_bytes()


def test_each_line_is_an_object_with_step_and_scalars(tmp_path: Path) -> None:
    log = ScalarLog(tmp_path / "logs" / "adapt", 0)
    log.write(20, {"loss/a": 1 / 3})
    log.write(20, {"miou/target": 0.25})
    log.flush()
    lines = (tmp_path / "logs" / "adapt" / NAME).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 20, "loss/a": 1 / 3},
        {"step": 20, "miou/target": 0.25},
    ]
    assert read_scalars(tmp_path / "logs" / "adapt") == {
        "loss/a": {20: 1 / 3},
        "miou/target": {20: 0.25},
    }


def test_steps_that_are_made_again_are_logged_once(tmp_path: Path) -> None:
    whole = _logged(tmp_path / "whole", 0, {2: 0.5, 4: 0.25, 6: 0.125})
    _logged(tmp_path / "killed", 0, {2: 0.5, 4: 0.25, 6: 9.0, 8: 9.0})
    assert _logged(tmp_path / "killed", 4, {6: 0.125}) == whole
    assert read_scalars(tmp_path / "killed")["loss/a"] == {2: 0.5, 4: 0.25, 6: 0.125}
    assert _logged(tmp_path / "killed", 0, {}) == b""


def test_continuing_leaves_a_file_alone_that_has_nothing_to_lose(tmp_path: Path, snapshot) -> None:
    _logged(tmp_path, 0, {2: 0.5, 4: 0.25})
    before = snapshot(tmp_path)
    ScalarLog(tmp_path, 4)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("tail", [b"", b"\xff" * 7, b"\0" * 4096, b"[2]\n{}\n3\n"])
def test_file_that_ends_early_or_in_rubbish(tmp_path: Path, tail: bytes) -> None:
    whole = _logged(tmp_path, 0, {2: 0.5, 4: 0.25})
    found = []
    for size in range(len(whole) + 1):
        (tmp_path / NAME).write_bytes(whole[:size] + tail)
        points = read_scalars(tmp_path).get("loss/a", {})
        if not found or points != found[-1]:
            found.append(points)
        # What is added goes into a line of its own.
        assert _logged(tmp_path, 4, {6: 1.0}).count(b"\n") == len(points) + 1
        assert read_scalars(tmp_path)["loss/a"] == {**points, 6: 1.0}
    steps = [list(points) for points in found]
    # Rubbish right behind a line without its end makes the line unreadable.
    assert steps[0] == []
    assert steps[-1] == [2, 4]
    assert [2] in steps


def test_rubbish_between_lines_costs_no_other_line(tmp_path: Path) -> None:
    first, second = _logged(tmp_path, 0, {2: 0.5, 4: 0.25}).splitlines(keepends=True)
    (tmp_path / NAME).write_bytes(first + b'{"step": 3, "loss/a"\n\n' + second)
    assert read_scalars(tmp_path)["loss/a"] == {2: 0.5, 4: 0.25}
    assert _logged(tmp_path, 4, {}) == first + second


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"step": 3, "loss/a": 1' + b"0" * 400 + b"}",
        b'{"step": 3, "loss/a": 1e308}',
        b'{"step": 3' + b"0" * 400 + b', "loss/a": 1}',
        b'{"step": -3, "loss/a": 1}',
    ],
    ids=["deep", "long", "large", "long step", "negative step"],
)
def test_line_of_somebody_else_costs_no_other_line(tmp_path: Path, line: bytes) -> None:
    first, second = _logged(tmp_path, 0, {2: 0.5, 4: 0.25}).splitlines(keepends=True)
    (tmp_path / NAME).write_bytes(first + line + b"\n" + second)
    assert read_scalars(tmp_path)["loss/a"] == {2: 0.5, 4: 0.25}
    assert _logged(tmp_path, 4, {}).endswith(second)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_null(tmp_path: Path, value: float) -> None:
    content = _logged(tmp_path, 0, {2: value, 4: 1.0})
    assert json.loads(content.splitlines()[0]) == {"step": 2, "loss/a": None, "speed": 2.0}
    assert read_scalars(tmp_path) == {"loss/a": {4: 1.0}, "speed": {2: 2.0, 4: 2.0}}


def test_the_last_value_of_a_step_counts(tmp_path: Path) -> None:
    _logged(tmp_path, 0, {4: 1.0})
    _logged(tmp_path, 4, {4: 2.0})
    assert read_scalars(tmp_path)["loss/a"] == {4: 2.0}


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.0000000a.partial").write_bytes(b"{")
    _logged(tmp_path, 0, {2: 0.5})
    assert os.listdir(tmp_path) == [NAME]


def test_no_file(tmp_path: Path) -> None:
    assert read_scalars(tmp_path / "missing") == {}
