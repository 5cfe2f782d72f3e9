"""`best_of`: how many lines where nobody said, and what ranks them beside the model: which characters answer which."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from recipe.couplet.parallelism import CharacterAssociation, shipped_association
from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.formats.couplet import Couplet
from recipe.language import _
from recipe.rows.cleaning import RejectedRowError, counted, listed
from recipe.rows.reading import Row, Source, checked_text, other_couplet_columns, read_rows, shown_row, why_rejected
from recipe.settings import DecodingSettings

# Chosen by the table of docs/generation.md: more lines gain little, and take longer.
DEFAULT_BEST_OF = 16


def with_best_of(settings: DecodingSettings, text_format: TextFormat) -> DecodingSettings:
    """Return the settings, with `best_of` filled in where it is unset and couplets are drawn in their form."""
    draws = settings.do_sample and not settings.continue_freely and isinstance(text_format, Couplet)
    if settings.best_of is not None or not draws:
        return settings
    return replace(settings, best_of=max(DEFAULT_BEST_OF, settings.num_return_sequences))


def parallelism_scorer(
    settings: DecodingSettings, text_format: TextFormat, file: str | None = None, column: str = "", encoding: str = ""
) -> Callable[[str, str], float] | None:
    """Return what rates the parallelism of (upper, lower) for `best_of`, by a file or else by the table that ships.

    None where nothing is ranked, or where the texts are no couplets. Raises what `learn_parallelism` does.
    """
    if file is not None:
        return learn_parallelism(file, column, encoding, text_format).score
    ranks = (settings.best_of or 1) > 1 and isinstance(text_format, Couplet)
    return shipped_association().score if ranks else None


def learn_parallelism(file: str, column: str, encoding: str, text_format: TextFormat) -> CharacterAssociation:
    """Learn which characters answer which from a file of couplets that were written as the model's training rows.

    Rows that are none are left out, and it is said how many and why.

    Raises:
        UserError: the model does not write couplets, or the file cannot be read or holds no couplet of equal lines.
    """
    if not isinstance(text_format, Couplet):
        kind = text_format.name
        raise UserError(
            _("--parallelism_file ranks couplets; this model writes texts of another kind: {kind}").format(kind=kind)
        )
    pairs, rejected, cleaned, first = [], Counter[str](), Counter[str](), dict[str, Row]()
    source = Source(
        (file,),
        (column,),
        encoding,
        column_settings=("--parallelism_column",),
        other_columns=other_couplet_columns(column, (column,)),
        separator=text_format.separator,
        advised_settings=(),
    )
    for row in read_rows(source):
        try:
            text, opening_length, _key, removed = checked_text(row, text_format)
        except RejectedRowError as rejection:
            rejected[rejection.reason] += 1
            first.setdefault(rejection.reason, shown_row(row, rejection.reason))
        else:
            pairs.append(text_format.split(text, opening_length))
            cleaned.update(removed)
    found = counted(dict(rejected.most_common())) or _("no rows at all")
    if not pairs:
        raise UserError(
            _(
                "--parallelism_file {file}: holds no couplet whose lines are of one length, with {separator!r} between "
                "them as in the model's training rows ({found})"
            ).format(file=file, separator=text_format.between, found=found)
            + why_rejected(source, first, rejected)
        )
    if rejected:
        print(
            _("--parallelism_file {file}: {count:,} rows are left out ({found})").format(
                file=file, count=rejected.total(), found=found
            ),
            file=sys.stderr,
        )
    if cleaned:
        print(
            _("--parallelism_file {file}: taken out of rows: {kinds}").format(file=file, kinds=listed(cleaned)),
            file=sys.stderr,
        )
    return CharacterAssociation.learn([upper for upper, _ in pairs], [lower for _, lower in pairs])
