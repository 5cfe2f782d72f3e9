"""The lines of the systems that an evaluation compares: a model's, made and timed here, or somebody's, from a file."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recipe.errors import UserError, notice
from recipe.evaluating.likelihood import line_losses
from recipe.evaluating.results import KEPT_DIRECTORY, Efficiency, OutsideVocabulary, ServedDescription
from recipe.evaluating.scoring import Likelihood, System
from recipe.evaluating.testset import TestSet, read_predictions
from recipe.formats.couplet import Couplet
from recipe.generating.generator import Generator, PreparedPrompt
from recipe.generating.kept_answers import Batch, KeptAnswers, answer_all, answers_in_order, fingerprint
from recipe.generating.loading import NamedModel, ReadyModel, load_ready_model
from recipe.generating.processes import Processes
from recipe.generating.ranking import parallelism_scorer
from recipe.language import _
from recipe.memory import MIB, peak_memory
from recipe.metrics.timing import GenerationTiming
from recipe.model.finding import is_weights_file
from recipe.model.tokenization import characters_known
from recipe.rows.cleaning import listed
from recipe.screen import progress_bar
from recipe.settings import PUBLISHED_MODEL, DecodingSettings, DeviceSettings, EvaluationSettings
from recipe.word_lists import read_word_list


@dataclasses.dataclass
class Answers:
    """A system's lines, and what was noticed while they were made; of lines from a file only they are known."""

    system: System
    seeds: list[int] = dataclasses.field(default_factory=list)
    decoding: dict[str, Any] | None = None
    efficiency: Efficiency | None = None
    outside_vocabulary: OutsideVocabulary | None = None
    loaded: ReadyModel | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    kept: list[KeptAnswers] = dataclasses.field(default_factory=list)
    served: ServedDescription | None = None


@dataclasses.dataclass(frozen=True)
class Answering:
    """How models answer: the settings, and the processes that share the work."""

    settings: EvaluationSettings
    decoding: DecodingSettings
    device: DeviceSettings
    processes: Processes


def answers_of(answering: Answering, test_set: TestSet) -> Answers:
    """Return the evaluated system's answers: from the predictions, if there are any, else of the model."""
    settings = answering.settings
    if settings.predictions:
        return _lines_from_files("--predictions", settings.predictions, test_set, settings)
    return _answers_of_model(evaluated_model(settings), answering, test_set)


def baseline_of(answering: Answering, test_set: TestSet) -> Answers | None:
    """Return the second system's answers, or None where none is named."""
    settings = answering.settings
    if not settings.baseline:
        return None
    if is_predictions(settings.baseline):
        return _lines_from_files("--baseline", settings.baseline, test_set, settings)
    return _answers_of_model(baseline_model(settings), answering, test_set)


def evaluated_model(settings: EvaluationSettings) -> NamedModel:
    """Return the model that answers where no predictions are given."""
    return NamedModel(settings.model_name_or_path or PUBLISHED_MODEL, settings.state_dict_file)


def baseline_model(settings: EvaluationSettings) -> NamedModel:
    """Return the model that a baseline names where it names no predictions."""
    return NamedModel(settings.baseline[0], settings.baseline_state_dict_file, "--baseline")


def is_predictions(baseline: Sequence[str]) -> bool:
    """Whether a baseline names files of lines; a single name that is no file, or one of weights, is a model's."""
    return len(baseline) > 1 or (Path(baseline[0]).is_file() and not is_weights_file(baseline[0]))


def _lines_from_files(setting: str, files: Sequence[str], test_set: TestSet, settings: EvaluationSettings) -> Answers:
    name = " + ".join(files)
    runs, cleaned = read_predictions(setting, files, test_set, settings)
    notes = (
        [_("{name}: taken out of lines before they were scored: {kinds}").format(name=name, kinds=listed(cleaned))]
        if cleaned
        else []
    )
    return Answers(System(name, runs), notes=notes)


def _answers_of_model(model: NamedModel, answering: Answering, test_set: TestSet) -> Answers:
    """Load a model, answer every upper line with each seed, and measure how quickly."""
    settings, decoding, processes = answering.settings, answering.decoding, answering.processes
    loaded = load_couplet_model(model, answering.device)
    banned_words = read_word_list("--banned_words", decoding.banned_words)
    parallelism = parallelism_scorer(decoding, loaded.text_format)
    generator = Generator(loaded.model, loaded.tokenizer, decoding, banned_words, loaded.text_format, parallelism)
    prompts = generator.prepare(test_set.uppers)
    refused = sum(prompt.refusal is not None for prompt in prompts)
    answerable = [prompt for prompt in prompts if prompt.refusal is None]
    job = processes.from_main(lambda: fingerprint(generator, *(prompt.prompt for prompt in answerable)))
    seeds = [decoding.seed + number for number in range(settings.seeds if decoding.do_sample else 1)]
    runs = []
    kept = [KeptAnswers(_kept_file(settings, job, seed), processes) for seed in seeds]
    for seed, run in zip(seeds, kept, strict=True):
        lines = iter(_answer_all(generator, answerable, run, job, seed))
        runs.append(["" if prompt.refusal else next(lines) for prompt in prompts])
    efficiency = None
    if settings.latency_calls and answerable and processes.is_main:
        efficiency = _efficiency(loaded, generator, answerable, settings.latency_calls, kept)
    notes = []
    if refused:
        notes.append(
            _("{model}: {count:,} upper lines cannot be answered under the form and count as empty lower lines").format(
                model=loaded.name, count=refused
            )
        )
    if taken_up := sum(run.taken_up for run in kept):
        notes.append(
            _(
                "{model}: {done:,} of {total:,} lower lines were made before an interruption; the peak memory is "
                "that of the rest"
            ).format(model=loaded.name, done=taken_up, total=len(seeds) * len(answerable))
        )
    return Answers(
        System(loaded.name, runs, likelihood_of(loaded, test_set, test_set.first_references, processes)),
        seeds if decoding.do_sample else [],
        dataclasses.asdict(decoding),
        efficiency,
        _outside_vocabulary(loaded, test_set),
        loaded,
        notes,
        kept,
    )


