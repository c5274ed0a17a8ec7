"""Users' files: whatever is wrong must become a message that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import write_rgb16

from msl_jax.data import decoding, images, label_files
from msl_jax.data.check import check_pair
from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.images import Photo
from msl_jax.data.labels import IGNORE, id_lookup
from msl_jax.runtime.errors import UserError

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (20, 30, 3), np.uint8)


def _save(path: Path, image: Image.Image, **kwargs: object) -> Path:
    image.save(path, **kwargs)
    return path


def test_rgb_is_read_exactly(tmp_path: Path) -> None:
    image = images.read_image(_save(tmp_path / "a.png", Image.fromarray(COLORS)))
    np.testing.assert_array_equal(image, COLORS)
    image[0] = 0  # writable


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    source = Image.fromarray(COLORS).convert(mode)
    image = images.read_image(_save(tmp_path / f"a.{suffix}", source))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.array(source.convert("RGB")))


def test_transparent_palette_is_read_without_a_warning(tmp_path: Path) -> None:
    source = Image.fromarray(COLORS).convert("P")
    path = _save(tmp_path / "a.png", source, transparency=bytes(range(256)))
    np.testing.assert_array_equal(images.read_image(path), np.array(source.convert("RGB")))


@pytest.mark.parametrize(
    "reader", [images.read_image, label_files.read_label_ids, label_files.read_rgb16_ids]
)
def test_faulty_files(tmp_path: Path, reader) -> None:
    whole = _save(tmp_path / "whole.png", Image.fromarray(COLORS[..., 0])).read_bytes()
    files = {
        "truncated.png": whole[: len(whole) // 2],
        "text.png": b"not an image",
        "empty.png": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            reader(tmp_path / name)
    with pytest.raises(UserError, match=r"missing\.png: no such file"):
        reader(tmp_path / "missing.png")


def test_every_truncation_is_found(tmp_path: Path) -> None:
    whole = _save(tmp_path / "whole.png", Image.fromarray(COLORS)).read_bytes()
    path = tmp_path / "part.png"
    # The last 12 bytes are the end mark, without which all pixels are still there.
    for length in range(0, len(whole) - 12, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"part\.png"):
            images.read_image(path)


def test_too_large_an_image_is_refused_before_decoding(tmp_path, monkeypatch) -> None:
    path = _save(tmp_path / "large.png", Image.fromarray(COLORS))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 599)
    with pytest.raises(UserError, match=r"large\.png: too large \(30x20 pixels\): .* most 599 "):
        images.read_image(path)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 600)
    images.read_image(path)


def test_decompression_bomb(tmp_path, monkeypatch) -> None:
    path = _save(tmp_path / "bomb.png", Image.fromarray(COLORS))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"bomb\.png"):
        images.read_image(path)


def test_sixteen_bit_images_are_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "deep.png", Image.fromarray(np.full((4, 4), 300, np.uint16)))
    with pytest.raises(UserError, match=r"deep\.png: 8 bits"):
        images.read_image(path)
    with pytest.raises(UserError, match=r"deep\.png: ids expected"):
        label_files.read_label_ids(path)


def test_labels_of_a_palette_image_are_its_indices(tmp_path: Path) -> None:
    ids = RNG.integers(0, 35, (20, 30), np.uint8)
    label = Image.fromarray(ids)
    label.putpalette(RNG.integers(0, 256, 768, np.uint8).tobytes())
    assert label.mode == "P"
    np.testing.assert_array_equal(label_files.read_label_ids(_save(tmp_path / "p.png", label)), ids)


def test_colored_labels_are_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "rgb.png", Image.fromarray(COLORS))
    with pytest.raises(UserError, match=r"rgb\.png: ids expected, found an RGB image"):
        label_files.read_label_ids(path)


def test_both_bytes_of_16_bit_rgb(tmp_path: Path) -> None:
    channels = RNG.integers(0, 65536, (20, 30, 3))
    path = write_rgb16(tmp_path / "deep.png", channels)
    ids = label_files.read_rgb16_ids(path)
    assert ids.dtype == np.uint16
    np.testing.assert_array_equal(ids, channels[..., 0])
    # The trap: what Pillow gives by itself.
    np.testing.assert_array_equal(np.array(Image.open(path)), channels >> 8)


def test_truncated_16_bit_rgb(tmp_path: Path) -> None:
    whole = write_rgb16(tmp_path / "whole.png", RNG.integers(0, 65536, (20, 30, 3))).read_bytes()
    path = tmp_path / "part.png"
    for length in (0, 20, 33, 40, 60, *range(100, len(whole) - 12, 97)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"part\.png: not a readable image"):
            label_files.read_rgb16_ids(path)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (Image.fromarray(COLORS), "an 8-bit RGB image"),
        (Image.fromarray(COLORS).convert("RGBA"), "an image of mode 'RGBA'"),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), "an image of mode 'I;16'"),
    ],
)
def test_other_images_than_16_bit_rgb(tmp_path: Path, image: Image.Image, kind: str) -> None:
    path = _save(tmp_path / "a.png", image)
    with pytest.raises(UserError, match=rf"a\.png: a 16-bit RGB PNG .* found {kind}"):
        label_files.read_rgb16_ids(path)


def test_pair_of_two_sizes() -> None:
    label, remarks = images.fit_label(Photo(COLORS), COLORS[..., 0], "a.png", "b.png")
    assert (label == COLORS[..., 0]).all()
    assert remarks == ()
    for wrong in (COLORS[:, 1:, 0], COLORS[..., 0].T):
        with pytest.raises(UserError, match=r"a\.png has 30x20 .* b\.png has (29x20|20x30)"):
            images.fit_label(Photo(COLORS), wrong, "a.png", "b.png")


def test_map_ids() -> None:
    lookup = id_lookup({4: 0, 5: 1, 6: IGNORE, 9: 2})
    ids = np.array([[4, 9], [6, 5]], np.uint8)
    mapped = label_files.map_ids(ids, lookup, "a.png")
    assert mapped.dtype == np.uint8
    assert mapped.tolist() == [[0, 2], [IGNORE, 1]]
    ids[0, 0] = 7
    with pytest.raises(UserError, match=r"a\.png: unknown label id 7; known ids are 4-6, 9\."):
        label_files.map_ids(ids, lookup, "a.png")


def test_map_ids_beyond_the_table() -> None:
    with pytest.raises(UserError, match="unknown label id 300"):
        label_files.map_ids(np.array([[300]], np.uint16), id_lookup({0: 0}), "a.png")


def test_resize() -> None:
    image = images.resize_image(COLORS, (10, 60))
    assert image.shape == (10, 60, 3)
    label = RNG.choice(np.array([3, 255], np.uint8), (20, 30))
    small = images.resize_label(label, (7, 11))
    assert small.shape == (7, 11)
    assert set(np.unique(small)) == {3, 255}
    flat = np.full((20, 30, 3), 77, np.uint8)
    assert (images.resize_image(flat, (9, 9)) == 77).all()


# By EXIF orientation: where the first row and the first column of a file lie in the scene.
ORIENTATIONS = {
    **{1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left"},
    **{5: "left top", 6: "right top", 7: "right bottom", 8: "left bottom"},
}


def _stored(scene: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels `[H, W, ...]` of a scene as a camera that is held so stores them."""
    rows, columns = ORIENTATIONS[orientation].split()
    if rows in ("left", "right"):
        scene = np.swapaxes(scene, 0, 1)
    if rows in ("bottom", "right"):
        scene = scene[::-1]
    return scene[:, ::-1] if columns in ("bottom", "right") else scene


