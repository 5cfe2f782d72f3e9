"""Answers kept on disk as they are made, batch by batch, so that an interrupted job goes on where it was.

Several processes share the batches. What is drawn for a batch depends on the seed and on its place alone, so a job that
was interrupted, or that another number of processes does, ends with the same answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
import transformers

from recipe.files import write_text
from recipe.generating.generator import Answer, Generator, PreparedPrompt
from recipe.generating.processes import Processes

_SCORES = ("text", "log_probability", "tones", "parallelism")


class Batch(NamedTuple):
    """The answers to each prompt of a batch, and the seconds that they took."""

    answers: list[list[Answer]]
    seconds: float


class KeptAnswers:
    """The batches of a job that are answered, by the place of their first prompt among all that the job answers.

    They stand in a file, a line each, below a line that says what job they are of. Each process writes a file of its
    own, and only ever adds to it; a line that a kill has cut in two is dropped.

    Attributes:
        batches: as far as this process knows; all of them after `share`.
        taken_up: how many prompts had been answered before this start.
    """

    def __init__(self, file: Path | None, processes: Processes) -> None:
        """Prepare for a job; without a file nothing outlasts the process.

        Args:
            file: that of the main process; those of the others have their number appended.
        """
        self.processes = processes
        self.batches: dict[int, Batch] = {}
        self.taken_up = 0
        self._file = file
        self._handle: IO[str] | None = None

    def open(self, job: dict[str, Any]) -> None:
        """Take up what is kept of a job, and keep what is added from now on; all processes call it.

        Args:
            job: what decides the answers, in plain types: what is kept of another one is dropped.
        """
        self._close()
        self.batches = self.processes.from_main(lambda: self._take_up(job))
        self.taken_up = sum(len(batch.answers) for batch in self.batches.values())
        if self._file is None:
            return
        own = self._file
        if not self.processes.is_main:
            own = own.with_name(f"{own.name}.{self.processes.index}")
            write_text(own, json.dumps(job) + "\n")
        self._handle = own.open("a", encoding="utf-8", newline="")

    def add(self, place: int, batch: Batch) -> None:
        """Keep a batch whose first prompt has this place."""
        self.batches[place] = batch
        if self._handle is not None:
            self._handle.write(_line(place, batch))
            self._handle.flush()

    def share(self, places: Sequence[int]) -> None:
        """Tell all processes of the batches that this one has answered; all of them call it."""
        self.batches.update(self.processes.gather([(place, self.batches[place]) for place in places]))

    def remove(self) -> None:
        """Remove the files: the job is done, and its answers stand elsewhere."""
        self._close()
        if self._file is not None and self.processes.is_main:
            for file in _files(self._file):
                file.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _take_up(self, job: dict[str, Any]) -> dict[int, Batch]:
        """Read the files of all processes there were into the one of the main process."""
        if self._file is None:
            return {}
        files = _files(self._file)
        kept = {place: batch for file in files if read_job(file) == job for place, batch in _read_batches(file)}
        write_text(self._file, json.dumps(job) + "\n" + "".join(_line(*item) for item in kept.items()))
        for file in files:
            if file != self._file:
                file.unlink()
        return kept


def read_job(file: Path) -> dict[str, Any] | None:
    """Return what the answers in a file are of; None if there is no such file, or nothing that can be told."""
    try:
        with file.open(encoding="utf-8") as lines:
            job = json.loads(next(lines, ""))
    except (OSError, ValueError):
        return None
    return job if isinstance(job, dict) else None


def _files(file: Path) -> list[Path]:
    """Return the file of the main process and those of the others, as far as they are there."""
    numbered = [other for other in file.parent.glob(f"{file.name}.*") if other.suffix[1:].isdigit()]
    return [one for one in (file, *sorted(numbered)) if one.exists()]


def _line(place: int, batch: Batch) -> str:
    answers = [
        [(one.prompt, *(getattr(one, name) for name in _SCORES)) for one in answers] for answers in batch.answers
    ]
    return json.dumps({"place": place, "seconds": batch.seconds, "answers": answers}, ensure_ascii=False) + "\n"


def _read_batches(file: Path) -> Iterator[tuple[int, Batch]]:
    with file.open("rb") as lines:  # a cut line may end within a character
        next(lines)
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                return
            yield (
                found["place"],
                Batch([[Answer(*one) for one in answers] for answers in found["answers"]], found["seconds"]),
            )


def answer_all(
    generator: Generator,
    prompts: Sequence[PreparedPrompt],
    kept: KeptAnswers,
    seed: int,
    advance: Callable[[int], object],
    first: int = 0,
) -> None:
    """Answer the prompts that are not in `kept`, this process its share; afterwards all of them are.

    Args:
        advance: is told how many prompts are answered more, by all processes together.
        first: the place of the first prompt among all that the job answers.
    """
    places = {first + batch[0]: batch for batch in generator.batches(prompts)}
    own = kept.processes.share([place for place in places if place not in kept.batches])
    for place in own:
        started = time.perf_counter()
        batch = [prompts[index] for index in places[place]]
        answers = generator.answer_batch(batch, seed, place)
        kept.add(place, Batch(answers, time.perf_counter() - started))
        advance(len(batch) * kept.processes.count)
    kept.share(own)


def answers_in_order(
    generator: Generator, prompts: Sequence[PreparedPrompt], kept: KeptAnswers, first: int = 0
) -> dict[int, list[Answer]]:
    """Return what is answered of the prompts: the index of each, in their order, and its answers."""
    found: dict[int, list[Answer]] = {}
    for batch in generator.batches(prompts):
        if first + batch[0] in kept.batches:
            found.update(zip(batch, kept.batches[first + batch[0]].answers, strict=True))
    return dict(sorted(found.items()))


def fingerprint(generator: Generator, *others: str) -> str:
    """Return a hash of what decides the answers to given prompts, the seed excepted: model, settings, libraries.

    Args:
        others: what the generator does not know of itself, such as the prompts.
    """
    model, tokenizer = generator.model, generator.tokenizer
    config = {name: value for name, value in model.config.to_dict().items() if name not in _NAMES_AND_VERSIONS}
    settings = dataclasses.asdict(dataclasses.replace(generator.settings, seed=0, banned_words=None))
    plain = [torch.__version__, transformers.__version__, model.device.type, config, settings, generator.banned_words]
    plain += [tokenizer.backend_tokenizer.to_str(), generator.text_format.carried(), *others]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    for name, weights in model.state_dict(keep_vars=True).items():
        digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


# What a configuration says of where it came from.
_NAMES_AND_VERSIONS = ("_name_or_path", "transformers_version")
