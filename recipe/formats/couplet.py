"""Couplets (对联): an upper line, a separator, and the lower line that answers it. The rules are `recipe.couplet`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from recipe.couplet.form import DEFAULT_SEPARATOR, form_violations, is_same_mark, split_couplet
from recipe.couplet.plan import FormPlan, TonePolicy, plan_form
from recipe.couplet.tones import choose_system, rhythm_positions, tones_opposed
from recipe.formats.base import ModelCard, PlannedForm, Text, TextFormat, TextSettings
from recipe.language import N_, _
from recipe.rows.cleaning import EMPTY, Cleaned, RejectedRowError, clean_answer, clean_line, kinds_of

NO_SEPARATOR = N_("no separator")
EMPTY_LINE = N_("empty upper or lower line")
UNEQUAL = N_("lines of unequal length")
SAME_LINES = N_("both lines are the same")
LABELS = N_("labels such as 下联：")

# How other tools announce the lines: 上联：…；下联：…。横批：…
# Behind a label stands a colon, or it stands in brackets.
_UPPER_LABEL, _LOWER_LABEL = (
    rf"(?:{names}[：:]|[【〔［（\[(](?:{names})[】〕］）\])][：:]?)"
    for names in ("(?:上联|上句|出句)", "(?:下联|下句|对句)")
)
_LABEL = re.compile(f"^(?:{_UPPER_LABEL}|{_LOWER_LABEL})")
_LABELLED = re.compile(
    f"(?:对联[：:])?{_UPPER_LABEL}(.*?)[-，；。,;、/|]?{_LOWER_LABEL}(.*?)[，；。,;]?(?:横[批额联][：:].*)?"
)
# What ends a sentence, and with it a whole couplet (上联；下联。).
_FINAL_MARKS = "。！？；，.!?;,"
# What nobody can type in a shell: \n, \t, \x02, \u0002.
_ESCAPES = re.compile(r"\\(?:n|t|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")


def spelled_out(separator: str) -> str:
    r"""Return a separator with what is written as \n, \t, \x02 or \u0002 as the character that it stands for."""
    return _ESCAPES.sub(lambda found: found[0].encode("ascii").decode("unicode_escape"), separator)


def separator_problem(separator: str) -> str | None:
    """Return what is wrong with what stands between the lines; None if nothing."""
    if spelled_out(separator):
        return None
    return _("--separator is empty; give what stands between the lines, such as - or ； or —— or \\n")


class LowerLineForm(PlannedForm):
    """The form of a lower line, planned from its upper line."""

    def plan(self, prompt: str, tones: TonePolicy) -> FormPlan:
        return plan_form(prompt, tones)


@dataclass(frozen=True)
class Couplet(TextFormat):
    """A couplet.

    Attributes:
        separator: what stands between the lines in the user's files.
        keeps_unequal: whether lines may differ in length.
    """

    separator: str = DEFAULT_SEPARATOR
    keeps_unequal: bool = False

    name = "couplet"
    takes_pairs = True
    prompt_name, answer_name = "upper", "lower"

    @property
    def between(self) -> str:
        """The files' separator if it is one visible character; others, which are no token, become the default one."""
        is_token = len(self.separator) == 1 and self.separator.isprintable() and not self.separator.isspace()
        return self.separator if is_token else DEFAULT_SEPARATOR

    @property
    def asks_for(self) -> tuple[str, str]:
        return "上联", "下联"

    @property
    def form(self) -> LowerLineForm:
        return LowerLineForm()

    @classmethod
    def from_settings(cls, settings: TextSettings) -> Self:
        return cls(spelled_out(settings.separator), settings.unequal_lines == "keep")

    @classmethod
    def problems(cls, settings: TextSettings) -> list[str]:
        problem = separator_problem(settings.separator)
        return [problem] if problem else []

    @classmethod
    def from_carried(cls, carried: Mapping[str, Any]) -> Self:
        separator = carried.get("separator")
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(_("its separator is {separator!r}, expected one character").format(separator=separator))
        return cls(separator)

    def carried(self) -> dict[str, Any]:
        return {"text_format": self.name, "separator": self.between}

    def check(self, cells: Sequence[Any]) -> Text:
        if self.separator != self.between:
            cells = self._split_uncleaned(cells)
        cleaned = [clean_line(cell) for cell in cells]
        cleaned = [line for cell in cleaned for line in self._unlabelled(cell)]
        if len(cleaned) == 1:
            if (halves := self._halves(cleaned[0].text)) is None:
                raise RejectedRowError(NO_SEPARATOR)
            cleaned = [line for half in halves for line in self._unlabelled(Cleaned(half, cleaned[0].removed))]
        upper, lower = cleaned[0].text, cleaned[-1].text
        if len(lower) == len(upper) + 1 and lower[-1] in _FINAL_MARKS:
            lower = lower[:-1]  # it ends the couplet, and answers nothing in the upper line
        if not upper or not lower:
            raise RejectedRowError(EMPTY_LINE)
        if len(upper) != len(lower) and not self.keeps_unequal:
            raise RejectedRowError(UNEQUAL)
        if upper == lower:
            raise RejectedRowError(SAME_LINES)
        opening = self.opening(upper)
        return Text(opening + lower, len(opening), upper, kinds_of(cleaned))

    def _unlabelled(self, line: Cleaned) -> list[Cleaned]:
        """Return the two lines of 上联：…；下联：…, one line without its label, or the line as it is."""
        whole = _LABELLED.fullmatch(line.text)
        parts = [whole[1].removesuffix(self.separator), whole[2]] if whole else [_LABEL.sub("", line.text)]
        removed = line.removed if parts == [line.text] else tuple(dict.fromkeys([*line.removed, LABELS]))
        return [Cleaned(part, removed) for part in parts]

    def _split_uncleaned(self, cells: Sequence[Any]) -> Sequence[Any]:
        """Split a cell before cleaning, which would remove or refuse a separator that is no visible character."""
        if len(cells) == 1 and isinstance(cells[0], str):
            return self._halves(cells[0].strip()) or cells
        return cells

    def _halves(self, text: str) -> tuple[str, str] | None:
        """Split a whole couplet; the middle may also be that of the text without a mark at its end."""
        halves = split_couplet(text, self.separator)
        if halves is None and text and text[-1] in _FINAL_MARKS:
            return split_couplet(text[:-1], self.separator)
        return halves

    def cells_of_lines(self, lines: Sequence[str]) -> Sequence[str]:
        """Return two pieces as the two lines; more or fewer are one text."""
        return lines if len(lines) == 2 else super().cells_of_lines(lines)

    def read_prompt(self, typed: str) -> Cleaned:
        """Return the upper line: without a separator at its end, and without the lower line of a whole couplet.

        A separator typed as its full-width double, or as another dash, is one too.

        Raises:
            RejectedRowError: as `clean_line`; also a label with nothing behind it.
        """
        line, removed = self._unlabelled(clean_line(typed))[0]
        if not line:
            raise RejectedRowError(EMPTY)
        half, odd = divmod(len(line) - 1, 2)
        if half > 0 and not odd and is_same_mark(line[half], self.between):
            return Cleaned(line[:half], removed)
        is_long_dash = line.endswith("——")  # a mark of its own, which takes two places
        return Cleaned(line[:-1] if is_same_mark(line[-1], self.between) and not is_long_dash else line, removed)

    def read_pair(self, upper: str, lower: str) -> tuple[Cleaned, Cleaned]:
        """Return the lines of a couplet that another system wrote; nothing is refused, since they are to be scored."""
        return self._unlabelled(clean_answer(upper))[0], self._unlabelled(clean_answer(lower))[-1]

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
        usage = _(_USAGE).format(between=self.between)
        return ModelCard(_("Couplets (对联) by a small Chinese GPT-2"), "couplet", usage)


_USAGE = N_("""It answers an upper line (上联) with a lower line (下联). A prompt is an upper
line and `{between}`:

    python run_generate.py --model_name_or_path . --prompt 春满神州花似锦

or, with nothing but the library (the tokenizer puts `[CLS]` first and no `[SEP]` last; generation stops by itself):

    from transformers import pipeline
    pipeline("text-generation", ".")("春满神州花似锦{between}", do_sample=True, top_k=50, top_p=0.95, temperature=0.7)

**Only `run_generate.py` (or its logits processor) holds the form**: equal length, mirrored punctuation and repetition,
no character of the upper line. The plain library call may break every one of these rules.
只有 `run_generate.py`（或其 logits processor）能保证格式；直接调用 transformers 不保证字数相等、标点对应、不重字。""")
