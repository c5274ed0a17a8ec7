"""How a path was typed changes nothing, and is never taken for damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from saved_states import make_state

from msl_jax.config import base_config, presets
from msl_jax.runs.arrays import read_tree, write_tree
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.resume import StageCheckpoints
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import atomic_write
from msl_jax.runtime.paths import absolute, storable

TREE = {"a": {"b": np.arange(3.0)}}
BACKSLASH, LATIN_1 = "back\\slash", os.fsdecode(b"\xe9t\xe9")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_absolute(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    assert absolute("../x/./y") == here.parent / "x" / "y"
    assert absolute("~/x") == here / "home" / "x"
    assert absolute(here / "x") == here / "x"


def test_two_dots_behind_a_link_lead_where_the_system_goes(here: Path) -> None:
    """Not to the folder that has the link, where something of the same name may lie."""
    (here / "real" / "inner").mkdir(parents=True)
    (here / "real" / "photos").symlink_to(here)
    (here / "link").symlink_to("real/inner")
    assert absolute("link/../photos/x") == here / "real" / "photos" / "x"
    assert absolute(here / "link" / "..") == here / "real"
    assert absolute("link/x") == here / "link" / "x"


def test_checkpoints_behind_two_dots(here: Path) -> None:
    Path("../run").mkdir()
    Checkpoints("../run/source").save(make_state(2), {}, {"target": None})
    stages = StageCheckpoints(Path("../run"), "source")
    stages.save_stopped(make_state(3), {}, [])
    resumed = StageCheckpoints(Path("../run"), "source").restore(make_state(0))
    assert int(resumed.state.step) == 3
    kept = [path.name for path in (here.parent / "run" / "stopped" / "source").iterdir()]
    assert kept == ["3"]
    write_tree(Path("../tree"), TREE)
    np.testing.assert_array_equal(read_tree(Path("../tree"))["a"]["b"], TREE["a"]["b"])


@pytest.mark.parametrize("name", [BACKSLASH, LATIN_1])
def test_path_that_arrays_cannot_have(here: Path, name: str) -> None:
    """It is refused before anything is written, and what is there is not called damaged."""
    folder = here / name
    folder.mkdir()
    for attempt in (
        lambda: storable(folder, "--workdir"),
        lambda: Checkpoints(folder / "source"),
        lambda: write_tree(folder / "tree", TREE),
        lambda: read_tree(folder / "tree"),
    ):
        with pytest.raises(UserError, match="rename it, or give another") as raised:
            attempt()
        assert not isinstance(raised.value, DamagedError)
    assert list(folder.iterdir()) == []
    assert list(here.iterdir()) == [folder]


def test_path_that_is_too_long_is_no_damage(here: Path) -> None:
    checkpoints = Checkpoints(here / ("x" * 300))
    with pytest.raises(OSError, match="File name too long"):
        checkpoints.check(1)


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, os.fsdecode(b"\xe9" * 255)])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_long_names_can_be_written(here: Path, name: str, kind: str) -> None:
    with atomic_write(here / name) as partial:
        if kind == "folder":
            partial.mkdir()
        else:
            partial.write_text("content")
    assert [path.name for path in here.iterdir()] == [name]


def test_paths_of_a_complete_configuration_are_absolute(here: Path) -> None:
    config = base_config("camvid").unlock()
    (here / "run").mkdir()
    config.data_root, config.records_dir, config.init_from = "../data", "~", "run:best"
    given = config.copy_and_resolve_references()
    complete = presets.complete(config)
    assert complete.data_root == str(here.parent / "data")
    assert complete.records_dir == os.path.expanduser("~")
    assert complete.init_from == str(here / "run:best")
    assert complete.source_root == complete.target_root == complete.classes_file == ""
    assert config == given
    assert presets.complete(complete) == complete


def test_weights_that_are_no_path_keep_their_name(here: Path) -> None:
    config = base_config("camvid").unlock()
    config.init_from = "nothing.pth"
    assert presets.complete(config).init_from == "nothing.pth"
