"""The report's plots as inline SVG: element trees, so that no text can break out of its place.

Colours come from the page's CSS variables (`--model`, `--chance`, ...), so that one SVG serves light and dark pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from recipe.evaluating.results import BASELINE, CHANCE, MODEL, REFERENCES, SYSTEMS

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


def between_chance_and_references(rows: Sequence[Mapping[str, Any]]) -> Element:
    """Dots with intervals on a scale on which chance is 0 and the references get 1.

    Each row has `label` and `cells`: system → `value`, and perhaps `low` and `high`. Rows in which references and
    chance do not differ have no such scale: leave them out.
    """
    left, right, top, step = 200, 40, 34, 30
    height = top + step * len(rows) + 8
    svg = _svg(height, "Figures on a scale from chance (0) to the references (1)")
    span = WIDTH - left - right

    def x_of(position: float) -> float:
        return left + span * (min(max(position, -0.25), 1.5) + 0.25) / 1.75

    for position, name in ((0.0, CHANCE), (1.0, REFERENCES)):
        svg.append(_line(x_of(position), top - 8, x_of(position), height - 4, f"axis {name}"))
        svg.append(_text(x_of(position), top - 16, name, "middle", f"label {name}"))
    for number, row in enumerate(rows):
        y = top + step * number + step / 2
        cells = row["cells"]
        zero, one = cells[CHANCE]["value"], cells[REFERENCES]["value"]
        svg.append(_text(left - 12, y + 4, row["label"], "end", "label"))
        svg.append(_line(left, y, WIDTH - right, y, "grid"))
        for name in (BASELINE, MODEL):
            if name in cells:
                scaled = {key: (cells[name][key] - zero) / (one - zero) for key in ("value", "low", "high")}
                svg.append(_line(x_of(scaled["low"]), y, x_of(scaled["high"]), y, f"whisker {name}"))
                dot = SubElement(svg, "circle", {"cx": f"{x_of(scaled['value']):.1f}", "cy": f"{y:.1f}", "r": "6"})
                dot.set("class", f"dot {name}")
                dot.append(element("title", f"{row['label']}: {cells[name]['value']:.2f}"))
    return svg


def histogram(edges: Sequence[float], shares: Mapping[str, Sequence[float]], axis_label: str) -> Element:
    """One stepped area for each system over common bins; `shares` are fractions of its lines."""
    height, left, bottom, top = 230, 46, 42, 12
    svg = _svg(height, axis_label)
    highest = max(max(values) for values in shares.values()) or 1.0
    bin_width = (WIDTH - left - 12) / (len(edges) - 1)

    def y_of(share: float) -> float:
        return height - bottom - (height - bottom - top) * share / highest

    for share in (0.0, highest / 2, highest):
        svg.append(_line(left, y_of(share), WIDTH - 12, y_of(share), "grid"))
        svg.append(_text(left - 6, y_of(share) + 4, f"{100 * share:.0f}%", "end", "tick"))
    for name in reversed(list(SYSTEMS)):
        if name not in shares:
            continue
        points = [f"{left:.1f},{y_of(0):.1f}"]
        for number, share in enumerate(shares[name]):
            start = left + bin_width * number
            points += [f"{start:.1f},{y_of(share):.1f}", f"{start + bin_width:.1f},{y_of(share):.1f}"]
        points.append(f"{WIDTH - 12:.1f},{y_of(0):.1f}")
        svg.append(element("polyline", element("title", name), points=" ".join(points), class_=f"area {name}"))
    for number in range(0, len(edges), max(1, (len(edges) - 1) // 6)):
        svg.append(_text(left + bin_width * number, height - bottom + 16, f"{edges[number]:.1f}", "middle", "tick"))
    svg.append(_text((left + WIDTH) / 2, height - 6, axis_label, "middle", "label"))
    return svg


def bars(labels: Sequence[str], values: Sequence[float | None], title: str, unit: str) -> Element:
    """Small bars with their values, one for each label; None leaves a gap."""
    width, height, top, bottom = 320, 180, 46, 26
    svg = _svg(height, title, width)
    svg.append(_text(8, 16, f"{title}{f' ({unit})' if unit else ''}", "start", "label"))
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    scale = (height - top - bottom) / ((high - low) or 1.0)
    zero = top + high * scale
    step = (width - 16) / max(len(labels), 1)
    svg.append(_line(8, zero, width - 8, zero, "grid"))
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        middle = 8 + step * (number + 0.5)
        svg.append(_text(middle, height - 6, label, "middle", "tick"))
        if value is None:
            continue
        end = zero - value * scale
        svg.append(
            element(
                "rect",
                x=f"{middle - step * 0.36:.1f}",
                y=f"{min(zero, end):.1f}",
                width=f"{step * 0.72:.1f}",
                height=f"{max(abs(end - zero), 0.5):.1f}",
                rx=2,
                class_="bar model",
            )
        )
        above = min(zero, end) - 4
        svg.append(_text(middle, above, f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}", "middle", "tick"))
    return svg


def intervals(rows: Sequence[tuple[str, str, Mapping[str, Any]]], title: str, low: float, high: float) -> Element:
    """A dot with its interval for each row, on one scale from `low` to `high`.

    Each row is a label, the system whose colour it takes (others take a colour of their own), and a cell with `value`,
    perhaps with `low` and `high`; a value of None leaves its row empty.
    """
    left, right, top, step = 200, 60, 40, 26
    height = top + step * len(rows) + 12
    svg = _svg(height, title)
    svg.append(_text(8, 16, title, "start", "label"))

    def x_of(value: float) -> float:
        return left + (WIDTH - left - right) * (min(max(value, low), high) - low) / ((high - low) or 1.0)

    for mark in (low, (low + high) / 2, high):
        svg.append(_line(x_of(mark), top - 6, x_of(mark), height - 8, "axis"))
        svg.append(_text(x_of(mark), top - 10, f"{mark:g}", "middle", "tick"))
    for number, (label, system, cell) in enumerate(rows):
        y = top + step * number + step / 2
        svg.append(_text(left - 12, y + 4, label if len(label) <= 26 else label[:25] + "…", "end", "label"))
        if cell["value"] is None:
            continue
        name = system if system in SYSTEMS else "other"
        if cell.get("low") is not None and cell.get("high") is not None:
            svg.append(_line(x_of(cell["low"]), y, x_of(cell["high"]), y, f"whisker {name}"))
        dot = SubElement(svg, "circle", {"cx": f"{x_of(cell['value']):.1f}", "cy": f"{y:.1f}", "r": "5"})
        dot.set("class", f"dot {name}")
        dot.append(element("title", f"{label}: {cell['value']:.2f}"))
        svg.append(_text(WIDTH - 8, y + 4, f"{cell['value']:.2f}", "end", "tick"))
    return svg


def _svg(height: float, title: str, width: float = WIDTH) -> Element:
    return element(
        "svg",
        element("title", title),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
    )


def _line(x1: float, y1: float, x2: float, y2: float, classes: str) -> Element:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=classes)


def _text(x: float, y: float, text: str, anchor: str, classes: str) -> Element:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=classes)
