"""Generalisation: how probable a model finds lower lines whose upper line it was trained on, and others."""

from __future__ import annotations

from lm_eval.api.instance import Instance

from recipe.benchmarks.couplet_groups import Groups
from recipe.benchmarks.figures import CHARACTERS, Answers
from recipe.benchmarks.language_model import Reading, ScoredModel
from recipe.benchmarks.names import Measure
from recipe.benchmarks.running import PartRun
from recipe.language import N_

_SEPARATOR = "-"
_MEASURE = Measure(CHARACTERS, N_("probability of a character (geometric mean)"), is_share=False)


def run_couplets(groups: Groups, model: ScoredModel) -> list[tuple[str, PartRun]]:
    """Return the title and the answers of each group."""
    runs = []
    for name, couplets in groups.items():
        model.reading = Reading()
        requests = [
            Instance("loglikelihood", {}, (upper + _SEPARATOR, lower), number)
            for number, (upper, lower) in enumerate(couplets)
        ]
        answers = Answers(CHARACTERS)
        for (upper, lower), (likelihood, _) in zip(couplets, model.loglikelihood(requests), strict=True):
            answers.keys.append(f"{upper}{_SEPARATOR}{lower}")
            answers.statistics.append([float(likelihood), float(len(lower))])
            answers.picks.append(-1)
        facts = {"version": {"ours, 1"}, "split": {"all"}, "shots": {"0"}}
        runs.append((name, PartRun({_MEASURE: answers}, model.reading, {}, 1, facts)))
    return runs
