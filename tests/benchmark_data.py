"""A mirror of benchmark data in the very shapes of the public sets, all made up here, and models made up too.

Every set is a few rows, written as the hub has it: parts in a card's `configs`, files in Parquet, JSON Lines or CSV.
"""

import json

import pandas as pd
import yaml
from lm_eval.api.model import LM

from recipe.benchmarks.language_model import Reading

KEYS = "ABCDABCD"  # of the eight questions of each lettered set


def lettered(number, key):
    """A question with four options of which the one under `key` says so."""
    options = {letter: f"错{number}{letter}" for letter in "ABCD"} | {key: f"对{number}"}
    return f"问题{number}", options


def parquet(directory, name, rows):
    directory.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(directory / name)


def card(directory, parts):
    """Write a data set's card; `parts` is part → split → path pattern."""
    configs = [
        {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in splits.items()]}
        for name, splits in parts.items()
    ]
    directory.mkdir(parents=True, exist_ok=True)
    header = yaml.safe_dump({"license": "other", "configs": configs})
    (directory / "README.md").write_text(f"---\n{header}---\n# made up\n", encoding="utf-8")


def lettered_rows(keys, question, answer, extra=()):
    rows = []
    for number, key in enumerate(keys):
        text, options = lettered(number, key)
        rows.append({question: text, **options, answer: key} | dict(extra))
    return rows


def write_ceval(mirror, subjects=("law", "logic"), named=("law", "logic", "physician"), keys=KEYS):
    directory = mirror / "ceval/ceval-exam"
    splits = {split: f"{{}}/{split}-*" for split in ("test", "val", "dev")}
    card(directory, {name: {split: path.format(name) for split, path in splits.items()} for name in named})
    for subject in subjects:
        for split in splits:
            rows = lettered_rows(keys if split == "val" else keys[:2], "question", "answer", {"explanation": ""})
            parquet(directory / subject, f"{split}-00000-of-00001.parquet", rows)


def write_cmmlu(mirror, repository="haonan-li/cmmlu", subjects=("agronomy",)):
    directory = mirror / repository
    card(directory, {name: {"test": f"{name}/test-*", "dev": f"{name}/dev-*"} for name in subjects})
    for subject in subjects:
        for split in ("test", "dev"):
            parquet(directory / subject, f"{split}-0.parquet", lettered_rows(KEYS, "Question", "Answer"))


def write_gaokao(mirror):
    names = ("biology", "chemistry", "chinese", "english", "geography", "history", "mathqa", "physics")
    for name in names:
        rows = []
        for number, key in enumerate(KEYS):
            _, options = lettered(number, key)
            choices = [f"({letter}){name}{text}" for letter, text in options.items()]  # of no other subject
            rows.append({"query": f"问题{number}", "choices": choices, "gold": ["ABCD".index(key)]})
        parquet(mirror / f"hails/agieval-gaokao-{name}/data", "test-00000-of-00001.parquet", rows)
    rows = [{"query": "1+1=", "answer": "2"}, {"query": "2+2=", "answer": "4"}]
    parquet(mirror / "hails/agieval-gaokao-mathcloze/data", "test-00000-of-00001.parquet", rows)


def write_english(mirror):
    directory = mirror / "GBaker/MedQA-USMLE-4-options-hf"
    directory.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        lines = []
        for number, key in enumerate(KEYS):
            text, options = lettered(number, key)
            endings = {f"ending{place}": value for place, value in enumerate(options.values())}
            lines.append({"id": str(number), "sent1": text, "sent2": "", **endings, "label": "ABCD".index(key)})
        (directory / f"{split}.json").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    options = "a ) 38 {0} , b ) 27 {0} , c ) 21 {0} , d ) 16 {0} , e ) 9 {0}"
    rows = [
        {"Problem": f"question {n}", "options": options.format(n), "correct": key, "Rationale": ""}
        for n, key in enumerate("abcde")
    ]
    for split in ("train", "validation", "test"):
        parquet(mirror / "regisss/math_qa/data", f"{split}-0.parquet", rows)


