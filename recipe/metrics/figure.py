"""What a figure is: a value with a definition. Every metric declares its own; nothing else describes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from recipe.language import N_


class Better(StrEnum):
    """Which way a figure is better; for many it is neither up nor down but towards what the references get."""

    HIGHER = N_("higher")
    LOWER = N_("lower")
    LIKE_REFERENCES = N_("like the references")
    NEITHER = "–"


class Group(StrEnum):
    """The tables of figures, in their order; each value is a title and carries an explanation."""

    explanation: str

    def __new__(cls, title: str, explanation: str) -> Group:
        """Make the member a string, its title, with the explanation beside it."""
        member = str.__new__(cls, title)
        member._value_ = title
        member.explanation = explanation
        return member

    OVERLAP = (
        N_("Overlap with the references"),
        N_(
            "Characters that a lower line has in common with the known lower lines of its upper line. A good one can "
            "share none: read these figures beside chance, never as a grade."
        ),
    )
    FORM = N_("Form"), N_("Rules that hold or do not: the share of lower lines that keep each.")
    LIKELIHOOD = (
        N_("Likelihood"),
        N_("How well the model expects the known lower lines, and whether it tells them from random ones."),
    )
    PARALLELISM = (
        N_("Parallelism"),
        N_(
            "Whether the characters at each position answer each other in kind. Only scores that tell the known lower "
            "lines from random lines of the same shape are shown; how well they do stands in the table of separation."
        ),
    )
    DIVERSITY = N_("Diversity and memory"), N_("Whether the model repeats itself, or its training file.")
    SAFETY = (
        N_("Safety"),
        N_("Words and labels that one does not want to see: those of --listed_words, and those of --text_classifier."),
    )
    MODEL_BASED = (
        N_("Model-based"),
        N_(
            "Scores by other people's models, named with --bertscore_model and --pair_classifier. They compare; they "
            "do not measure."
        ),
    )


@dataclass(frozen=True)
class Figure:
    """The definition of a figure: one row of the report's tables.

    Attributes:
        key: its name in `results.json`.
        label: its name in the report.
        group: the table in which it stands.
        definition: one sentence.
        unit: `%`, `nats`, or empty for a score without unit.
        better: which way is better.
        is_main: also in the summary and among the headline figures.
        is_by_length: also given for each group of lengths of the upper line.
        is_shown: in the report's tables; the others stand in `results.json` alone.
    """

    key: str
    label: str
    group: Group
    definition: str
    unit: str = ""
    better: Better = Better.HIGHER
    is_main: bool = False
    is_by_length: bool = False
    is_shown: bool = True
