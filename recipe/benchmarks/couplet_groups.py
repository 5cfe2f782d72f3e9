"""Couplets by whether a model was trained on their upper lines, and on lines of their length. Plain Python."""

from __future__ import annotations

from collections.abc import Sequence

from recipe.couplet.form import is_punctuation
from recipe.evaluating.testset import read_test_set, read_training_file
from recipe.language import N_
from recipe.settings import EvaluationSettings

_SEEN = N_("Couplets, upper line seen in training")
_NEW = N_("Couplets, upper line not seen")
_NEW_LENGTH = N_("Couplets, length not seen")

Groups = dict[str, list[tuple[str, str]]]


def read_groups(couplet_files: Sequence[str], train_files: Sequence[str], limit: int | None) -> Groups:
    """Return the couplets of some files by whether the training files have their upper lines, and their lengths.

    Raises:
        UserError: files that cannot be read as couplets; the columns are those of the default settings.
    """
    settings = EvaluationSettings(test_file=list(couplet_files), train_file=list(train_files))
    test, training = read_test_set(settings), read_training_file(settings)
    seen = training.upper_set if training else frozenset()
    lengths = {_length(upper) for upper in seen}
    groups: Groups = {}
    for upper, known in list(zip(test.uppers, test.references, strict=True))[:limit]:
        name = _NEW
        if upper in seen:
            name = _SEEN
        elif training and _length(upper) not in lengths:
            name = _NEW_LENGTH
        groups.setdefault(name, []).append((upper, known[0]))
    return groups


def _length(line: str) -> int:
    return sum(not is_punctuation(char) for char in line)
