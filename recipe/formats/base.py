"""What a text format is: a class that knows how its texts are read, prompted, held in form, published and shown.

A text is a prompt, what stands between, and an answer: `text == prompt + between + answer`. What the model is given is
the *opening*, `prompt + between`; the *answer* is what it writes after it. A row is split once, when it is checked;
then the length of its opening travels with it.

To add a format: a file with a subclass of `TextFormat`, its name in `recipe.formats.registry`, a test, a page of docs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from recipe.couplet.plan import FormPlan, TonePolicy
from recipe.language import _
from recipe.rows.cleaning import Cleaned, clean


class TextSettings(Protocol):
    """The settings that formats are made from; `recipe.settings.DataSettings` has them, with their explanations."""

    separator: str
    unequal_lines: str
    upper_column: str | None
    lower_column: str | None
    upper_file: str | None
    lower_file: str | None


class Text(NamedTuple):
    """A checked row.

    Attributes:
        text: the whole text, as the model is trained on it.
        opening_length: how many of its characters the model is given.
        held_out_by: rows with the same one are held out together.
        removed: the kinds of what cleaning took out of it (`recipe.rows.cleaning.Cleaned`).
    """

    text: str
    opening_length: int
    held_out_by: str
    removed: tuple[str, ...] = ()


class PlannedForm(ABC):
    """A form that is known position by position from the prompt alone, before anything is written."""

    @abstractmethod
    def plan(self, prompt: str, tones: TonePolicy) -> FormPlan:
        """Return what each position of the answer must hold."""


class Choice(NamedTuple):
    """What may come next in an answer: one of `characters` that is not in `but_not`, or, if it `may_end`, its end."""

    characters: frozenset[str]
    but_not: frozenset[str] = frozenset()
    may_end: bool = False


class SteppedForm(ABC):
    """A form that says step by step what may come next, by the prompt and what has been written.

    It works with the Chinese characters that a vocabulary has, and its own marks (`marks`), which must be in it too.
    Banned words take characters away in some places, so that a form has to know which of them it can count on.
    """

    marks: ClassVar[str]

    @abstractmethod
    def over(self, characters: frozenset[str], unbanned: frozenset[str]) -> SteppedChoices:
        """Return the form over a vocabulary; `unbanned` are the characters that stay allowed whatever stands before."""


class SteppedChoices(ABC):
    """A `SteppedForm` over one vocabulary."""

    @abstractmethod
    def most_characters(self, prompt: str) -> int:
        """Return how many characters the longest answer to `prompt` has."""

    @abstractmethod
    def refusal(self, prompt: str) -> str | None:
        """Return why no answer can be promised; None if no way of choosing leads to a place without a choice."""

    @abstractmethod
    def next(self, prompt: str, written: str) -> Choice:
        """Return what may follow `written`, which was chosen step by step itself."""


class TextFormat(ABC):
    """One kind of text.

    Attributes:
        name: value of `--text_format`.
        takes_pairs: whether rows may come in two columns, or in two files line by line.
        has_answer: whether a text has a prompt and an answer; otherwise it is written on from any beginning.
        prompt_name, answer_name: the columns of answers that are written to files.
    """

    name: ClassVar[str]
    takes_pairs: ClassVar[bool] = False
    has_answer: ClassVar[bool] = True
    prompt_name: ClassVar[str] = "prompt"
    answer_name: ClassVar[str] = "answer"

    @property
    def between(self) -> str:
        """What stands between prompt and answer."""
        return ""

    @property
    def asks_for(self) -> tuple[str, str]:
        """What a conversation asks for, and what it calls the answer."""
        return "prompt", "answer"

    @property
    def form(self) -> PlannedForm | SteppedForm | None:
        """The form that answers are held in; None if there is none."""
        return None

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: TextSettings) -> Self:
        """Return the format of the rows that the settings describe."""

    @classmethod
    @abstractmethod
    def from_carried(cls, carried: Mapping[str, Any]) -> Self:
        """Return the format of a published model, from what `carried` returned when it was published.

        Raises:
            ValueError: what was carried is not of this format; the message says why, in the reader's language.
        """

    @classmethod
    def problems(cls, settings: TextSettings) -> list[str]:
        """Return what is wrong with the settings for rows of this format."""
        if not cls.takes_pairs and (settings.upper_column or settings.upper_file):
            return [
                _(
                    "--text_format {name} has one text in each row: name its column with --text_column; upper and "
                    "lower lines are for couplets"
                ).format(name=cls.name)
            ]
        return []

    @abstractmethod
    def carried(self) -> dict[str, Any]:
        """Return what a published model carries in its `config.recipe`, `text_format` among it: see `from_carried`."""

    @abstractmethod
    def check(self, cells: Sequence[Any]) -> Text:
        """Return the text of a row's cells, one or (`takes_pairs`) two.

        Raises:
            RejectedRowError: they hold none.
        """

    def cells_of_lines(self, lines: Sequence[str]) -> Sequence[str]:
        """Return the cells of a row whose text comes in pieces, as collections of poems have it: one whole text."""
        return ["".join(lines)]

    @property
    def needed_characters(self) -> str:
        """The characters without which a vocabulary cannot hold this format."""
        return self.between

    def opening(self, prompt: str) -> str:
        """Return what the model is given to answer `prompt`."""
        return prompt + self.between

    def join(self, prompt: str, answer: str) -> str:
        """Return the whole text."""
        return self.opening(prompt) + answer

    def split(self, text: str, opening_length: int) -> tuple[str, str]:
        """Return prompt and answer of a checked text."""
        return text[: opening_length - len(self.between)], text[opening_length:]

    def read_prompt(self, typed: str) -> Cleaned:
        """Return the prompt of what somebody typed or put into a file, cleaned as rows are.

        Raises:
            RejectedRowError: a row with it would be rejected.
        """
        return clean(typed, joins_lines=True)

    def violations(self, prompt: str, answer: str) -> list[str]:
        """Return the rules of the form that an answer breaks; a format without a form has none."""
        return []

    def tone_share(self, prompt: str, answer: str) -> float | None:
        """Return which share of the places that are heard has the right tone, 0 to 1; None if tones say nothing."""
        return None

    @property
    @abstractmethod
    def card(self) -> ModelCard:
        """What the card of a published model says of it."""


class ModelCard(NamedTuple):
    """The parts of a model card that the format decides.

    Attributes:
        title: its headline.
        tag: a tag of the hub.
        usage: what the model does and how it is asked to, in Markdown.
    """

    title: str
    tag: str
    usage: str
