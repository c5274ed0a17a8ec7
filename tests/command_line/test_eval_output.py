"""Where eval.py writes nothing: over what a user or a training has made."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_results_of_training_are_not_replaced(refused, run: Path) -> None:
    message = refused("eval.py", f"--checkpoint={run}", f"--output={run}")
    assert f"--output {run} is a run's workdir" in message


@pytest.mark.parametrize("text", ["mine", '{"mine": 1}', '{"eval_size": 1, "source_only": null}'])
def test_results_of_somebody_else_are_not_replaced(
    refused, run: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "results.json").write_text(text)
    message = refused("eval.py", f"--checkpoint={run}", f"--output={tmp_path}")
    assert f"--output {tmp_path}: its results.json is none of an evaluation" in message
    assert (tmp_path / "results.json").read_text() == text


def test_evaluation_into_a_file(refused, run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    message = refused("eval.py", f"--checkpoint={run}", f"--output={tmp_path / 'mine'}")
    assert f"--output {tmp_path / 'mine'}: cannot be written" in message
