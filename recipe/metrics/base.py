"""What the metrics share: statistics of each line whose sum decides the corpus figure.

A corpus figure that is a function of a sum over lines can be computed again on any resample or subset of the lines
without reading a line twice; the evaluation's intervals, paired differences and figures on unseen lines rest on that.
"""

import importlib
from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np

from recipe.couplet.form import is_punctuation
from recipe.errors import UserError

EXTRA_INSTALL = 'pip install -c constraints.txt -e ".[eval]"'


class MissingExtraError(UserError):
    """A metric's library is not installed; the message says which command installs it."""


def import_extra(module: str) -> Any:
    """Import a module of the extra packages `[eval]`.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the package {error.name} is not installed; run: {EXTRA_INSTALL}") from None


class OfflineMetric(evaluate.Metric):
    """An ``evaluate.Metric`` that keeps its inputs in memory.

    The library's default writes them to one cache file per metric name, which concurrent runs and the ranks of one run
    would lock against each other.
    """

    def __init__(self, **kwargs):
        kwargs.setdefault("keep_in_memory", kwargs.get("num_process", 1) == 1)
        super().__init__(**kwargs)


class LineMetric(OfflineMetric):
    """A metric whose corpus figures follow from the sum of one row of statistics per line.

    A subclass defines two methods:
        line_statistics(**inputs): statistics, shape (lines, statistics), float64; keywords: the metric's features;
        figures(sums): the named corpus figures for the column sums, shape (statistics,), of those statistics.
    """

    # Attributes, not methods: each metric names its own inputs, which the signature of one base method could not.
    line_statistics: Callable[..., np.ndarray]
    figures: Callable[[np.ndarray], dict[str, float]]

    def _compute(self, **inputs: Any) -> dict[str, Any]:
        figures = self.figures(self.line_statistics(**inputs).sum(axis=0))
        return {name: float(value) for name, value in figures.items()}


def overlap_features() -> list[datasets.Features]:
    """Inputs of a metric that compares a line with its references: a list of references for each line, or just one."""
    text = datasets.Value("string")
    return [
        datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
        datasets.Features({"predictions": text, "references": text}),
    ]


def as_reference_lists(references: list) -> list[list[str]]:
    """Return a list of references for each line, whether each line came with a list of them or with a single one."""
    return [[given] if isinstance(given, str) else list(given) for given in references]


def without_punctuation(line: str) -> str:
    """Return the line without its marks (Unicode P*, S* and whitespace)."""
    return "".join(char for char in line if not is_punctuation(char))