def _pair(folder: Path, orientation: int, *, label_as_stored: bool, suffix: str = ".png"):
    """An example whose image and label are the same picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene = COLORS[..., 0] // 2
    pixels = np.repeat(_stored(scene, orientation)[..., None], 3, -1)
    image = folder / f"{orientation}{suffix}"
    Image.fromarray(np.ascontiguousarray(pixels)).save(image, exif=exif)
    label = _stored(scene, orientation) if label_as_stored else scene
    Image.fromarray(np.ascontiguousarray(label)).save(folder / f"{orientation}_label.png")
    lookup = id_lookup({i: i for i in range(256)})
    return FileExample("a", image, folder / f"{orientation}_label.png", lookup)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    example = _pair(tmp_path, orientation, label_as_stored=False, suffix=suffix)
    photo = images.read_photo(example.image_path)
    np.testing.assert_array_equal(photo.pixels[..., 0], COLORS[..., 0] // 2)
    assert photo.orientation == orientation


@pytest.mark.parametrize("label_as_stored", [False, True])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_label_lies_on_the_upright_photo(
    tmp_path: Path, orientation: int, label_as_stored: bool
) -> None:
    """One that fits both ways is taken to have been drawn there, and that is said."""
    example = _pair(tmp_path, orientation, label_as_stored=label_as_stored)
    image, label, remarks = example.load()
    exchanged = orientation >= 5
    if exchanged or not label_as_stored:
        np.testing.assert_array_equal(image[..., 0], label)
    expected = images.AS_STORED if label_as_stored else images.UPRIGHT
    expected = expected if exchanged else images.EITHER_WAY
    assert remarks == (() if orientation == 1 else (expected,))
    checked = check_pair(example)
    assert checked.problems == ()
    assert tuple(checked.counts.remarks) == remarks


def test_label_of_a_square_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLORS[:, :20]).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(COLORS[:, :20, 0]).save(tmp_path / "a.png")
    example = FileExample(
        "a", tmp_path / "a.jpg", tmp_path / "a.png", id_lookup(dict.fromkeys(range(256), 0))
    )
    assert example.load().remarks == (images.EITHER_WAY,)


def test_label_with_an_orientation_is_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in (".png", ".tiff"):
        Image.fromarray(COLORS[..., 0]).save(tmp_path / f"a{suffix}", exif=exif)
        with pytest.raises(UserError, match=r"a\.\w+: a label map with an EXIF orientation \(6\)"):
            label_files.read_label_ids(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".jfif", ".gif", ".tiff", ".avif", ".webp"])
def test_kinds_of_photos(tmp_path: Path, suffix: str) -> None:
    if suffix not in decoding.PHOTO_SUFFIXES:
        pytest.skip("this Pillow does not read them")
    grey = Image.new("RGB", (30, 20), (90, 90, 90))
    kind = "JPEG" if suffix == ".jfif" else None
    grey.save(tmp_path / f"a{suffix}", kind)
    image = images.read_image(tmp_path / f"a{suffix}")
    assert image.shape == (20, 30, 3)
    assert abs(image.astype(int) - 90).max() <= 1


def test_of_an_animation_the_first_picture(tmp_path: Path) -> None:
    """GIFs alone; another animation is refused, and so is an animated label."""
    frames = [Image.fromarray(np.full((20, 30), value, np.uint8)) for value in (7, 9)]
    path = _save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (images.read_image(path) == 7).all()
    with pytest.raises(UserError, match=r"a\.gif: one picture expected, found 2"):
        label_files.read_label_ids(path)
    path = _save(tmp_path / "a.png", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=r"a\.png: one picture expected, found 2"):
        images.read_image(path)
