"""Disks on which a checkpoint cannot be written: one message, and the older ones stay intact."""

from __future__ import annotations

import contextlib
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import fill
from saved_states import INPUT, assert_identical, make_metrics, make_wide_state

from msl_jax.runs import checksums
from msl_jax.runs.arrays import write_tree
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runtime.errors import UserError


def _save(checkpoints: Checkpoints, step: int) -> None:
    checkpoints.save(make_wide_state(step), INPUT, make_metrics(0.5))


def _assert_only(checkpoints: Checkpoints, step: int) -> None:
    """Only this checkpoint is there, intact, and nothing else."""
    assert [path.name for path in checkpoints.folder.iterdir()] == [str(step)]
    assert checkpoints.intact() == [step]
    assert_identical(checkpoints.restore(step, make_wide_state(0))[0], make_wide_state(step))


# So the room ends in the variables, in the optimizer's state, or in orbax's description of them.
# Not nearer to 1: as threads write them, one of 60 checkpoints took 85 blocks and two took 64.
@pytest.mark.parametrize("room", [0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.75])
def test_full_disk(mounted, capfd, caplog, room: float) -> None:
    """The disk has room for only a part of the second checkpoint."""
    place = mounted("size=2m")
    checkpoints = Checkpoints(place / "adapt")
    _save(checkpoints, 10)
    usage = shutil.disk_usage(place)
    filler = place / "filler"
    filler.write_bytes(bytes(usage.free - int(room * usage.used)))
    _assert_no_room_for_the_second(checkpoints, capfd, caplog)
    filler.unlink()
    _save(checkpoints, 20)
    assert checkpoints.intact() == [10, 20]


@pytest.mark.parametrize("last", ["write_tree", "checksums"])
def test_disk_that_is_full_when_the_arrays_are_written(
    mounted, capfd, caplog, monkeypatch, last
) -> None:
    """The disk gets full in the small files: in the first of them, or in the checksums."""
    place = mounted("size=2m")
    checkpoints = Checkpoints(place / "adapt")
    _save(checkpoints, 10)
    filler = place / "filler"
    real_write_tree, real_checksums = write_tree, checksums.write

    def tree_then_full(folder: Path, tree: object) -> None:
        real_write_tree(folder, tree)
        if folder.name == "optimizer":  # the last of the two
            fill(filler)

    def full_then_checksums(folder: Path) -> None:
        fill(filler)
        real_checksums(folder)

    with monkeypatch.context() as patch:
        if last == "write_tree":
            patch.setattr("msl_jax.runs.checkpoints.write_tree", tree_then_full)
        else:
            patch.setattr(checksums, "write", full_then_checksums)
        _assert_no_room_for_the_second(checkpoints, capfd, caplog)
    filler.unlink()
    _save(checkpoints, 20)
    assert checkpoints.intact() == [10, 20]


def _assert_no_room_for_the_second(checkpoints: Checkpoints, capfd, caplog) -> None:
    message = r"adapt/20 cannot be written \(No space left on device\); the older ones are kept"
    with pytest.raises(UserError, match=message):
        _save(checkpoints, 20)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""  # what orbax logs
    _assert_only(checkpoints, 10)


def test_disk_that_has_become_read_only(mounted, capfd) -> None:
    place = mounted("size=2m")
    checkpoints = Checkpoints(place / "adapt")
    _save(checkpoints, 10)
    mounted("remount,ro")
    with pytest.raises(UserError, match=r"adapt/20 cannot be written \(Read-only file system\)"):
        _save(checkpoints, 20)
    assert capfd.readouterr() == ("", "")
    _assert_only(checkpoints, 10)


@contextlib.contextmanager
def _largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_files_that_may_not_become_as_large(tmp_path: Path, capfd) -> None:
    checkpoints = Checkpoints(tmp_path / "adapt")
    _save(checkpoints, 10)
    with (
        _largest_file(50_000),
        pytest.raises(UserError, match=r"adapt/20 cannot be written \(File too large\)"),
    ):
        _save(checkpoints, 20)
    assert capfd.readouterr() == ("", "")
    _assert_only(checkpoints, 10)


def test_workdir_that_has_vanished_is_not_made_anew(tmp_path: Path, capfd) -> None:
    workdir = tmp_path / "run"
    workdir.mkdir()
    checkpoints = Checkpoints(workdir / "adapt")
    _save(checkpoints, 10)
    workdir.rename(tmp_path / "moved")
    with pytest.raises(
        UserError, match=rf"^{workdir} is gone, so the checkpoint of step 20 is lost"
    ):
        _save(checkpoints, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]
    assert capfd.readouterr() == ("", "")


def test_folder_that_vanishes_while_it_is_written(tmp_path: Path, capfd, monkeypatch) -> None:
    workdir, written = tmp_path / "run", []

    def write_and_remove(folder: Path, tree: object) -> None:
        write_tree(folder, tree)
        if not written:
            shutil.rmtree(workdir)
        written.append(folder)

    workdir.mkdir()
    monkeypatch.setattr("msl_jax.runs.checkpoints.write_tree", write_and_remove)
    with pytest.raises(
        UserError, match=rf"^{workdir} is gone, so the checkpoint of step 10 is lost"
    ):
        _save(Checkpoints(workdir / "adapt"), 10)
    assert len(written) == 1
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_old_checkpoint_that_cannot_be_removed_goes_later(tmp_path: Path, monkeypatch) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(16, "Device or resource busy")

    checkpoints = Checkpoints(tmp_path / "adapt")
    with monkeypatch.context() as patch:
        patch.setattr("msl_jax.runs.checkpoints.atomic_remove", refuse)
        for step in (10, 20, 30):
            _save(checkpoints, step)
    assert checkpoints.intact() == [10, 20, 30]
    _save(checkpoints, 40)
    assert checkpoints.steps == [30, 40]
