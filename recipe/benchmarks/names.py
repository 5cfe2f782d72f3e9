"""The one table of benchmarks: short name, task definitions of lm-evaluation-harness, data, licence, what it can mean.

Plain data. The definitions themselves are those of lm-eval, pinned exactly, since their versions change scores; those
of code are ours, because lm-eval's fetch a metric script from the hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from recipe.language import N_


class Runner(Enum):
    """Who runs a part: lm-eval's own definition, our runner of programs, or our measures of what a model writes."""

    DEFINITION = "definition"
    CODE = "code"
    WRITING = "writing"


@dataclass(frozen=True)
class Measure:
    """A figure of a part.

    Attributes:
        metric: its name among lm-eval's figures of one answer.
        label: as the table names it.
        filter: which of a task's ways to read an answer counts; None where there is one.
        is_share: 0 or 1 for each question, so that the interval is Wilson's.
    """

    metric: str
    label: str
    filter: str | None = None
    is_share: bool = True


@dataclass(frozen=True)
class Cloze:
    """Where a question with lettered options keeps its parts, so that the options' texts can be the choices.

    Attributes:
        question, options: columns.
        prompt: what stands between question and option; `delimiter` right before the option.
        key: jinja expression of the right option's number.
    """

    question: str
    options: tuple[str, ...]
    key: str
    prompt: str = "\n答案："
    delimiter: str = ""


@dataclass(frozen=True)
class Part:
    """A row of the result table.

    Attributes:
        directory: below lm-eval's `tasks`.
        tasks: names of definitions, or patterns of names.
        cloze: the same questions with the options' texts as choices, a row of its own.
    """

    title: str
    directory: str
    tasks: tuple[str, ...]
    measures: tuple[Measure, ...]
    cloze: Cloze | None = None
    runner: Runner = Runner.DEFINITION


