"""A run belongs to the data that it began with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from msl_jax.runs.data import DATA, expect_same_data
from msl_jax.runtime.errors import UserError

BEGAN = {
    "source_train": {"split": "folders/train", "examples": 12, "images": "a", "labels": "b"},
    "target_eval": {"split": "folders/val", "examples": 8, "images": "c", "labels": "d"},
}


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    expect_same_data(tmp_path, BEGAN)
    return tmp_path


def test_same_data_are_accepted_and_kept(workdir: Path) -> None:
    kept = (workdir / DATA).read_bytes()
    assert json.loads(kept) == BEGAN
    expect_same_data(workdir, BEGAN)
    assert (workdir / DATA).read_bytes() == kept


def test_corrected_labels_are_refused(workdir: Path) -> None:
    kept = (workdir / DATA).read_bytes()
    changed = {**BEGAN, "target_eval": {**BEGAN["target_eval"], "labels": "e"}}
    with pytest.raises(
        UserError, match=r"\n  target_eval \(folders/val\): other labels\n"
    ) as raised:
        expect_same_data(workdir, changed)
    assert "source_train" not in str(raised.value)
    assert (workdir / DATA).read_bytes() == kept


def test_all_that_differs_is_named(workdir: Path) -> None:
    changed = {
        "source_train": {"split": "folders/train", "examples": 13, "images": "x", "labels": "y"},
        "target_eval": {**BEGAN["target_eval"], "images": "z"},
    }
    with pytest.raises(UserError) as raised:
        expect_same_data(workdir, changed)
    assert "source_train (folders/train): examples 12 -> 13, other images, other labels" in str(
        raised.value
    )
    assert "target_eval (folders/val): other images\n" in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", '{"target_eval": 3}'])
def test_damaged_file_is_named(workdir: Path, text: str) -> None:
    (workdir / DATA).write_text(text)
    with pytest.raises(UserError, match=DATA):
        expect_same_data(workdir, BEGAN)


def test_data_that_moved_and_are_not_known_are_refused(tmp_path: Path) -> None:
    """A run of an earlier version has kept no digests."""
    with pytest.raises(UserError, match=rf"has no {DATA}(.|\n)*source_root: /a -> /b\n"):
        expect_same_data(tmp_path, BEGAN, {"source_root": ("/a", "/b")})
    assert not (tmp_path / DATA).exists()
