"""Runs whose newest checkpoints were damaged while they were interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from saved_states import flip_byte

from msl_jax.commands.train import train
from msl_jax.runs.arrays import read_tree


def _contents(workdir: Path) -> dict[str, Any]:
    """Arrays and files of all checkpoints and the results, by their place."""
    found: dict[str, Any] = {}
    for folder in workdir.glob("*/*"):
        if folder.name.isdecimal():
            place = str(folder.relative_to(workdir))
            for item in ("variables", "optimizer"):
                leaves = jax.tree_util.tree_leaves_with_path(read_tree(folder / item))
                for path, leaf in leaves:
                    found[f"{place}/{item}{jax.tree_util.keystr(path)}"] = leaf
            for item in ("input/metadata", "metrics/metrics", "metrics/best"):
                found[f"{place}/{item}"] = (folder / item).read_bytes()
    for name in ("results.json", "source_only.json"):
        found[name] = (workdir / name).read_bytes()
    return found


@pytest.mark.parametrize("stage", ["source", "adapt"])
def test_run_that_falls_back_ends_as_if_nothing_had_happened(
    whole, tmp_path: Path, capfd, stage: str
) -> None:
    workdir = shutil.copytree(whole.workdir, tmp_path / "run")
    (workdir / "results.json").unlink()
    if stage == "source":  # a finished one is not looked at again once the adaptation has begun
        shutil.rmtree(workdir / "adapt")
        (workdir / "source_only.json").unlink()
    flip_byte(workdir / stage / "4" / ("optimizer" if stage == "source" else "metrics/metrics"))
    capfd.readouterr()
    assert train(whole.config, str(workdir)) == whole.results
    errors = capfd.readouterr().err
    assert f"checkpoint {workdir / stage / '4'} is damaged (" in errors
    assert "; kept as 4.damaged, resuming from step 2" in errors
    assert (workdir / stage / "4.damaged").is_dir()
    expected, found = _contents(whole.workdir), _contents(workdir)
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        np.testing.assert_array_equal(found[place], value, err_msg=place)
