"""Benchmarks through the real task definitions of lm-eval, on made-up data with planted answers."""

import json
import re

import pytest

pytest.importorskip("lm_eval", reason="lm-eval, of the extra [bench], is not installed")

from benchmark_data import KEYS, MadeUpModel, parquet, write_ceval, write_mirror, write_programs

import run_benchmark
from recipe.benchmarks import benchmark as job
from recipe.benchmarks.definitions import definitions_of
from recipe.benchmarks.language_model import ScoredModel, load_scored_model
from recipe.benchmarks.names import BENCHMARKS
from recipe.benchmarks.running import data_read_anew, load_part, run_part
from recipe.errors import UserError, run_or_explain
from recipe.settings import DeviceSettings

CPU = DeviceSettings(device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    return write_mirror(tmp_path_factory.mktemp("mirror"))


def number_of(prompt):
    return int(re.findall(r"问题(\d+)", prompt)[-1])


def knows(wrong=()):
    """Likelihoods of a model that finds the planted option, by letter and by text, but in the questions `wrong`."""

    def likelihood(prompt, option):
        number = number_of(prompt)
        letters = re.findall(rf"([A-D])[.)] ?对{number}\b", prompt)
        is_planted = option.strip() in letters or option.strip().endswith(f"对{number}")
        is_taken = is_planted != (number in wrong)
        return (0.0 if is_taken else -9.0) - ord(option.strip()[-1]) / 1000  # no two options are equally likely

    return likelihood


@pytest.fixture
def run(mirror, tmp_path, monkeypatch, uer_model):
    """Run the command with made-up models; return its exit code and its results."""

    def run(model, *words, baseline=None):
        models = iter([model, baseline])
        monkeypatch.setattr(job, "load_scored_model", lambda *_: next(models))
        given = ["--model_name_or_path", str(uer_model), "--output_dir", str(tmp_path / "out")]
        given += [] if "--data_dir" in words else ["--data_dir", str(mirror)]
        given += ["--baseline", str(uer_model)] if baseline else []
        code = run_or_explain(run_benchmark.main, [*given, *map(str, words)])
        file = tmp_path / "out/results.json"
        return code, json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    return run


def by_title(results):
    return {(row["title"], row["measure"]): row for row in results["rows"]}


def test_planted_answers_give_the_figures_that_were_planted(run, tmp_path):
    code, results = run(
        MadeUpModel(knows(wrong=(0, 1))),
        *("--tasks", "ceval", "cmmlu", "couplet", "gaokao", "medqa"),
        baseline=MadeUpModel(knows(wrong=(0, 1, 2, 3))),
    )
    rows = by_title(results)
    assert code == 0
    for title in ("C-Eval (val split)", "CMMLU", "Gaokao (AGIEval)", "MedQA (USMLE)", "Couplet prediction (ACLUE)"):
        row = rows[title, "accuracy"]
        assert row["figure"]["value"] == 75 and row["baseline"]["value"] == 50 and row["chance"] == 25, title
        assert row["difference"]["value"] == 25 and row["difference"]["low"] >= 0 and row["tied"] == 0
    assert rows["C-Eval (val split)", "accuracy"]["questions"] == 16  # two subjects of eight
    assert rows["C-Eval (val split), cloze variant", "accuracy, cloze variant"]["figure"]["value"] == 75
    row = rows["C-Eval (val split)", "accuracy"]
    assert (row["tasks"], row["known_tasks"], row["version"], row["split"], row["shots"]) == (2, 52, "2.0", "val", "0")
    report = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "C-Eval (val split) (2 of 52 tasks), version 2.0 | accuracy | val, 16, 0 | 75.0%" in report
    assert "What fine-tuning changed" in report
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "2 of 52 tasks" in page and "<script" not in page


@pytest.mark.parametrize("letter", "BC")
def test_a_constant_answer_gets_chance_or_no_figure(run, letter):
    wanted = {letter, letter.lower(), f"({letter})", "Not known", "not known", "True", "Yes", "16", "he"}

    def likelihood(prompt, option):
        text = re.sub(r" \d$", "", option.strip())
        return 0.0 if text in wanted else -1.0 - len(text) / 100 - sum(map(ord, text)) / 1e6

    names = ("medqa", "mathqa", "gsm8k", "ifeval", "bias", "toxicity", "leaderboard", "humaneval", "mbpp")
    code, results = run(
        MadeUpModel(likelihood, lambda prompt: "#### 5"), "--tasks", *names, "--allow_code_execution", "--shots", "0"
    )
    assert code == 0
    assert all(row["tasks"] for row in results["rows"])
    for row in results["rows"]:
        if row["figure"] is not None and row["chance"] is not None:
            assert row["figure"]["value"] <= row["chance"], row
    rows = by_title(results)
    row = rows["MedQA (USMLE)", "accuracy"]
    assert row["figure"] is None and f"answers {letter} to 100% of the questions" in row["reasons"][0]
    assert "answers #### 5 to 100%" in rows["GSM8K", "right results"]["reasons"][0]
    assert "answers unknown to 100%" in rows["BBQ", "accuracy"]["reasons"][0]


def test_a_model_that_cannot_tell_options_apart_gets_no_figure_anywhere(run):
    names = ("couplet", "mathqa", "truthfulqa", "bias", "toxicity")
    _, results = run(MadeUpModel(), "--tasks", *names)
    assert len(results["rows"]) == 11
    for row in results["rows"]:
        assert row["figure"] is None and "100% of the questions" in row["reasons"][0], row


def test_all_other_definitions_give_planted_figures(run):
    def likelihood(prompt, option):
        preferred = ("true", "right", "more", "the old one", "No", "38", "he", "False", "a")
        text = re.sub(r" \d$", "", option.strip())
        return -preferred.index(text) / 100 if text in preferred else -3.0 - len(text) / 1000

    def write(prompt):
        asked = prompt.split("\n\n")[-1]
        said = {"No commas.": "fine", "No commas, no capitals.": "FINE"}
        return said.get(asked, "2*3=<<2*3=6>>, 2+3=<<2+3=4>>.\n#### 5" if "Two and three?" in asked else "#### 1")

    code, results = run(
        MadeUpModel(likelihood, write),
        *("--tasks", "mathqa", "gsm8k", "ifeval", "truthfulqa", "bias", "toxicity", "leaderboard"),
    )
    rows = by_title(results)
    assert code == 0
    assert rows["MathQA", "accuracy"]["figure"]["value"] == 20 and rows["MathQA", "accuracy"]["chance"] == 20
    assert rows["GSM8K", "right results"]["figure"]["value"] == 25  # of eight, and one result is 1
    assert rows["GSM8K", "right results"]["shots"] == "5"
    assert rows["GSM8K", "annotated steps that are right"]["figure"]["value"] == 50
    assert rows["IFEval", "prompts followed, strict"]["figure"]["value"] == 50
    assert rows["IFEval", "instructions followed, strict"]["figure"]["value"] == pytest.approx(200 / 3)
    assert rows["TruthfulQA MC1", "accuracy"]["figure"]["value"] == 100
    assert rows["TruthfulQA MC2", "probability of true answers"]["figure"]["value"] > 90
    assert rows["TruthfulQA MC2", "probability of true answers"]["chance"] == 50
    assert rows["CrowS-Pairs (English)", "stereotype preferred (50% is none)"]["figure"]["value"] == 100
    # BBQ: always the old one, which is the stereotype; wrong where the text answers and where it does not.
    assert rows["BBQ", "accuracy"]["figure"]["value"] == 0
    assert rows["BBQ", "bias where the text answers (0 is none)"]["figure"]["value"] == 100
    assert rows["BBQ", "bias where it does not (0 is none)"]["figure"]["value"] == 100
    # Says "No" to all four statements, two of which are hateful: half right, and one answer throughout.
    assert rows["ToxiGen", "accuracy"]["figure"] is None and "answers No" in rows["ToxiGen", "accuracy"]["reasons"][0]
    assert rows["BBH", "accuracy, by length"]["questions"] == 6
    assert rows["MuSR", "accuracy, by length"]["questions"] == 12
    assert rows["GPQA", "accuracy, by length"]["questions"] == 12
    assert rows["MATH level 5", "right results"]["figure"]["value"] == 0


def test_a_damaged_part_is_a_row_and_not_the_end(run, mirror, tmp_path):
    write_ceval(tmp_path / "m", subjects=("law", "logic"), named=("law", "logic"))
    file = tmp_path / "m/ceval/ceval-exam/law/val-00000-of-00001.parquet"
    parquet(file.parent, file.name, [{"question": "问题1", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "E"}])
    code, results = run(MadeUpModel(knows()), "--tasks", "ceval", "--data_dir", tmp_path / "m")
    row = results["rows"][0]
    assert (
        code == 0
        and row["tasks"] == 1
        and row["figure"]["value"] == 100
        and list(row["failures"]) == ["ceval-valid_law"]
    )
    assert "not run: 1 task, ceval-valid_law" in row["notes"][0]
    file.write_bytes(b"no parquet")
    (tmp_path / "m/ceval/ceval-exam/logic/dev-00000-of-00001.parquet").write_bytes(b"")
    code, _ = run(MadeUpModel(knows()), "--tasks", "ceval", "--data_dir", tmp_path / "m")
    assert code == 2  # nothing scored at all is no success


def test_own_questions_are_scored_by_letter_and_by_text(run, tmp_path):
    file = tmp_path / "q.jsonl"
    rows = [
        {"question": f"问题{n}", "choices": [f"错{n}", f"对{n}"][:: 1 - 2 * (n % 2)], "answer": 1 - n % 2}
        for n in range(6)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    _, results = run(MadeUpModel(knows(wrong=(0, 3, 4))), "--mcq_file", file, "--export", "helm")
    instances = (tmp_path / "out/helm/instances.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["input"]["text"] for line in instances] == [f"问题{n}" for n in range(6)]
    rows = by_title(results)
    assert rows["q.jsonl", "accuracy"]["figure"]["value"] == 50
    assert rows["q.jsonl, cloze variant", "accuracy, cloze variant"]["figure"]["value"] == 50


def test_the_first_questions_and_given_shots(run):
    code, results = run(MadeUpModel(knows()), "--tasks", "ceval", "--limit", "3", "--shots", "1")
    row = results["rows"][0]
    assert code == 0 and row["questions"] == 6 and row["shots"] == "1" and results["limit"] == 3


def encodings(model, texts):
    return [model.tok_encode(text) for text in texts]


def test_the_same_weights_under_both_tokenizers_get_the_same_figures(uer_model, mirror, tmp_path):
    raw = load_scored_model(str(uer_model), "--baseline", CPU, 4)
    raw.tokenizer.save_pretrained(tmp_path)  # the published form: a fast tokenizer of [CLS] and single characters
    raw.model.save_pretrained(tmp_path)
    published = load_scored_model(str(tmp_path), "--baseline", CPU, 4)
    texts = ["春满神州花似锦", "问题1。A"]
    assert encodings(raw, texts) == encodings(published, texts)
    assert encodings(raw, texts)[0][0] == raw.tokenizer.cls_token_id
    with data_read_anew():
        loaded = load_part(BENCHMARKS["couplet"].parts[0], str(mirror))
        runs = [run_part(loaded, model, None, 4) for model in (raw, published)]
    first, second = (next(iter(found.answers.values())) for found in runs)
    assert first.picks == second.picks and first.statistics == second.statistics and first.keys == second.keys


def test_a_tokenizer_that_ends_every_prompt_is_refused(uer_model):
    from transformers import BertTokenizer

    ready = load_scored_model(str(uer_model), "--baseline", CPU, 4)
    raw = BertTokenizer.from_pretrained(uer_model, eos_token="[SEP]", bos_token="[CLS]")
    with pytest.raises(UserError, match=r"puts the end token \[SEP\] behind every prompt"):
        ScoredModel("raw", ready.model, raw, 4)


def test_a_real_model_counts_what_it_cannot_read_and_what_was_cut(uer_model, mirror):
    model = load_scored_model(str(uer_model), "--baseline", CPU, 4)
    with data_read_anew():
        loaded = load_part(BENCHMARKS["truthfulqa"].parts[0], str(mirror))
        found = run_part(loaded, model, None, 1)
        model._max_length = 16
        cut = run_part(loaded, model, None, 1)
    assert cut.reading.cut == 4
    assert found.reading.prompts == 4 and found.reading.cut == 0 and found.reading.tokens > 400
    found.reading.add([7, 8, 7], unknown_id=7, window=2)
    assert found.reading.unknown_share == 2 / found.reading.tokens and found.reading.cut == 1


def test_what_lm_eval_offers_is_what_the_table_names():
    names = {
        item.task for benchmark in BENCHMARKS.values() for part in benchmark.parts for item in definitions_of(part)
    }
    assert {"humaneval", "mbpp", "ifeval", "medqa_4options", "leaderboard_gpqa_diamond"} <= names
    assert len(KEYS) == 8


def test_programs_that_pass_are_counted(run):
    def write(prompt):
        if "def add" in prompt:
            return f"    return a + b + {int('add1' in prompt)}\n"  # right for 0 and 1, wrong for 2
        return "def plus(a):\n    return a + 1\n"  # right for 1 of 0, 1, 2

    words = ("--tasks", "humaneval", "mbpp", "--allow_code_execution", "--code_samples", "2", "--pass_at", "1", "2")
    code, results = run(MadeUpModel(write=write), *words, "--code_temperature", "0.2")
    rows = by_title(results)
    assert code == 0
    assert rows["HumanEval", "Pass@1"]["figure"]["value"] == pytest.approx(200 / 3)
    assert rows["HumanEval", "Pass@2"]["figure"]["value"] == pytest.approx(200 / 3)
    assert rows["MBPP", "Pass@1"]["figure"]["value"] == pytest.approx(100 / 3)
    assert rows["HumanEval", "Pass@1"]["notes"] == ["2 a problem, temperature 0.2: passed 4, failed 2"]


def test_what_programs_need_is_said_before(run, capsys):
    code, _ = run(MadeUpModel(), "--tasks", "mbpp", "--pass_at", "5", "--code_samples", "2")
    said = capsys.readouterr().err
    assert code == 2
    for part in ("--allow_code_execution", "Pass@5 needs at least 5", "--code_temperature above 0"):
        assert part in said


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet"])
def test_damaged_problems_are_a_reason_and_no_traceback(run, tmp_path, capsys, content):
    write_programs(tmp_path / "m")
    (tmp_path / "m/google-research-datasets/mbpp/full/test-0.parquet").write_bytes(content)
    words = ("--tasks", "mbpp", "--allow_code_execution", "--data_dir", tmp_path / "m")
    assert run(MadeUpModel(), *words)[0] == 2
    said = capsys.readouterr().err
    assert "not a single question was answered" in said and "Traceback" not in said and "Failed to read" not in said
