"""What the documents point to exists."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_python_of_the_readme() -> None:
    """All of it, in order, with arrays that it calls by name."""
    rng = np.random.default_rng(0)
    final, low = rng.normal(0, 3, (2, 1, 16, 16, 19)).astype(np.float32)
    names = {
        **{"logits": final, "final": final, "low": low},
        "images": rng.integers(0, 256, (1, 64, 64, 3), np.uint8),
        "labels": rng.integers(0, 19, (1, 64, 64), np.uint8),
    }
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert set(names["metrics"]) == {"source/final", "target/final"}
    assert int(names["state"].step) == 1


def test_tests_named_as_evidence() -> None:
    """`tests/FILE::NAME`, or `::NAME` for another test of the file named last."""
    text, path, found = (ROOT / "docs" / "reliability.md").read_text(), Path(), 0
    for file, names in re.findall(r"`(tests/[\w/]+\.py)?((?:::\w+)*)`", text):
        if not (file or names):
            continue
        path = ROOT / file if file else path
        source = path.read_text()
        for name in names.split("::")[1:]:
            found += 1
            assert re.search(rf"(def|class) {name}\b", source), f"{path.name}::{name}"
    assert found > 50
