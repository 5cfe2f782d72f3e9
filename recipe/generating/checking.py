"""Prompts on disk, and what is seen of all of them before the first is answered."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from recipe.couplet.character_forms import Reading
from recipe.errors import UserError
from recipe.generating.generator import Generator, PreparedPrompt, unusable
from recipe.language import _
from recipe.rows.cleaning import RejectedRowError
from recipe.screen import progress_bar

_NAMED = 20


class StoredPrompts:
    """Prompts as typed, in a temporary file: a million of them take no memory, and a pipe can be gone through twice."""

    def __init__(self, prompts: Iterable[str]) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 (it lives as long as this)
        self._count = 0
        for prompt in prompts:
            self._file.write(json.dumps(prompt) + "\n")
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Go through all prompts; one pass at a time."""
        self._file.seek(0)
        return map(json.loads, self._file)


@dataclass
class Checked:
    """What was seen of prompts; of what may come a million times only the first few are kept, and the number.

    Attributes:
        removed: the kinds of what was taken out beside white space, and of how many prompts.
        unknown: the characters that the model cannot see, and in how many prompts.
        unknown_prompts: how many prompts hold such characters.
        traditional_prompts: how many are read by their simplified forms, and answered in traditional ones.
        variants: characters that are read by another form, and that form; in how many prompts.
        digest: a hash of all prompts.
    """

    removed: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    unknown_prompts: int = 0
    traditional_prompts: int = 0
    variants: Counter[tuple[str, str]] = field(default_factory=Counter)
    digest: str = ""

    def see(self, prompt: PreparedPrompt) -> None:
        """Count what the model does not see of a prompt, and what it sees in another form."""
        self.unknown.update(dict.fromkeys(prompt.unknown, 1))
        self.unknown_prompts += bool(prompt.unknown)
        self.see_reading(prompt.reading)

    def see_reading(self, reading: Reading) -> None:
        """Count what is seen in another form."""
        self.traditional_prompts += reading.is_traditional
        self.variants.update(dict.fromkeys(reading.variants, 1))


def check_prompts(generator: Generator, prompts: StoredPrompts) -> Checked:
    """Look through all prompts.

    Raises:
        UserError: some cannot be answered; the first of them, and how many there are.
    """
    checked, digest, refused = Checked(), hashlib.sha256(), Refusals()
    for typed in progress_bar(prompts, desc="checking", total=len(prompts), unit=" lines", delay=2, leave=False):
        digest.update(json.dumps(typed).encode())
        try:
            cleaned = generator.text_format.read_prompt(typed)
        except RejectedRowError as rejection:
            refused.add(unusable(typed, rejection))
            continue
        (prepared,) = generator.prepare([cleaned.text])
        if prepared.refusal is not None:
            refused.add(prepared.refusal)
        checked.removed.update(cleaned.removed)
        checked.see(prepared)
    refused.raise_any()
    checked.digest = digest.hexdigest()
    return checked


def prepared_chunks(
    generator: Generator, prompts: StoredPrompts, size: int, first: int
) -> Iterator[list[PreparedPrompt]]:
    """Yield prompts that were checked, ready to be answered, in chunks, from the prompt with the place `first` on."""
    rest = itertools.islice(prompts, first, None)
    while chunk := [generator.text_format.read_prompt(typed).text for typed in itertools.islice(rest, size)]:
        yield generator.prepare(chunk)


class Refusals:
    """Reasons to refuse a job, of which only the first are named."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.count = 0

    def add(self, reason: str) -> None:
        """Refuse for one reason more."""
        self.count += 1
        if len(self.reasons) < _NAMED:
            self.reasons.append(reason)

    def raise_any(self) -> None:
        """Raise the reasons as one UserError that says how many there are; nothing if there is none."""
        more = [_("and {count:,} more").format(count=self.count - _NAMED)] if self.count > _NAMED else []
        if self.reasons:
            raise UserError([*self.reasons, *more])
