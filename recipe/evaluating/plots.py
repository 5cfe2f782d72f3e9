"""The report's plots, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from recipe.evaluating.results import BASELINE, CHANCE, MODEL, REFERENCES, SYSTEMS
from recipe.language import _
from recipe.svg import WIDTH, element, frame, line, text


def drawn(plot: Element) -> Markup:
    """Return a plot, which escapes its own texts, as markup."""
    return Markup(tostring(plot, encoding="unicode", method="html"))


def between_chance_and_references(rows: Sequence[Mapping[str, Any]]) -> Element:
    """Dots with intervals on a scale on which chance is 0 and the references get 1.

    Each row has `label` and `cells`: system → `value`, and perhaps `low` and `high`. Rows in which references and
    chance do not differ have no such scale: leave them out.
    """
    left, right, top, step = 200, 40, 34, 30
    height = top + step * len(rows) + 8
    svg = frame(height, _("Figures on a scale from chance (0) to the references (1)"))
    span = WIDTH - left - right

    def x_of(position: float) -> float:
        return left + span * (min(max(position, -0.25), 1.5) + 0.25) / 1.75

    for position, name in ((0.0, CHANCE), (1.0, REFERENCES)):
        svg.append(line(x_of(position), top - 8, x_of(position), height - 4, f"axis {name}"))
        svg.append(text(x_of(position), top - 16, _(SYSTEMS[name]), "middle", f"label {name}"))
    for number, row in enumerate(rows):
        y = top + step * number + step / 2
        cells = row["cells"]
        zero, one = cells[CHANCE]["value"], cells[REFERENCES]["value"]
        svg.append(text(left - 12, y + 4, row["label"], "end", "label"))
        svg.append(line(left, y, WIDTH - right, y, "grid"))
        for name in (BASELINE, MODEL):
            if name in cells:
                scaled = {key: (cells[name][key] - zero) / (one - zero) for key in ("value", "low", "high")}
                svg.append(line(x_of(scaled["low"]), y, x_of(scaled["high"]), y, f"whisker {name}"))
                dot = SubElement(svg, "circle", {"cx": f"{x_of(scaled['value']):.1f}", "cy": f"{y:.1f}", "r": "6"})
                dot.set("class", f"dot {name}")
                dot.append(element("title", f"{row['label']}: {cells[name]['value']:.2f}"))
    return svg


def histogram(edges: Sequence[float], shares: Mapping[str, Sequence[float]], axis_label: str) -> Element:
    """One stepped area for each system over common bins; `shares` are fractions of its lines."""
    height, left, bottom, top = 230, 46, 42, 12
    svg = frame(height, axis_label)
    highest = max(max(values) for values in shares.values()) or 1.0
    bin_width = (WIDTH - left - 12) / (len(edges) - 1)

    def y_of(share: float) -> float:
        return height - bottom - (height - bottom - top) * share / highest

    for share in (0.0, highest / 2, highest):
        svg.append(line(left, y_of(share), WIDTH - 12, y_of(share), "grid"))
        svg.append(text(left - 6, y_of(share) + 4, f"{100 * share:.0f}%", "end", "tick"))
    for name in reversed(list(SYSTEMS)):
        if name not in shares:
            continue
        points = [f"{left:.1f},{y_of(0):.1f}"]
        for number, share in enumerate(shares[name]):
            start = left + bin_width * number
            points += [f"{start:.1f},{y_of(share):.1f}", f"{start + bin_width:.1f},{y_of(share):.1f}"]
        points.append(f"{WIDTH - 12:.1f},{y_of(0):.1f}")
        svg.append(
            element("polyline", element("title", _(SYSTEMS[name])), points=" ".join(points), class_=f"area {name}")
        )
    for number in range(0, len(edges), max(1, (len(edges) - 1) // 6)):
        svg.append(text(left + bin_width * number, height - bottom + 16, f"{edges[number]:.1f}", "middle", "tick"))
    svg.append(text((left + WIDTH) / 2, height - 6, axis_label, "middle", "label"))
    return svg


def bars(labels: Sequence[str], values: Sequence[float | None], title: str, unit: str) -> Element:
    """Small bars with their values, one for each label; None leaves a gap."""
    width, height, top, bottom = 320, 180, 46, 26
    svg = frame(height, title, width)
    svg.append(text(8, 16, f"{title}{f' ({unit})' if unit else ''}", "start", "label"))
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    scale = (height - top - bottom) / ((high - low) or 1.0)
    zero = top + high * scale
    step = (width - 16) / max(len(labels), 1)
    svg.append(line(8, zero, width - 8, zero, "grid"))
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        middle = 8 + step * (number + 0.5)
        svg.append(text(middle, height - 6, label, "middle", "tick"))
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
        svg.append(text(middle, above, f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}", "middle", "tick"))
    return svg


def intervals(rows: Sequence[tuple[str, str, Mapping[str, Any]]], title: str, low: float, high: float) -> Element:
    """A dot with its interval for each row, on one scale from `low` to `high`.

    Each row is a label, the system whose colour it takes (others take a colour of their own), and a cell with `value`,
    perhaps with `low` and `high`; a value of None leaves its row empty.
    """
    left, right, top, step = 200, 60, 40, 26
    height = top + step * len(rows) + 12
    svg = frame(height, title)
    svg.append(text(8, 16, title, "start", "label"))

    def x_of(value: float) -> float:
        return left + (WIDTH - left - right) * (min(max(value, low), high) - low) / ((high - low) or 1.0)

    for mark in (low, (low + high) / 2, high):
        svg.append(line(x_of(mark), top - 6, x_of(mark), height - 8, "axis"))
        svg.append(text(x_of(mark), top - 10, f"{mark:g}", "middle", "tick"))
    for number, (label, system, cell) in enumerate(rows):
        y = top + step * number + step / 2
        svg.append(text(left - 12, y + 4, label if len(label) <= 26 else label[:25] + "…", "end", "label"))
        if cell["value"] is None:
            continue
        name = system if system in SYSTEMS else "other"
        if cell.get("low") is not None and cell.get("high") is not None:
            svg.append(line(x_of(cell["low"]), y, x_of(cell["high"]), y, f"whisker {name}"))
        dot = SubElement(svg, "circle", {"cx": f"{x_of(cell['value']):.1f}", "cy": f"{y:.1f}", "r": "5"})
        dot.set("class", f"dot {name}")
        dot.append(element("title", f"{label}: {cell['value']:.2f}"))
        svg.append(text(WIDTH - 8, y + 4, f"{cell['value']:.2f}", "end", "tick"))
    return svg
