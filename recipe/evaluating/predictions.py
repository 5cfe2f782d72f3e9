"""The lines of the systems that an evaluation compares: a model's, made and timed here, or somebody's, from a file."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from recipe.errors import UserError
from recipe.evaluating.likelihood import line_losses
from recipe.evaluating.results import Efficiency, OutsideVocabulary
from recipe.evaluating.scoring import Likelihood, System
from recipe.evaluating.testset import TestSet, read_predictions
from recipe.formats.couplet import Couplet
from recipe.generating.generator import Generator, PreparedPrompt
from recipe.generating.loading import ReadyModel, load_ready_model
from recipe.memory import MIB, peak_memory
from recipe.metrics.timing import GenerationTiming
from recipe.model.tokenization import characters_known
from recipe.rows.cleaning import listed
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


def answers_of(
    settings: EvaluationSettings, decoding: DecodingSettings, device: DeviceSettings, test_set: TestSet
) -> Answers:
    """Return the evaluated system's answers: from the predictions, if there are any, else of the model."""
    if settings.predictions:
        return _lines_from_files("--predictions", settings.predictions, test_set, settings)
    return _answers_of_model(settings.model_name_or_path or PUBLISHED_MODEL, settings, decoding, device, test_set)


def baseline_of(
    settings: EvaluationSettings, decoding: DecodingSettings, device: DeviceSettings, test_set: TestSet
) -> Answers | None:
    """Return the second system's answers, or None where none is named."""
    if not settings.baseline:
        return None
    if is_predictions(settings.baseline):
        return _lines_from_files("--baseline", settings.baseline, test_set, settings)
    return _answers_of_model(settings.baseline[0], settings, decoding, device, test_set)


def is_predictions(baseline: Sequence[str]) -> bool:
    """Whether a baseline names files of lines; a single name that is no file is a model."""
    return len(baseline) > 1 or Path(baseline[0]).is_file()


def _lines_from_files(setting: str, files: Sequence[str], test_set: TestSet, settings: EvaluationSettings) -> Answers:
    name = " + ".join(files)
    runs, cleaned = read_predictions(setting, files, test_set, settings)
    notes = [f"{name}: taken out of lines before they were scored: {listed(cleaned)}"] if cleaned else []
    return Answers(System(name, runs), notes=notes)


def _answers_of_model(
    name: str, settings: EvaluationSettings, decoding: DecodingSettings, device: DeviceSettings, test_set: TestSet
) -> Answers:
    """Load a model, answer every upper line with each seed, and measure how quickly."""
    loaded = load_couplet_model(name, device)
    banned_words = read_word_list("--banned_words", decoding.banned_words)
    generator = Generator(loaded.model, loaded.tokenizer, decoding, banned_words, loaded.text_format)
    prompts = generator.prepare(test_set.uppers)
    refused = sum(prompt.refusal is not None for prompt in prompts)
    seeds = [decoding.seed + number for number in range(settings.seeds if decoding.do_sample else 1)]
    runs, calls = [], []
    for seed in seeds:
        lines, seconds = _answer_all(generator, prompts, seed, f"answering, seed {seed}")
        runs.append(lines)
        calls.append((seconds, len(lines) - refused, sum(len(line) + 1 for line in lines if line)))
    efficiency = None
    if settings.latency_calls:
        efficiency = _efficiency(loaded, generator, prompts, settings.latency_calls, calls)
    notes = []
    if refused:
        notes.append(
            f"{name}: {refused:,} upper lines cannot be answered under the form and count as empty lower lines"
        )
    return Answers(
        System(name, runs, likelihood_of(loaded, test_set, test_set.first_references)),
        seeds if decoding.do_sample else [],
        dataclasses.asdict(decoding),
        efficiency,
        _outside_vocabulary(loaded, test_set),
        loaded,
        notes,
    )


def load_couplet_model(name: str, device: DeviceSettings) -> ReadyModel:
    """Load a model that answers upper lines.

    Raises:
        UserError: nothing that can be loaded, or a model of other texts.
    """
    ready = load_ready_model(name, device)
    if not isinstance(ready.text_format, Couplet):
        raise UserError(
            f"{name}: was trained on {ready.text_format.name} texts; only models of couplets can be evaluated on them"
        )
    return ready


def _answer_all(
    generator: Generator, prompts: Sequence[PreparedPrompt], seed: int, title: str
) -> tuple[list[str], float]:
    """Return a lower line for each upper line, empty where it is refused, and the seconds it took."""
    answerable = [index for index, prompt in enumerate(prompts) if prompt.refusal is None]
    lines = [""] * len(prompts)
    started = time.perf_counter()
    with generator.seeded(seed):
        answered = generator.answer_each([prompts[index] for index in answerable])
        for place, found in tqdm(answered, desc=title, total=len(answerable), unit=" lines", delay=2, leave=False):
            lines[answerable[place]] = found[0].text
    return lines, time.perf_counter() - started


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


def likelihood_of(loaded: ReadyModel | None, test_set: TestSet, lowers: Sequence[str]) -> Likelihood | None:
    """Return how likely a model finds lower lines of all upper lines; None where there is no model."""
    if loaded is None:
        return None
    return Likelihood(*line_losses(loaded.model, loaded.tokenizer, test_set.uppers, lowers, loaded.text_format))


def _efficiency(
    loaded: ReadyModel,
    generator: Generator,
    prompts: Sequence[PreparedPrompt],
    latency_calls: int,
    runs: Sequence[tuple[float, int, int]],
) -> Efficiency:
    """Measure one-by-one latency, and say throughput, memory and size.

    Args:
        runs: seconds, couplets and generated tokens (end tokens included) of each run over the whole test set.
    """
    throughput = GenerationTiming().compute(**_columns(runs))
    uppers = [prompt.prompt for prompt in prompts if prompt.refusal is None]
    chosen = random.Random(generator.settings.seed).sample(uppers, min(latency_calls, len(uppers)))
    calls = []
    for upper in tqdm(chosen, desc="latency", unit=" lines", delay=2, leave=False):
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


def _columns(calls: Sequence[tuple[float, int, int]]) -> dict[str, list]:
    return {name: [call[place] for call in calls] for place, name in enumerate(("seconds", "couplets", "tokens"))}
