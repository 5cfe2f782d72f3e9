"""Form and tones: the share of lower lines that keep each rule of ``recipe.couplet``."""

import numpy as np

from recipe.couplet.form import Violation, form_violations, is_punctuation
from recipe.couplet.tones import ToneSystem, last_tones_agree, rhythm_tones_opposed
from recipe.language import N_
from recipe.metrics.base import PREDICTIONS, UPPERS, LineMetric
from recipe.metrics.figure import Better, Figure, Group

SEVEN = 7
RULES = tuple(Violation)
# The places of the statistics after one per rule: lines, lines without violation, last tones (modern, ancient, either),
# lines of seven characters, their inner tones (modern, ancient, either).
LAST_TONES = ("last_tone_modern", "last_tone_ancient", "last_tone_either")
INNER_TONES = ("seven_tones_modern", "seven_tones_ancient", "seven_tones_either")


def _rule(rule: Violation, label: str, definition: str) -> Figure:
    return Figure(f"form_{rule}", label, Group.FORM, definition, "%")


def _tones(key: str, label: str, definition: str, better: Better, is_main: bool = False) -> Figure:
    return Figure(key, label, Group.FORM, definition, "%", better, is_main)


class FormAgreement(LineMetric):
    """Percentages of lines that keep the form, as answers to their upper lines.

    ``compute`` returns: ``form``, all hard rules at once; ``form_RULE`` for each ``recipe.couplet.form.Violation``;
    ``last_tone_modern``, ``_ancient`` and ``_either``: upper line ends 仄, lower line 平 in today's tones, in the
    old ones, in at least one system; ``seven_tones_...``: positions 2, 4, 6 and 7 are all opposed, counted on upper
    lines of exactly seven characters and no mark (absent where there is none); ``seven_lines``: how many those are.
    """

    inputs = (PREDICTIONS, UPPERS)
    figures = (
        Figure(
            "form",
            N_("All hard rules"),
            Group.FORM,
            N_("lower lines that break none of the six rules below"),
            "%",
            is_main=True,
            is_by_length=True,
        ),
        _rule(Violation.LENGTH, N_("Length"), N_("as long as the upper line")),
        _rule(Violation.PUNCTUATION, N_("Punctuation positions"), N_("marks at exactly the same positions")),
        _rule(Violation.MARK, N_("Same marks"), N_("where marks stand at the same positions, the same ones")),
        _rule(Violation.REPETITION, N_("Repetition pattern"), N_("repeats its characters where the upper line does")),
        _rule(Violation.SHARED_CHARACTER, N_("No shared character"), N_("no character of the upper line")),
        _rule(
            Violation.FOREIGN_CHARACTER,
            N_("Chinese characters only"),
            N_("no unknown token, Latin letter, digit or the like"),
        ),
        _tones(
            "last_tone_modern",
            N_("Last tones, modern"),
            N_("upper line ends 仄, lower line 平, by today's tones"),
            Better.HIGHER,
        ),
        _tones("last_tone_ancient", N_("Last tones, old"), N_("the same by 平水韵"), Better.HIGHER),
        _tones(
            "last_tone_either",
            N_("Last tones, either"),
            N_("the same by at least one of the systems"),
            Better.HIGHER,
            is_main=True,
        ),
        _tones(
            "seven_tones_modern",
            N_("Inner tones, modern"),
            N_("lines of seven characters: positions 2, 4, 6, 7 all opposed, by today's tones"),
            Better.LIKE_REFERENCES,
        ),
        _tones("seven_tones_ancient", N_("Inner tones, old"), N_("the same by 平水韵"), Better.LIKE_REFERENCES),
        _tones(
            "seven_tones_either",
            N_("Inner tones, either"),
            N_("the same by at least one of the systems"),
            Better.LIKE_REFERENCES,
            is_main=True,
        ),
        Figure(
            "seven_lines",
            N_("Lines of seven characters"),
            Group.FORM,
            N_("how many lower lines the inner tones are judged on, all runs together"),
            N_("lines"),
            Better.NEITHER,
            is_shown=False,
        ),
    )
    source = "中国楹联学会: 联律通则."

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, rules + 9) of zeros and ones: a column for each rule, then those named above."""
        return np.asarray([_statistics(upper, lower) for upper, lower in zip(uppers, predictions, strict=True)])

    def values(self, sums: np.ndarray) -> dict[str, float]:
        kept, (lines, whole) = sums[: len(RULES)], sums[len(RULES) : len(RULES) + 2]
        last, (seven, *inner) = sums[len(RULES) + 2 :][:3], sums[len(RULES) + 5 :]
        result = {"form": 100 * whole / lines}
        result |= {f"form_{rule}": 100 * count / lines for rule, count in zip(RULES, kept, strict=True)}
        result |= {name: 100 * count / lines for name, count in zip(LAST_TONES, last, strict=True)}
        if seven:
            result |= {name: 100 * count / seven for name, count in zip(INNER_TONES, inner, strict=True)}
        return result | {"seven_lines": seven}


def _statistics(upper: str, lower: str) -> list[float]:
    broken = form_violations(upper, lower)
    last = [last_tones_agree(upper, lower, system) for system in ToneSystem]
    is_seven = len(upper) == SEVEN and not any(map(is_punctuation, upper))
    inner = [is_seven and rhythm_tones_opposed(upper, lower, system) for system in ToneSystem]
    flags = [rule not in broken for rule in RULES] + [True, not broken, *last, any(last), is_seven, *inner, any(inner)]
    return [float(flag) for flag in flags]
