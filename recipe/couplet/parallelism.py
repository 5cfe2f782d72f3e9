"""Parallelism learned from couplets: which characters answer which, position by position. Plain numpy, no torch.

For a character `a` of an upper line and the character `b` at the same position of the lower line the association is a
shrunken pointwise mutual information (Church and Hanks 1990),

    log((n(a, b) + k) / (n(a) n(b) / N + k)),

with n(a, b) the number of times that `b` answers `a` in the training couplets, n(a) and n(b) the numbers of times that
they stand in upper and in lower lines, N the number of positions, and k = 0.5. Unknown characters and rare pairs come
out near 0, which is chance. Natural logarithms: the unit is the nat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from recipe.couplet.form import is_punctuation
from recipe.errors import UserError
from recipe.language import _

# Chosen among 0.1 to 10 by the AUC of human against random lines of the same shape: 0.986 with 600,000 training
# couplets, 0.955 with 20,000 (bench/parallelism_separation.py).
SHRINKAGE = 0.5
# Made by bench/pack_parallelism.py from the verse couplets (docs/verse.md).
SHIPPED_TABLE = Path(__file__).parents[1] / "data" / "parallelism.safetensors"


@dataclass(frozen=True)
class CharacterAssociation:
    """Counts of aligned characters, and the scores that follow from them.

    Attributes:
        characters: code points in ascending order, shape (characters,), uint32; their places number the characters.
        upper_counts, lower_counts: how often each stands in an upper (a lower) line, shape (characters,), int64.
        pairs: upper number * characters + lower number of every pair seen, ascending, shape (pairs,), int64.
        pair_counts: how often each of them was seen, shape (pairs,), int64.
    """

    characters: np.ndarray
    upper_counts: np.ndarray
    lower_counts: np.ndarray
    pairs: np.ndarray
    pair_counts: np.ndarray

    @classmethod
    def learn(cls, uppers: Iterable[str], lowers: Iterable[str]) -> CharacterAssociation:
        """Count the aligned characters of couplets; couplets whose lines differ in length are left out.

        Raises:
            UserError: there is no couplet to learn from.
        """
        kept = [(upper, lower) for upper, lower in zip(uppers, lowers, strict=True) if len(upper) == len(lower)]
        upper_codes = _code_points("".join(upper for upper, _lower in kept))
        lower_codes = _code_points("".join(lower for _upper, lower in kept))
        answered = ~(_are_marks(upper_codes) | _are_marks(lower_codes))
        if not answered.any():
            raise UserError(_("parallelism cannot be learned: the training file holds no couplet of equal lines"))
        characters = np.unique(np.concatenate([upper_codes[answered], lower_codes[answered]]))
        upper_numbers = np.searchsorted(characters, upper_codes[answered])
        lower_numbers = np.searchsorted(characters, lower_codes[answered])
        pairs, pair_counts = np.unique(upper_numbers * len(characters) + lower_numbers, return_counts=True)
        return cls(
            characters,
            np.bincount(upper_numbers, minlength=len(characters)),
            np.bincount(lower_numbers, minlength=len(characters)),
            pairs,
            pair_counts,
        )

    def common(self, least: int) -> CharacterAssociation:
        """Return the table without the pairs that were seen less than `least` times, as if they had not been."""
        kept = self.pair_counts >= least
        return CharacterAssociation(
            self.characters, self.upper_counts, self.lower_counts, self.pairs[kept], self.pair_counts[kept]
        )

    def to_bytes(self) -> bytes:
        """Return the table as a safetensors file of 32-bit numbers; `load` reads it back."""
        arrays = {name: values.astype(np.uint32) for name, values in vars(self).items()}
        return save(arrays)

    @classmethod
    def load(cls, path: str | Path) -> CharacterAssociation:
        """Read a table that `to_bytes` wrote."""
        arrays = load_file(path)
        # Products of two counts and of two numbers do not fit into the file's 32 bits.
        return cls(
            **{name: values if name == "characters" else values.astype(np.int64) for name, values in arrays.items()}
        )

    def score(self, upper: str, lower: str) -> float:
        """Return the mean association (nats) over the upper line's characters; see `score_lines`."""
        return float(self.score_lines([upper], [lower])[0])

    def score_lines(self, uppers: Sequence[str], lowers: Sequence[str]) -> np.ndarray:
        """Return the mean association of each couplet, shape (couplets,), in nats.

        Positions that hold a mark in either line are not compared; a position that only one of the lines has scores 0.
        Couplets without a comparable position score 0.
        """
        aligned = [list(zip(upper, lower, strict=False)) for upper, lower in zip(uppers, lowers, strict=True)]
        line_of = np.repeat(np.arange(len(aligned)), [len(pairs) for pairs in aligned])
        upper_codes = _code_points("".join(upper for pairs in aligned for upper, _lower in pairs))
        lower_codes = _code_points("".join(lower for pairs in aligned for _upper, lower in pairs))
        compared = ~(_are_marks(upper_codes) | _are_marks(lower_codes))
        values = np.where(compared, self._associations(upper_codes, lower_codes), 0.0)
        missing = [abs(len(upper) - len(lower)) for upper, lower in zip(uppers, lowers, strict=True)]
        totals = np.bincount(line_of, weights=values, minlength=len(aligned))
        positions = np.bincount(line_of, weights=compared, minlength=len(aligned)) + np.asarray(missing)
        return totals / np.maximum(positions, 1)

    def _associations(self, upper_codes: np.ndarray, lower_codes: np.ndarray) -> np.ndarray:
        """Return the association of each aligned pair of code points, shape (positions,)."""
        upper_numbers, upper_known = _find(self.characters, upper_codes)
        lower_numbers, lower_known = _find(self.characters, lower_codes)
        places, seen = _find(self.pairs, upper_numbers * len(self.characters) + lower_numbers)
        known = upper_known & lower_known
        observed = np.where(known & seen, self.pair_counts[places], 0)
        margins = self.upper_counts[upper_numbers] * self.lower_counts[lower_numbers] / self.upper_counts.sum()
        expected = np.where(known, margins, 0)
        return np.log((observed + SHRINKAGE) / (expected + SHRINKAGE))


@cache
def shipped_association() -> CharacterAssociation:
    """Return the table that ships: which characters answer which in the couplets of Tang and Song verse."""
    return CharacterAssociation.load(SHIPPED_TABLE)


def _code_points(text: str) -> np.ndarray:
    # A lone surrogate (from broken JSON escapes) is a character too, if an unknown one; it must not stop an evaluation.
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)


def _are_marks(codes: np.ndarray) -> np.ndarray:
    """Return which code points are marks; each different one is looked up once."""
    different, places = np.unique(codes, return_inverse=True)
    return np.asarray([is_punctuation(chr(code)) for code in different], dtype=bool)[places]


def _find(table: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each value in an ascending table, and whether it stands there at all."""
    places = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return places, table[places] == values
