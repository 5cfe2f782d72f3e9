"""The evaluation job: answers made or read, scored beside humans and chance, written down and reported.

settings -> test set -> answers (of a model, or from a file) -> scores -> results.json, predictions.jsonl, reports
"""

from __future__ import annotations

import codecs
import dataclasses
import json
import math
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import evaluate
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from recipe.errors import UserError
from recipe.files import atomic_open, sha256_of, write_text
from recipe.form import DEFAULT_SEPARATOR, form_violations
from recipe.generation import Generator
from recipe.likelihood import line_losses
from recipe.metrics.timing import GenerationTiming
from recipe.modeling import load_model
from recipe.report import html_report, markdown_report, summary
from recipe.resampling import Bootstrap
from recipe.scoring import BASELINE, CHANCE, HUMAN, MODEL, Likelihood, Scores, System, score
from recipe.settings import PUBLISHED_MODEL, DecodingSettings, EvaluationSettings
from recipe.testset import TestSet, TrainingFile, chance_lines, read_answers, read_test_set, read_training_file
from recipe.tokenization import load_tokenizer
from recipe.word_lists import read_word_list

MIB = 1 << 20


@dataclasses.dataclass
class LoadedModel:
    """A model in memory, and how long it took to get there."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    separator: str
    load_seconds: float


@dataclasses.dataclass
class Answers:
    """A system's lines, and what was noticed while they were made."""

    system: System
    seeds: list[int]
    decoding: dict[str, Any] | None
    efficiency: dict[str, Any]
    loaded: LoadedModel | None = None
    notes: list[str] = dataclasses.field(default_factory=list)


def evaluate_couplets(settings: EvaluationSettings, decoding: DecodingSettings) -> dict[str, Any]:
    """Run a whole evaluation, print its summary, and return what `results.json` holds.

    Raises:
        UserError: settings that contradict each other, or files, models and lines that cannot be used.
    """
    started = time.perf_counter()
    check_settings(settings)
    listed_words = read_word_list("--listed_words", settings.listed_words)
    test_set = read_test_set(settings)
    # The model comes before the training file, so that the peak memory said is the model's, not that of the file.
    answers = _answers_of(settings, decoding, test_set)
    baseline = _baseline_of(settings, decoding, test_set)
    training_file = read_training_file(settings)
    lines_by_chance, same_shape = chance_lines(test_set, training_file, decoding.seed)
    systems = {
        MODEL: answers.system,
        HUMAN: System("human", [test_set.first_references]),
        CHANCE: System("chance", [lines_by_chance], _likelihood(answers.loaded, test_set, lines_by_chance)),
    }
    if baseline is not None:
        systems[BASELINE] = baseline.system
    scoring_started = time.perf_counter()
    bootstrap = Bootstrap(settings.bootstrap_samples, decoding.seed)
    scores = score(test_set, systems, training_file, same_shape, listed_words, settings, bootstrap)
    timings = {
        "scoring_seconds": time.perf_counter() - scoring_started,
        "total_seconds": time.perf_counter() - started,
    }
    results = {
        "system": _describe(answers),
        "baseline": None if baseline is None else _describe(baseline),
        "data": _describe_data(settings, test_set, training_file),
        "figures": scores.figures,
        "separation": scores.separation,
        "by_length": scores.by_length,
        "histogram": scores.histogram,
        "signatures": scores.signatures,
        "efficiency": answers.efficiency,
        "samples": _samples(settings, decoding.seed, test_set, systems),
        "notes": _notes(test_set, same_shape, answers, baseline, scores),
        "settings": dataclasses.asdict(settings),
        "bootstrap_samples": settings.bootstrap_samples,
        "timings": timings,
    }
    write_results(Path(settings.output_dir), results)
    write_predictions(Path(settings.output_dir) / "predictions.jsonl", test_set, answers)
    print(summary(results))
    print(f"written to {settings.output_dir}: results.json, predictions.jsonl, report.md, report.html")
    return results


