"""The report's pictures of what a method trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from html_pages import read_page
from PIL import Image

from msl_jax.report.made_images import made_images
from msl_jax.report.page import page


def test_pictures_of_made_images_alone(tmp_path: Path, report) -> None:
    assert made_images(tmp_path) == []
    assert 'id="made"' not in page(report)
    (tmp_path / "pictures").mkdir()
    for name in ("adapt_mixed", "adapt_source", "adapt_target", "source_target"):
        Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(tmp_path / "pictures" / f"{name}.png")
    (tmp_path / "pictures" / "adapt_masked.png").write_bytes(b"cut off")
    root = read_page(page(report._replace(made=made_images(tmp_path)))).one("section", id="made")
    (shown,) = root.find("figure")
    assert shown.one("figcaption").text == "mixed: image, label, weight in the loss (white: 1)"
    assert shown.one("img").attributes["src"].startswith("data:image/webp;base64,")
