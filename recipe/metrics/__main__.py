"""Write the tables of figures in docs/evaluation.md anew, from what the metrics declare of themselves.

python -m recipe.metrics
"""

import re
from pathlib import Path

from recipe.files import write_text
from recipe.metrics.figure import Figure, Group
from recipe.metrics.registry import METRICS
from recipe.templating import code_span, escape_markdown

PAGE = Path(__file__).parents[2] / "docs/evaluation.md"
BEGIN = "<!-- Made by `python -m recipe.metrics`; change the metrics in recipe/metrics/ instead. -->"
END = "<!-- End of what `python -m recipe.metrics` makes. -->"
HEADER = "| figure | in `results.json` | unit | better | definition |\n|---|---|---|---|---|"


def tables() -> str:
    """Return a section for each group of figures, in Markdown."""
    declared = [figure for metric in METRICS for figure in metric.figures]
    return "\n\n".join(
        f"### {group.value}\n\n{escape_markdown(group.explanation)}\n\n{HEADER}\n"
        + "\n".join(_row(figure) for figure in declared if figure.group == group)
        for group in Group
    )


def _row(figure: Figure) -> str:
    label = figure.label if figure.is_shown else f"{figure.label} (not in the report)"
    cells = (label, code_span(figure.key), figure.unit or "–", figure.better.value, figure.definition)
    return "| " + " | ".join(cell if cell.startswith("`") else escape_markdown(cell) for cell in cells) + " |"


def with_tables(page: str) -> str:
    """Return the page with the tables between its two marks made anew."""
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.S)
    made, count = between.subn(lambda _: f"\n{tables()}\n\n", page)
    if count != 1:
        raise ValueError(f"{PAGE}: needs the two lines once each:\n{BEGIN}\n{END}")
    return made


if __name__ == "__main__":
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8")))
    print(f"written: {PAGE}")
