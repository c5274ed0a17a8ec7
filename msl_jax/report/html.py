"""HTML as a tree of the standard library's elements, which escapes all text when it is written."""

from __future__ import annotations

import base64
from xml.etree import ElementTree
from xml.etree.ElementTree import Element


def element(tag: str, *children: Element | str | None, **attributes: str | float) -> Element:
    """An element of HTML or SVG.

    Args:
        tag: its name.
        children: elements and text in order; None is left out.
        attributes: an underscore stands for a hyphen, one at the end for nothing, so that
            ``class_`` and ``aria_label`` can be written.

    >>> render(element("p", "1 < 2, ", element("b", "really"), "!", class_="note"))
    '<p class="note">1 &lt; 2, <b>really</b>!</p>'
    """
    names = {key.removesuffix("_").replace("_", "-"): str(v) for key, v in attributes.items()}
    parent = Element(tag, names)
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif child and len(parent):
            parent[-1].tail = (parent[-1].tail or "") + child
        elif child:
            parent.text = (parent.text or "") + child
    return parent


def render(root: Element) -> str:
    """The element as HTML."""
    return ElementTree.tostring(root, encoding="unicode", method="html")


def data_uri(content: bytes, kind: str) -> str:
    """Content that lies in its own address; `kind` is a MIME type such as ``image/png``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
