"""What the documents point to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


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
