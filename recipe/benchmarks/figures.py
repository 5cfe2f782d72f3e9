"""From the answers to a benchmark's questions to a figure, or to the reason why there is none. Plain numpy.

A model that cannot read the options gives all of them the same likelihood; the first one is then taken, and a data set
whose keys are all A is solved. So ties, unread characters and answers that never change take a figure away.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from recipe.evaluating.resampling import Bootstrap, Interval
from recipe.language import _

# Likelihoods in nats that differ by less are equal: fp32 sums of some hundred terms in another order differ as much.
_SAME = 1e-5
MOST_TIED = 0.05  # of the questions
MOST_UNKNOWN = 0.10  # of the tokens
MOST_ALIKE = 0.95  # of the questions that offer the same
_FEWEST_TO_JUDGE = 4  # questions below which one answer throughout is no sign
_LONGEST_SAID = 20  # characters of an answer that a reason quotes
_Z = 1.959964  # the 97.5% point of the standard normal distribution
_DRAWS, _SEED = 1000, 42
CHARACTERS = "characters"  # statistics are log-likelihood in nats and number of characters


@dataclass
class Answers:
    """The answers to the questions of a part by one measure.

    Attributes:
        keys: names of the questions, the same for every model that answers them.
        statistics: what the figure is computed from, a row for each question; see `value_of`.
        chance: what a random answer gets in each question, by the same unit; nan where that says nothing.
        picks: the option that was taken; -1 where nothing is chosen.
        tied, unusable: the best options are equally likely; a likelihood is not a number.
        offered: what a question lets a model say, the same number where that is the same, such as the letters A to D.
        said: the option that was taken, or the text that was written.
    """

    metric: str
    keys: list[str] = field(default_factory=list)
    statistics: list[list[float]] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)
    picks: list[int] = field(default_factory=list)
    tied: list[bool] = field(default_factory=list)
    unusable: list[bool] = field(default_factory=list)
    offered: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def array(self) -> np.ndarray:
        """Return the statistics, shape (questions, statistics)."""
        return np.asarray(self.statistics, dtype=np.float64)


class Figure(NamedTuple):
    """A figure of 0 to 100 with its 95% interval, or the reason why it must not be read.

    Attributes:
        interval: None where `reason` says why.
        chance: the same figure for random answers; None where that says nothing.
        tied_share, unknown_share: of questions, and of the tokens that were read.
    """

    interval: Interval | None
    reason: str
    questions: int
    chance: float | None
    tied_share: float | None
    unknown_share: float


def figure_of(answers: Answers, unknown_share: float, is_share: bool) -> Figure:
    """Return the figure of some answers, or why it would mean nothing."""
    count = len(answers.keys)
    chosen = any(pick >= 0 for pick in answers.picks)
    tied = sum(answers.tied) / count if chosen and count else None
    chances = [value for value in answers.chance if not math.isnan(value)]
    chance = 100 * sum(chances) / len(chances) if chances else None
    reason = _reason(answers, tied, unknown_share)
    if reason:
        return Figure(None, reason, count, chance, tied, unknown_share)
    statistics = answers.array()
    if is_share:
        interval = wilson(statistics[:, 0].sum(), count)
    else:
        interval = Bootstrap(_DRAWS, _SEED).intervals(lambda sums: value_of(answers.metric, sums), statistics)["value"]
    return Figure(interval, "", count, chance, tied, unknown_share)


def _reason(answers: Answers, tied: float | None, unknown_share: float) -> str:
    """Say why a figure would mean nothing, or nothing."""
    count = len(answers.keys)
    if not count:
        return _("no question was answered")
    if math.isnan(value_of(answers.metric, answers.array().sum(axis=0))["value"]):
        return _("no answer has anything that this measures")
    if any(answers.unusable):
        return _("{bad} of {count} likelihoods are no numbers").format(bad=sum(answers.unusable), count=count)
    if tied is not None and tied > MOST_TIED:
        return _(
            "in {tied:.0%} of the questions the best options are equally likely, mostly because the vocabulary "
            "lacks them; the first would be taken"
        ).format(tied=tied)
    if unknown_share > MOST_UNKNOWN:
        return _("{unknown_share:.0%} of the tokens are [UNK]: the model does not see the questions").format(
            unknown_share=unknown_share
        )
    return _constant(answers)


def _constant(answers: Answers) -> str:
    """Say that a model answers the same whatever it is asked, or nothing.

    Such a figure is the share of the questions whose key is that answer, which may well be above chance.
    """
    said: dict[int, Counter[str]] = defaultdict(Counter)
    for offered, text in zip(answers.offered, answers.said, strict=True):
        said[offered][text] += 1
    judged = [counter for counter in said.values() if counter.total() >= _FEWEST_TO_JUDGE]
    count = sum(counter.total() for counter in judged)
    if 2 * count <= len(answers.said):
        return ""  # most questions have options of their own
    share = sum(max(counter.values()) for counter in judged) / count
    if share < MOST_ALIKE:
        return ""
    texts = {counter.most_common(1)[0][0] for counter in judged}
    if len(texts) > 1:
        return _("answers {share:.0%} of the questions that offer the same with one option, whatever they are").format(
            share=share
        )
    (text,) = texts
    if not text:
        return _("answers nothing to {share:.0%} of the questions").format(share=share)
    return _("answers {letter} to {share:.0%} of the questions, whatever they are").format(
        letter=_shortened(text), share=share
    )


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SAID else f"{line[:_LONGEST_SAID]}…"


def difference_of(first: Answers, second: Answers) -> Interval | None:
    """Return the first figure minus the second on the questions that both answered, paired; None if there are none."""
    places = {key: place for place, key in enumerate(second.keys)}
    common = [(place, places[key]) for place, key in enumerate(first.keys) if key in places]
    if not common:
        return None
    mine, theirs = (list(side) for side in zip(*common, strict=True))
    found = Bootstrap(_DRAWS, _SEED).differences(
        lambda sums: value_of(first.metric, sums), first.array()[mine], second.array()[theirs]
    )
    return found["value"]


def statistics_of(metric: str, value: Any) -> list[float]:
    """Return the statistics of one answer, whose sums `value_of` makes a figure of.

    A number is value and weight 1; a list of truth values (IFEval's instructions) their sum and number; BBQ's tuple of
    accuracy, biased, not unknown and whether the text answers the question becomes the counts of either kind.
    """
    if metric in ("disamb_bias_score", "amb_bias_score"):
        right, biased, known, is_answered = (float(number) for number in value)
        counts = bool(is_answered) == (metric == "disamb_bias_score")
        return [counts * number for number in (biased, known, right, 1.0)]
    if isinstance(value, (list, tuple)):
        return [float(sum(value)), float(len(value))]
    return [float(value), 1.0]


def value_of(metric: str, sums: np.ndarray) -> dict[str, float]:
    """Return the figure, 0 to 100 (bias: -100 to 100), of summed statistics.

    Parrish et al. 2022: the bias is 2 × biased / (answers that are not "unknown") - 1, and where the text does not
    answer the question, that times the share of wrong answers. Without any such answer it is 0. Of characters it is the
    geometric mean of their probabilities.
    """
    if metric in ("disamb_bias_score", "amb_bias_score"):
        biased, known, right, count = sums
        if not count:
            return {"value": math.nan}
        score = 2 * biased / known - 1 if known else 0.0
        return {"value": 100 * score * (1 if metric == "disamb_bias_score" else 1 - right / count)}
    total, weight = sums
    if metric == CHARACTERS:
        return {"value": 100 * math.exp(total / weight) if weight else math.nan}
    return {"value": 100 * total / weight if weight else math.nan}


def wilson(hits: float, count: int) -> Interval:
    """Return a share in per cent with Wilson's score interval (1927), which holds for few questions and for 0 and 1."""
    share, spread = hits / count, _Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return Interval(100 * share, 100 * max(0.0, middle - half), 100 * min(1.0, middle + half))


def are_tied(likelihoods: list[float]) -> bool:
    """Whether the two best options are equally likely."""
    best = sorted(likelihoods, reverse=True)[:2]
    return len(best) > 1 and abs(best[0] - best[1]) <= _SAME * max(1.0, abs(best[0]))
