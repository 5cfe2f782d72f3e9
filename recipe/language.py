"""The language that users read: Chinese where the locale is Chinese or `--language zh` says so, English otherwise.

The English sentences in the code are the keys of the one catalogue, `locale/zh/LC_MESSAGES/recipe.po`, which
`bench/make_catalogue.py` updates and compiles (CONTRIBUTING.md).
"""

from __future__ import annotations

import contextlib
import gettext
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

DOMAIN = "recipe"
DIRECTORY = Path(__file__).parent / "locale"
LANGUAGES = ("en", "zh")

_loaded: dict[str, gettext.NullTranslations] = {}
_visitor: ContextVar[str | None] = ContextVar("language", default=None)


def choose_language(language: str | None) -> None:
    """Speak `language` from here on, in the processes that this one starts too; None leaves it to the locale.

    Help texts and messages of argparse are in the catalogue as well: it looks them up in gettext's own domain.
    """
    if language is not None:
        os.environ["LANGUAGE"] = language
    _loaded.clear()
    gettext.bindtextdomain(DOMAIN, DIRECTORY)
    gettext.textdomain(DOMAIN)


def asked_language(argv: Sequence[str]) -> str | None:
    """Return what `--language` says on a command line that is not parsed yet; None if nothing that there is."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--language=") else [word])]
    values = [value for flag, value in itertools.pairwise(words) if flag == "--language"]
    return values[-1] if values and values[-1] in LANGUAGES else None


def translations(language: str | None = None) -> gettext.NullTranslations:
    """Return the catalogue of one language, or of the one that is spoken."""
    language = language or _visitor.get()
    key = language or ""
    if key not in _loaded:
        _loaded[key] = gettext.translation(DOMAIN, DIRECTORY, [language] if language else None, fallback=True)
    return _loaded[key]


@contextlib.contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak `language` in this block, and in no other thread or task: a server answers each visitor in theirs."""
    token = _visitor.set(language)
    try:
        yield
    finally:
        _visitor.reset(token)


def _(message: str) -> str:
    """Return a whole sentence in the language that is spoken; what changes in it are named `{places}` for `format`."""
    return translations().gettext(message) if message else message


def ngettext(one: str, many: str, count: int) -> str:
    """Return the sentence that fits a number."""
    return translations().ngettext(one, many, count)


def N_(message: str) -> str:  # noqa: N802 (gettext's usual name)
    """Mark a constant for the catalogue; it is translated by `_` where it is shown."""
    return message


def enumerated(items: Iterable[str]) -> str:
    """Return items as a sentence lists them: with commas, in Chinese with 、."""
    return _(", ").join(items)
