"""lm-eval's task definitions run on a model, question by question, and read into `Answers`.

Each task is loaded and run by itself, so that a damaged one costs its own row and no other. Groups of lm-eval are not
used: one given as a dictionary evaluates nothing and reports success (0.4.13).
"""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import numpy as np
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from recipe.benchmarks.arithmetic import right_steps
from recipe.benchmarks.definitions import definitions_of, is_here, task_directory
from recipe.benchmarks.figures import Answers, are_tied, statistics_of
from recipe.benchmarks.language_model import Reading, ScoredModel
from recipe.benchmarks.names import CLOZE, CLOZE_ENDING, STEPS, Cloze, Measure, Part
from recipe.benchmarks.questions import LETTERS, Question
from recipe.language import _
from recipe.screen import progress_bar

_SHOT_SEED = 1234  # lm-eval's own default for drawing examples
_FAR = -1e3  # nats below the option that a made-up answer prefers
datasets.disable_progress_bars()
datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what fails is a row of the table, with its reason


@dataclass
class LoadedPart:
    """The tasks of a part that could be loaded, and why others could not."""

    part: Part
    tasks: dict[str, Any]
    known: int
    failures: dict[str, str] = field(default_factory=dict)


@dataclass
class PartRun:
    """What a model answered in a part.

    Attributes:
        answers: measure → its answers.
        failures: task → why it did not run.
        facts: version of the definition, split, and examples before each question; several where tasks differ.
        notes: what else a reader has to know.
    """

    answers: dict[Measure, Answers]
    reading: Reading
    failures: dict[str, str]
    tasks: int
    facts: dict[str, set[str]]
    notes: list[str] = field(default_factory=list)


def load_part(part: Part, data_dir: str) -> LoadedPart:
    """Load those tasks of a part whose data are in the mirror."""
    needed = definitions_of(part)
    loaded = LoadedPart(part, {}, len(needed))
    random.seed(_SHOT_SEED)  # GPQA's definition shuffles the options of each question with it
    manager = _manager(part.directory)
    here = [definition for definition in needed if is_here(data_dir, definition)]
    for definition in progress_bar(
        here, desc=_("{title}: reading").format(title=_(part.title)), unit="task", delay=2, leave=False
    ):
        with _failing_alone(loaded.failures, definition.task):
            # `datasets` takes ./owner/name for the data set of that name, so the definition stays as it is.
            with contextlib.chdir(data_dir):
                found = manager.load([definition.task])["tasks"]
            loaded.tasks |= found
    return loaded


@contextlib.contextmanager
def data_read_anew() -> Iterator[None]:
    """Let data sets be read from their files inside the block, whose tasks must not be used behind it.

    `datasets` 5.2 looks ./owner/name up in its cache by that name and not by what is in the files, so that a
    mirror whose files have changed, or another mirror, would be scored on the old data.
    """
    kept = datasets.config.HF_DATASETS_CACHE
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        datasets.config.HF_DATASETS_CACHE = Path(directory)
        try:
            yield
        finally:
            datasets.config.HF_DATASETS_CACHE = kept


@cache
def _manager(directory: str) -> TaskManager:
    root = task_directory()
    assert root is not None
    return TaskManager(include_defaults=False, include_path=str(root / directory))


def cloze_of(loaded: LoadedPart) -> LoadedPart:
    """Return a part's tasks with the options' texts as choices, and no letters in the question."""
    cloze = loaded.part.cloze
    assert cloze is not None
    part = Part(loaded.part.title + CLOZE_ENDING, loaded.part.directory, loaded.part.tasks, (CLOZE,))
    made = LoadedPart(part, {}, loaded.known, dict(loaded.failures))
    for name, task in loaded.tasks.items():
        with _failing_alone(made.failures, name):
            made.tasks[name] = _made_task(f"{name}_cloze", task.dataset, _split(task), _cloze_fields(cloze))
    return made


def _cloze_fields(cloze: Cloze) -> dict[str, Any]:
    return {
        "doc_to_text": f"{{{{{cloze.question}.strip()}}}}{cloze.prompt}",
        "doc_to_choice": "{{[" + ", ".join(cloze.options) + "]}}",
        "doc_to_target": cloze.key,
        "target_delimiter": cloze.delimiter,
    }


def own_questions(questions: list[Question], title: str) -> tuple[LoadedPart, LoadedPart]:
    """Return a user's own questions as a part, and their cloze variant."""
    rows = [
        {
            "prompt": question.prompt,
            "question": f"{question.question}\n答案：",
            "letters": list(LETTERS[: len(question.options)]),
            "texts": list(question.options),
            "key": question.key,
        }
        for question in questions
    ]
    data = datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)})
    parts = []
    for name, text, choices, measure in (
        ("", "prompt", "letters", Measure("acc", "accuracy")),
        (", cloze variant", "question", "texts", CLOZE),
    ):
        fields = {"doc_to_text": text, "doc_to_choice": choices, "doc_to_target": "key", "target_delimiter": ""}
        task = _made_task(f"questions{name}", data, "test", fields)
        parts.append(LoadedPart(Part(title + name, "", (), (measure,)), {task.config.task: task}, 1))
    return parts[0], parts[1]


