"""Building records: in parallel, killed and continued, two at once, and on a full disk."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import made
import numpy as np
import pytest
import tensorflow_datasets as tfds
from made import Made, Numbers

from msl_jax.data.prepared import build
from msl_jax.data.prepared.records import Records, prepare
from msl_jax.data.prepared.workers import WorkerLost
from msl_jax.runtime import locking
from msl_jax.runtime.errors import UserError

SIZE = (24, 32)
HERE = Path(__file__).parent
SHARD = 4


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    monkeypatch.setattr(build, "EXAMPLES_PER_SHARD", SHARD)


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _numbers(records: Records) -> list[int]:
    return [int(records[index]["image"][0, 0, 0]) for index in range(len(records))]


def _data(count: int, **kwargs) -> Numbers:
    return Numbers(tuple(Made(number, **kwargs) for number in range(count)))


def test_records_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    data = Numbers(tuple(Made(i, fault="user" if i in (1, 9) else "") for i in range(11)))
    for processes in (1, 2, 3):
        folder = tmp_path / str(processes)
        prepare(data, "some", SIZE, folder, on_bad_example="skip", num_processes=processes)
    first = _contents(tmp_path / "1")
    assert len([name for name in first if "array_record" in name]) == 3
    assert _contents(tmp_path / "2") == _contents(tmp_path / "3") == first


def test_tfds_reads_the_records_by_itself(tmp_path: Path) -> None:
    records = prepare(_data(6), "some", SIZE, tmp_path, num_processes=2)
    builder = tfds.builder_from_directory(records.folder)
    assert builder.info.config_name == records.folder.parent.name
    assert builder.info.config_name.startswith("numbers_some_24x32_")
    assert builder.info.splits["some"].shard_lengths == [4, 2]
    (found,) = (tmp_path / "segmentation_records").iterdir()
    assert [path.name for path in found.iterdir()] == ["3.2.0"]  # nothing else is left


def test_records_have_reached_the_disk_before_they_have_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(os.readlink(f"/proc/self/fd/{fd}")))
    rename = Path.rename

    def named(self: Path, target: Path) -> Path:
        flushed.append("named")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", named)
    records = prepare(_data(6), "some", SIZE, tmp_path, num_processes=1)
    shards = [path.name for path in records.folder.iterdir() if "array_record" in path.name]
    before = flushed[: flushed.index("named")]
    assert shards
    assert all(any(place.endswith(name) for place in before) for name in shards)
    assert flushed[-1] == str(records.folder.parent)


def test_a_split_may_be_called_all(tmp_path: Path) -> None:
    # TFDS reads this name as the sum of all splits.
    records = prepare(Numbers((Made(1), Made(2)), splits=("all",)), "all", SIZE, tmp_path)
    assert _numbers(Records(records.folder, "all")) == [1, 2]


SCRIPT = """
import sys
from pathlib import Path
sys.path.append({here!r})
from made import Made, Numbers
from msl_jax.data.prepared import build
from msl_jax.data.prepared.records import prepare
build.EXAMPLES_PER_SHARD = 4
log = Path({log!r})
data = Numbers(tuple(Made(i, log=log, delay={delay}) for i in range({count})))
prepare(data, "some", (24, 32), {folder!r}, num_processes=2)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Function that starts a preparation in a process of its own."""
    processes = []

    def start(count: int, delay: float) -> subprocess.Popen[str]:
        code = SCRIPT.format(
            here=str(HERE),
            log=str(tmp_path / "log"),
            folder=str(tmp_path / "records"),
            count=count,
            delay=delay,
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=HERE.parents[1], stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_killed_preparation_goes_on_where_it_stopped(started, tmp_path: Path) -> None:
    folder, log = tmp_path / "records", tmp_path / "log"
    process = started(count=40, delay=0.05)
    while len(list(folder.rglob("*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    # stderr ends when all have closed it that inherited it: the workers end with their parent.
    process.communicate(timeout=20)

    assert not list(folder.rglob("3.2.0"))
    shards = {path: path.stat().st_mtime_ns for path in folder.rglob("*array_record*-of-*")}
    notes = {path.name for path in folder.rglob("*.json")}
    finished = [path for path in shards if f"{path.name}.json" in notes]
    assert 3 <= len(finished) < 10

    log.unlink()
    records = prepare(_data(40, log=log), "some", SIZE, folder, num_processes=2)
    assert sorted(made.numbers_read(log)) == list(range(len(finished) * SHARD, 40))
    for path in finished:
        assert (records.folder / path.name).stat().st_mtime_ns == shards[path]
    prepare(_data(40), "some", SIZE, tmp_path / "undisturbed", num_processes=1)
    assert _contents(folder) == _contents(tmp_path / "undisturbed")


def test_a_killed_worker_costs_one_shard(tmp_path: Path) -> None:
    log = tmp_path / "log"
    made_of = [Made(i, log=log, fault="kill once" if i == 9 else "") for i in range(12)]
    data = Numbers(tuple(made_of))
    with pytest.raises(WorkerLost, match=r"exit code -9"):
        prepare(data, "some", SIZE, tmp_path / "records", num_processes=2)
    log.write_text("9\n")
    assert _numbers(prepare(data, "some", SIZE, tmp_path / "records", num_processes=2))[9] == 9
    assert set(made.numbers_read(log)) == {8, 9, 10, 11}


def test_finished_shards_are_not_trusted_without_their_file(tmp_path: Path) -> None:
    data = Numbers((*(Made(i) for i in range(5)), Made(5, fault="bug")))
    with pytest.raises(RuntimeError, match="made 5 is a bug"):
        prepare(data, "some", SIZE, tmp_path, num_processes=2)
    (shard,) = tmp_path.rglob("*-of-00002")
    shard.unlink()
    assert _numbers(prepare(_data(6), "some", SIZE, tmp_path)) == list(range(6))


@pytest.mark.parametrize("processes", [1, 2])
def test_bad_example_leaves_nothing_behind(tmp_path: Path, processes: int) -> None:
    data = Numbers((*(Made(i) for i in range(5)), Made(5, fault="user"), Made(6)))
    with pytest.raises(UserError, match=r"^made 5 is bad \(config\.on_bad_example=skip leaves "):
        prepare(data, "some", SIZE, tmp_path, num_processes=processes)
    assert _contents(tmp_path) == {}
    assert list((tmp_path / "segmentation_records").iterdir()) == []


def test_what_a_kill_after_the_last_step_leaves_goes_at_the_next_call(tmp_path: Path) -> None:
    records = prepare(_data(2), "some", SIZE, tmp_path)
    left = records.folder.with_name("unfinished")
    left.mkdir()
    (left / "note.json").write_text("{}")
    assert prepare(_data(2), "some", SIZE, tmp_path).folder == records.folder
    assert list(records.folder.parent.iterdir()) == [records.folder]


def test_records_with_gaps_serve_only_those_who_allow_gaps(tmp_path: Path) -> None:
    data = Numbers((Made(1), Made(2, fault="user")))
    skipped = prepare(data, "some", SIZE, tmp_path, on_bad_example="skip")
    with pytest.raises(UserError, match="1 examples cannot be used, the first one: made 2 is bad"):
        prepare(data, "some", SIZE, tmp_path)
    whole = _data(2)
    assert prepare(whole, "some", SIZE, tmp_path).folder != skipped.folder
    both = {prepare(whole, "some", SIZE, tmp_path, on_bad_example=how) for how in ("error", "skip")}
    assert len({records.folder for records in both}) == 1


def test_two_at_once_do_the_work_once(started, tmp_path: Path) -> None:
    processes = [started(count=24, delay=0.02) for _ in range(2)]
    messages = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], messages
    assert sorted(made.numbers_read(tmp_path / "log")) == list(range(24))
    prepare(_data(24), "some", SIZE, tmp_path / "undisturbed")
    assert _contents(tmp_path / "records") == _contents(tmp_path / "undisturbed")


def test_two_at_once_without_locks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(locking, "locked", lambda *_: contextlib.nullcontext())
    finished = []

    class Slow(Made):
        def read(self):
            if not finished:  # the other one overtakes
                finished.append(True)
                finished.append(prepare(data, "some", SIZE, tmp_path))
            return super().read()

    data = Numbers((Slow(5),))
    records = prepare(data, "some", SIZE, tmp_path)
    assert records.folder == finished[1].folder
    assert _numbers(records) == [5]
    (found,) = (tmp_path / "segmentation_records").iterdir()
    assert [path.name for path in found.iterdir()] == ["3.2.0"]


def test_lock_that_its_holder_deletes(tmp_path: Path) -> None:
    path, waiting, order = tmp_path / "work" / "lock", threading.Event(), []

    def wait_for_it() -> None:
        with locking.locked(path, waiting.set):
            order.append("second")
            assert path.exists()  # a new one, of its own

    with locking.locked(path, pytest.fail):
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
        shutil.rmtree(path.parent)
    thread.join(10)
    assert order == ["first", "second"]


def test_full_disk(tmp_path: Path) -> None:
    class Noise(Made):
        def read(self):
            pixels = np.random.default_rng(self.number).integers(0, 256, (300, 300, 3), np.uint8)
            return pixels, None

    data = Numbers(tuple(Noise(i) for i in range(8)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"Cannot write .*too large.* Set records_dir"):
            prepare(data, "some", (300, 300), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _contents(tmp_path) == {}
    assert len(prepare(data, "some", (300, 300), tmp_path)) == 8
