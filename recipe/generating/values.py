"""The values of the settings of decoding, each held against what can be done with it, before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from recipe.couplet.plan import TonePolicy
from recipe.errors import UserError
from recipe.language import _
from recipe.settings import DecodingSettings

# The smallest and the largest value of each number. Lines to one prompt are decoded together, as beams and as answers,
# and each takes memory: a thousand of them are some GB in a model of 100M weights. NumPy takes seeds of 32 bits.
_ROWS = 1000
_FROM_TO: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("num_beams", "num_return_sequences", "best_of"), (1, _ROWS)),
    **{"generation_batch_size": (1, 2**16), "max_new_tokens": (1, 2**16), "top_k": (0, 2**31 - 1)},
    **{"tone_strength": (0, 1000), "seed": (0, 2**32 - 1)},
}
_DRAWING = ("temperature", "top_k", "top_p")
_TEMPERATURES = (0.001, 1000.0)


def check_settings(settings: DecodingSettings, banned_words: Sequence[str]) -> None:
    """Refuse what cannot be carried out: a `UserError` with all of it at once."""
    problems = [
        _("--{name} {value}: must be {least:,} to {most:,}").format(name=name, value=value, least=least, most=most)
        for name, (least, most) in _FROM_TO.items()
        if (value := getattr(settings, name)) is not None and not least <= value <= most
    ]
    lowest, highest = _TEMPERATURES
    if settings.do_sample and not lowest <= settings.temperature <= highest:
        problems.append(
            _(
                "--temperature {temperature:g}: must be {lowest:g} to {highest:g}; --do_sample false gives the "
                "likeliest line"
            ).format(temperature=settings.temperature, lowest=lowest, highest=highest)
        )
    if settings.do_sample and settings.num_beams > 1:
        problems.append(
            _("--num_beams {num_beams}: beam search does not draw lines; add --do_sample false").format(
                num_beams=settings.num_beams
            )
        )
    if not 0 < settings.top_p <= 1:
        problems.append(_("--top_p {top_p}: must be above 0 and at most 1").format(top_p=settings.top_p))
    if settings.best_of is not None and 1 <= settings.best_of < settings.num_return_sequences:
        problems.append(
            _("--best_of {best_of}: cannot return --num_return_sequences {count} lines").format(
                best_of=settings.best_of, count=settings.num_return_sequences
            )
        )
    if settings.continue_freely and settings.tones == TonePolicy.STRICT.value:
        problems.append(_("--tones strict needs the form; it cannot be held together with --continue_freely"))
    if settings.continue_freely and banned_words:
        problems.append(_("--banned_words needs the form; it cannot be held together with --continue_freely"))
    if problems:
        raise UserError(problems)


def left_aside(settings: DecodingSettings, is_composed: bool = False) -> list[str]:
    """Say which settings have no effect beside the others.

    Args:
        is_composed: whole couplets are written, whose upper lines are always drawn.
    """
    problems = []
    drawing = [f"--{name}" for name in _DRAWING if getattr(settings, name) != getattr(DecodingSettings, name)]
    if drawing and not settings.do_sample and not is_composed:
        problems.append(
            _("{settings}: has no effect with --do_sample false, which draws nothing; leave one of them out").format(
                settings=" ".join(drawing)
            )
        )
    if settings.max_new_tokens != DecodingSettings.max_new_tokens and not settings.continue_freely:
        problems.append(
            _("--max_new_tokens has no effect on lines that keep the form; leave it out, or add --continue_freely")
        )
    beside = "--continue_freely" if settings.continue_freely else f"--tones {settings.tones}"
    is_used = settings.tones == TonePolicy.PREFER.value and not settings.continue_freely
    if settings.tone_strength != DecodingSettings.tone_strength and not is_used:
        problems.append(_("--tone_strength has no effect with {setting}; leave one of them out").format(setting=beside))
    return problems
