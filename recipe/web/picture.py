"""A couplet as a picture: two vertical red scrolls as people hang them, the upper line on the right. Plain SVG.

The page shows this very picture and saves it. It names fonts and holds none, so it is drawn with what the viewer has.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from recipe.couplet.form import is_punctuation
from recipe.couplet.tones import Tone, ToneSystem, choose_system, tone_of

# Brush scripts first, then regular script as print has it, then whatever serifs there are: macOS, Windows, Linux.
FONTS = (
    "'Xingkai SC', STXingkai, 'Kaiti SC', STKaiti, KaiTi, 'LXGW WenKai', 'TW-Kai', 'AR PL UKai CN', "
    "'Noto Serif CJK SC', 'Source Han Serif SC', 'Songti SC', SimSun, serif"
)
TONE_NAMES = {Tone.LEVEL: "平", Tone.OBLIQUE: "仄", Tone.EITHER: "中"}
# Lengths in units of the picture. A character's cell, a mark's lower one; the paper around a column.
CELL, MARK_CELL, SIDE, END = 92, 46, 34, 44
ROD, ROD_OVERHANG, GAP, MARGIN, CORD = 18, 12, 96, 40, 40
HEADING_CELL = 84
# Long lines hang in several columns.
MOST_IN_COLUMN = 14
_PAPER, _PAPER_EDGE, _INK, _GOLD, _WOOD = "#b2201d", "#8f1413", "#ffe7b0", "#e7b65c", "#3d2215"


def couplet_svg(upper: str, lower: str, heading: str = "") -> str:
    """Return the picture of a couplet, with a heading (横批) over it where there is one, as a whole SVG document.

    The tones of characters are in it too, in elements of class `tone`, hidden until the page shows them.
    """
    system = choose_system(upper)
    lines = [_columns(upper), _columns(lower)]
    paper_height = max(sum(map(_cell, column)) for column in itertools.chain(*lines)) + 2 * END
    widths = [len(columns) * CELL + 2 * SIDE for columns in lines]
    top = MARGIN + CORD + (HEADING_CELL + 2 * SIDE + GAP // 2 if heading else 0)
    width = sum(widths) + GAP + 2 * (MARGIN + ROD_OVERHANG)
    if heading:
        width = max(width, len(heading) * HEADING_CELL + 2 * END + 2 * MARGIN)
    height = top + paper_height + 2 * ROD + MARGIN
    svg = _picture(width, height, f"上联：{upper}　下联：{lower}" + (f"　横批：{heading}" if heading else ""))
    if heading:
        _draw_heading(svg, heading, width / 2)
    # The upper line hangs on the right: Chinese was read from there.
    left = (width - sum(widths) - GAP) / 2
    _draw_scroll(svg, lines[1], left, top, widths[1], paper_height, system)
    _draw_scroll(svg, lines[0], left + widths[1] + GAP, top, widths[0], paper_height, system)
    return tostring(svg, encoding="unicode")


def _columns(line: str) -> list[str]:
    """Return a line in columns of like length; no mark begins one."""
    count = -(-len(line) // MOST_IN_COLUMN)
    length = -(-len(line) // count)
    columns: list[str] = []
    for char in line:
        if not columns or (len(columns[-1]) >= length and not is_punctuation(char)):
            columns.append("")
        columns[-1] += char
    return columns


def _cell(char: str) -> int:
    return MARK_CELL if is_punctuation(char) else CELL


def _picture(width: float, height: float, title: str) -> Element:
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width:g}",
            "height": f"{height:g}",
            "role": "img",
            "aria-label": title,
            "class": "couplet-picture",
        },
    )
    SubElement(svg, "title").text = title
    style = ".tone { visibility: hidden } .couplet-picture.with-tones .tone { visibility: visible }"
    SubElement(svg, "style").text = style
    return svg


def _draw_scroll(
    svg: Element,
    columns: Sequence[str],
    left: float,
    top: float,
    width: float,
    paper_height: float,
    system: ToneSystem,
) -> None:
    middle = left + width / 2
    nail = top - CORD
    _add(svg, "path", d=f"M{left + 24:g} {top:g} L{middle:g} {nail:g} L{left + width - 24:g} {top:g}", fill="none",
         stroke=_WOOD, stroke_width=3)  # fmt: skip
    _add(svg, "circle", cx=middle, cy=nail, r=6, fill=_WOOD)
    _draw_paper(svg, left, top + ROD / 2, width, paper_height + ROD, "".join(columns))
    for rod_top in (top, top + paper_height + ROD):
        _draw_rod(svg, left, rod_top, width)
    for number, column in enumerate(columns):
        x = left + width - SIDE - CELL * (number + 0.5)  # from right to left
        y = top + ROD + END
        for char in column:
            _draw_character(svg, char, x, y, system)
            y += _cell(char)


def _draw_paper(svg: Element, left: float, top: float, width: float, height: float, seed: str) -> None:
    """Draw red paper with a double border and flecks of gold, the same ones for the same line."""
    _add(svg, "rect", x=left, y=top, width=width, height=height, fill=_PAPER)
    draw = random.Random(seed)
    for _ in range(int(width * height / 1500)):
        x, y = left + width * draw.random(), top + height * draw.random()
        _add(svg, "circle", cx=x, cy=y, r=0.8 + 1.5 * draw.random(), fill=_GOLD, opacity=0.16 + 0.3 * draw.random())
    for inset, thickness in ((7, 3), (13, 1)):
        _add(svg, "rect", x=left + inset, y=top + inset, width=width - 2 * inset, height=height - 2 * inset,
             fill="none", stroke=_GOLD, stroke_width=thickness, opacity=0.75)  # fmt: skip


def _draw_rod(svg: Element, left: float, top: float, width: float) -> None:
    _add(svg, "rect", x=left - ROD_OVERHANG, y=top, width=width + 2 * ROD_OVERHANG, height=ROD, rx=5, fill=_WOOD)
    for end in (left - ROD_OVERHANG, left + width + ROD_OVERHANG - 8):
        _add(svg, "rect", x=end, y=top - 2, width=8, height=ROD + 4, rx=3, fill=_GOLD)


def _draw_character(svg: Element, char: str, x: float, y: float, system: ToneSystem) -> None:
    """Draw a character in the cell below `y`, or a mark at the right of its cell, where vertical writing has it."""
    if is_punctuation(char):
        _text(svg, char, x + CELL * 0.16, y + MARK_CELL * 0.62, CELL * 0.52)
        return
    _text(svg, char, x, y + CELL * 0.82, CELL * 0.86)
    _text(svg, TONE_NAMES[tone_of(char, system)], x + CELL * 0.56, y + CELL * 0.34, CELL * 0.26, "tone")


def _draw_heading(svg: Element, heading: str, middle: float) -> None:
    """Draw a heading from right to left on paper of its own, hung without rods."""
    width, height = len(heading) * HEADING_CELL + 2 * END, HEADING_CELL + 2 * SIDE
    left = middle - width / 2
    _draw_paper(svg, left, MARGIN / 2, width, height, heading)
    for number, char in enumerate(heading):
        x = left + width - END - HEADING_CELL * (number + 0.5)
        _text(svg, char, x, MARGIN / 2 + SIDE + HEADING_CELL * 0.82, HEADING_CELL * 0.86)


def _text(svg: Element, text: str, x: float, y: float, size: float, kind: str = "") -> None:
    shown: dict[str, str | float] = {
        "x": x,
        "y": y,
        "font_size": size,
        "font_family": FONTS,
        "text_anchor": "middle",
        "fill": _INK,
    }
    _add(svg, "text", **shown, **({"class_": kind} if kind else {})).text = text


def _add(svg: Element, tag: str, **attributes: str | float) -> Element:
    values = {
        name.rstrip("_").replace("_", "-"): f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in attributes.items()
    }
    return SubElement(svg, tag, values)
