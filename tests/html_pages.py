"""What is in a page of HTML, for tests."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from html.parser import HTMLParser

_VOID = ("meta", "img", "input", "br", "hr", "link")


@dataclasses.dataclass
class Node:
    """An element: its name, attributes, children and text."""

    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = dataclasses.field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return "".join(parts)

    def find(self, tag: str, **attributes: str) -> Iterator[Node]:
        """Elements below this one in order; names of attributes as in `report.elements`."""
        wanted = {key.removesuffix("_").replace("_", "-"): v for key, v in attributes.items()}
        for child in self.children:
            if isinstance(child, Node):
                if tag in ("*", child.tag) and wanted.items() <= child.attributes.items():
                    yield child
                yield from child.find(tag, **attributes)

    def one(self, tag: str, **attributes: str) -> Node:
        (found,) = self.find(tag, **attributes)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(html: str) -> Node:
    """The document; fails where elements are not closed in order."""
    parser = _Parser()
    parser.feed(html)
    assert parser.open == [parser.root]
    return parser.root


def rows_of(table: Node) -> dict[str, list[str]]:
    """Texts of the cells of a table by the text of the row's first cell."""
    rows = {}
    for row in table.find("tr"):
        first, *cells = [node.text for node in row.children if isinstance(node, Node)]
        rows[first] = cells
    return rows


def expect_self_contained(html: str) -> None:
    """Nothing in the page makes a browser load anything."""
    page = read_page(html)
    for node in page.find("*"):
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            assert node.attributes.get(name, "#").startswith(("#", "data:")), node
        assert node.tag not in ("link", "iframe", "object", "embed", "base")
        assert "url(" not in node.attributes.get("style", "")
    for style in page.find("style"):
        assert not re.search(r"url\(|@import", style.text)
    for script in page.find("script"):
        assert not re.search(r"fetch|XMLHttpRequest|import\b|WebSocket", script.text)
    policy = page.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    sources = {source for rule in policy.split(";") for source in rule.split()[1:]}
    assert policy.startswith("default-src 'none';")
    assert sources == {"'none'", "'unsafe-inline'", "data:"}
