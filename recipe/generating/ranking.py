"""What `best_of` ranks by beside the model itself: which characters answer which, learned from a file of couplets."""

from __future__ import annotations

import sys
from collections import Counter

from recipe.couplet.parallelism import CharacterAssociation
from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.formats.couplet import Couplet
from recipe.rows.cleaning import RejectedRowError, listed
from recipe.rows.reading import Row, Source, checked_text, other_couplet_columns, read_rows, shown_row, why_rejected


def learn_parallelism(file: str, column: str, encoding: str, text_format: TextFormat) -> CharacterAssociation:
    """Learn which characters answer which from a file of couplets that were written as the model's training rows.

    Rows that are none are left out, and it is said how many and why.

    Raises:
        UserError: the model does not write couplets, or the file cannot be read or holds no couplet of equal lines.
    """
    if not isinstance(text_format, Couplet):
        kind = text_format.name
        raise UserError(f"--parallelism_file ranks couplets; this model writes texts of another kind: {kind}")
    pairs, rejected, cleaned, first = [], Counter[str](), Counter[str](), dict[str, Row]()
    source = Source(
        (file,),
        (column,),
        encoding,
        column_settings=("--parallelism_column",),
        other_columns=other_couplet_columns(column, (column,)),
        separator=text_format.separator,
    )
    for row in read_rows(source):
        try:
            text, opening_length, _, removed = checked_text(row, text_format)
        except RejectedRowError as rejection:
            rejected[rejection.reason] += 1
            first.setdefault(rejection.reason, shown_row(row, rejection.reason))
        else:
            pairs.append(text_format.split(text, opening_length))
            cleaned.update(removed)
    found = "; ".join(f"{count:,} {reason}" for reason, count in rejected.most_common()) or "no rows at all"
    if not pairs:
        raise UserError(
            f"--parallelism_file {file}: holds no couplet whose lines are of one length, with {text_format.between!r} "
            f"between them as in the model's training rows ({found})" + why_rejected(source, first, rejected)
        )
    if rejected:
        print(f"--parallelism_file {file}: {rejected.total():,} rows are left out ({found})", file=sys.stderr)
    if cleaned:
        print(f"--parallelism_file {file}: taken out of rows: {listed(cleaned)}", file=sys.stderr)
    return CharacterAssociation.learn([upper for upper, _ in pairs], [lower for _, lower in pairs])