def _made_task(name: str, data: Any, split: str, fields: dict[str, Any]) -> Any:
    """Return a multiple-choice task of our own over data in memory."""
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
    config = {
        "task": name,
        "custom_dataset": lambda **_: data,
        "output_type": "multiple_choice",
        "test_split": split,
        "num_fewshot": 0,
        "metric_list": metrics,
        "metadata": {"version": "ours, 1"},
        **fields,
    }
    return ConfigurableTask(config=config)


def run_part(loaded: LoadedPart, model: ScoredModel, shots: int | None, limit: int | None) -> PartRun:
    """Ask a model every question of a part's tasks, or the first `limit` of each task."""
    model.reading = Reading()
    answers = {measure: Answers(measure.metric) for measure in loaded.part.measures}
    run = PartRun(answers, model.reading, dict(loaded.failures), 0, {"version": set(), "split": set(), "shots": set()})
    for name, task in progress_bar(loaded.tasks.items(), desc=loaded.part.title, unit="task", delay=2, leave=False):
        with _failing_alone(run.failures, name):
            _set_shots(task, shots)
            tasks = {"tasks": {name: task}, "groups": {}, "group_map": {}}
            found = lm_eval.evaluate(model, tasks, limit=limit, bootstrap_iters=0, log_samples=True)
            for measure, collected in answers.items():
                _collect(name, task, measure, found["samples"][name], collected)
            run.tasks += 1
            run.facts["version"].add(str(task.VERSION))
            run.facts["split"].add(_split(task))
            run.facts["shots"].add(str(task.config.num_fewshot))
    return run


def _split(task: Any) -> str:
    return task.config.test_split or task.config.validation_split or task.config.training_split


def _set_shots(task: Any, shots: int | None) -> None:
    """Set the examples before each question; a definition that says 0 keeps it, as in lm-eval."""
    defined = task.config.num_fewshot
    if defined is None or (shots is not None and defined != 0):
        task.set_config(key="num_fewshot", value=shots or 0)
    task.set_fewshot_seed(seed=_SHOT_SEED)


@contextlib.contextmanager
def _failing_alone(failures: dict[str, str], task: str) -> Iterator[None]:
    """Keep why a task failed, and go on.

    Data of strangers fail in as many ways as there are definitions; whatever it is, it is the row's and not the run's.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or _("an assertion of lm-eval failed")
        failures[task] = f"{type(error).__name__}: {reason}"[:240]


def _collect(name: str, task: Any, measure: Measure, samples: list[dict[str, Any]], answers: Answers) -> None:
    """Read lm-eval's records of a task into the answers of a measure."""
    is_choice = task.OUTPUT_TYPE == "multiple_choice"
    for sample in samples:
        if sample["filter"] not in (measure.filter, "none"):
            continue
        answers.keys.append(f"{name}:{sample['doc_id']}:{sample['doc_hash']}")
        value = right_steps(sample["resps"][0][0]) if measure.metric == STEPS else sample[measure.metric]
        answers.statistics.append(statistics_of(measure.metric, value))
        likelihoods = _likelihoods(sample, measure) if is_choice else []
        answers.picks.append(int(np.argmax(likelihoods)) if likelihoods else -1)
        answers.tied.append(are_tied(likelihoods))
        answers.unusable.append(not all(map(math.isfinite, likelihoods)))
        answers.chance.append(_chance(task, measure, sample) if is_choice else math.nan)
        offered, said = _said(sample, answers.picks[-1])
        answers.offered.append(offered)
        answers.said.append(said)


def _said(sample: dict[str, Any], pick: int) -> tuple[int, str]:
    """Return what a question lets a model say, as a number, and what it said; see `Answers`.

    BBQ has options of its own in each question, but any of ten ways to say "unknown" is one answer.
    """
    if pick < 0:
        return 0, str(sample["resps"][0][0]).strip()
    options = tuple(str(option).strip() for _, option in sample["arguments"])
    if "disamb_bias_score" in sample:
        _, _, is_known, _ = sample["disamb_bias_score"]
        return 0, options[pick] if is_known else "unknown"
    return hash(options), options[pick]


def _likelihoods(sample: dict[str, Any], measure: Measure) -> list[float]:
    """Return what is compared between the options: log-likelihoods, by character where the measure says so."""
    found = [float(likelihood) for likelihood, _ in sample["filtered_resps"]]
    if measure.metric == "acc_norm":
        lengths = [max(1, len(option.strip())) for _, option in sample["arguments"]]
        return [likelihood / length for likelihood, length in zip(found, lengths, strict=True)]
    return found


def _chance(task: Any, measure: Measure, sample: dict[str, Any]) -> float:
    """Return the mean of a measure over answers that prefer each of the options in turn."""
    if measure.metric.endswith("bias_score"):
        return math.nan
    count = len(sample["filtered_resps"])
    process: Callable[[Any, Any], dict[str, Any]] = task.process_results
    outcomes = [
        process(sample["doc"], [(0.0 if option == preferred else _FAR, False) for option in range(count)])
        for preferred in range(count)
    ]
    return sum(float(outcome[measure.metric]) for outcome in outcomes) / count
