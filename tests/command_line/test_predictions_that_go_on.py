"""predict.py: what it leaves out, and where it goes on after it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from msl_jax.commands import photo_batches
from msl_jax.commands import predict as predict_module
from msl_jax.runtime.files import make_folder
from msl_jax.runtime.locking import locked
from msl_jax.tasks.photo_maps import PhotoMaps


def _break(photo: Path) -> bytes:
    whole = photo.read_bytes()
    photo.write_bytes(whole[:400])
    return whole


def test_a_bad_photo_is_refused_with_the_key(refused, predict, photos: Path) -> None:
    _break(photos / "p1.jpg")
    message = predict(photos, "out", using=refused)
    assert "p1.jpg: not a readable image" in message
    assert "--config.on_bad_example=skip" in message


def test_a_bad_photo_is_left_out_and_added_later(
    predict, photos: Path, tmp_path: Path, results
) -> None:
    predict(photos, tmp_path / "whole")
    content = _break(photos / "p1.jpg")
    arguments = (photos, tmp_path / "out", "--config.on_bad_example=skip")
    outcome = predict(*arguments)
    assert outcome.code == 1
    assert "4 photos: label maps" in outcome.out
    assert outcome.err.startswith("error: 1 photo left out:\n")
    assert "p1.jpg: not a readable image" in outcome.err
    expected = results(tmp_path / "whole")
    there = {name: data for name, data in expected.items() if "p1" not in name}
    noted = (tmp_path / "out" / "unfinished.jsonl").read_bytes()
    assert results(tmp_path / "out") == {**there, "unfinished.jsonl": noted}
    assert predict(*arguments).code == 1  # it is still broken
    (photos / "p1.jpg").write_bytes(content)
    outcome = predict(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert "5 photos (4 of them before)" in outcome.out
    assert results(tmp_path / "out") == expected


@pytest.mark.parametrize("skip", [False, True])
def test_photo_that_was_replaced_after_the_check(
    predict, photos: Path, tmp_path: Path, monkeypatch, results, skip: bool
) -> None:
    read = photo_batches.read_image

    def replaced(path: Path) -> np.ndarray:
        image = read(path)
        return np.swapaxes(image, 0, 1) if path.name == "p1.jpg" else image

    monkeypatch.setattr(photo_batches, "read_image", replaced)
    key = ["--config.on_bad_example=skip"] if skip else []
    outcome = predict(photos, tmp_path / "out", "--write=labels", *key)
    assert outcome.code == 1
    assert "p1.jpg: its size is not what it was when it was checked" in outcome.err
    assert "Traceback" not in outcome.err
    monkeypatch.undo()
    assert predict(photos, tmp_path / "out", "--write=labels").code == 0
    predict(photos, tmp_path / "whole", "--write=labels")
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_what_a_user_has_changed_stays(predict, photos: Path, tmp_path: Path) -> None:
    """But for the shares, which are those of all photos."""
    content, out = _break(photos / "p1.jpg"), tmp_path / "out"
    arguments = ("--write=shares,legend,classes", "--config.on_bad_example=skip")
    assert predict(photos, out, *arguments).code == 1
    for name in ("legend.svg", "classes.yaml"):
        (out / name).write_text("mine")
    (photos / "p1.jpg").write_bytes(content)
    assert predict(photos, out, *arguments).code == 0
    assert {(out / name).read_text() for name in ("legend.svg", "classes.yaml")} == {"mine"}
    assert len(json.loads((out / "shares.json").read_text())) == 5
    assert len((out / "shares.csv").read_text().splitlines()) == 6


def test_nothing_but_bad_photos(refused, predict, photos: Path) -> None:
    for photo in photos.iterdir():
        _break(photo)
    message = predict(photos, "out", "--config.on_bad_example=skip", using=refused)
    assert "no photo can be read; the first one" in message


@pytest.fixture
def killed(predict, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a prediction that died with two photos done and a third one begun."""

    class Killed(BaseException):
        pass

    write, written = PhotoMaps.write, []

    def dying(self: PhotoMaps, name: Path, image: np.ndarray, prediction: Any) -> Any:
        written.append(name)
        if len(written) == 3:
            self.files(name)[0].write_bytes(b"as it was")
        if len(written) >= 3:  # the thread goes on until it is told to stop
            raise Killed
        return write(self, name, image, prediction)

    with monkeypatch.context() as patch:
        patch.setattr(PhotoMaps, "write", dying)
        patch.setattr("msl_jax.commands.predict._THREADS", 1)
        with pytest.raises(Killed):
            predict(photos, tmp_path / "out")
    return tmp_path / "out"


