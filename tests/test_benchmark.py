"""Benchmarks without lm-eval's models: the table of names, data in a mirror, one's own questions, figures, problems."""

import json
import math
import re

import numpy as np
import pytest

from recipe.benchmarks.arithmetic import right_steps
from recipe.benchmarks.figures import Answers, are_tied, difference_of, figure_of, statistics_of, value_of, wilson
from recipe.benchmarks.names import BENCHMARKS, SAFETY
from recipe.benchmarks.questions import question_of, read_questions
from recipe.errors import UserError
from recipe.settings import BenchmarkSettings

definitions = pytest.importorskip("recipe.benchmarks.definitions")
needs_lm_eval = pytest.mark.skipif(definitions.task_directory() is None, reason="lm-eval, of [bench], is not installed")


def answers_with(values, picks=None, tied=(), options=("A", "B", "C", "D"), offered=None):
    """Answers to questions of which those with one number in `offered` have the same options."""
    count = len(values)
    picks = picks if picks is not None else [number % 4 for number in range(count)]
    return Answers(
        "acc",
        [str(number) for number in range(count)],
        [[float(value), 1.0] for value in values],
        [0.25] * count,
        picks,
        [number in tied for number in range(count)],
        [False] * count,
        offered or [0] * count,
        [options[pick] for pick in picks],
    )


def test_a_share_has_wilsons_interval():
    # Wilson 1927 by hand: 6 of 8, z = 1.96: middle (0.75 + 0.2401) / 1.4802 = 0.6689, half width 0.2602.
    found = wilson(6, 8)
    assert (
        found.value == 75
        and found.low == pytest.approx(40.93, abs=0.01)
        and found.high == pytest.approx(92.85, abs=0.01)
    )
    assert wilson(0, 5).low == 0 and wilson(5, 5).high == 100 and wilson(5, 5).low > 50


def test_a_figure_stands_beside_chance_and_its_paired_difference():
    first, second = answers_with([1, 1, 1, 0]), answers_with([1, 0, 0, 0])
    figure = figure_of(first, 0.0, is_share=True)
    assert figure.interval.value == 75 and figure.chance == 25 and figure.tied_share == 0 and not figure.reason
    assert difference_of(first, second).value == 50
    assert difference_of(first, Answers("acc", ["other"], [[1.0, 1.0]])) is None


