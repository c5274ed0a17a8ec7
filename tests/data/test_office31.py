"""Office-31 in its own layout, and what the check finds in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from trees import write_domains

from msl_jax.data import prepare
from msl_jax.data.datasets.office31 import CLASSES, Office31
from msl_jax.data.datasets.registry import open_label_set, open_split
from msl_jax.runtime.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two of the three domains."""
    return write_domains(tmp_path / "office31", ("amazon", "webcam"), CLASSES, 1, "images")


def _check(root: Path, *arguments: str) -> int:
    try:
        prepare.main(["office31", "--data_root", str(root), "--check_only", *arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_examples(root: Path, capsys) -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 31
    dataset, split = open_split("office31/webcam", root, 31)
    examples = dataset.examples(split)
    assert [int(e.read()[1]) for e in examples] == list(range(31))
    assert examples[1].key == "bike/frame_0001.jpg"
    assert open_label_set("office31/amazon").names == CLASSES
    assert "office31/webcam: 31 of the 795 published images" in capsys.readouterr().err


def test_domain_that_is_not_there(root: Path) -> None:
    with pytest.raises(UserError, match=r"nothing of dslr among .*\{amazon,dslr,webcam\}/images"):
        Office31(root).examples("dslr")
    with pytest.raises(UserError, match=r"Unknown split 'office31/dlsr'; .*'office31/dslr'"):
        open_split("office31/dlsr", root)


def test_other_number_of_classes(root: Path) -> None:
    with pytest.raises(UserError, match="cannot be read with 10 classes"):
        open_split("office31/amazon", root, 10)


class TestCheck:
    def test_nothing_wrong(self, root: Path, capsys) -> None:
        assert _check(root, "--strict") == 0
        out = capsys.readouterr().out
        assert "office31/amazon: 31 images of 2,817 expected, 31 of 31 classes, no problem\n" in out
        assert "office31/webcam: 31 images of 795 expected" in out
        assert "office31/dslr: 0 images, skipped" in out
        assert "          1  back_pack\n" in out

    def test_bad_photos_are_named(self, root: Path, capsys) -> None:
        bike = root / "amazon" / "images" / "bike"
        (bike / "notes.txt").write_text("x")
        (bike / "Thumbs.db").write_bytes(b"x")
        (bike / "more").mkdir()
        (bike / "frame_0001.jpg").write_bytes((bike / "frame_0001.jpg").read_bytes()[:100])
        assert _check(root) == 0
        out = capsys.readouterr().out
        assert "31 of 31 classes, 1 with a problem\n" in out
        assert "  unreadable file: 1\n" in out
        assert f"{bike / 'frame_0001.jpg'}: not a readable image" in out
        assert "2 files and folders in the folders of classes not read: 1 without suffix (" in out
        assert "1 .txt (amazon/images/bike/notes.txt)" in out
        assert "Thumbs.db" not in out
        assert _check(root, "--strict") == 1

    def test_class_without_photos(self, root: Path, capsys) -> None:
        shutil.rmtree(root / "webcam" / "images" / "mug")
        assert _check(root) == 1
        out, err = capsys.readouterr()
        assert "office31/webcam: 30 images of 795 expected, 30 of 31 classes" in out
        assert "          0  mug  MISSING\n" in out
        assert err.startswith("error: Office-31: webcam lacks photos of 1 of 31 classes")
        assert _check(root, "--split", "amazon") == 0

    def test_what_is_not_used_is_named(self, root: Path, capsys) -> None:
        paths = [root / "amazon" / "images" / "tv", root / "webcam" / "images" / "loose.jpg"]
        paths[0].mkdir()
        paths[1].write_bytes(b"x")
        assert _check(root) == 0
        text = f"office31: 2 of the files and folders below {root} of no class:"
        unused = "amazon/images/tv, webcam/images/loose.jpg"
        assert f"{text} {unused}\n" in capsys.readouterr().out
