"""What the documents point to exists, and what they show runs."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import msl_jax

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def _anchors(document: Path) -> set[str]:
    """Of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    text = document.read_text()
    found = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for target in found:
        if "://" not in target:
            path, _, anchor = target.partition("#")
            linked = document.parent / path if path else document
            assert linked.exists(), target
            if anchor and linked.suffix == ".md":
                assert anchor in _anchors(linked), target


@pytest.mark.parametrize(("name", "count"), [("README.md", 1), ("docs/library.md", 2)])
def test_python_of_the_documents(name: str, count: int) -> None:
    """All of it, in order, with arrays that it calls by name."""
    rng = np.random.default_rng(0)
    final, low = rng.normal(0, 3, (2, 1, 16, 16, 19)).astype(np.float32)
    names = {
        **{"logits": final, "final": final, "low": low},
        "images": rng.integers(0, 256, (1, 64, 64, 3), np.uint8),
        "labels": rng.integers(0, 19, (1, 64, 64), np.uint8),
    }
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    assert len(blocks) == count
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    if "metrics" in names:
        assert set(names["metrics"]) == {"source/final", "target/final"}
        assert int(names["state"].step) == 1
        assert names["metrics"]["source/final"] > 0  # of labels that no earlier block has changed
    else:
        assert np.isfinite(names["loss"])


def test_data_set_of_the_architecture(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    (block,) = re.findall(r"```python\n((?:(?!```).)*class Idd\(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "architecture.md", "exec"), names)
    image = np.full((4, 6, 3), 90, np.uint8)
    label = np.array([[0, 18, 255] * 2] * 4, np.uint8)
    for folder, pixels in (("leftImg8bit", image), ("gtFine", label)):
        path = tmp_path / folder / "train" / "0" / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path)
    (example,) = names["Idd"](tmp_path).examples("train")
    loaded = example.read()
    np.testing.assert_array_equal(loaded[0], image)
    np.testing.assert_array_equal(loaded[1], label)


def test_the_page_of_the_package_has_no_link_into_a_clone() -> None:
    """As hatch-fancy-pypi-readme makes it of the README."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    page = README.read_text()
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        page = re.sub(rule["pattern"], rule["replacement"], page)
    assert all("://" in target for target in re.findall(r"\]\(([^)]+)\)", page))
    assert "src=" not in page
    assert "pip install -e" in page
    assert "methods run in the same training loop" in page


def test_the_readme_is_short() -> None:
    """Words as `wc -w` counts them, and bytes of all its pictures."""
    assert len(README.read_text().split()) <= 900
    pictures = {ROOT / path for path in re.findall(r'"(docs/images/[^"]+)"', README.read_text())}
    assert len(pictures) == 4
    assert sum(path.stat().st_size for path in pictures) < 500_000


def test_tests_named_as_evidence() -> None:
    """`tests/FILE::NAME`; `::NAME` is another test of the file or class named last."""
    text, path, inside, found = (ROOT / "docs" / "reliability.md").read_text(), Path(), (), 0
    for file, names in re.findall(r"`(tests/[\w/]+\.py)?((?:::\w+)*)`", text):
        if not (file or names):
            continue
        *parents, name = names.split("::")[1:] or [""]
        if file:
            path, inside = ROOT / file, ()
        inside = tuple(parents) or inside
        place: Any = ast.parse(path.read_text())
        for wanted in (*inside, name):
            found += bool(wanted)
            within = {getattr(node, "name", None): node for node in place.body}
            assert not wanted or wanted in within, f"{path.name}::{'::'.join(inside)}::{name}"
            place = within.get(wanted)
    assert found > 50


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (msl_jax.__version__, project["license"])
    paper = citation["preferred-citation"]
    assert f"{{{paper['title']}}}" in README.read_text()