def check_settings(settings: EvaluationSettings) -> None:
    """Refuse what can be said to be wrong before a file is read.

    Raises:
        UserError: all problems at once.
    """
    problems = []
    if settings.predictions and settings.model_name_or_path:
        problems.append("--predictions and --model_name_or_path both say what to score; give one of them")
    if not settings.test_file:
        problems.append("no test file: give --test_file FILE, whose couplets are the references")
    if (settings.upper_column is None) != (settings.lower_column is None):
        problems.append("--upper_column and --lower_column go together; only one of them is set")
    if len(settings.separator) != 1:
        problems.append(f"--separator takes one character; found {settings.separator!r}")
    for name, least in (("seeds", 1), ("bootstrap_samples", 1), ("latency_calls", 0), ("report_samples", 1)):
        if getattr(settings, name) < least:
            problems.append(f"--{name} {getattr(settings, name)}: must be at least {least}")
    if settings.max_upper_lines is not None and settings.max_upper_lines < 1:
        problems.append(f"--max_upper_lines {settings.max_upper_lines}: must be at least 1")
    try:
        codecs.lookup(settings.encoding)
    except LookupError:
        problems.append(f"--encoding {settings.encoding}: Python knows no such encoding; try utf-8 or gb18030")
    if problems:
        raise UserError(problems)


def _answers_of(settings: EvaluationSettings, decoding: DecodingSettings, test_set: TestSet) -> Answers:
    if settings.predictions:
        return _answers_from_file(settings.predictions, test_set, settings)
    return _answers_of_model(settings.model_name_or_path or PUBLISHED_MODEL, settings, decoding, test_set)


def _baseline_of(settings: EvaluationSettings, decoding: DecodingSettings, test_set: TestSet) -> Answers | None:
    """Return the second system's answers; a single name that is no file is a model."""
    if not settings.baseline:
        return None
    if len(settings.baseline) > 1 or Path(settings.baseline[0]).is_file():
        return _answers_from_file(settings.baseline, test_set, settings)
    return _answers_of_model(settings.baseline[0], settings, decoding, test_set)


def _answers_from_file(files: Sequence[str], test_set: TestSet, settings: EvaluationSettings) -> Answers:
    runs = read_answers(files, test_set, settings)
    return Answers(System(" + ".join(files), runs), [], None, {})


def _answers_of_model(
    name: str, settings: EvaluationSettings, decoding: DecodingSettings, test_set: TestSet
) -> Answers:
    """Load a model, answer every upper line with each seed, and measure how quickly."""
    loaded = load(name)
    banned_words = read_word_list("--banned_words", decoding.banned_words)
    seeds = [decoding.seed + number for number in range(settings.seeds if decoding.do_sample else 1)]
    runs, calls, refused = [], [], 0
    for seed in seeds:
        generator = _generator(loaded, dataclasses.replace(decoding, seed=seed), banned_words)
        lines, seconds, refused = _answer_all(generator, test_set.uppers, f"answering, seed {seed}")
        runs.append(lines)
        calls.append((seconds, len(lines) - refused, sum(len(line) + 1 for line in lines if line)))
    efficiency = {}
    if settings.latency_calls:
        generator = _generator(loaded, decoding, banned_words)
        efficiency = _efficiency(loaded, generator, test_set, settings.latency_calls, calls)
    notes = []
    if refused:
        notes.append(
            f"{name}: {refused:,} upper lines cannot be answered under the form and count as empty lower lines"
        )
    system = System(name, runs, _likelihood(loaded, test_set, test_set.first_references))
    return Answers(system, seeds if decoding.do_sample else [], dataclasses.asdict(decoding), efficiency, loaded, notes)


