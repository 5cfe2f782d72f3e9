"""Form and tones: the share of lower lines that keep each rule of ``recipe.couplet``."""

import datasets
import evaluate
import numpy as np

from recipe.couplet.form import Violation, form_violations, is_punctuation
from recipe.couplet.tones import ToneSystem, last_tones_agree, rhythm_tones_opposed
from recipe.metrics.base import LineMetric

SEVEN = 7
RULES = tuple(Violation)
# The places of the statistics after one per rule: lines, lines without violation, last tones (modern, ancient, either),
# lines of seven characters, their inner tones (modern, ancient, either).
LAST_TONES = ("last_tone_modern", "last_tone_ancient", "last_tone_either")
INNER_TONES = ("seven_tones_modern", "seven_tones_ancient", "seven_tones_either")


class FormAgreement(LineMetric):
    """Percentages of lines that keep the form, as answers to their upper lines.

    ``compute`` returns: ``form``, all hard rules at once; ``form_RULE`` for each ``recipe.couplet.form.Violation``;
    ``last_tone_modern``, ``_ancient`` and ``_either``: upper line ends 仄, lower line 平 in today's tones, in the
    old ones, in at least one system; ``seven_tones_...``: positions 2, 4, 6 and 7 are all opposed, counted on upper
    lines of exactly seven characters and no mark (absent where there is none); ``seven_lines``: how many those are.
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Share of lower lines that keep each rule of the couplet.",
            citation="中国楹联学会: 联律通则.",
            inputs_description="predictions: lower lines; uppers: the upper lines they answer.",
            features=datasets.Features({"predictions": text, "uppers": text}),
        )

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, rules + 9) of zeros and ones: a column for each rule, then those named above."""
        return np.asarray([_statistics(upper, lower) for upper, lower in zip(uppers, predictions, strict=True)])

    def figures(self, sums: np.ndarray) -> dict[str, float]:
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
