"""Prepared records: exact, never mixed up, never incomplete, and without TensorFlow."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from made import Made, Numbers
from PIL import Image

from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.datasets.folders import CLASSES_FILE, Folders
from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.labels import IGNORE
from msl_jax.data.prepared import build
from msl_jax.data.prepared.encoding import Encoder
from msl_jax.data.prepared.records import Records, prepare
from msl_jax.runtime.errors import UserError

SIZE = (24, 32)
PROJECT = Path(__file__).resolve().parents[2]


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _only(records: Records) -> dict[str, object]:
    assert len(records) == 1
    return records[0]


def test_records_hold_the_resized_examples_in_order(camvid_tree: Path, tmp_path: Path) -> None:
    dataset = CamVid(camvid_tree)
    before = _files(camvid_tree)
    records = prepare(dataset, "train_day", SIZE, tmp_path / "records")
    examples = dataset.examples("train_day")
    assert [records[i]["key"] for i in range(len(records))] == [e.key for e in examples]
    for index in (0, 7, -1):
        image, label = examples[index].read()
        np.testing.assert_array_equal(records[index]["image"], resize_image(image, SIZE))
        np.testing.assert_array_equal(records[index]["label"], resize_label(label, SIZE))
    assert records[0]["label"].dtype == np.uint8
    assert _files(camvid_tree) == before
    with pytest.raises(IndexError):
        records[len(records)]


def test_label_size_can_be_kept(prepared) -> None:
    record = prepared("val_day", keep_label_size=True)[1]
    assert record["image"].shape == (*SIZE, 3)
    assert record["label"].shape == (48, 64)


def test_second_call_reads_nothing_again(camvid_tree: Path, tmp_path: Path, monkeypatch) -> None:
    dataset = CamVid(camvid_tree)
    first = prepare(dataset, "val_day", SIZE, tmp_path)
    monkeypatch.setattr(Encoder, "__call__", None)
    assert prepare(dataset, "val_day", SIZE, tmp_path).folder == first.folder


def test_only_the_wanted_split_is_prepared(camvid_tree: Path, tmp_path: Path) -> None:
    (camvid_tree / "train" / "0016E5_00000.png").write_bytes(b"broken")
    assert len(prepare(CamVid(camvid_tree), "val_day", SIZE, tmp_path)) == 2


def test_sets_do_not_collide(tmp_path: Path) -> None:
    data = Numbers((Made(1),))
    folders = {
        prepare(data, "some", SIZE, tmp_path).folder,
        prepare(data, "some", (32, 24), tmp_path).folder,
        prepare(data, "some", SIZE, tmp_path, keep_label_size=True).folder,
        prepare(Numbers((Made(1),), fingerprint="1"), "some", SIZE, tmp_path).folder,
        prepare(Numbers((Made(2),)), "some", SIZE, tmp_path).folder,
    }
    assert len(folders) == 5


def test_default_folder_is_that_of_tfds(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    records = prepare(Numbers((Made(1),)), "some", SIZE)
    assert records.folder.is_relative_to(tmp_path / "tfds")


def test_unlabelled_examples_have_ignored_labels(tmp_path: Path) -> None:
    data = Numbers((Made(3, labelled=False),))
    for keep in (False, True):
        record = _only(prepare(data, "some", SIZE, tmp_path, keep_label_size=keep))
        assert record["label"].shape == SIZE
        assert (record["label"] == IGNORE).all()


def test_tfds_reads_them_by_itself(prepared) -> None:
    records = prepared("val_day")
    builder = tfds.builder_from_directory(records.folder)
    assert builder.info.features["image"].shape == (None, None, 3)
    for ours, read in zip(
        map(records.__getitem__, range(2)), builder.as_data_source("val_day"), strict=True
    ):
        assert read["key"] == ours["key"].encode()
        np.testing.assert_array_equal(read["image"], ours["image"])
        np.testing.assert_array_equal(read["label"], ours["label"])


def test_bad_example_leaves_nothing_behind(tmp_path: Path) -> None:
    data = Numbers((Made(1), Made(2, fault="user")))
    with pytest.raises(UserError, match=r"^made 2 is bad \(config.on_bad_example=skip leaves"):
        prepare(data, "some", SIZE, tmp_path)
    assert _files(tmp_path) == set()


def test_bad_examples_can_be_left_out(tmp_path: Path, capsys) -> None:
    data = Numbers((Made(1), Made(2, fault="user"), Made(3)))
    for _ in range(2):  # reported when made and when found again
        records = prepare(data, "some", SIZE, tmp_path, on_bad_example="skip")
        assert [records[i]["key"] for i in range(len(records))] == ["made 1", "made 3"]
        assert records.skipped == ("made 2 is bad",)
        assert "1 bad examples skipped:\n  made 2 is bad" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"No example of numbers/some .* can be used"):
        prepare(Numbers((Made(2, fault="user"),)), "some", SIZE, tmp_path, on_bad_example="skip")


@pytest.mark.parametrize("bad", [(), (0, 1, 2), (3, 4, 5), (6,)])
def test_many_shards(tmp_path: Path, monkeypatch, bad: tuple[int, ...]) -> None:
    monkeypatch.setattr(build, "EXAMPLES_PER_SHARD", 3)
    data = Numbers(tuple(Made(i, fault="user" if i in bad else "") for i in range(7)))
    records = prepare(data, "some", SIZE, tmp_path, on_bad_example="skip")
    wanted = [i for i in range(7) if i not in bad]
    assert [int(records[i]["image"][0, 0, 0]) for i in range(len(records))] == wanted


def test_wrong_arguments(camvid_tree: Path, tmp_path: Path) -> None:
    dataset = CamVid(camvid_tree)
    with pytest.raises(UserError, match="no split 'val'; choose one of"):
        prepare(dataset, "val", SIZE, tmp_path)
    with pytest.raises(UserError, match="size"):
        prepare(dataset, "val_day", (0, 32), tmp_path)
    with pytest.raises(UserError, match="on_bad_example"):
        prepare(dataset, "val_day", SIZE, tmp_path, on_bad_example="ignore")
    with pytest.raises(UserError, match="no example"):
        prepare(Numbers(()), "some", SIZE, tmp_path)
    with pytest.raises(ValueError, match="not unique"):
        prepare(Numbers((Made(1), Made(1))), "some", SIZE, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="Set records_dir"):
        prepare(dataset, "val_day", SIZE, tmp_path / "file")


def test_records_are_picklable(prepared) -> None:
    records = prepared("val_day")
    copy = pickle.loads(pickle.dumps(records))
    np.testing.assert_array_equal(copy[1]["image"], records[1]["image"])


def test_damaged_records(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    class Noise(Made):
        def read(self):
            return rng.integers(0, 256, (200, 200, 3), np.uint8), None

    data = Numbers(tuple(Noise(i) for i in range(8)))
    records = prepare(data, "some", (200, 200), tmp_path)
    (shard,) = records.folder.glob("*array_record*")
    content = bytearray(shard.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    shard.write_bytes(content)
    messages = {}
    for index in range(8):
        try:
            Records(records.folder, "some")[index]
        except UserError as error:
            messages[index] = str(error)
    assert 1 <= len(messages) <= 2
    for index, message in messages.items():
        assert f"{records.folder} are damaged: example {index} in {shard} (" in message
    shard.unlink()
    with pytest.raises(UserError, match="damaged"):
        Records(records.folder, "some")[0]
    with pytest.raises(UserError, match="damaged"):
        Records(tmp_path / "nowhere", "some")


@pytest.mark.parametrize(
    "error",
    [RuntimeError("can't start new thread"), MemoryError(), OSError(errno.EMFILE, "too many")],
)
def test_what_the_process_lacks_is_no_damage(
    prepared, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to delete records that are whole."""
    records = Records(prepared("val_day").folder, "val_day")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tfds, "builder_from_directory", fail)
    with pytest.raises(type(error)):
        Records(records.folder, records.split)
    monkeypatch.setattr(records, "_source", type("", (), {"__getitem__": fail})())
    with pytest.raises(type(error)):
        records[0]