def load(name: str) -> LoadedModel:
    """Load a model with its tokenizer to the GPU where there is one, else to the CPU.

    Raises:
        UserError: nothing there that can be loaded.
    """
    started = time.perf_counter()
    if name == PUBLISHED_MODEL and not Path(name).exists():
        raise UserError(
            f"{name}: no model there yet. Train one with `accelerate launch run_finetune.py` (three minutes), name "
            "another with --model_name_or_path, or score lines made elsewhere with --predictions"
        )
    tokenizer = load_tokenizer(name)
    placed: Any = load_model(name, tokenizer)
    model = placed.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    # A foreign model carries nothing of ours; it is taken to have learnt the default separator.
    carried = getattr(model.config, "recipe", {"text_format": "couplet", "separator": DEFAULT_SEPARATOR})
    if carried["text_format"] != "couplet":
        raise UserError(f"{name}: was trained on plain texts; only models of couplets can be evaluated on couplets")
    separator = carried["separator"]
    return LoadedModel(name, model, tokenizer, separator, time.perf_counter() - started)


def _generator(loaded: LoadedModel, decoding: DecodingSettings, banned_words: Sequence[str]) -> Generator:
    # Several answers to one upper line come from several seeds; of one seed only the first would be scored.
    settings = dataclasses.replace(decoding, num_return_sequences=1)
    return Generator(loaded.model, loaded.tokenizer, settings, banned_words, loaded.separator)


def _answer_all(generator: Generator, uppers: Sequence[str], title: str) -> tuple[list[str], float, int]:
    """Return a lower line for each upper line, the seconds it took, and how many were refused (and left empty)."""
    answerable = [index for index, upper in enumerate(uppers) if not generator.refusals([upper])]
    lines = [""] * len(uppers)
    started = time.perf_counter()
    with generator.seeded():
        answered = generator.answer_each([uppers[index] for index in answerable])
        for place, found in tqdm(answered, desc=title, total=len(answerable), unit=" lines", delay=2, leave=False):
            lines[answerable[place]] = found[0].lower
    return lines, time.perf_counter() - started, len(uppers) - len(answerable)


def _likelihood(loaded: LoadedModel | None, test_set: TestSet, lowers: Sequence[str]) -> Likelihood | None:
    if loaded is None:
        return None
    return Likelihood(*line_losses(loaded.model, loaded.tokenizer, test_set.uppers, lowers, loaded.separator))


def _efficiency(
    loaded: LoadedModel,
    generator: Generator,
    test_set: TestSet,
    latency_calls: int,
    runs: Sequence[tuple[float, int, int]],
) -> dict[str, Any]:
    """Measure one-by-one latency, and say throughput, memory and size.

    Args:
        runs: seconds, couplets and generated tokens (end tokens included) of each run over the whole test set.
    """
    throughput = GenerationTiming().compute(**_columns(runs))
    uppers = [upper for upper in test_set.uppers if not generator.refusals([upper])]
    chosen = random.Random(generator.settings.seed).sample(uppers, min(latency_calls, len(uppers)))
    calls = []
    for upper in tqdm(chosen, desc="latency", unit=" lines", delay=2, leave=False):
        started = time.perf_counter()
        found = generator.answer([upper])[0][0]
        calls.append((time.perf_counter() - started, 1, len(found.lower) + 1))
    latency = GenerationTiming().compute(**_columns(calls))
    parameters = list(loaded.model.parameters())
    return {
        "device": torch.cuda.get_device_name() if loaded.model.device.type == "cuda" else "cpu",
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "batch_size": generator.settings.generation_batch_size,
        "load_seconds": loaded.load_seconds,
        "couplets_per_second": throughput["couplets_per_second"],
        "tokens_per_second": throughput["tokens_per_second"],
        "latency_p50_ms": latency["latency_p50_ms"],
        "latency_p95_ms": latency["latency_p95_ms"],
        "latency_calls": len(calls),
        "peak_memory_mib": _peak_memory_mib(),
        "parameters": sum(weights.numel() for weights in parameters),
        "weights_mib": sum(weights.numel() * weights.element_size() for weights in parameters) / MIB,
    }


def _columns(calls: Sequence[tuple[float, int, int]]) -> dict[str, list]:
    return {name: [call[place] for call in calls] for place, name in enumerate(("seconds", "couplets", "tokens"))}


