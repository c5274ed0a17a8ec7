"""Photos whose proportions a size changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from trees import write_image

from msl_jax.data.proportions import remark_on_stretched, stretch, stretched_size


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [((720, 960), (360, 480), 1.0), ((720, 960), (270, 480), 4 / 3), ((10, 10), (10, 5), 2.0)],
)
def test_stretch(size: tuple[int, int], target: tuple[int, int], expected: float) -> None:
    assert stretch(size, target) == pytest.approx(expected)
    assert stretch(target, size) == pytest.approx(expected)


def _write(folder: Path, *sizes: tuple[int, int]) -> list[Path]:
    """Photos of (height, width)."""
    paths = [folder / f"{number}.jpg" for number in range(len(sizes))]
    for path, (height, width) in zip(paths, sizes, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(path)
    return paths


def test_proportions_of_the_photos_are_named(tmp_path: Path) -> None:
    photos = _write(tmp_path, (90, 160), (45, 80), (40, 40))
    size = stretched_size(photos, (270, 360))
    assert size == (90, 160)
    assert remark_on_stretched(size, (270, 360), "--config.target_size") == (
        "folders: photos of 160x90 are resized to 360x270, stretched by a factor of 1.3;"
        " --config.target_size=HEIGHT,WIDTH with a width of 1.78 times the height keeps their"
        " proportions"
    )
    assert stretched_size(photos, (270, 480)) is None


def test_a_few_others_are_no_matter(tmp_path: Path) -> None:
    photos = _write(tmp_path, *[(90, 160)] * 3, (40, 40))
    assert stretched_size(photos, (27, 48)) is None
    assert stretched_size([], (27, 48)) is None


def test_photos_that_lie_on_their_side(tmp_path: Path) -> None:
    """As they are shown, not as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (160, 90)).save(tmp_path / "a.jpg", exif=exif)
    assert stretched_size([tmp_path / "a.jpg"], (160, 90)) is None


def test_damaged_photos_are_left_to_those_who_read_them(tmp_path: Path) -> None:
    write_image(tmp_path / "good.png")  # 20x12
    (tmp_path / "a.png").write_bytes(b"no photo")
    paths = [tmp_path / "a.png", tmp_path / "missing.png"]
    assert stretched_size(paths, (10, 100)) is None
    assert stretched_size([*paths, tmp_path / "good.png"], (10, 100)) == (12, 20)
