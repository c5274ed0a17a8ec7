"""Pictures from small arrays whose pixels are known."""

from __future__ import annotations

import numpy as np

from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.evaluation import pictures


def test_colorize():
    label_set = LABEL_SETS["camvid"]
    labels = np.array([[0, 10], [255, 3]], np.uint8)
    found = pictures.colorize(labels, label_set.palette)
    assert found.dtype == np.uint8
    colors = [label.color for label in label_set.classes]
    np.testing.assert_array_equal(found, [[colors[0], colors[10]], [(0, 0, 0), colors[3]]])


def test_overlay():
    image = np.full((1, 2, 3), 200, np.uint8)
    colors = np.array([[[0, 100, 255], [200, 200, 200]]], np.uint8)
    found = pictures.overlay(image, colors, opacity=0.25)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[[150, 175, 214], [200, 200, 200]]])
    np.testing.assert_array_equal(pictures.overlay(image, colors, opacity=0), image)
    np.testing.assert_array_equal(pictures.overlay(image, colors, opacity=1), colors)


def test_confidence_map():
    found = pictures.confidence_map(np.array([[0.0, 0.5, 1.0, 1.0001]], np.float32))
    assert found.dtype == np.uint8
    assert found.shape == (1, 4, 3)
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[0, 1].tolist() == [128, 128, 128]
    assert found[0, 2].tolist() == found[0, 3].tolist() == [255, 255, 255]


def test_row_and_column():
    black, grey = np.zeros((5, 6, 3), np.uint8), np.full((5, 6, 3), 90, np.uint8)
    row = pictures.row([black, grey])
    assert row.shape[0] == 5
    np.testing.assert_array_equal(row[:, :6], black)
    np.testing.assert_array_equal(row[:, -6:], grey)
    assert row.shape[1] > 12
    assert (row[:, 6:-6] == 255).all()

    column = pictures.column([row, row])
    np.testing.assert_array_equal(column[:5], row)
    np.testing.assert_array_equal(column[-5:], row)
    assert (column[5:-5] == 255).all()
    assert column.dtype == np.uint8


def test_one_picture_alone():
    black = np.zeros((5, 6, 3), np.uint8)
    np.testing.assert_array_equal(pictures.column([pictures.row([black])]), black)


def test_overlay_of_a_tall_picture() -> None:
    """It is mixed in strips of rows."""
    image, colors = np.random.default_rng(0).integers(0, 256, (2, 600, 3, 3), np.uint8)
    expected = np.rint(0.7 * image.astype(np.float32) + 0.3 * colors.astype(np.float32))
    np.testing.assert_array_equal(pictures.overlay(image, colors, opacity=0.3), expected)
