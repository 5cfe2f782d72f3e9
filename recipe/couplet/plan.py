"""The form of one lower line as a plan, made from the upper line in plain Python before anything is decoded.

A plan says for each position of the lower line whether it takes a mark, repeats an earlier position, or is *fresh*:
takes a character that stands nowhere else in the couplet, and with which tones. Decoding only
carries plans out (`recipe.generating.decoding`), so whatever is impossible can be known beforehand.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache

from recipe.couplet.form import is_punctuation, repetition_pattern
from recipe.couplet.tones import Tone, ToneSystem, choose_system, opposite, rhythm_positions, tone_of

NO_NEED = 0  # no tone bits asked for


class TonePolicy(StrEnum):
    """What is done about tones: nothing, a bias towards opposed ones, or only opposed ones."""

    OFF = "off"
    PREFER = "prefer"
    STRICT = "strict"


@dataclass(frozen=True)
class FormPlan:
    """What each position of the lower line must hold; all tuples are as long as the upper line.

    Attributes:
        upper: the upper line as typed.
        sources: the position that decides each one's character, `repetition_pattern(upper)`.
        is_mark: whether the position takes the upper line's mark.
        needs: at fresh positions the tone bits that the character must (strict) or should (prefer) be able to have,
            those of all positions that repeat it included. Both bits ask for a character of several readings.
        system: the tone system of this couplet, chosen by the upper line alone.
        first: the character that the lower line is to begin with (藏头); empty where it may choose.
    """

    upper: str
    sources: tuple[int, ...]
    is_mark: tuple[bool, ...]
    needs: tuple[int, ...]
    system: ToneSystem
    first: str = ""

    @cached_property
    def taken(self) -> frozenset[str]:
        """The characters that the lower line may not use: the upper line's, and what compatibility forms stand for."""
        if unicodedata.is_normalized("NFKC", self.upper):
            return frozenset(self.upper)
        return frozenset(self.upper + unicodedata.normalize("NFKC", self.upper))

    def is_fresh(self, position: int) -> bool:
        """Whether `position` decides its character by itself."""
        return not self.is_mark[position] and self.sources[position] == position

    @property
    def fresh_positions(self) -> list[int]:
        """The positions that decide a character, in order."""
        return [position for position in range(len(self.upper)) if self.is_fresh(position)]


@lru_cache(maxsize=1 << 14)  # a line is planned when it is checked, decoded and rated
def plan_form(upper: str, tones: TonePolicy = TonePolicy.OFF) -> FormPlan:
    """Make the plan of the lower line that answers `upper`."""
    system = choose_system(upper)
    sources = repetition_pattern(upper)
    needs = [NO_NEED] * len(upper)
    if tones is not TonePolicy.OFF:
        for position, tone in _wanted_tones(upper, system).items():
            needs[sources[position]] |= tone
    return FormPlan(upper, sources, tuple(map(is_punctuation, upper)), tuple(needs), system)


def _wanted_tones(upper: str, system: ToneSystem) -> dict[int, Tone]:
    """The one tone that each rhythm position asks for; positions under a character of several readings ask for none.

    The line's end always asks for one: 平, as it should be, unless the upper line can only be read to end in 平 itself.
    """
    rhythm = rhythm_positions(upper)
    wanted = {position: opposite(tone_of(upper[position], system)) for position in rhythm}
    if rhythm and wanted[rhythm[-1]] == Tone.EITHER:
        wanted[rhythm[-1]] = Tone.LEVEL
    return {position: tone for position, tone in wanted.items() if tone != Tone.EITHER}