def _peak_memory_mib() -> float:
    """Return the most memory the process has held: of the GPU where there is one, else resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def _describe(answers: Answers) -> dict[str, Any]:
    return {
        "name": answers.system.name,
        "runs": len(answers.system.runs),
        "seeds": answers.seeds,
        "decoding": answers.decoding,
    }


def _describe_data(
    settings: EvaluationSettings, test_set: TestSet, training_file: TrainingFile | None
) -> dict[str, Any]:
    counts = [len(lines) for lines in test_set.references]
    described: dict[str, Any] = {
        "test_files": settings.test_file,
        "test_sha256": [sha256_of(file) for file in settings.test_file],
        "rows": len(test_set.rows),
        "rejected_rows": test_set.rejected,
        "upper_lines": len(test_set.uppers),
        "references_mean": sum(counts) / len(counts),
        "references_most": max(counts),
        "train_files": settings.train_file,
    }
    if training_file is not None:
        pairs = [
            (upper, lower) for upper, known in zip(test_set.uppers, test_set.references, strict=True) for lower in known
        ]
        described |= {
            "train_sha256": [sha256_of(file) for file in settings.train_file],
            "train_couplets": len(training_file.uppers),
            "leaks": {
                "upper_lines": sum(upper in training_file.upper_set for upper in test_set.uppers),
                "lower_lines": sum(lower in training_file.lower_set for _, lower in pairs),
                "couplets": sum(pair in training_file.pair_set for pair in pairs),
            },
        }
    return described


def _samples(
    settings: EvaluationSettings, seed: int, test_set: TestSet, systems: dict[str, System]
) -> list[dict[str, str]]:
    """Return upper lines drawn at random with the first line of each system."""
    count = min(settings.report_samples, len(test_set.uppers))
    chosen = sorted(random.Random(seed).sample(range(len(test_set.uppers)), count))
    return [
        {"upper": test_set.uppers[index]} | {name: system.runs[0][index] for name, system in systems.items()}
        for index in chosen
    ]


def _notes(
    test_set: TestSet, same_shape: list[bool], answers: Answers, baseline: Answers | None, scores: Scores
) -> list[str]:
    notes = [*answers.notes, *(baseline.notes if baseline else []), *scores.notes]
    if test_set.rejected:
        found = "; ".join(f"{count:,} {reason}" for reason, count in test_set.rejected.items())
        notes.append(f"rows of the test file that are no couplet and were left out: {found}")
    if misshapen := same_shape.count(False):
        notes.append(
            f"for {misshapen:,} upper lines no line of the same shape was found; their chance line is any line"
        )
    return notes


def write_results(directory: Path, results: dict[str, Any]) -> None:
    """Write `results.json` in the form of `evaluate.save`, and both reports."""
    directory.mkdir(parents=True, exist_ok=True)
    # evaluate.save writes in place; under another name first, so that an interruption leaves the old file whole.
    temporary = directory / ".results.json.tmp"
    evaluate.save(temporary, **without_non_numbers(results))
    temporary.replace(directory / "results.json")
    write_text(directory / "report.md", markdown_report(results))
    write_text(directory / "report.html", html_report(results))


def without_non_numbers(value: Any) -> Any:
    """Return nested data with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_non_numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_non_numbers(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_predictions(path: Path, test_set: TestSet, answers: Answers) -> None:
    """Write one JSON line for each upper line and run: lines, seed, known lower lines, rules that were broken."""
    with atomic_open(path) as file:
        for row in _prediction_rows(test_set, answers):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _prediction_rows(test_set: TestSet, answers: Answers) -> Iterator[dict[str, Any]]:
    for run, lowers in enumerate(answers.system.runs):
        for upper, lower, known in zip(test_set.uppers, lowers, test_set.references, strict=True):
            yield {
                "upper": upper,
                "lower": lower,
                "seed": answers.seeds[run] if answers.seeds else None,
                "references": known,
                "violations": form_violations(upper, lower),
            }
