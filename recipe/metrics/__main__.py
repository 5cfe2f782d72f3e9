"""Write the tables of figures in docs/evaluation.md and its Chinese page anew, from what the metrics declare.

python -m recipe.metrics
"""

import re
from collections.abc import Callable
from pathlib import Path

from recipe.files import write_text
from recipe.language import N_, translations
from recipe.metrics.figure import Figure, Group
from recipe.metrics.registry import METRICS
from recipe.templating import code_span, escape_markdown

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"en": DOCS / "evaluation.md", "zh": DOCS / "evaluation.zh-CN.md"}
BEGIN = "<!-- Made by `python -m recipe.metrics`; change the metrics in recipe/metrics/ instead. -->"
END = "<!-- End of what `python -m recipe.metrics` makes. -->"
HEADER = N_("| figure | in `results.json` | unit | better | definition |")
NOT_SHOWN = N_("{figure} (not in the report)")


def tables(language: str) -> str:
    """Return a section for each group of figures, in Markdown, in one of the languages of `PAGES`."""
    translated = translations(language).gettext
    declared = [figure for metric in METRICS for figure in metric.figures]
    return "\n\n".join(
        f"### {translated(group.value)}\n\n{escape_markdown(translated(group.explanation))}\n\n"
        f"{translated(HEADER)}\n|---|---|---|---|---|\n"
        + "\n".join(_row(figure, translated) for figure in declared if figure.group == group)
        for group in Group
    )


def _row(figure: Figure, translated: Callable[[str], str]) -> str:
    label = translated(figure.label)
    label = label if figure.is_shown else translated(NOT_SHOWN).format(figure=label)
    unit = translated(figure.unit) if figure.unit else "–"
    cells = (label, code_span(figure.key), unit, translated(figure.better.value), translated(figure.definition))
    return "| " + " | ".join(cell if cell.startswith("`") else escape_markdown(cell) for cell in cells) + " |"


def with_tables(page: str, language: str) -> str:
    """Return the page with the tables between its two marks made anew."""
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.S)
    made, count = between.subn(lambda _: f"\n{tables(language)}\n\n", page)
    if count != 1:
        raise ValueError(f"{PAGES[language]}: needs the two lines once each:\n{BEGIN}\n{END}")
    return made


if __name__ == "__main__":
    for language, path in PAGES.items():
        write_text(path, with_tables(path.read_text(encoding="utf-8"), language))
        print(f"written: {path}")
