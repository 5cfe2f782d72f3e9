"""The figures of the report: name, group, unit, which way is better, and what each one means, in one place."""

from __future__ import annotations

from typing import NamedTuple

HIGHER, LOWER, HUMAN_LIKE = "higher", "lower", "like humans"


class Figure(NamedTuple):
    """One row of the report's tables.

    Attributes:
        key: its name in `results.json`.
        label: its name in the report.
        group: the table in which it stands.
        unit: `%`, `nats`, or empty for a score without unit.
        better: which way is better; for many figures it is neither up nor down but towards the human figure.
        definition: one sentence.
        is_main: shown in the summary, and again for unseen upper lines.
    """

    key: str
    label: str
    group: str
    unit: str
    better: str
    definition: str
    is_main: bool = False


OVERLAP = "Overlap with the references"
FORM = "Form"
LIKELIHOOD = "Likelihood"
PARALLELISM = "Parallelism"
DIVERSITY = "Diversity and memory"
SAFETY = "Safety"
MODEL_BASED = "Model-based"

GROUPS = {
    OVERLAP: "Characters that a lower line has in common with the known lower lines of its upper line. A good one can "
    "share none: read these figures beside chance, never as a grade.",
    FORM: "Rules that hold or do not: the share of lower lines that keep each.",
    LIKELIHOOD: "How well the model expects what humans wrote, and whether it tells it from a random line.",
    PARALLELISM: "Whether the characters at each position answer each other in kind. Only scores that tell human lines "
    "from random lines of the same shape are shown; how well they do stands in the table of separation.",
    DIVERSITY: "Whether the model repeats itself, or its training file.",
    SAFETY: "Words and labels that one does not want to see.",
    MODEL_BASED: "Scores by other people's models, named in the settings. They compare; they do not measure.",
}

_BLEU = (
    "corpus BLEU over characters with n-grams up to {n}, brevity penalty included (sacrebleu, tokenize=zh), 0 to 100"
)
_BARE = "the same without punctuation: marks are copied from the upper line and match for nothing"

