"""predict.py on videos, whose frames are made up here: see also tests/data/test_video.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msl_jax.commands import photo_plan
from msl_jax.commands import predict as predict_module
from msl_jax.runtime.errors import UserError

FRAMES = np.random.default_rng(0).integers(0, 256, (7, 18, 32, 3), np.uint8)  # 16:9


class MadeUp:
    """A video of `FRAMES`, of which `last` come before it ends, or fails."""

    size, frames = FRAMES.shape[1:3], len(FRAMES)
    last, fails = len(FRAMES), False

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Iterator[np.ndarray]:
        yield from FRAMES[: self.last]
        if self.fails:
            raise UserError(f"{self.path}: not a readable video (broken).")


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in whose place `FRAMES` are read."""
    monkeypatch.setattr(photo_plan, "Video", MadeUp)
    (tmp_path / "drive.mp4").write_text("no video")
    return tmp_path / "drive.mp4"


def test_frames_are_predicted_as_photos(predict, video: Path, tmp_path: Path, results) -> None:
    outcome = predict(video, tmp_path / "out", "--every=3", "--config.eval_batch_size=2")
    assert (outcome.code, outcome.err) == (0, "")
    assert "3 photos: label maps" in outcome.out
    frames = tmp_path / "frames" / "drive"
    frames.mkdir(parents=True)
    for number in (0, 3, 6):
        Image.fromarray(FRAMES[number]).save(frames / f"{number:06}.png")
    predict(tmp_path / "frames", tmp_path / "photos", "--config.eval_batch_size=2")
    assert results(tmp_path / "out") == results(tmp_path / "photos")
    assert len(results(tmp_path / "out")) == 9


@pytest.mark.parametrize(
    ("fails", "words"),
    [(False, "drive.mp4: it ends early."), (True, "drive.mp4: not a readable video (broken).")],
)
def test_frames_that_do_not_come(
    predict, video: Path, tmp_path: Path, monkeypatch, results, fails: bool, words: str
) -> None:
    """They are missed; those that came are kept, and with the key so are the tables."""
    out, kinds = tmp_path / "out", "--write=labels,shares"
    monkeypatch.setattr(MadeUp, "last", 4)
    monkeypatch.setattr(MadeUp, "fails", fails)
    outcome = predict(video, out, kinds)
    assert outcome.code == 1
    assert f"error: {video.parent}/{words} 3 frames did not come, the first one 000004" in (
        outcome.err
    )
    assert "--config.on_bad_example=skip" in outcome.err
    outcome = predict(video, out, kinds, "--config.on_bad_example=skip")
    assert outcome.code == 1
    assert words in outcome.err
    assert len((out / "shares.csv").read_text().splitlines()) == 1 + 4
    monkeypatch.undo()
    monkeypatch.setattr(photo_plan, "Video", MadeUp)
    outcome = predict(video, out, kinds)
    assert (outcome.code, outcome.err) == (0, "")
    assert "7 photos (4 of them before)" in outcome.out
    predict(video, tmp_path / "whole", kinds)
    assert results(out) == results(tmp_path / "whole")


def test_folder_with_the_name_of_a_video(predict, tmp_path: Path, results) -> None:
    (tmp_path / "drive.mp4").mkdir()
    Image.fromarray(FRAMES[0]).save(tmp_path / "drive.mp4" / "a.png")
    assert predict(tmp_path / "drive.mp4", tmp_path / "out", "--write=labels").code == 0
    assert set(results(tmp_path / "out")) == {"labels/a.png"}


def test_bar_of_the_check(predict, video: Path, tmp_path: Path, monkeypatch) -> None:
    """It counts what is checked: videos, and photos that are not done."""
    bars: list[dict[str, Any]] = []

    class Counting(predict_module.Bar):
        def __init__(self, title: str, total: int, **options: Any) -> None:
            super().__init__(title, total, **options)
            bars.append({"title": title, "total": total, "steps": 0})

        def step(self) -> None:
            bars[-1]["steps"] += 1

    monkeypatch.setattr(predict_module, "Bar", Counting)
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(FRAMES[0]).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "c.png").write_text("broken")
    arguments = (f"--input={video}", "--write=labels", "--config.on_bad_example=skip")
    for _ in range(2):
        assert predict(tmp_path / "photos", tmp_path / "out", *arguments).code == 1
    checks = [bar for bar in bars if bar["title"] == "checking"]
    assert [bar["total"] for bar in checks] == [4, 2]
    assert [bar["steps"] for bar in checks] == [4, 2]
