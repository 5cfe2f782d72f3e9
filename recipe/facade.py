"""The recipe from Python: one class that loads a model, answers, scores and evaluates; torch comes with the model.

>>> from recipe import Couplets
>>> couplets = Couplets("models/couplet")
>>> for answer in couplets.answer("春满神州花似锦", n=3, tones="strict"):
...     print(answer.text, answer.log_probability)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from recipe.cli import settings_from
from recipe.couplet.parallelism import CharacterAssociation, shipped_association
from recipe.errors import UserError
from recipe.formats.couplet import Couplet
from recipe.generating.ranking import learn_parallelism, with_best_of
from recipe.generating.values import check_settings
from recipe.language import _, enumerated
from recipe.rows.cleaning import RejectedRowError, clean_line
from recipe.settings import (
    PUBLISHED_MODEL,
    DecodingSettings,
    DeviceSettings,
    EvaluationSettings,
    GenerationSettings,
    JudgeSettings,
    RatingSettings,
    ServedSettings,
)

if TYPE_CHECKING:  # all of these import torch
    from recipe.evaluating.results import Results
    from recipe.generating.composing import Composer, Kind
    from recipe.generating.generator import Answer, Generator
    from recipe.generating.loading import ReadyModel

# A generator's tables take some MB and tens of milliseconds; a page or a notebook goes back and forth between few.
_GENERATORS_KEPT = 8


class Options(TypedDict, total=False):
    """How lower lines are chosen: `recipe.settings.DecodingSettings` says what each one does, and its default."""

    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    num_beams: int
    best_of: int | None
    tones: str
    tone_strength: float
    continue_freely: bool
    max_new_tokens: int
    generation_batch_size: int
    seed: int


# The two settings of decoding that have other names here: a number `n`, and words instead of a file of words.
RENAMED = {"num_return_sequences", "banned_words"}


@dataclasses.dataclass(frozen=True)
class Score:
    """What can be said of a given couplet.

    Attributes:
        violations: the rules of the form that the lower line breaks, by name (`recipe.couplet.form.Violation`).
        tones: share of the positions that are heard whose tones are opposed, 0 to 1; None where tones say nothing.
        log_probability: mean natural logarithm of the probability that the model gives to each character of the lower
            line that its vocabulary has, without the end; None where it has none of them.
        parallelism: how strongly the lines' characters answer each other, in nats a position; above 0 is more than by
            chance. None for texts that are no couplets.
    """

    upper: str
    lower: str
    violations: list[str]
    tones: float | None
    log_probability: float | None
    parallelism: float | None


class Couplets:
    """A model in memory that answers upper lines. Not for several threads at once: generating changes its state.

    Attributes:
        ready: the model, its tokenizer and its text format.
        association: which characters answer which, by `parallelism_file` or else by the table of Tang and Song verse
            that ships; None for texts that are no couplets.
    """

    def __init__(
        self,
        model_name_or_path: str = PUBLISHED_MODEL,
        *,
        device: str | None = None,
        dtype: str | None = None,
        parallelism_file: str | None = None,
        parallelism_column: str = "text1",
    ) -> None:
        """Load a model: a local directory, a hub id, or by default the last published one or else the base that ships.

        Args:
            device, dtype: where it runs and in which number format (`recipe.settings.DeviceSettings`).
            parallelism_file: couplets to learn from which characters answer which, instead of the table that ships.
            parallelism_column: its column that holds whole couplets.

        Raises:
            UserError: a model, a device or a file that cannot be used.
        """
        from recipe.generating.loading import load_ready_model

        self._device = settings_from(DeviceSettings, {"device": device, "dtype": dtype})
        self.ready: ReadyModel = load_ready_model(model_name_or_path, self._device)
        text_format = self.ready.text_format
        self.association: CharacterAssociation | None = None
        if parallelism_file:
            self.association = learn_parallelism(parallelism_file, parallelism_column, "utf-8", text_format)
        elif isinstance(text_format, Couplet):
            self.association = shipped_association()
        self._generator = lru_cache(maxsize=_GENERATORS_KEPT)(self._make_generator)

    def answer(
        self, upper: str, n: int = 1, *, banned_words: Sequence[str] = (), **options: Unpack[Options]
    ) -> list[Answer]:
        """Return up to `n` different answers to one upper line, as `answer_many` does to several."""
        return self.answer_many([upper], n, banned_words=banned_words, **options)[0]

    def answer_many(
        self, uppers: Sequence[str], n: int = 1, *, banned_words: Sequence[str] = (), **options: Unpack[Options]
    ) -> list[list[Answer]]:
        """Return up to `n` different answers to each upper line, in their order. The same seed gives the same answers.

        Args:
            uppers: upper lines; a separator at the end may stay, and of a whole couplet the upper line is taken.
            banned_words: words that no answer holds.

        Raises:
            UserError: options that cannot be carried out, or lines that cannot be answered; all of them at once.
        """
        settings = decoding_settings(n, options)
        return self.generator(settings, _cleaned_words(banned_words)).answer(uppers, settings.seed)

    def compose(
        self,
        given: str,
        n: int = 1,
        *,
        kind: str = "theme",
        line_length: int = GenerationSettings.line_length,
        banned_words: Sequence[str] = (),
        **options: Unpack[Options],
    ) -> list[Answer]:
        """Return up to `n` whole couplets made around some characters, the best first; `prompt` is the upper line.

        Args:
            kind: "theme": the upper line holds `given`; "acrostic": the two lines begin with its two characters (藏头);
                "compose": the upper line begins with it.
            line_length: characters of a line.
            banned_words: words that no line holds.

        Raises:
            UserError: options that cannot be carried out, or characters that no couplet can be made around.
        """
        settings = decoding_settings(n, options)
        composer = self.composer(settings, _cleaned_words(banned_words), line_length)
        with composer.generator.seeded(settings.seed):
            return composer.compose(_cleaned_words([given])[0], kind_of(kind))

    def score(self, upper: str, lower: str) -> Score:
        """Return what can be said of a couplet, whoever wrote it; its lines are cleaned as those of an evaluation."""
        from recipe.evaluating.likelihood import line_losses
        from recipe.generating.processes import Processes

        ready = self.ready
        if isinstance(ready.text_format, Couplet):
            upper, lower = (line.text for line in ready.text_format.read_pair(upper, lower))
        lines = [upper], [lower]
        losses, characters = line_losses(ready.model, ready.tokenizer, *lines, ready.text_format, Processes())
        return Score(
            upper,
            lower,
            ready.text_format.violations(upper, lower),
            ready.text_format.tone_share(upper, lower),
            -losses[0] / characters[0] if characters[0] else None,
            self.association.score(upper, lower) if self.association else None,
        )

    def evaluate(
        self,
        test_file: str | Sequence[str],
        *,
        train_file: str | Sequence[str] = (),
        output_dir: str = EvaluationSettings.output_dir,
        **options: Unpack[Options],
    ) -> Results:
        """Run the job of `run_evaluate.py` on this model and return what its `results.json` holds.

        The model is loaded once more, so that its memory and its loading can be measured.

        Raises:
            UserError: files or options that cannot be used.
        """
        from recipe.evaluating.evaluation import evaluate_couplets
        from recipe.generating.processes import Processes

        files = {"test_file": test_file, "train_file": train_file}
        named = {name: [given] if isinstance(given, str) else list(given) for name, given in files.items()}
        evaluation = settings_from(
            EvaluationSettings, {"model_name_or_path": self.ready.name, "output_dir": output_dir, **named}
        )
        others = RatingSettings(), JudgeSettings(), ServedSettings()
        decoding = decoding_settings(1, options)
        results = evaluate_couplets(evaluation, *others, decoding, self._device, Processes())
        assert results is not None  # as they are in processes that only share the work
        return results

    def generator(self, settings: DecodingSettings, banned_words: Sequence[str] = ()) -> Generator:
        """Return a generator for these settings of decoding, whatever their seed; the last few are kept.

        As in `run_generate.py`, `best_of` is filled in where it is unset.

        Raises:
            UserError: settings that contradict each other or that this model cannot keep.
        """
        check_settings(settings, banned_words)  # the seed too, which the generator does not see
        ranked = with_best_of(settings, self.ready.text_format)
        seedless = dataclasses.replace(ranked, seed=DecodingSettings.seed)
        return self._generator(dataclasses.astuple(seedless), tuple(dict.fromkeys(banned_words)))

    def composer(self, settings: DecodingSettings, banned_words: Sequence[str], line_length: int) -> Composer:
        """Return what writes whole couplets by these settings of decoding.

        Raises:
            UserError: what `generator` raises, or lines that the model or its vocabulary cannot make so long.
        """
        from recipe.generating.composing import Composer

        return Composer(self.generator(settings, banned_words), line_length)

    def _make_generator(self, values: tuple[Any, ...], banned_words: tuple[str, ...]) -> Generator:
        from recipe.generating.generator import Generator

        ready, parallelism = self.ready, self.association.score if self.association else None
        settings = DecodingSettings(*values)
        return Generator(ready.model, ready.tokenizer, settings, banned_words, ready.text_format, parallelism)


def _cleaned_words(words: Sequence[str]) -> list[str]:
    """Clean words as the lines that they are looked for in; raise `UserError` with all that are none."""
    found, reasons = [], []
    for word in words:
        try:
            found.append(clean_line(word).text)
        except RejectedRowError as rejection:
            reasons.append(_("{word!r} is no word ({reason})").format(word=word[:40], reason=_(rejection.reason)))
    if reasons:
        raise UserError(reasons)
    return found


def kind_of(name: str) -> Kind:
    """Return the way of composing by its name.

    Raises:
        UserError: there is no such way.
    """
    from recipe.generating.composing import Kind

    try:
        return Kind(name)
    except ValueError:
        raise UserError(_("kind {name!r}: must be {kinds}").format(name=name, kinds=enumerated(Kind))) from None


def decoding_settings(n: int, options: Mapping[str, Any]) -> DecodingSettings:
    """Return the settings that `n` answers and some `Options` stand for.

    Raises:
        UserError: unknown names and wrong types, all at once.
    """
    if renamed := RENAMED & options.keys():
        raise UserError(
            [
                _("unknown setting {name}; say n, or banned_words as a list of words").format(name=name)
                for name in renamed
            ]
        )
    try:
        return settings_from(DecodingSettings, {"num_return_sequences": n, **options})
    except UserError as error:
        raise UserError([problem.replace("num_return_sequences", "n") for problem in error.problems]) from None