def _kept_file(settings: EvaluationSettings, job: str, seed: int) -> Path:
    return Path(settings.output_dir) / KEPT_DIRECTORY / f"{job[:16]}-seed{seed}.jsonl"


def load_couplet_model(model: NamedModel, device: DeviceSettings) -> ReadyModel:
    """Load a model that answers upper lines.

    Raises:
        UserError: nothing that can be loaded, or a model of other texts.
    """
    ready = load_ready_model(model.name, device, model.state_dict_file)
    if not isinstance(ready.text_format, Couplet):
        raise UserError(
            _(
                "{model}: was trained on texts of the format {format}; only models of couplets can be evaluated on "
                "couplets"
            ).format(model=model.name, format=ready.text_format.name)
        )
    return ready


def _answer_all(
    generator: Generator, prompts: Sequence[PreparedPrompt], kept: KeptAnswers, job: str, seed: int
) -> list[str]:
    """Return a lower line for each prompt, made unless it is kept already; an interruption says how many are."""
    kept.open({"job": job, "seed": seed})
    if kept.taken_up:
        notice(
            _("seed {seed}: {done:,} of {total:,} upper lines were answered before an interruption; resuming").format(
                seed=seed, done=kept.taken_up, total=len(prompts)
            )
        )
    title = _("answering, seed {seed}").format(seed=seed)
    total, done_before = len(prompts), kept.taken_up
    with progress_bar(total=total, initial=done_before, desc=title, unit="line", delay=2, leave=False) as progress:
        try:
            answer_all(generator, prompts, kept, seed, progress.update)
        except KeyboardInterrupt:
            progress.close()
            done = len(answers_in_order(generator, prompts, kept))
            notice(
                _("seed {seed}: {done:,} of {total:,} answers are kept; the same command resumes from there").format(
                    seed=seed, done=done, total=len(prompts)
                )
            )
            raise
    return [answers[0].text for answers in answers_in_order(generator, prompts, kept).values()]


def _outside_vocabulary(loaded: ReadyModel, test_set: TestSet) -> OutsideVocabulary:
    """Count the upper lines of which the model does not see everything, and the lower lines it could never write."""
    lines = test_set.uppers + test_set.first_references
    known = characters_known(loaded.tokenizer, sorted({char for line in lines for char in line}))
    lacking = {char for char, is_known in known.items() if not is_known}
    return OutsideVocabulary(
        upper_lines=sum(not lacking.isdisjoint(line) for line in test_set.uppers),
        lower_lines=sum(not lacking.isdisjoint(line) for line in test_set.first_references),
        characters=len(lacking),
    )


def likelihood_of(
    loaded: ReadyModel | None, test_set: TestSet, lowers: Sequence[str], processes: Processes
) -> Likelihood | None:
    """Return how likely a model finds lower lines of all upper lines; None where there is no model."""
    if loaded is None:
        return None
    model, tokenizer, text_format = loaded.model, loaded.tokenizer, loaded.text_format
    return Likelihood(*line_losses(model, tokenizer, test_set.uppers, lowers, text_format, processes))


def _efficiency(
    loaded: ReadyModel,
    generator: Generator,
    prompts: Sequence[PreparedPrompt],
    latency_calls: int,
    runs: Sequence[KeptAnswers],
) -> Efficiency:
    """Measure one-by-one latency, and say throughput, memory and size.

    Throughput counts the seconds in which a process answers, divided by the number of processes.
    """
    count = runs[0].processes.count
    costs = [_cost(batch, count) for run in runs for batch in run.batches.values()]
    throughput = GenerationTiming().compute(**_columns(costs))
    uppers = [prompt.prompt for prompt in prompts]
    chosen = random.Random(generator.settings.seed).sample(uppers, min(latency_calls, len(uppers)))
    calls = []
    for upper in progress_bar(chosen, desc=_("latency"), unit="line", delay=2, leave=False):
        started = time.perf_counter()
        found = generator.answer([upper])[0][0]
        calls.append((time.perf_counter() - started, 1, len(found.text) + 1))
    latency = GenerationTiming().compute(**_columns(calls))
    parameters = list(loaded.model.parameters())
    return Efficiency(
        device=torch.cuda.get_device_name() if loaded.model.device.type == "cuda" else "cpu",
        dtype=str(loaded.model.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        batch_size=generator.settings.generation_batch_size,
        processes=count,
        load_seconds=loaded.load_seconds,
        couplets_per_second=throughput["couplets_per_second"],
        tokens_per_second=throughput["tokens_per_second"],
        latency_p50_ms=latency["latency_p50_ms"],
        latency_p95_ms=latency["latency_p95_ms"],
        latency_calls=len(calls),
        peak_memory_mib=peak_memory() / MIB,
        parameters=sum(weights.numel() for weights in parameters),
        weights_mib=sum(weights.numel() * weights.element_size() for weights in parameters) / MIB,
    )


def _cost(batch: Batch, processes: int) -> tuple[float, int, int]:
    """Return the seconds that a batch adds to the job, its couplets, and its tokens, the end tokens included."""
    return batch.seconds / processes, len(batch.answers), sum(len(answers[0].text) + 1 for answers in batch.answers)


def _columns(calls: Sequence[tuple[float, int, int]]) -> dict[str, list]:
    return {name: [call[place] for call in calls] for place, name in enumerate(("seconds", "couplets", "tokens"))}
