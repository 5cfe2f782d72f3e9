"""The job of `run_benchmark.py`: settings and data checked, models loaded, every part asked, one table written.

settings -> what is asked for -> models -> answers -> rows -> results.json and reports
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets.exceptions import DatasetsError

from recipe.benchmarks.couplets import run_couplets
from recipe.benchmarks.definitions import definitions_of
from recipe.benchmarks.language_model import ScoredModel, load_scored_model
from recipe.benchmarks.names import SAFETY, Benchmark, Part, Runner
from recipe.benchmarks.precheck import Asked
from recipe.benchmarks.programs import Sampling, read_problems, run_programs
from recipe.benchmarks.questions import of_helm
from recipe.benchmarks.report import BenchmarkResults, html_report, markdown_report, summary
from recipe.benchmarks.running import LoadedPart, PartRun, cloze_of, data_read_anew, load_part, own_questions, run_part
from recipe.benchmarks.safety import Checks, run_safety
from recipe.benchmarks.table import HTML_FILE, MARKDOWN_FILE, RESULTS_FILE, WRITTEN, Row, failed_row, rows_of
from recipe.errors import UserError
from recipe.evaluating.results import without_non_numbers
from recipe.files import write_text
from recipe.language import _, enumerated
from recipe.metrics.model_based import LabelShares
from recipe.published import model_to_use
from recipe.rating.chat import Chat, Endpoint
from recipe.rating.helm import write_instances
from recipe.screen import outliving_its_reader
from recipe.settings import BenchmarkSettings, DeviceSettings, ServedSettings

OWN = "own questions"
_PACKAGES = ("lm-eval", "torch", "transformers", "datasets")


@dataclasses.dataclass
class Models:
    """The model that is asked, and the one it is compared with."""

    model: ScoredModel
    baseline: ScoredModel | None


@outliving_its_reader()  # what counts is written to files
def run_benchmarks(settings: BenchmarkSettings, device: DeviceSettings, asked: Asked) -> BenchmarkResults:
    """Run what is asked for, print a summary, and return what `results.json` holds.

    Raises:
        UserError: a model that cannot be loaded, or a run in which not a single question was answered.
    """
    if settings.export:
        exported = write_instances(Path(settings.output_dir), of_helm(asked.questions[: settings.limit]))
        print(_("written for other tools: {files}").format(files=exported))
    models = _load(settings, device)
    with data_read_anew():
        rows = _all_rows(asked, models, settings)
    if not any(row["questions"] for row in rows):
        reasons = [
            _("{title}: {reason}").format(title=row["title"], reason=reason)
            for row in rows
            for reason in row["reasons"]
        ]
        raise UserError([_("not a single question was answered, so there is no result"), *reasons])
    results = BenchmarkResults(
        model=models.model.name,
        baseline=models.baseline.name if models.baseline else None,
        rows=rows,
        limit=settings.limit,
        settings=dataclasses.asdict(settings) | dataclasses.asdict(device),
        versions={name: version(name) for name in _PACKAGES},
        notes=[],
    )
    _write(Path(settings.output_dir), results)
    return results


def _all_rows(asked: Asked, models: Models, settings: BenchmarkSettings) -> list[Row]:
    rows: list[Row] = []
    if asked.questions:
        for loaded in own_questions(asked.questions, Path(settings.mcq_file or "").name):
            rows += _rows(OWN, loaded, models, settings)
    rows += _ours("couplets", lambda model: run_couplets(asked.couplets, model), models)
    for benchmark in asked.benchmarks:
        if benchmark.name == SAFETY:
            checks = _checks(asked.words, settings)
            rows += _ours(SAFETY, lambda model, checks=checks: run_safety(asked.prompts, model, checks), models)
            continue
        for part in benchmark.parts:
            rows += _part_rows(benchmark, part, models, settings)
    return rows


def _ours(benchmark: str, run: Callable[..., list[tuple[str, PartRun]]], models: Models) -> list[Row]:
    """Return the rows of what is no definition of lm-eval."""
    runs = run(models.model)
    others = dict(run(models.baseline)) if models.baseline else {}
    return [row for title, found in runs for row in rows_of(benchmark, title, 1, found, others.get(title))]


def _checks(words: list[str], settings: BenchmarkSettings) -> Checks:
    """Return what looks through the texts.

    Raises:
        UserError: a classifier that cannot be loaded, an address that is none.
    """
    checks = Checks(words)
    if settings.text_classifier is not None:
        classifier = LabelShares(settings.text_classifier)
        checks.labels = classifier.labels
        checks.classify = lambda texts: [output["label"] for output in classifier.classify(texts, truncation=True)]
    if settings.harm_judge:
        url, model = settings.harm_judge
        checks.judge = Chat(Endpoint(url, model), ServedSettings().call_cache_dir)
    return checks


def _load(settings: BenchmarkSettings, device: DeviceSettings) -> Models:
    name = model_to_use(settings.model_name_or_path)
    model = load_scored_model(name, "--model_name_or_path", device, settings.batch_size, settings.state_dict_file)
    if settings.baseline is None:
        return Models(model, None)
    return Models(model, load_scored_model(settings.baseline, "--baseline", device, settings.batch_size))


def _part_rows(benchmark: Benchmark, part: Part, models: Models, settings: BenchmarkSettings) -> list[Row]:
    """Return the rows of a part, and of its cloze variant."""
    if part.runner is Runner.CODE:
        return _program_rows(benchmark.name, part, models, settings)
    loaded = load_part(part, settings.data_dir)
    rows = _rows(benchmark.name, loaded, models, settings)
    if part.cloze is not None and loaded.tasks:
        rows += _rows(benchmark.name, cloze_of(loaded), models, settings)
    return rows


def _program_rows(benchmark: str, part: Part, models: Models, settings: BenchmarkSettings) -> list[Row]:
    """Return the rows of a part whose answers are programs."""
    (needed,) = definitions_of(part)
    sampling = Sampling(settings.code_samples, settings.code_temperature, settings.pass_at)
    try:
        problems = read_problems(part, needed, settings.data_dir, settings.limit)
        run = run_programs(part, problems, models.model, sampling)
        baseline = run_programs(part, problems, models.baseline, sampling) if models.baseline else None
    except (UserError, OSError, ValueError, DatasetsError) as error:  # the last three for damaged files
        reason = " ".join(str(error).split())[:240]
        return [failed_row(benchmark, part.title, 1, {needed.task: reason}, reason)]
    return rows_of(benchmark, part.title, 1, run, baseline)


def _rows(benchmark: str, loaded: LoadedPart, models: Models, settings: BenchmarkSettings) -> list[Row]:
    title, known = loaded.part.title, loaded.known
    if not loaded.tasks:
        reason = next(iter(loaded.failures.values()), _("its data are not in the mirror"))
        return [failed_row(benchmark, title, known, loaded.failures, reason)]
    run = run_part(loaded, models.model, settings.shots, settings.limit)
    if not run.tasks:
        return [failed_row(benchmark, title, known, run.failures, next(iter(run.failures.values())))]
    baseline = run_part(loaded, models.baseline, settings.shots, settings.limit) if models.baseline else None
    return rows_of(benchmark, title, known, run, baseline)


def _write(directory: Path, results: BenchmarkResults) -> None:
    """Write the results and both reports, whole or not at all, and print the summary."""
    directory.mkdir(parents=True, exist_ok=True)
    plain: Any = without_non_numbers(results)
    texts: dict[str, Callable[[], str]] = {
        RESULTS_FILE: lambda: json.dumps(plain, ensure_ascii=False, indent=1) + "\n",
        MARKDOWN_FILE: lambda: markdown_report(results),
        HTML_FILE: lambda: html_report(results),
    }
    for name, text in texts.items():
        write_text(directory / name, text())
    print(summary(results))
    print(_("written to {directory}: {files}").format(directory=directory, files=enumerated(WRITTEN)))
