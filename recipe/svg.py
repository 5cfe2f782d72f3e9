"""Plots and pictures as SVG: element trees, so that no text can break out of its place.

Colours come from the page's CSS variables (`--model`, `--chance`, ...), so that one SVG serves light and dark pages.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

WIDTH = 680


def element(tag: str, *children: Element | str, **attributes: Any) -> Element:
    """Return an element with text and elements as children; `class_` becomes `class`, `text_anchor` `text-anchor`."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + child
        else:
            made.text = (made.text or "") + child
    return made


def frame(height: float, title: str, width: float = WIDTH) -> Element:
    """Return an empty plot; its title is what is read where it cannot be seen."""
    return element(
        "svg",
        element("title", title),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
    )


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> Element:
    """Return a line of a plot; classes give it its looks."""
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=classes)


def text(x: float, y: float, content: str, anchor: str, classes: str) -> Element:
    """Return a text of a plot, anchored at its start, middle or end."""
    return element("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=classes)
