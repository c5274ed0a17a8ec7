"""Prepared records that are damaged or vanish: nothing wrong is read, and the file is named."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made import Made, Numbers

from msl_jax.data.pipeline import TrainingBatches, evaluation_batches
from msl_jax.data.prepared import build, shards
from msl_jax.data.prepared.records import Records, prepare
from msl_jax.runtime.errors import UserError

SIZE = (40, 40)
COUNT = 6


class Noise(Made):
    def read(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.number)
        return rng.integers(0, 256, (*SIZE, 3), np.uint8), rng.integers(0, 10, SIZE, np.uint8)


DATA = Numbers(tuple(Noise(number) for number in range(COUNT)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records in two files."""
    monkeypatch.setattr(build, "EXAMPLES_PER_SHARD", COUNT // 2)
    return prepare(DATA, "some", SIZE, tmp_path / "records").folder


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*array_record*"))


def _read(folder: Path) -> list[bool]:
    """Which records can be read; these must be unchanged."""
    records = Records(folder, "some")
    messages: dict[int, str] = {}
    assert len(records) == COUNT
    for index, example in enumerate(DATA.made):
        try:
            found = records[index]
        except UserError as error:
            messages[index] = str(error)
            continue
        image, label = example.read()
        np.testing.assert_array_equal(found["image"], image)
        np.testing.assert_array_equal(found["label"], label)
        assert found["key"] == example.key
    for index, message in messages.items():
        file = _shards(folder)[index // (COUNT // 2)]
        assert f"{folder} are damaged: example {index} in {file} (" in message
        assert message.endswith("Delete that folder, and the next run prepares them again.")
    return [index not in messages for index in range(COUNT)]


def test_flipped_bits_are_found(folder: Path) -> None:
    """ArrayRecord keeps checksums of records and index: no bit changes what is read."""
    shard = _shards(folder)[0]
    whole = shard.read_bytes()
    outcomes, not_opened = set(), []
    # Records lie in the first part of each 64 KiB, the rest is empty; the index is at the end.
    places = [*range(0, 20_000, 97), *range(60_000, len(whole), 997)]
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (number % 8)
        shard.write_bytes(damaged)
        try:
            outcomes.add(tuple(_read(folder)))
        except UserError as error:
            not_opened.append(str(error))
    assert all(outcome[COUNT // 2 :] == (True,) * (COUNT // 2) for outcome in outcomes)
    # Each record was damaged alone, and some bits do not matter.
    assert {outcome.index(False) for outcome in outcomes if not all(outcome)} == {0, 1, 2}
    assert (True,) * COUNT in outcomes
    assert all(message.startswith(f"Records in {folder} are damaged (") for message in not_opened)


@pytest.mark.parametrize("part", [0, 0.3, 0.999])
def test_truncated_file_is_found_at_once(folder: Path, part: float) -> None:
    shard = _shards(folder)[1]
    os.truncate(shard, int(part * shard.stat().st_size))
    with pytest.raises(UserError, match=r"are damaged \(ValueError: \d+ bytes expected, found \d+"):
        Records(folder, "some")


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "metadata.json", "shard"])
def test_missing_file_is_found_at_once(folder: Path, name: str) -> None:
    (_shards(folder)[0] if name == "shard" else folder / name).unlink()
    with pytest.raises(UserError, match=rf"Records in {folder} are damaged .*Delete that folder"):
        Records(folder, "some")


def test_damaged_descriptions(folder: Path) -> None:
    """They have no checksum, but records and their number must agree with them."""
    for path in folder.glob("*.json"):
        whole = path.read_bytes()
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << (place % 8)
            path.write_bytes(damaged)
            with contextlib.suppress(UserError):
                _read(folder)
        path.write_bytes(whole)
    assert all(_read(folder))


Batches = Callable[[Records], object]


def _train(records: Records) -> object:
    return TrainingBatches(records, None, batch_size=2, seed=0, threads=2)


def _evaluate(records: Records) -> object:
    return evaluation_batches(records, 2, threads=2)


@pytest.mark.parametrize("batches", [_train, _evaluate])
@pytest.mark.parametrize("fault", ["flipped", "truncated", "gone"])
def test_fault_in_mid_run(folder: Path, batches: Batches, fault: str) -> None:
    """The file is there when it is opened, and is damaged before it is read."""
    iterator = batches(Records(folder, "some"))
    for shard in _shards(folder):
        if fault == "gone":
            shard.unlink()
        elif fault == "truncated":
            os.truncate(shard, 1000)
        else:
            shard.write_bytes(bytes(byte ^ 1 for byte in shard.read_bytes()))
    with pytest.raises(UserError, match=rf"damaged: example \d in {folder}/segmentation_records-"):
        list(itertools.islice(iterator, COUNT))


def test_file_that_was_opened_may_go(folder: Path) -> None:
    """As on any Unix: an open file can be read until it is closed."""
    records = Records(folder, "some")
    for index in (0, COUNT - 1):  # opens both
        records[index]
    shutil.rmtree(folder)
    np.testing.assert_array_equal(records[2]["image"], DATA.made[2].read()[0])


# Preparation.


def test_few_bad_examples_are_left_out_and_many_end_the_work(tmp_path: Path) -> None:
    assert [build.max_skipped(n) for n in (1, 199, 200, 219, 220, 12_403)] == [
        10,
        10,
        10,
        10,
        11,
        620,
    ]
    made = tuple(Made(i, fault="user" if i < 10 else "") for i in range(40))
    records = prepare(Numbers(made), "some", SIZE, tmp_path / "a", on_bad_example="skip")
    assert (len(records), len(records.skipped)) == (30, 10)
    made = tuple(Made(i, fault="user" if i < 11 else "") for i in range(40))
    with pytest.raises(UserError) as caught:
        prepare(Numbers(made), "some", SIZE, tmp_path / "b", on_bad_example="skip")
    assert "11 examples cannot be used so far, more than the 10 of 40 that may be" in str(
        caught.value
    )
    assert str(caught.value).endswith("\n  ".join(["", *(f"made {i} is bad" for i in range(5))]))
    assert not [path for path in (tmp_path / "b").rglob("*") if path.is_file()]


def test_bad_examples_of_all_files_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of files that were finished before a kill."""
    monkeypatch.setattr(build, "EXAMPLES_PER_SHARD", 4)
    stopped = [Made(i, fault="user" if i < 8 else "") for i in range(8)]
    data = Numbers((*stopped, *(Made(i, fault="bug") for i in range(8, 16))))
    with pytest.raises(RuntimeError):
        prepare(data, "some", SIZE, tmp_path, on_bad_example="skip", num_processes=2)
    rest = (Made(i, fault="user") for i in range(8, 16))
    with pytest.raises(UserError, match="11 examples cannot be used so far"):
        prepare(Numbers((*stopped, *rest)), "some", SIZE, tmp_path, on_bad_example="skip")


def test_records_dir_that_vanishes(tmp_path: Path) -> None:
    class Vandal(Made):
        def read(self) -> tuple[np.ndarray, np.ndarray | None]:
            shutil.rmtree(tmp_path / "records", ignore_errors=True)
            return super().read()

    with pytest.raises(UserError, match=r"Cannot write records below .* Set records_dir"):
        prepare(Numbers((Vandal(1),)), "some", SIZE, tmp_path / "records")
    assert not list(tmp_path.rglob("3.2.0"))
    assert len(prepare(Numbers((Made(1),)), "some", SIZE, tmp_path / "records")) == 1


@pytest.mark.parametrize("step", ["writer", "note", "description", "name"])
def test_full_disk_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whatever cannot be written, nothing incomplete is used, and nothing is left behind."""

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "writer":

        class Writer(shards.ArrayRecordWriter):
            def write(self, record: bytes) -> None:
                raise RuntimeError("No space left on device")

        monkeypatch.setattr(shards, "ArrayRecordWriter", Writer)
    elif step == "note":
        monkeypatch.setattr(json, "dumps", fail)
    elif step == "description":
        monkeypatch.setattr(shards.tfds.core.DatasetInfo, "write_to_directory", fail)
    else:
        monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(UserError, match=r"Cannot write records below .*No space left on device"):
        prepare(DATA, "some", SIZE, tmp_path)
    monkeypatch.undo()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(prepare(DATA, "some", SIZE, tmp_path)) == COUNT
