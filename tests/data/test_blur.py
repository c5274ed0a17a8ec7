"""The blur is Pillow's, to the last bit."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image, ImageFilter

from msl_jax.data import blur
from msl_jax.data.blur import gaussian_blur

RNG = np.random.default_rng(0)
RADII = [0.0, 1e-30, 1e-3, 0.5, np.nextafter(1, 0).item(), 1.0, *RNG.random(500).tolist()]


def _pillow(image: np.ndarray, radius: float) -> np.ndarray:
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def test_noise_at_many_radii() -> None:
    # Steps of all heights next to each other: 10,000 pixels meet nearly all sums of neighbours.
    image = RNG.integers(0, 256, (50, 67, 3), np.uint8)
    image[:25] = image[:25] // 128 * 255
    for radius in RADII:
        assert (gaussian_blur(image, radius) == _pillow(image, radius)).all(), radius


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (8, 1), (2, 3), (720, 1280)])
def test_sizes(shape: tuple[int, int]) -> None:
    image = RNG.integers(0, 256, (*shape, 3), np.uint8)
    image.flags.writeable = False
    for radius in RADII[:12]:
        np.testing.assert_array_equal(gaussian_blur(image, radius), _pillow(image, radius))


def test_street_scenes(camvid_root) -> None:
    frames = sorted((camvid_root / "val").glob("*.png"))[::10]
    assert len(frames) == 3
    for path in frames:
        image = np.array(Image.open(path).convert("RGB"))
        for radius in RNG.random(10).tolist():
            assert (gaussian_blur(image, radius) == _pillow(image, radius)).all(), (path, radius)


def test_flat_image_stays() -> None:
    for value in range(256):
        image = np.full((3, 4, 3), value, np.uint8)
        np.testing.assert_array_equal(gaussian_blur(image, 0.8), image)


def test_from_several_threads() -> None:
    images = RNG.integers(0, 256, (4, 40, 50, 3), np.uint8)
    found = [np.zeros(0)] * 4

    def work(index: int) -> None:
        for _ in range(20):
            found[index] = gaussian_blur(images[index], 0.2 * (index + 1))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, image in enumerate(images):
        np.testing.assert_array_equal(found[index], _pillow(image, 0.2 * (index + 1)))


def test_without_the_host_among_the_devices(monkeypatch) -> None:
    image = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    expected = gaussian_blur(image, 0.7)
    monkeypatch.setattr(blur, "_host", lambda: None)
    np.testing.assert_array_equal(gaussian_blur(image, 0.7), expected)


@pytest.mark.parametrize("radius", [-0.1, 1.01, float("nan")])
def test_radius_out_of_range(radius: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        gaussian_blur(np.zeros((2, 2, 3), np.uint8), radius)