CATALOGUE = (
    Figure("bleu1", "BLEU-1", OVERLAP, "", HIGHER, _BLEU.format(n=1)),
    Figure("bleu2", "BLEU-2", OVERLAP, "", HIGHER, _BLEU.format(n=2)),
    Figure("bleu3", "BLEU-3", OVERLAP, "", HIGHER, _BLEU.format(n=3)),
    Figure("bleu4", "BLEU-4", OVERLAP, "", HIGHER, _BLEU.format(n=4), True),
    Figure("bleu1_without_marks", "BLEU-1 without marks", OVERLAP, "", HIGHER, _BARE, True),
    Figure("bleu2_without_marks", "BLEU-2 without marks", OVERLAP, "", HIGHER, _BARE, True),
    Figure("bleu3_without_marks", "BLEU-3 without marks", OVERLAP, "", HIGHER, _BARE),
    Figure("bleu4_without_marks", "BLEU-4 without marks", OVERLAP, "", HIGHER, _BARE, True),
    Figure(
        "chrf",
        "chrF (order 2)",
        OVERLAP,
        "",
        HIGHER,
        "character F-score, n-grams 1 and 2, beta 2 (sacrebleu), 0 to 100",
    ),
    Figure("rouge1", "ROUGE-1", OVERLAP, "", HIGHER, "mean F-measure of common characters (rouge-score), 0 to 100"),
    Figure("rouge2", "ROUGE-2", OVERLAP, "", HIGHER, "mean F-measure of common character bigrams, 0 to 100"),
    Figure("rougeL", "ROUGE-L", OVERLAP, "", HIGHER, "mean F-measure of the longest common subsequence, 0 to 100"),
    Figure(
        "meteor",
        "METEOR (exact matches)",
        OVERLAP,
        "",
        HIGHER,
        "mean METEOR over characters without stems and synonyms (nltk), 0 to 100; a perfect line of m characters gets "
        "100 - 50 / m³",
    ),
    Figure(
        "meteor_of_reference",
        "METEOR, share of the references' own",
        OVERLAP,
        "",
        HIGHER,
        "METEOR over what the references get against themselves, 0 to 100",
    ),
    Figure("form", "All hard rules", FORM, "%", HIGHER, "lower lines that break none of the six rules below", True),
    Figure("form_length", "Length", FORM, "%", HIGHER, "as long as the upper line"),
    Figure("form_punctuation", "Punctuation positions", FORM, "%", HIGHER, "marks at exactly the same positions"),
    Figure("form_mark", "Same marks", FORM, "%", HIGHER, "where marks stand at the same positions, the same ones"),
    Figure(
        "form_repetition", "Repetition pattern", FORM, "%", HIGHER, "repeats its characters where the upper line does"
    ),
    Figure("form_shared_character", "No shared character", FORM, "%", HIGHER, "no character of the upper line"),
    Figure(
        "form_foreign_character",
        "Chinese characters only",
        FORM,
        "%",
        HIGHER,
        "no unknown token, Latin letter, digit or the like",
    ),
    Figure(
        "last_tone_modern",
        "Last tones, modern",
        FORM,
        "%",
        HIGHER,
        "upper line ends 仄, lower line 平, by today's tones",
    ),
    Figure("last_tone_ancient", "Last tones, old", FORM, "%", HIGHER, "the same by 平水韵"),
    Figure(
        "last_tone_either", "Last tones, either", FORM, "%", HIGHER, "the same by at least one of the systems", True
    ),
    Figure(
        "seven_tones_modern",
        "Inner tones, modern",
        FORM,
        "%",
        HUMAN_LIKE,
        "lines of seven characters: positions 2, 4, 6, 7 all opposed, by today's tones",
    ),
    Figure("seven_tones_ancient", "Inner tones, old", FORM, "%", HUMAN_LIKE, "the same by 平水韵"),
    Figure(
        "seven_tones_either",
        "Inner tones, either",
        FORM,
        "%",
        HUMAN_LIKE,
        "the same by at least one of the systems",
        True,
    ),
    Figure(
        "loss_per_character",
        "Loss per character",
        LIKELIHOOD,
        "nats",
        LOWER,
        "negative log-likelihood of the first known lower line given the upper line, over its characters (the end "
        "token is not one); chance: of the random line",
        True,
    ),
    Figure("perplexity", "Perplexity", LIKELIHOOD, "", LOWER, "exp(loss per character)", True),
    Figure(
        "parallelism",
        "Learned parallelism",
        PARALLELISM,
        "nats",
        HUMAN_LIKE,
        "mean over positions of how much more often the two characters answer each other in the training file than "
        "independent ones would (pointwise mutual information, shrunken); 0 is chance",
        True,
    ),
    Figure(
        "pos_character",
        "Part of speech, by character",
        PARALLELISM,
        "%",
        HUMAN_LIKE,
        "characters answered by one of the same part of speech, each tagged by itself (jieba)",
    ),
    Figure(
        "pos_word",
        "Part of speech, by word",
        PARALLELISM,
        "%",
        HUMAN_LIKE,
        "the same with the tags of the words that jieba finds in the line",
    ),
    Figure(
        "distinct1",
        "distinct-1",
        DIVERSITY,
        "%",
        HUMAN_LIKE,
        "different characters over all characters of all lower lines, marks aside; depends on their number",
    ),
    Figure(
        "distinct2", "distinct-2", DIVERSITY, "%", HUMAN_LIKE, "the same for pairs of neighbouring characters", True
    ),
    Figure(
        "self_bleu",
        "Self-BLEU-2",
        DIVERSITY,
        "",
        LOWER,
        "mean BLEU-2 of each answer against the other answers to the same upper line, 0 to 100",
    ),
    Figure(
        "memorised_lines",
        "Lines of the training file",
        DIVERSITY,
        "%",
        HUMAN_LIKE,
        "lower lines that stand verbatim in the training file, as answer to any upper line",
        True,
    ),
    Figure(
        "memorised_pairs",
        "Couplets of the training file",
        DIVERSITY,
        "%",
        HUMAN_LIKE,
        "lower lines that stand there as answer to this very upper line",
    ),
    Figure("listed_words", "Lines with a listed word", SAFETY, "%", LOWER, "lower lines that hold a word of the list"),
    Figure("bertscore_precision", "BERTScore precision", MODEL_BASED, "", HIGHER, "torchmetrics, without rescaling"),
    Figure("bertscore_recall", "BERTScore recall", MODEL_BASED, "", HIGHER, "torchmetrics, without rescaling"),
    Figure("bertscore_f1", "BERTScore F1", MODEL_BASED, "", HIGHER, "torchmetrics, without rescaling"),
    Figure("pair_regressor", "Pair regressor", MODEL_BASED, "", HIGHER, "mean output of the given regressor"),
)


def catalogue_for(keys: list[str]) -> list[Figure]:
    """Return the catalogue's figures among `keys`, in its order, and a row for each label of a text classifier."""
    labels = [
        Figure(key, key.removeprefix("label_"), SAFETY, "%", HUMAN_LIKE, "lower lines with this label (classifier)")
        for key in keys
        if key.startswith("label_")
    ]
    return [figure for figure in CATALOGUE if figure.key in keys] + labels
