"""The metrics of an evaluation, in the order in which their figures stand in the tables."""

from recipe.metrics.base import CorpusMetric, LineMetric
from recipe.metrics.bleu import CharacterBleu, CharacterBleuWithoutMarks
from recipe.metrics.chrf import CharacterChrf
from recipe.metrics.diversity import DistinctCharacters, SelfBleu, TrainingMemory
from recipe.metrics.form import FormAgreement
from recipe.metrics.likelihood import ReferenceLikelihood
from recipe.metrics.meteor import ExactMeteor
from recipe.metrics.model_based import EncoderBertScore, LabelShares, PairRegressor
from recipe.metrics.parallelism import LearnedParallelism, PartOfSpeechAgreement, WordClassAgreement
from recipe.metrics.rouge import CharacterRouge
from recipe.metrics.safety import ListedWords

METRICS: tuple[type[LineMetric] | type[CorpusMetric], ...] = (
    CharacterBleu,
    CharacterBleuWithoutMarks,
    CharacterChrf,
    CharacterRouge,
    ExactMeteor,
    FormAgreement,
    ReferenceLikelihood,
    LearnedParallelism,
    PartOfSpeechAgreement,
    WordClassAgreement,
    DistinctCharacters,
    SelfBleu,
    TrainingMemory,
    ListedWords,
    LabelShares,
    EncoderBertScore,
    PairRegressor,
)