def test_no_tensorflow_no_noise_no_warning(camvid_tree: Path, tmp_path: Path) -> None:
    # A proxy that refuses every connection: a download would fail, loudly.
    code = f"""
import sys
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.datasets.folders import CLASSES_FILE, Folders
from msl_jax.data.prepared.records import prepare
for _ in range(2):
    records = prepare(CamVid({str(camvid_tree)!r}), "train_day", (24, 32), {str(tmp_path)!r})
    records[0]
assert "tensorflow" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=PROJECT,
        env={**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_label_files_of_a_real_kind(camvid_tree: Path, tmp_path: Path) -> None:
    path = camvid_tree / "valannot" / "0016E5_07959.png"
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(path)
    with pytest.raises(UserError, match="ids expected, found an RGB image"):
        prepare(CamVid(camvid_tree), "val_day", SIZE, tmp_path)


def _mended(path: Path) -> None:
    """Another label of the same size in bytes, with the same time, as `rsync -a` leaves it."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size


def test_label_of_the_same_size_and_time_leaves_no_stale_records(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / CLASSES_FILE).write_text(
        "classes:\n"
        "  - {id: 0, name: sky, color: [1, 2, 3]}\n"
        "  - {id: 1, name: road, color: [9, 9, 9]}\n"
    )
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(root / "images" / "0.png")
    label = root / "labels" / "0.bmp"
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(label)

    def prepared() -> Records:
        dataset = Folders(root, root / CLASSES_FILE)
        return prepare(dataset, "target_eval", (16, 16), tmp_path / "records", progress=False)

    before = prepared()
    _mended(label)
    after = prepared()
    assert (before[0]["label"].max(), after[0]["label"].max()) == (0, 1)
    assert after.digests["labels"] != before.digests["labels"]
    assert after.digests["images"] == before.digests["images"]
    assert after.digests["keys"] == before.digests["keys"]


def test_digests_are_those_of_the_content(tmp_path: Path, monkeypatch) -> None:
    """Wherever the records are, by however many processes and at whatever time they are made."""
    monkeypatch.setattr(build, "EXAMPLES_PER_SHARD", 2)
    data = Numbers(tuple(map(Made, range(5))))
    found = [
        prepare(data, "some", SIZE, tmp_path / str(number), num_processes=number).digests
        for number in (1, 2)
    ]
    assert found[0] == found[1]
    assert set(found[0]) == {"keys", "images", "labels"}
    reordered = Numbers(tuple(map(Made, (1, 0, 2, 3, 4))))
    other = prepare(reordered, "some", SIZE, tmp_path / "other").digests
    assert all(other[name] != found[0][name] for name in ("keys", "images"))