def test_paired_differences_compare_the_same_questions_whatever_their_order():
    first = answers_with([1, 0, 1])
    second = Answers("acc", ["2", "7", "0"], [[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    assert difference_of(first, second).value == 50  # on 0 and 2: both right, then only the first


@pytest.mark.parametrize(
    ("answers", "unknown", "reason"),
    [
        (answers_with([1] * 8, tied=range(8)), 0.0, "equally likely"),
        (answers_with([1] * 8, tied=[3]), 0.0, "12% of the questions"),
        (answers_with([1, 0] * 4), 0.11, "11% of the tokens are [UNK]"),
        (answers_with([1, 0] * 4, picks=[1] * 8), 0.0, "answers B to 100%"),
        (answers_with([]), 0.0, "no question"),
    ],
)
def test_a_figure_that_would_mean_nothing_is_none_and_says_why(answers, unknown, reason):
    figure = figure_of(answers, unknown, is_share=True)
    assert figure.interval is None and reason in figure.reason


def test_likelihoods_that_are_no_numbers_give_no_figure():
    answers = answers_with([1, 1, 0, 0])
    answers.unusable[2] = True
    assert "1 of 4 likelihoods are no numbers" in figure_of(answers, 0.0, is_share=True).reason


def test_one_option_throughout_is_no_sign_where_the_options_differ():
    answers = answers_with([1] * 8, picks=[0] * 8, offered=range(8))
    assert figure_of(answers, 0.0, is_share=True).interval.value == 100


def test_one_answer_for_each_kind_of_question_is_a_sign():
    # Ten questions with two letters, ten with three: always the last one. The single question shows nothing.
    answers = answers_with([1] * 21, picks=[1] * 10 + [2] * 10 + [0], offered=[2] * 10 + [3] * 10 + [9])
    assert "100% of the questions that offer the same" in figure_of(answers, 0.0, is_share=True).reason
    answers = answers_with([1] * 21, picks=[1] * 10 + [2, 0] * 5 + [0], offered=[2] * 10 + [3] * 10 + [9])
    assert figure_of(answers, 0.0, is_share=True).interval.value == 100


def test_one_text_throughout_gets_no_figure():
    answers = answers_with([1, 0] * 4, picks=[0] * 8, options=("",))
    assert "answers nothing to 100%" in figure_of(answers, 0.0, is_share=False).reason
    answers = answers_with([1, 0] * 4, picks=[0] * 8, options=("春" * 30,))
    assert f"answers {'春' * 20}… to 100%" in figure_of(answers, 0.0, is_share=False).reason


def test_ties_are_between_the_two_best():
    assert are_tied([-1.0, -1.0, -2.0]) and not are_tied([-1.0, -2.0, -2.0]) and not are_tied([])
    assert are_tied([-300.0001, -300.0, -400.0])


def test_bias_scores_are_those_of_parrish():
    # Where the text answers: 3 biased of 4 answers that are not "unknown": 2 * 3/4 - 1 = 0.5.
    rows = [(0, 1, 1, True), (0, 1, 1, True), (0, 1, 1, True), (1, 0, 1, True), (1, 0, 0, False), (0, 1, 1, False)]
    sums = np.asarray([statistics_of("disamb_bias_score", row) for row in rows]).sum(axis=0)
    assert value_of("disamb_bias_score", sums) == {"value": 50.0}
    # Where it does not: 1 biased of 1, accuracy 1/2: (1 - 1/2) * (2 * 1 - 1) = 0.5.
    sums = np.asarray([statistics_of("amb_bias_score", row) for row in rows]).sum(axis=0)
    assert value_of("amb_bias_score", sums) == {"value": 50.0}
    assert math.isnan(value_of("amb_bias_score", np.zeros(4))["value"])


def test_lists_of_instructions_count_each_instruction():
    sums = np.asarray([statistics_of("x", [True, False, True]), statistics_of("x", [False])]).sum(axis=0)
    assert value_of("x", sums) == {"value": 50.0}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("48/2 = <<48/2=24>>24 and <<48+24=72>>72", [True, True]),
        ("<<1,000*2=2,000>> <<20%*50=10>> <<1/3=0.33>> <<(2+3)*-4=-20>> <<$5+$.50=5.5>> <<05+1=6>>", [True] * 6),
        ("<<2+2=5>> <<1/0=1>> <<x=1>> <<2**9=512>> <<a.b=3>> <<((=1>> <<9999999999999+1=2>>", [False] * 7),
        ("2+2=4 << >> <<=>> <<1+1", []),
        ("<<" + "(" * 79 + "=1>>", [False]),
    ],
)
def test_annotated_arithmetic_is_checked_step_by_step(text, right):
    assert right_steps(text) == right


def test_a_measure_of_which_no_answer_has_anything_is_none():
    answers = Answers("steps", ["1"], [statistics_of("steps", [])], picks=[-1])
    assert "no answer has anything" in figure_of(answers, 0.0, is_share=False).reason


GOOD = {"question": "1+1?", "choices": ["1", "2"], "answer": "B"}


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"question": "1+1?", "choices": ["1", "2"], "answer": 1},
        {"question": "1+1?", "options": {"A": "1", "B": "2"}, "answer": " b "},
        {"Question": "1+1?", "A": 1, "B": 2, "Answer": "2"},
    ],
)
def test_questions_of_ones_own_come_in_several_forms(row):
    found = question_of(json.dumps(row))
    assert found == ("1+1?", ("1", "2"), 1)
    assert found.prompt == "1+1?\nA. 1\nB. 2\n答案："


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100000, "is no JSON"),
        ("[]", "expected a JSON object, found list"),
        ("null", "found NoneType"),
        (json.dumps(GOOD | {"question": " "}), 'no text under "question"'),
        (json.dumps(GOOD | {"question": 7}), 'no text under "question"'),
        (json.dumps(GOOD | {"choices": ["1"]}), "from 2 to 26 options"),
        (json.dumps(GOOD | {"choices": "12"}), "from 2 to 26 options"),
        (json.dumps(GOOD | {"choices": list(range(27))}), "from 2 to 26 options"),
        (json.dumps(GOOD | {"choices": ["1", None]}), "option B is no text"),
        (json.dumps(GOOD | {"choices": ["1", "1 "]}), "two options are the same"),
        (json.dumps(GOOD | {"answer": "C"}), "'C' is none of its options"),
        (json.dumps(GOOD | {"answer": 2}), "2 is none of its options"),
        (json.dumps(GOOD | {"answer": True}), "True is none of its options"),
        (json.dumps(GOOD | {"answer": ""}), "'' is none of its options"),
        (json.dumps({"question": "?", "choices": ["1", "2"]}), "None is none of its options"),
    ],
)
def test_a_line_that_is_no_question_says_why(line, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        question_of(line)


def test_a_file_of_questions_is_refused_with_every_bad_line(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text(json.dumps(GOOD) + "\n\n" + "{\n" * 14, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_questions(str(file))
    assert len(caught.value.problems) == 11 and "line 3" in caught.value.problems[0]
    assert "4 more such lines" in caught.value.problems[-1]
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="UTF-8"):
        read_questions(str(file))
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no question"):
        read_questions(str(file))


def damaged_lines():
    """Two hundred cuts and changes of a good line, and of bytes that are no text."""
    line = json.dumps(GOOD, ensure_ascii=False).encode()
    cuts = [line[:end] for end in range(1, len(line), 2)]
    swaps = [
        line[:place] + bytes([byte]) + line[place + 1 :]
        for place in range(0, len(line), 3)
        for byte in (0, 34, 91, 255, 228, 125)
    ]
    return (cuts + swaps)[:200]


def test_two_hundred_damaged_files_of_questions_are_read_or_explained(tmp_path):
    assert len(damaged_lines()) > 120
    file = tmp_path / "q.jsonl"
    explained = 0
    for content in damaged_lines():
        file.write_bytes(content)
        try:
            read_questions(str(file))
        except UserError:
            explained += 1
    assert explained > 100


@needs_lm_eval
def test_every_name_has_definitions_of_lm_eval_with_their_data():
    for benchmark in BENCHMARKS.values():
        if benchmark.name == SAFETY:  # ours: prompts of our own
            continue
        assert definitions.repositories(benchmark), benchmark.name
        for part in benchmark.parts:
            found = definitions.definitions_of(part)
            assert found and all(item.repository.count("/") == 1 for item in found), part.title
    counts = {name: len(definitions.definitions_of(BENCHMARKS[name].parts[0])) for name in ("ceval", "cmmlu", "gaokao")}
    assert counts == {"ceval": 52, "cmmlu": 67, "gaokao": 8}


@needs_lm_eval
def test_every_problem_is_said_at_once_before_a_model_is_loaded(tmp_path, uer_model):
    from recipe.benchmarks.precheck import checked

    settings = BenchmarkSettings(
        model_name_or_path=str(uer_model),
        tasks=["cevall", "gsm8k", "humaneval"],
        data_dir=str(tmp_path),
        mcq_file=str(tmp_path / "none.jsonl"),
        limit=0,
        shots=-1,
        batch_size=0,
        state_dict_file="nothing.pth",
        baseline=str(tmp_path),
    )
    with pytest.raises(UserError) as caught:
        checked(settings)
    said = str(caught.value)
    for part in (
        "did you mean ceval?",
        f"hf download --repo-type dataset openai/gsm8k --local-dir {tmp_path}/openai/gsm8k",
        "--allow_code_execution",
        "--mcq_file",
        "--limit 0",
        "--shots -1",
        "--batch_size 0",
        "--state_dict_file nothing.pth",
        f"{tmp_path}: is not a model",
    ):
        assert part in said


def test_without_lm_eval_the_extra_is_named(monkeypatch):
    from recipe.benchmarks import precheck

    monkeypatch.setattr(precheck, "task_directory", lambda: None)
    with pytest.raises(UserError, match=r"\.\[bench\]"):
        precheck.checked(BenchmarkSettings(tasks=["ceval"]))
    monkeypatch.setattr(definitions, "task_directory", lambda: None)
    with pytest.raises(UserError, match=r"\.\[bench\]"):
        precheck.listing("benchmark-data")


@needs_lm_eval
def test_the_list_says_what_is_here(tmp_path):
    from recipe.benchmarks.precheck import listing

    directory = tmp_path / "ceval/ceval-exam"
    directory.mkdir(parents=True)
    (directory / "README.md").write_text(
        "---\nconfigs:\n- config_name: law\n  data_files:\n  - split: val\n    path: law/val-*\n"
        "- config_name: logic\n  data_files: logic/*.parquet\n- config_name: physician\n  data_dir: physician\n---\n",
        encoding="utf-8",
    )
    for name in ("law/val-0.parquet", "physician/x.parquet"):
        (directory / name).parent.mkdir()
        (directory / name).touch()
    listed = listing(str(tmp_path))
    assert "data (here: 2 of 52): ceval/ceval-exam" in listed
    assert "data (on the hub, gated): skg/toxigen-data" in listed
    assert all(f"{name}: " in listed for name in BENCHMARKS)


@needs_lm_eval
@pytest.mark.parametrize(
    "card", ["", "---\nconfigs: 7\n---\n", "---\n[\n---\n", "---\n- x\n---\n", "---\nconfigs:\n- 3\n---"]
)
def test_a_damaged_card_is_data_that_are_not_here(tmp_path, card):
    directory = tmp_path / "openai/gsm8k"
    directory.mkdir(parents=True)
    (directory / "README.md").write_text(card, encoding="utf-8")
    needed = definitions.definitions_of(BENCHMARKS["gsm8k"].parts[0])[0]
    assert not definitions.is_here(str(tmp_path), needed)
