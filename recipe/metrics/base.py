"""What the metrics share: their declarations, and statistics of each line whose sum decides the corpus figure.

A corpus figure that is a function of a sum over lines can be computed again on any resample or subset of the lines
without reading a line twice; the evaluation's intervals, paired differences and figures on unseen lines rest on that.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import datasets
import evaluate
import numpy as np

from recipe.couplet.form import is_punctuation
from recipe.errors import UserError
from recipe.language import _
from recipe.metrics.figure import Figure
from recipe.metrics.material import Material

EXTRA_INSTALL = 'pip install -c constraints.txt -e ".[eval]"'


class LeftOutError(UserError):
    """A metric that cannot be computed here, though all others can; the message says what it lacks."""


class MissingExtraError(LeftOutError):
    """A metric's library is not installed; the message says which command installs it."""


def import_extra(module: str) -> Any:
    """Import a module of the extra packages `[eval]`.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            _("the package {package} is not installed; run: {command}").format(
                package=error.name, command=EXTRA_INSTALL
            )
        ) from None


class Input(NamedTuple):
    """One keyword of a metric's `compute`: what it holds, and the types that each of its items may have."""

    name: str
    meaning: str
    types: tuple[Any, ...]


TEXT, WHOLE, REAL = datasets.Value("string"), datasets.Value("int64"), datasets.Value("float64")

# What an evaluation can hand to a metric, one item for each upper line.
PREDICTIONS = Input("predictions", "one lower line each", (TEXT,))
UPPERS = Input("uppers", "the upper lines they answer", (TEXT,))
REFERENCES = Input("references", "a list of known lower lines each, or just one", (datasets.Sequence(TEXT), TEXT))
ANSWERS = Input("answers", "a list of answers to each upper line", (datasets.Sequence(TEXT),))
LOSSES = Input("losses", "nats of each lower line", (REAL,))
CHARACTERS = Input("characters", "how many characters of it were summed", (WHOLE,))


class OfflineMetric(evaluate.Metric):
    """An ``evaluate.Metric`` that declares its inputs and figures and keeps its inputs in memory.

    Attributes:
        inputs: the keywords of ``compute``; an evaluation hands them to the metric.
        figures: what an evaluation takes from it, each with its definition; none for a metric of another job.
        source: whose formula it is.
        is_for_chance: whether it says something of the chance lines.
    """

    inputs: ClassVar[tuple[Input, ...]]
    figures: tuple[Figure, ...] = ()
    source: ClassVar[str] = ""
    is_for_chance: ClassVar[bool] = True

    def __init__(self, **kwargs):
        # The library's default writes the inputs to one cache file per metric name, which concurrent runs and the ranks
        # of one run would lock against each other.
        kwargs.setdefault("keep_in_memory", kwargs.get("num_process", 1) == 1)
        super().__init__(**kwargs)

    def _build_data_dir(self) -> str:
        """Name the directory of the inputs' cache file, and make it only where there will be one.

        The library (evaluate 0.4.6) makes it whenever a metric is built, which fails where the home of its cache cannot
        be written; in memory nothing is kept there.
        """
        if self.keep_in_memory:
            return str(Path(self._data_dir_root, self.name, self.config_name))
        return super()._build_data_dir()

    @classmethod
    def made_of(cls, material: Material) -> Self | None:
        """Return the metric for an evaluation, or None where nobody asked for it.

        Raises:
            LeftOutError: something that the metric needs is missing.
        """
        return cls()

    def _info(self) -> evaluate.MetricInfo:
        names = [given.name for given in self.inputs]
        features = [
            datasets.Features(dict(zip(names, types, strict=True)))
            for types in itertools.product(*(given.types for given in self.inputs))
        ]
        return evaluate.MetricInfo(
            description=(inspect.getdoc(type(self)) or "").split("\n\n")[0],
            citation=self.source,
            inputs_description="; ".join(f"{given.name}: {given.meaning}" for given in self.inputs),
            features=features if len(features) > 1 else features[0],
        )

    def figure(self, key: str) -> Figure:
        """Return the definition of a figure that the metric computed.

        Raises:
            LookupError: the metric does not declare it; a value that nobody defines is never printed.
        """
        for figure in self.figures:
            if figure.key == key:
                return figure
        raise LookupError(f"{type(self).__name__} computes {key!r} but declares no figure of that name")


class LineMetric(OfflineMetric):
    """A metric whose corpus figures follow from the sum of one row of statistics per line.

    A subclass defines two methods:
        line_statistics(**inputs): statistics, shape (lines, statistics), float64; keywords: the metric's inputs;
        values(sums): key → value of each figure for the column sums, shape (statistics,), of those statistics.

    Attributes:
        must_separate: whether its figures are dropped where it cannot tell references from chance lines.
        is_plotted: whether the report shows how its values are distributed over lines.
    """

    # Attributes, not methods: each metric names its own inputs, which the signature of one base method could not.
    line_statistics: Callable[..., np.ndarray]
    values: Callable[[np.ndarray], dict[str, float]]
    must_separate: ClassVar[bool] = False
    is_plotted: ClassVar[bool] = False

    def signatures(self) -> dict[str, str]:
        """Return key → signature of the figures whose library states one, for the last statistics taken."""
        return {}

    def _compute(self, **inputs: Any) -> dict[str, Any]:
        values = self.values(self.line_statistics(**inputs).sum(axis=0))
        return {name: float(value) for name, value in values.items()}


class CorpusMetric(OfflineMetric):
    """A metric of a whole corpus that is no function of a sum over lines, so that no interval can be drawn for it."""


class SacrebleuMetric(LineMetric):
    """A metric of sacrebleu: the statistics of a line are those that its scorer sums.

    ``compute`` returns sacrebleu's ``signature`` too.
    """

    inputs = (PREDICTIONS, REFERENCES)
    scorer: Any
    signed_figure: ClassVar[str]

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        """Return what the scorer sums, one row for each line."""
        # sacrebleu wants one stream per rank of reference; None fills a stream where a line has fewer references.
        streams = [list(stream) for stream in zip_longest(*as_reference_lists(references))]
        # The statistics have no public name, but sacrebleu's own significance module is built on this method.
        return np.asarray(self.scorer._extract_corpus_statistics(predictions, streams), dtype=np.float64)

    def signatures(self) -> dict[str, str]:
        return {self.signed_figure: str(self.scorer.get_signature())}

    def _compute(self, **inputs: Any) -> dict[str, Any]:
        return super()._compute(**inputs) | {"signature": self.signatures()[self.signed_figure]}


def as_reference_lists(references: list) -> list[list[str]]:
    """Return a list of references for each line, whether each line came with a list of them or with a single one."""
    return [[given] if isinstance(given, str) else list(given) for given in references]


def without_punctuation(line: str) -> str:
    """Return the line without its marks (Unicode P*, S* and whitespace)."""
    return "".join(char for char in line if not is_punctuation(char))
