"""What an evaluation has at hand for the metrics to be made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from recipe.settings import EvaluationSettings


@dataclass(frozen=True)
class TrainingFile:
    """The couplets a model has seen; sets where only membership is asked for."""

    uppers: list[str]
    lowers: list[str]

    @cached_property
    def upper_set(self) -> frozenset[str]:
        """The different upper lines."""
        return frozenset(self.uppers)

    @cached_property
    def lower_set(self) -> frozenset[str]:
        """The different lower lines."""
        return frozenset(self.lowers)

    @cached_property
    def pair_set(self) -> frozenset[tuple[str, str]]:
        """The different couplets."""
        return frozenset(zip(self.uppers, self.lowers, strict=True))


@dataclass(frozen=True)
class Material:
    """The settings of an evaluation, and the contents of the files that they name.

    Attributes:
        training_file: None where none is named.
        listed_words: words whose presence is counted; empty where no list is named.
    """

    settings: EvaluationSettings
    training_file: TrainingFile | None = None
    listed_words: Sequence[str] = ()
