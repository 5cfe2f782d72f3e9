"""What `best_of` ranks by beside the model itself: which characters answer which, learned from a file of couplets."""

from __future__ import annotations

import sys
from collections import Counter

from recipe.couplet.parallelism import CharacterAssociation
from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.formats.couplet import Couplet
from recipe.rows.cleaning import RejectedRowError, listed
from recipe.rows.reading import Source, checked_text, read_rows


def learn_parallelism(file: str, column: str, encoding: str, text_format: TextFormat) -> CharacterAssociation:
    """Learn which characters answer which from a file of couplets that were written as the model's training rows.

    Rows that are none are left out, and it is said how many and why.

    Raises:
        UserError: the model does not write couplets, or the file cannot be read or holds no couplet of equal lines.
    """
    if not isinstance(text_format, Couplet):
        kind = text_format.name
        raise UserError(f"--parallelism_file ranks couplets; this model writes texts of another kind: {kind}")
    pairs, rejected, cleaned = [], Counter[str](), Counter[str]()
    for row in read_rows(Source((file,), (column,), encoding, column_settings="--parallelism_column")):
        try:
            text, opening_length, _, removed = checked_text(row, text_format)
        except RejectedRowError as rejection:
            rejected[rejection.reason] += 1
        else:
            pairs.append(text_format.split(text, opening_length))
            cleaned.update(removed)
    found = "; ".join(f"{count:,} {reason}" for reason, count in rejected.most_common()) or "no rows at all"
    if not pairs:
        raise UserError(
            f"--parallelism_file {file}: holds no couplet whose lines are of one length, with {text_format.between!r} "
            f"between them as in the model's training rows ({found})"
        )
    if rejected:
        print(f"--parallelism_file {file}: {rejected.total():,} rows are left out ({found})", file=sys.stderr)
    if cleaned:
        print(f"--parallelism_file {file}: taken out of rows: {listed(cleaned)}", file=sys.stderr)
    return CharacterAssociation.learn([upper for upper, _ in pairs], [lower for _, lower in pairs])