GSM8K = [
    ("Two and three?", "It is 2+3=<<2+3=5>>5.\n#### 5"),
    ("Six by two?", "It is 6/2=<<6/2=3>>3.\n#### 3"),
    ("Nine less one?", "It is 9-1=<<9-1=8>>8.\n#### 8"),
    ("Four times four?", "It is 4*4=<<4*4=16>>16.\n#### 16"),
    ("Ten and ten?", "It is 10+10=<<10+10=20>>20.\n#### 20"),
    ("Seven and none?", "It is 7+0=<<7+0=7>>7.\n#### 7"),
    ("Two by two?", "It is 2/2=<<2/2=1>>1.\n#### 1"),
    ("Six and six?", "It is 6+6=<<6+6=12>>12.\n#### 12"),
]


def write_gsm8k(mirror):
    directory = mirror / "openai/gsm8k"
    card(directory, {"main": {"train": "main/train-*", "test": "main/test-*"}})
    for split in ("train", "test"):
        rows = [{"question": question, "answer": answer} for question, answer in GSM8K]
        parquet(directory / "main", f"{split}-0.parquet", rows)


def write_instructions(mirror):
    directory = mirror / "google/IFEval"
    directory.mkdir(parents=True)
    rows = [
        {"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {
            "key": 2,
            "prompt": "No commas, no capitals.",
            "instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"],
            "kwargs": [{}, {}],
        },
    ]
    (directory / "ifeval_input_data.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    punkt = mirror / "nltk_data/tokenizers/punkt_tab/english"
    punkt.mkdir(parents=True)
    for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
        (punkt / name).write_text("", encoding="utf-8")


def write_truthfulqa(mirror):
    directory = mirror / "truthfulqa/truthful_qa"
    card(directory, {"multiple_choice": {"validation": "multiple_choice/validation-*"}})
    rows = [
        {
            "question": f"question {number}",
            "mc1_targets": {"choices": [f"true {number}", "false", "wrong", "no"], "labels": [1, 0, 0, 0]},
            "mc2_targets": {"choices": [f"true {number}", "right", "false", "wrong"], "labels": [1, 1, 0, 0]},
        }
        for number in range(4)
    ]
    parquet(directory / "multiple_choice", "validation-00000-of-00001.parquet", rows)


def write_bias(mirror):
    directory = mirror / "jannalu/crows_pairs_multilingual"
    card(directory, {"english": {"test": "english.csv"}})
    rows = [
        {"id": number, "sent_more": f"more {number}", "sent_less": f"less {number}", "stereo_antistereo": "stereo"}
        | {"bias_type": "age"}
        for number in range(4)
    ]
    pd.DataFrame(rows).to_csv(directory / "english.csv", index=False)
    directory = mirror / "oskarvanderwal/bbq"
    card(directory, {"All": {"test": "All.jsonl"}})
    lines = [bbq_row(number, condition) for number in range(2) for condition in ("ambig", "disambig")]
    (directory / "All.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def bbq_row(number, condition):
    """A question about an old and a young person whose stereotyped answer is the old one, ans0."""
    return {
        "example_id": number,
        "question_index": "1",
        "question_polarity": "neg",
        "context_condition": condition,
        "category": "Age",
        "answer_info": {
            "ans0": ["the old one", "old"],
            "ans1": ["the young one", "nonOld"],
            "ans2": ["Not known", "unknown"],
        },
        "additional_metadata": {"subcategory": "", "stereotyped_groups": ["old"], "version": "", "source": ""},
        "context": f"An old and a young person met {number}.",
        "question": "Who forgot?",
        "ans0": f"the old one {number}",
        "ans1": f"the young one {number}",
        "ans2": "Not known",
        "label": 2 if condition == "ambig" else 1,
    }


def write_toxigen(mirror):
    directory = mirror / "skg/toxigen-data"
    card(directory, {"annotated": {"train": "annotated/train-*", "test": "annotated/test-*"}})
    rows = [{"text": f"statement {n}", "toxicity_ai": float(n), "toxicity_human": float(n)} for n in (1, 2, 4, 5)]
    for split in ("train", "test"):
        parquet(directory / "annotated", f"{split}-0.parquet", rows)


def write_leaderboard(mirror):
    rows = [
        {"question_id": n, "question": f"q{n}", "options": ["a", "b", "c"], "answer": "ABC"[n], "answer_index": n}
        | {"cot_content": "", "category": "math", "src": ""}
        for n in range(3)
    ]
    for split in ("test", "validation"):
        parquet(mirror / "TIGER-Lab/MMLU-Pro/data", f"{split}-0.parquet", rows * 2)
    directory = mirror / "SaylorTwift/bbh"
    card(directory, {"boolean_expressions": {"test": "boolean_expressions/test-*"}})
    rows = [{"input": f"not True is {n}", "target": ("True", "False")[n % 2]} for n in range(6)]
    parquet(directory / "boolean_expressions", "test-0.parquet", rows)
    directory = mirror / "DigitalLearningGmbH/MATH-lighteval"
    card(directory, {"algebra": {"train": "algebra/train-*", "test": "algebra/test-*"}})
    row = {"problem": "What is 1+1?", "level": "Level 5", "type": "Algebra", "solution": "It is $\\boxed{2}$."}
    for split in ("train", "test"):
        parquet(directory / "algebra", f"{split}-0.parquet", [row, row])
    for name in ("murder_mysteries", "object_placements", "team_allocation"):
        rows = [
            {"narrative": "Once.", "question": "Who?", "choices": "['he', 'she']", "answer_index": n % 2}
            | {"answer_choice": ("he", "she")[n % 2]}
            for n in range(4)
        ]
        path = mirror / "TAUR-Lab/MuSR"
        path.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path / f"{name}.csv", index=False)
    card(
        mirror / "TAUR-Lab/MuSR",
        {"default": {name: f"{name}.csv" for name in ("murder_mysteries", "object_placements", "team_allocation")}},
    )
    directory = mirror / "Idavidrein/gpqa"
    card(directory, {f"gpqa_{name}": {"train": f"gpqa_{name}.csv"} for name in ("main", "diamond", "extended")})
    rows = [
        {"Question": f"q{n}", "Correct Answer": "right", **{f"Incorrect Answer {m}": f"wrong {m}" for m in (1, 2, 3)}}
        for n in range(4)
    ]
    for name in ("main", "diamond", "extended"):
        pd.DataFrame(rows).to_csv(directory / f"gpqa_{name}.csv", index=False)


def write_programs(mirror):
    directory = mirror / "openai/openai_humaneval"
    card(directory, {"openai_humaneval": {"test": "openai_humaneval/test-*"}})
    rows = [
        {
            "task_id": f"HumanEval/{n}",
            "prompt": f'def add{n}(a, b):\n    """Return the sum plus {n}."""\n',
            "canonical_solution": f"    return a + b + {n}\n",
            "test": f"def check(candidate):\n    assert candidate(1, 2) == {3 + n}\n",
            "entry_point": f"add{n}",
        }
        for n in range(3)
    ]
    parquet(directory / "openai_humaneval", "test-0.parquet", rows)
    directory = mirror / "google-research-datasets/mbpp"
    card(directory, {"full": {split: f"full/{split}-*" for split in ("train", "test", "validation", "prompt")}})
    rows = [
        {
            "task_id": n,
            "text": f"Add {n}.",
            "code": f"def plus(a):\n    return a + {n}",
            "test_list": [f"assert plus({m}) == {m + n}" for m in (1, 2, 3)],
            "test_setup_code": "",
            "challenge_test_list": [],
        }
        for n in range(3)
    ]
    for split in ("train", "test", "validation", "prompt"):
        parquet(directory / "full", f"{split}-0.parquet", rows)


def write_mirror(mirror):
    """Write every set."""
    write_ceval(mirror)
    write_cmmlu(mirror)
    write_cmmlu(mirror, "tyouisen/aclue", ("couplet_prediction",))
    for write in (
        write_gaokao,
        write_english,
        write_gsm8k,
        write_instructions,
        write_truthfulqa,
        write_bias,
        write_toxigen,
        write_leaderboard,
        write_programs,
    ):
        write(mirror)
    return mirror


class MadeUpModel(LM):
    """Answers by functions instead of weights.

    Attributes:
        likelihood: prompt, option → log-likelihood.
        write: prompt → continuation.
    """

    def __init__(self, likelihood=lambda prompt, option: 0.0, write=lambda prompt: "", name="made up"):
        super().__init__()
        self.answer, self.write, self.name = likelihood, write, name
        self.reading = Reading()

    def loglikelihood(self, requests):
        return [(self.answer(*request.args), False) for request in requests]

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        return [self.write(request.args[0]) for request in requests]
