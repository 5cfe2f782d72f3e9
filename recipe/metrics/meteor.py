"""METEOR over characters with exact matches only, by nltk (Lavie and Agarwal 2007)."""

import numpy as np

from recipe.language import N_
from recipe.metrics.base import PREDICTIONS, REFERENCES, LineMetric, as_reference_lists, import_extra
from recipe.metrics.figure import Figure, Group


class IdentityStemmer:
    """Characters have no stem: nltk's default, an English one, would be asked for nothing but its time."""

    def stem(self, word: str) -> str:
        """Return the word as it is."""
        return word


class EmptyWordNet:
    """No synonyms: nltk's default is the English WordNet, which has to be downloaded."""

    def synsets(self, word: str) -> list:
        """Return no synonym sets."""
        return []


class ExactMeteor(LineMetric):
    """METEOR without stems and synonyms, the mean over lines; of several references the best for each line counts.

    ``compute`` returns, from 0 to 100:
        meteor: exactly nltk's figure. Its fragmentation penalty leaves 1 - 0.5 / m^3 to a line of m characters that
            equals its reference, so not even the reference itself reaches 100 (one character: 50);
        meteor_of_reference: ``meteor`` as a share of what the references themselves get, so that they get 100.
    Raises ``MissingExtraError`` where nltk is not installed.
    """

    inputs = (PREDICTIONS, REFERENCES)
    figures = (
        Figure(
            "meteor",
            N_("METEOR (exact matches)"),
            Group.OVERLAP,
            N_(
                "mean METEOR over characters without stems and synonyms (nltk), 0 to 100; a perfect line of m "
                "characters gets 100 - 50 / m³"
            ),
        ),
        Figure(
            "meteor_of_reference",
            N_("METEOR, share of the references' own"),
            Group.OVERLAP,
            N_("METEOR over what the references get against themselves, 0 to 100"),
        ),
    )
    source = "Alon Lavie and Abhaya Agarwal. 2007. Meteor. WMT."

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._meteor_score = import_extra("nltk.translate.meteor_score").meteor_score

    def score(self, prediction: str, references: list[str]) -> float:
        """Return nltk's METEOR (0 to 1) of one line against its references."""
        return self._meteor_score(
            [list(line) for line in references], list(prediction), stemmer=IdentityStemmer(), wordnet=EmptyWordNet()
        )

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        """Return (lines, 3): the line's METEOR, the best METEOR of a reference against all references, and 1."""
        rows = [
            [self.score(line, known), max(self.score(own, known) for own in known), 1.0]
            for line, known in zip(predictions, as_reference_lists(references), strict=True)
        ]
        return np.asarray(rows)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        meteor, attainable, lines = sums
        return {
            "meteor": 100 * meteor / lines,
            "meteor_of_reference": 100 * meteor / attainable if attainable else 0.0,
        }
