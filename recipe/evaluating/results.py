"""What `results.json` holds: the one border between the scoring, which fills it, and the reports, which show it.

Everything is a plain type that JSON has. The reports read nothing else, so that they can be made again from the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

from recipe.language import N_, _
from recipe.metrics.figure import Figure

# Who is compared, in the order of the tables: the evaluated system, a second one, the lower lines of the test file
# (whoever wrote them), and random lines.
MODEL, BASELINE, REFERENCES, CHANCE = "model", "baseline", "references", "chance"
SYSTEMS = {MODEL: N_("Model"), BASELINE: N_("Baseline"), REFERENCES: N_("References"), CHANCE: N_("Chance")}
# The columns of a figure: its systems, and what is derived from them.
DIFFERENCE, UNSEEN = "difference", "unseen"
COLUMNS = SYSTEMS | {DIFFERENCE: N_("Model − baseline"), UNSEEN: N_("Model, unseen")}


def system_name(key: str) -> str:
    """Return what a system is called in reports: by its key where it is one of ours, else as whoever rated it wrote."""
    return _(SYSTEMS[key]) if key in SYSTEMS else key


# What an evaluation writes into its directory.
RESULTS_FILE, PREDICTIONS_FILE = "results.json", "predictions.jsonl"
# The answers of an evaluation that is not finished; removed when it is.
KEPT_DIRECTORY = "unfinished"
MARKDOWN_FILE, HTML_FILE = "report.md", "report.html"
WRITTEN = (RESULTS_FILE, PREDICTIONS_FILE, MARKDOWN_FILE, HTML_FILE)


class Cell(TypedDict):
    """A figure of one column.

    Attributes:
        value: None where it is no number.
        low, high: the bounds of its 95% interval; absent where none can be drawn.
        runs: the figure of each run, where there are several.
        upper_lines: on how many upper lines it is computed, where these are not all.
    """

    value: float | None
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    runs: NotRequired[list[float]]
    upper_lines: NotRequired[int]


class Description(TypedDict):
    """A `recipe.metrics.figure.Figure`, in plain types."""

    key: str
    label: str
    group: str
    definition: str
    unit: str
    better: str
    is_main: bool
    is_by_length: bool
    is_shown: bool


class Separation(TypedDict):
    """How well a score tells references from chance: both means, and the area under the curve."""

    figure: str
    references: float
    chance: float
    auc: float
    kept: bool


class LengthRow(TypedDict):
    """The model's figures on the upper lines of one group of lengths, marks included."""

    shortest: int
    longest: int
    upper_lines: int
    figures: dict[str, float]


class Histogram(TypedDict):
    """How a figure is distributed over lines: the shares of each system's lines in common bins."""

    figure: str
    edges: list[float]
    shares: dict[str, list[float]]


class Efficiency(TypedDict):
    """What a model takes: times of the answers, memory, size."""

    device: str
    dtype: str
    threads: int
    batch_size: int
    processes: int
    load_seconds: float
    couplets_per_second: float
    tokens_per_second: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_calls: int
    peak_memory_mib: float
    parameters: int
    weights_mib: float


class OutsideVocabulary(TypedDict):
    """What the vocabulary of a model lacks: upper lines it sees in part, known lower lines it could not write."""

    upper_lines: int
    lower_lines: int
    characters: int


class ServedDescription(TypedDict):
    """A served model as the system.

    Attributes:
        tries: how often it was asked at most for a line that keeps the form.
        answers: upper lines times runs.
        kept_first, kept: how many of them kept the form at the first try, and within all tries.
        refused: questions that the server would not answer.
        paid: new calls; the others were answered before.
    """

    url: str
    model: str
    template_sha256: str
    tries: int
    answers: int
    kept_first: int
    kept: int
    refused: int
    paid: int
    prompt_tokens: int
    completion_tokens: int


class SystemDescription(TypedDict):
    """Who wrote the lines of a system.

    Attributes:
        seeds: empty where nothing was drawn.
        decoding: the settings of decoding; None for lines from a file, as the two below.
        efficiency: None also where it was not measured.
        served: of a served model alone.
    """

    name: str
    runs: int
    seeds: list[int]
    decoding: dict[str, Any] | None
    efficiency: Efficiency | None
    outside_vocabulary: OutsideVocabulary | None
    served: NotRequired[ServedDescription]