def test_goes_on_where_it_was_killed(
    predict, photos: Path, killed: Path, tmp_path: Path, monkeypatch, snapshot, results
) -> None:
    before = snapshot(killed)
    names = [key for key in before if key.endswith(".png")]
    assert len(names) == 2 * 3 + 1
    noted = (killed / "unfinished.jsonl").read_bytes()
    (killed / "unfinished.jsonl").write_bytes(noted + b'["p9.jpg", ["p')  # cut off
    (killed / "labels" / ".p0.png.0000000a.partial").write_bytes(
        b"half"
    )  # of another of its threads
    mine = [killed / ".download.iso.partial", killed / "mine" / ".thesis.0000000a.partial"]
    mine[1].parent.mkdir()
    for path in mine:
        path.write_text("a user's")
    write, written = PhotoMaps.write, []

    def counting(self: PhotoMaps, name: Path, *args: Any) -> Any:
        written.append(name)
        return write(self, name, *args)

    monkeypatch.setattr(PhotoMaps, "write", counting)
    outcome = predict(photos, killed)
    assert (outcome.code, outcome.err) == (0, "")
    assert "5 photos (2 of them before)" in outcome.out
    assert len(written) == 3
    assert [path.read_text() for path in mine] == ["a user's"] * 2
    for path in mine:
        path.unlink()
    mine[1].parent.rmdir()
    after = snapshot(killed)
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert len([name for name in after if name.endswith(".png")]) == 15
    assert not (killed / "unfinished.jsonl").exists()
    predict(photos, tmp_path / "whole")
    whole = results(tmp_path / "whole")
    begun = next(name for name in names if after[name][0] == b"as it was")
    assert {**results(killed), begun: whole[begun]} == whole


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.target_size=(24,40)"], "target_size was [16, 32] and is [24, 40]"),
        (["--opacity=0.25"], "opacity was 0.5 and is 0.25"),
        (["--write=labels"], "write was"),
        (["--every=2"], "every was 1 and is 2"),
        (["--input=../photos/p0.jpg"], "inputs was ["),
    ],
)
def test_unfinished_work_of_other_settings(
    refused, predict, photos: Path, killed: Path, arguments: list[str], words: str
) -> None:
    assert words in predict(photos, killed, *arguments, using=refused)


def test_unfinished_work_of_another_checkpoint(
    refused, predict, write_run, tiny_run, tiny_config, photos: Path, killed: Path, tmp_path: Path
) -> None:
    variables = jax.tree.map(lambda leaf: leaf * 1.01, tiny_run[1])
    other = write_run(tmp_path / "other", tiny_config("source"), variables)
    message = predict(photos, killed, of=other, using=refused)
    assert "unfinished work of other settings: digest of the weights was" in message


def test_output_in_which_another_prediction_works(
    refused, predict, photos: Path, killed: Path
) -> None:
    with locked(killed / "unfinished.jsonl", pytest.fail):
        message = predict(photos, killed, using=refused)
    assert f"{killed} is in use: another process holds unfinished.jsonl" in message


@pytest.mark.parametrize(
    ("ended", "words"),
    [(True, "exists already (and 14 more); nothing is overwritten"), (False, "changed meanwhile")],
)
def test_output_in_which_another_prediction_has_worked_meanwhile(
    predict, photos: Path, killed: Path, tmp_path: Path, monkeypatch, ended: bool, words: str
) -> None:
    """After the output was looked at, and before it is locked."""
    killed.rename(tmp_path / "other")
    if ended:
        predict(photos, tmp_path / "other")

    def late(folder: Path, flag: str) -> None:
        (tmp_path / "other").rename(folder)
        make_folder(folder, flag)

    with monkeypatch.context() as patch:
        patch.setattr(predict_module, "make_folder", late)
        outcome = predict(photos, killed)
    assert outcome.code == 1
    assert words in outcome.err
    assert (killed / "unfinished.jsonl").exists() != ended
    if not ended:
        assert predict(photos, killed).code == 0


def test_full_disk(predict, photos: Path, tmp_path: Path, mounted, results) -> None:
    """What was done before stays, and the rest is added once there is room."""
    output = mounted("size=48k") / "out"
    outcome = predict(photos, output)
    assert outcome.code == 1
    assert outcome.err.startswith("error: [Errno 28] No space left on device: ")
    assert len(outcome.err.splitlines()) == 1
    before = results(output)
    assert 1 < len(before) < 15
    assert not [name for name in before if "partial" in name]
    mounted("remount,size=2m")
    outcome = predict(photos, output)
    assert (outcome.code, outcome.err) == (0, "")
    assert "of them before" in outcome.out
    predict(photos, tmp_path / "whole")
    assert results(output) == results(tmp_path / "whole")


def test_photo_that_takes_the_name_of_a_result(
    refused, predict, photos: Path, killed: Path
) -> None:
    (photos / "p0.jpg").rename(photos / "p0.png")
    message = predict(photos, killed, using=refused)
    assert "p0.png would be written to p0.png, as p0.jpg was before" in message


def test_damaged_note_of_what_is_done(refused, predict, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "unfinished.jsonl").write_text("mine\n")
    assert "unfinished.jsonl: cannot be read" in predict(photos, tmp_path / "out", using=refused)
