"""Couplets (对联): an upper line, a separator, and the lower line that answers it. The rules are `recipe.couplet`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from recipe.couplet.form import DEFAULT_SEPARATOR, form_violations, is_same_mark, split_couplet
from recipe.couplet.plan import FormPlan, TonePolicy, plan_form
from recipe.couplet.tones import choose_system, rhythm_positions, tones_opposed
from recipe.formats.base import ModelCard, PlannedForm, Text, TextFormat, TextSettings
from recipe.rows.cleaning import Cleaned, RejectedRowError, clean_answer, clean_line, kinds_of

NO_SEPARATOR = "no separator"
EMPTY_LINE = "empty upper or lower line"
UNEQUAL = "lines of unequal length"


class LowerLineForm(PlannedForm):
    """The form of a lower line, planned from its upper line."""

    def plan(self, prompt: str, tones: TonePolicy) -> FormPlan:
        return plan_form(prompt, tones)


@dataclass(frozen=True)
class Couplet(TextFormat):
    """A couplet.

    Attributes:
        separator: the one character between the lines in the user's files.
        keeps_unequal: whether lines may differ in length.
    """

    separator: str = DEFAULT_SEPARATOR
    keeps_unequal: bool = False

    name = "couplet"
    summary = "two lines and the form's rules"
    takes_pairs = True
    prompt_name, answer_name = "upper", "lower"

    @property
    def between(self) -> str:
        """The files' separator; but white space, which vocabularies have no token for, becomes the default one."""
        return DEFAULT_SEPARATOR if self.separator.isspace() else self.separator

    @property
    def asks_for(self) -> tuple[str, str]:
        return "上联", "下联"

    @property
    def form(self) -> LowerLineForm:
        return LowerLineForm()

    @classmethod
    def from_settings(cls, settings: TextSettings) -> Self:
        return cls(settings.separator, settings.unequal_lines == "keep")

    @classmethod
    def problems(cls, settings: TextSettings) -> list[str]:
        if len(settings.separator) == 1:
            return []
        return [f"--separator takes one character; found {settings.separator!r}"]

    @classmethod
    def from_carried(cls, carried: Mapping[str, Any]) -> Self:
        separator = carried.get("separator")
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"its separator is {separator!r}, expected one character")
        return cls(separator)

    def carried(self) -> dict[str, Any]:
        return {"text_format": self.name, "separator": self.between}

    def check(self, cells: Sequence[Any]) -> Text:
        if self.separator.isspace():
            cells = self._split_at_space(cells)
        cleaned = [clean_line(cell) for cell in cells]
        lines = [line.text for line in cleaned]
        if len(lines) == 2:
            upper, lower = lines
        elif (halves := split_couplet(lines[0], self.separator)) is None:
            raise RejectedRowError(NO_SEPARATOR)
        else:
            upper, lower = halves
        if not upper or not lower:
            raise RejectedRowError(EMPTY_LINE)
        if len(upper) != len(lower) and not self.keeps_unequal:
            raise RejectedRowError(UNEQUAL)
        opening = self.opening(upper)
        return Text(opening + lower, len(opening), upper, kinds_of(cleaned))

    def _split_at_space(self, cells: Sequence[Any]) -> Sequence[Any]:
        """Split a cell at its separating space before cleaning, which would remove it."""
        if len(cells) == 1 and isinstance(cells[0], str):
            return split_couplet(cells[0].strip(), self.separator) or cells
        return cells

    def read_prompt(self, typed: str) -> Cleaned:
        """Return the upper line: without a separator at its end, and without the lower line of a whole couplet.

        A separator typed as its full-width double, or as another dash, is one too.
        """
        line, removed = clean_line(typed)
        half, odd = divmod(len(line) - 1, 2)
        if half > 0 and not odd and is_same_mark(line[half], self.between):
            return Cleaned(line[:half], removed)
        is_long_dash = line.endswith("——")  # a mark of its own, which takes two places
        return Cleaned(line[:-1] if is_same_mark(line[-1], self.between) and not is_long_dash else line, removed)

    def read_line(self, written: str) -> Cleaned:
        """Return one of the lines of a couplet that another system wrote."""
        return clean_answer(written)

    def violations(self, prompt: str, answer: str) -> list[str]:
        return [str(violation) for violation in form_violations(prompt, answer)]

    def tone_share(self, prompt: str, answer: str) -> float:
        """Return the share of the upper line's rhythm positions whose tones are opposed; 1 if it has none."""
        system = choose_system(prompt)
        rhythm = [position for position in rhythm_positions(prompt) if position < len(answer)]
        opposed = sum(tones_opposed(prompt[position], answer[position], system) for position in rhythm)
        return opposed / len(rhythm) if rhythm else 1.0

    @property
    def card(self) -> ModelCard:
        usage = _USAGE.format(between=self.between)
        return ModelCard("Couplets (对联) by a small Chinese GPT-2", "couplet", usage)


_USAGE = """It answers an upper line (上联) with a lower line (下联). A prompt is an upper
line and `{between}`:

    python run_generate.py --model_name_or_path . --prompt 春满神州花似锦

or, with nothing but the library (the tokenizer puts `[CLS]` first and no `[SEP]` last; generation stops by itself):

    from transformers import pipeline
    pipeline("text-generation", ".")("春满神州花似锦{between}", do_sample=True, top_k=50, top_p=0.95, temperature=0.7)

**Only `run_generate.py` (or its logits processor) holds the form**: equal length, mirrored punctuation and repetition,
no character of the upper line. The plain library call may break every one of these rules.
只有 `run_generate.py`（或其 logits processor）能保证格式；直接调用 transformers 不保证字数相等、标点对应、不重字。"""