class Leaks(TypedDict):
    """How much of the test file stands in the training file."""

    upper_lines: int
    lower_lines: int
    couplets: int


class DataDescription(TypedDict):
    """The files that were read; what is said of training files is absent where none is named."""

    test_files: list[str]
    test_sha256: list[str]
    rows: int
    rejected_rows: dict[str, int]
    upper_lines: int
    references_mean: float
    references_most: int
    train_files: list[str]
    train_sha256: NotRequired[list[str]]
    train_couplets: NotRequired[int]
    leaks: NotRequired[Leaks]


class Scores(TypedDict):
    """The outcome of scoring.

    Attributes:
        descriptions: the definition of every figure, in the order of the tables.
        figures: figure → column → cell.
        signatures: figure → what its library says of how it was computed.
        notes: what a reader has to know.
    """

    descriptions: list[Description]
    figures: dict[str, dict[str, Cell]]
    separation: list[Separation]
    by_length: list[LengthRow]
    histogram: Histogram | None
    signatures: dict[str, str]
    notes: list[str]


class RatersPanel(TypedDict):
    """What one kind of raters said: the rows of `recipe.rating.analysis.Analysis` in plain types.

    An interval is `{"value", "low", "high"}`, a sample size `{"items", "needed"}`; each kind of row is explained there.
    `points` is the best point of the absolute scale.
    """

    raters: list[dict[str, Any]]
    means: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    wins: list[dict[str, Any]]
    strengths: list[dict[str, Any]]
    agreement: list[dict[str, Any]]
    kappas: list[dict[str, Any]]
    left_out: list[str]
    notes: list[str]
    comments: list[dict[str, Any]]
    points: int


class JudgeBiases(TypedDict):
    """What is known of the judges: the rows of `recipe.rating.biases.Biases` in plain types, explained there."""

    position: list[dict[str, Any]]
    length: list[dict[str, Any]]
    own: list[dict[str, Any]]
    with_people: list[dict[str, Any]]


class RatingResults(TypedDict):
    """The ratings that were read back, and those that judges gave.

    Attributes:
        files, sha256: the files that were read.
        ratings: how many ratings count, judges' included.
        panels: "person" and "model", as far as there are such raters → what they said.
        judges: what each judge did in this run, with the SHA-256 of its prompts; `recipe.rating.judge.JudgeReport`.
        biases: of the models among the raters.
        correlations: each automatic figure with the ratings of a panel: rows of `CorrelationRow` with `panel`.
        choices: each automatic figure with a panel's choices between two answers: rows of `ChoiceRow` with `panel`.
        notes: rows that hold no rating, ratings given twice, questions without an answer, judges that agree too little.
    """

    files: list[str]
    sha256: list[str]
    ratings: int
    panels: dict[str, RatersPanel]
    judges: list[dict[str, Any]]
    biases: JudgeBiases
    correlations: list[dict[str, Any]]
    choices: list[dict[str, Any]]
    notes: list[str]


class Results(Scores):
    """All of `results.json`, but for what `evaluate.save` adds of time and versions; `ratings` where some were read."""

    system: SystemDescription
    baseline: SystemDescription | None
    data: DataDescription
    samples: list[dict[str, str]]
    settings: dict[str, Any]
    timings: dict[str, float]
    ratings: NotRequired[RatingResults]


def no_scores() -> Scores:
    """Return scores to be filled."""
    return Scores(descriptions=[], figures={}, separation=[], by_length=[], histogram=None, signatures={}, notes=[])


def put(scores: Scores, figure: Figure, column: str, cell: Cell) -> None:
    """Put a cell into the table of figures: the only way in, so that no figure stands there without its definition."""
    if figure.key not in scores["figures"]:
        scores["descriptions"].append(describe(figure))
        scores["figures"][figure.key] = {}
    scores["figures"][figure.key][column] = cell


def describe(figure: Figure) -> Description:
    """Return a figure's definition in plain types."""
    return Description(**asdict(figure))  # type: ignore[typeddict-item]


def without_non_numbers(value: Any) -> Any:
    """Return nested data with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_non_numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_non_numbers(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