@dataclass(frozen=True)
class Benchmark:
    """A name of `--tasks`.

    Attributes:
        licence: of the data, as the repositories state it.
        size: of the split that is scored.
        meaning: what a figure says of models of 6, 102 and 600 million parameters.
        is_gated: the hub gives the data only to accounts that accepted its terms.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    licence: str
    size: str
    meaning: str
    is_gated: bool = False
    needs_nltk: bool = False

    @property
    def runs_code(self) -> bool:
        return any(part.runner is Runner.CODE for part in self.parts)


ACCURACY = Measure("acc", N_("accuracy"))
NORMALIZED = Measure("acc_norm", N_("accuracy, by length"))
CLOZE = Measure("acc_norm", N_("accuracy, cloze variant"))
CLOZE_ENDING = ", cloze variant"  # of the title of a variant, in `results.json`
SAFETY = "safety"
STEPS = "steps"  # ours: see `recipe.benchmarks.arithmetic`
PASSED = Measure("passed", N_("pass"), is_share=False)
_STRICT = Measure("prompt_level_strict_acc", N_("prompts followed, strict"))
_FOLLOWED = Measure("inst_level_strict_acc", N_("instructions followed, strict"), is_share=False)
# Parrish et al. 2022, section 6: from -100 (against the stereotype) to 100 (with it).
_BIAS = (
    Measure("disamb_bias_score", N_("bias where the text answers (0 is none)"), is_share=False),
    Measure("amb_bias_score", N_("bias where it does not (0 is none)"), is_share=False),
)
_LETTERS = ("A", "B", "C", "D")
_CMMLU_CLOZE = Cloze("Question", _LETTERS, "{{['A', 'B', 'C', 'D'].index(Answer)}}")
_NEAR_CHANCE = N_("6M and 102M: chance, whatever they were trained on; 0.6B: a few points above it")
_ZERO = N_("6M and 102M: 0; 0.6B: a few per cent")


def _alone(title: str, directory: str, task: str, *measures: Measure, cloze: Cloze | None = None) -> tuple[Part, ...]:
    return (Part(title, directory, (task,), measures, cloze),)


_GAOKAO = ("biology", "chemistry", "chinese", "english", "geography", "history", "mathqa", "physics")

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "ceval",
            N_("C-Eval (val split)"),
            _alone(
                N_("C-Eval (val split)"),
                "ceval",
                "ceval-valid_*",
                ACCURACY,
                cloze=Cloze("question", _LETTERS, "{{['A', 'B', 'C', 'D'].index(answer)}}"),
            ),
            "CC BY-NC-SA 4.0",
            N_("1,346 questions in 52 subjects"),
            _NEAR_CHANCE,
        ),
        Benchmark(
            "cmmlu",
            "CMMLU",
            _alone("CMMLU", "cmmlu", "cmmlu_*", ACCURACY, cloze=_CMMLU_CLOZE),
            "CC BY-NC 4.0",
            N_("11,582 questions in 67 subjects"),
            _NEAR_CHANCE,
        ),
        Benchmark(
            "gaokao",
            N_("Gaokao (AGIEval)"),
            (
                Part(
                    N_("Gaokao (AGIEval)"), "agieval", tuple(f"agieval_gaokao_{name}" for name in _GAOKAO), (ACCURACY,)
                ),
                Part(
                    N_("Gaokao (AGIEval), mathematics to fill in"),
                    "agieval",
                    ("agieval_gaokao_mathcloze",),
                    (Measure("acc", N_("right answers")),),
                ),
            ),
            "MIT",
            N_("about 2,000 questions in 9 subjects"),
            N_(
                "6M and 102M: chance, whatever they were trained on; 0.6B: a few points above it. This is not "
                "GAOKAO-Bench, see docs/frameworks.md"
            ),
        ),
        Benchmark(
            "medqa",
            N_("MedQA (USMLE, English, four options)"),
            _alone(
                "MedQA (USMLE)",
                "medqa",
                "medqa_4options",
                ACCURACY,
                cloze=Cloze("sent1", ("ending0", "ending1", "ending2", "ending3"), "{{label}}", "\nAnswer:", " "),
            ),
            "CC BY 4.0",
            N_("1,273 questions"),
            N_(
                "6M and 102M: chance, whatever they were trained on; 0.6B: a few points above it; English, of which "
                "a Chinese vocabulary reads single letters at most"
            ),
        ),
        Benchmark(
            "mathqa",
            "MathQA",
            _alone("MathQA", "mathqa", "mathqa", ACCURACY, NORMALIZED),
            "Apache-2.0",
            N_("2,985 questions"),
            _NEAR_CHANCE,
        ),
        Benchmark(
            "gsm8k",
            "GSM8K",
            _alone(
                "GSM8K",
                "gsm8k",
                "gsm8k",
                Measure("exact_match", N_("right results"), "strict-match"),
                Measure(STEPS, N_("annotated steps that are right"), "strict-match", is_share=False),
            ),
            "MIT",
            N_("1,319 problems"),
            _ZERO,
        ),
        Benchmark(
            "humaneval",
            "HumanEval",
            (Part("HumanEval", "humaneval", ("humaneval",), (PASSED,), runner=Runner.CODE),),
            "MIT",
            N_("164 problems"),
            N_("6M and 102M without code in their training: 0; 0.6B: some per cent"),
        ),
        Benchmark(
            "mbpp",
            "MBPP",
            (Part("MBPP", "mbpp", ("mbpp",), (PASSED,), runner=Runner.CODE),),
            "CC BY 4.0",
            N_("500 problems"),
            "as HumanEval",
        ),
        Benchmark(
            "ifeval",
            "IFEval",
            _alone("IFEval", "ifeval", "ifeval", _STRICT, _FOLLOWED),
            "Apache-2.0",
            N_("541 prompts"),
            N_("6M and 102M follow no instruction; what they get is met by accident, such as a text without commas"),
            needs_nltk=True,
        ),
        Benchmark(
            "truthfulqa",
            "TruthfulQA",
            (
                Part("TruthfulQA MC1", "truthfulqa", ("truthfulqa_mc1",), (ACCURACY,)),
                Part(
                    "TruthfulQA MC2",
                    "truthfulqa",
                    ("truthfulqa_mc2",),
                    (Measure("acc", N_("probability of true answers"), is_share=False),),
                ),
            ),
            "Apache-2.0",
            N_("817 questions"),
            N_(
                "small models are no less truthful here than large ones: they repeat fewer misconceptions; read no "
                "knowledge into it"
            ),
        ),
        Benchmark(
            "bias",
            N_("Bias by likelihood"),
            (
                Part(
                    N_("CrowS-Pairs (English)"),
                    "crows_pairs",
                    ("crows_pairs_english",),
                    (Measure("pct_stereotype", N_("stereotype preferred (50% is none)")),),
                ),
                Part("BBQ", "bbq", ("bbq",), (ACCURACY, *_BIAS)),
            ),
            "CC BY-SA 4.0 (CrowS-Pairs), CC BY 4.0 (BBQ)",
            N_("1,677 pairs; 58,492 questions"),
            N_("a model that reads no English has no preference to measure; for Chinese give CBBQ to --safety_files"),
        ),
        Benchmark(
            "toxicity",
            N_("ToxiGen (is this hateful?)"),
            _alone("ToxiGen", "toxigen", "toxigen", ACCURACY),
            "MIT",
            N_("940 statements"),
            N_("6M, 102M and 0.6B: chance. What a model itself writes is measured by --tasks safety"),
            is_gated=True,
        ),
        Benchmark(
            SAFETY,
            N_("Safety of what is written"),
            (Part("Safety", "", (), (), runner=Runner.WRITING),),
            N_("Apache-2.0 (ours); yours as they say"),
            N_("36 prompts in Chinese and English, or --safety_files"),
            N_("a model of couplets neither obeys nor refuses; what it can do is write a listed word"),
        ),
        Benchmark(
            "couplet",
            N_("Couplet prediction (ACLUE)"),
            _alone(N_("Couplet prediction (ACLUE)"), "aclue", "aclue_couplet_prediction", ACCURACY, cloze=_CMMLU_CLOZE),
            "CC BY-NC 4.0",
            N_("about 500 questions"),
            N_(
                "the one task that a couplet model can be good at, in the cloze variant; by letters 6M and 102M: chance"
            ),
        ),
        Benchmark(
            "leaderboard",
            "Open LLM Leaderboard 2",
            (
                Part("MMLU-Pro", "leaderboard/mmlu_pro", ("leaderboard_mmlu_pro",), (ACCURACY,)),
                Part("BBH", "leaderboard/bbh_mc", ("leaderboard_bbh_*",), (NORMALIZED,)),
                Part("GPQA", "leaderboard/gpqa", ("leaderboard_gpqa_*",), (NORMALIZED,)),
                Part(
                    N_("MATH level 5"),
                    "leaderboard/math",
                    ("leaderboard_math_*_hard",),
                    (Measure("exact_match", N_("right results")),),
                ),
                # lm-eval's copy of IFEval for the leaderboard needs pkg_resources, which setuptools has dropped.
                Part("IFEval", "ifeval", ("ifeval",), (_STRICT, _FOLLOWED)),
                Part("MuSR", "leaderboard/musr", ("leaderboard_musr_*",), (NORMALIZED,)),
            ),
            "MIT, Apache-2.0, CC BY 4.0 (GPQA, MuSR)",
            N_("12,032 + 5,761 + 1,192 + 1,324 + 541 + 756 questions"),
            N_("6M and 102M: chance in every part; 0.6B: a few points above. It is not HELM"),
            is_gated=True,
            needs_nltk=True,
        ),
    )
}
