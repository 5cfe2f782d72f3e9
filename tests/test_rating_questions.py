"""Benchmarks' files and figures: their shapes, the length-controlled win rate and FActScore's figures by hand."""

import json
import math

import numpy as np
import pytest

from recipe.errors import UserError
from recipe.rating.facts import CheckedText, Passages, fact_score, read_passages, search_terms
from recipe.rating.judge_prompts import facts_in, rating_in
from recipe.rating.length_control import fitted, length_term, win_rates
from recipe.rating.questions import (
    ModelAnswers,
    own_outputs,
    read_answers,
    read_questions,
    write_answers,
)

MT = [
    {"question_id": 81, "category": "writing", "turns": ["写一句诗", "换一个韵"]},
    {"question_id": "m2", "category": "math", "turns": ["1+1=?"], "reference": ["2"]},
]
ALPACA = [
    {"dataset": "own", "instruction": "写一句诗", "output": "春风又绿江南岸", "generator": "base"},
    {"instruction": "1+1=?", "output": "2", "generator": "base"},
]


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_mt_bench_files_are_read_and_answers_come_back(tmp_path):
    asked = read_questions(write_lines(tmp_path / "question.jsonl", MT))
    assert asked.kind == "mt_bench" and asked.questions[0].turns == ("写一句诗", "换一个韵")
    assert [question.references for question in asked.questions] == [(), ("2",)]
    answers = ModelAnswers("qwen/7b", {"81": ("甲", "乙"), "m2": ("2",)})
    file = write_answers(tmp_path, asked, answers, 1.5)
    assert file.name == "qwen_7b.jsonl" and file.parent.name == "model_answer"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert rows[0]["question_id"] == 81 and rows[0]["choices"] == [{"index": 0, "turns": ["甲", "乙"]}]
    assert set(rows[0]) == {"question_id", "answer_id", "model_id", "choices", "tstamp"}
    assert read_answers("--answers", str(file), asked) == answers
    assert own_outputs(asked) is None


def test_alpaca_eval_files_are_read_and_answers_come_back(tmp_path):
    (tmp_path / "eval.json").write_text(json.dumps(ALPACA, ensure_ascii=False), encoding="utf-8")
    asked = read_questions(str(tmp_path / "eval.json"))
    assert asked.kind == "alpaca_eval" and own_outputs(asked).turns == {"0": ("春风又绿江南岸",), "1": ("2",)}
    answers = ModelAnswers("mine", {"0": ("一",), "1": ("二",)})
    file = write_answers(tmp_path / "out", asked, answers, 0)
    rows = json.loads(file.read_text("utf-8"))
    assert rows[0] == {"dataset": "own", "instruction": "写一句诗", "output": "一", "generator": "mine"}
    # In another order it is the same: answers are matched by instruction.
    (tmp_path / "turned.json").write_text(json.dumps(rows[::-1], ensure_ascii=False), encoding="utf-8")
    assert read_answers("--answers", str(tmp_path / "turned.json"), asked) == answers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing"),
        ("[]", "holds nothing"),
        ("{", "cannot be read"),
        ('{"question_id": 1}', "row 1: is no question (it lacks the key 'turns')"),
        ('{"question_id": 1, "turns": "x"}', "is no list of texts"),
        ('{"question_id": 1, "turns": ["x"]}\n' * 2, "the question_id 1 comes twice"),
        ('[{"instruction": 3}]', "is no list of texts"),
        ("[1]", "row 1: is no question"),
        ('{"question_id": 1, "turns": []}', "it has no turn"),
        ('{"question_id": 1, "turns": ["\\ud800"]}', "half of a character"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_files_that_are_no_questions(tmp_path, text, said):
    (tmp_path / "q").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_questions(str(tmp_path / "q"))
    assert said in str(caught.value) and str(tmp_path / "q") in str(caught.value)


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    (tmp_path / "q").write_text('{"question_id": 1, "turns": ["一\u2028二"]}\n', encoding="utf-8")
    assert read_questions(str(tmp_path / "q")).questions[0].turns == ("一\u2028二",)


def test_answers_that_lack_something(tmp_path):
    asked = read_questions(write_lines(tmp_path / "question.jsonl", MT))
    short = [{"question_id": 81, "model_id": "m", "choices": [{"turns": ["甲"]}]}]
    with pytest.raises(UserError, match="lacks answers to 2 questions, 81 for one"):
        read_answers("--answers", write_lines(tmp_path / "a.jsonl", short), asked)
    with pytest.raises(UserError, match="row 1: is no answer"):
        read_answers("--answers", write_lines(tmp_path / "b.jsonl", [{"question_id": 81, "choices": []}]), asked)
    (tmp_path / "c.json").write_text(json.dumps(ALPACA), encoding="utf-8")
    with pytest.raises(UserError, match="holds answers of alpaca_eval, but the questions are of mt_bench"):
        read_answers("--answers", str(tmp_path / "c.json"), asked)


def test_the_length_controlled_win_rate_by_hand():
    # Two differences in length, +d and -d, give the term t and -t. A regression of two coefficients on two groups fits
    # both shares exactly: a + b t = logit(3/4), a - b t = logit(1/2), so a is the mean of the two logits.
    longer = [1, 1, 1, 0] * 25  # three quarters won where the answer is longer
    shorter = [1, 0] * 50  # half where it is shorter
    preferences = np.array(longer + shorter, dtype=float)
    lengths = np.array([60] * 100 + [40] * 100)
    found = win_rates(preferences, lengths, np.full(200, 50), samples=200, seed=1)
    logit = math.log(3) / 2
    assert found.win_rate.value == pytest.approx(0.625)
    assert found.length_controlled.value == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-4)
    assert found.length_effect == pytest.approx(logit / math.tanh(1), abs=1e-3)
    assert found.length_controlled.low < found.length_controlled.value < found.length_controlled.high


def test_without_a_difference_in_length_both_win_rates_are_one():
    preferences = np.array([1, 1, 0, 0.5])
    found = win_rates(preferences, np.full(4, 9), np.full(4, 9), samples=50, seed=1)
    assert found.length_controlled.value == pytest.approx(found.win_rate.value, abs=1e-4) and found.length_effect == 0


def test_a_planted_length_bias_is_taken_out():
    # Equally good models; the judge likes length. The model under test writes longer in three of four answers.
    generator = np.random.default_rng(0)
    difference = np.where(generator.random(4000) < 0.75, 1, -1) * generator.integers(1, 80, 4000)
    chance = 1 / (1 + np.exp(-2 * np.tanh(difference / difference.std())))
    preferences = (generator.random(4000) < chance).astype(float)
    found = win_rates(preferences, 100 + difference, np.full(4000, 100), samples=20, seed=1)
    assert found.win_rate.value > 0.6
    assert found.length_controlled.value == pytest.approx(0.5, abs=0.04) and found.length_effect == pytest.approx(
        2, abs=0.2
    )


def test_a_model_that_always_wins_has_finite_coefficients():
    found = fitted(np.ones(10), length_term(np.arange(10), np.zeros(10)), np.ones((1, 10)))
    assert np.isfinite(found).all() and 1 / (1 + math.exp(-found[0, 0])) > 0.99


def test_fact_score_by_hand():
    checked = [
        CheckedText("a", ["x"] * 10, [True] * 8 + [False] * 2),  # 0.8, long enough
        CheckedText("b", ["x"] * 5, [True] * 5),  # 1.0, penalised by exp(1 - 10 / 5)
        CheckedText("c", [], []),  # states nothing
        CheckedText("d", ["x", "y"], [True, None]),  # one verdict could not be read: 1 of 1, penalised by exp(-9)
    ]
    found = fact_score(checked)
    assert (found.texts, found.responding) == (4, 3)
    assert found.statements == pytest.approx(16 / 3) and found.precision == pytest.approx(2.8 / 3)
    assert found.penalised == pytest.approx((0.8 + math.exp(-1) + math.exp(-9)) / 3)
    assert math.isnan(fact_score([]).precision)


def test_passages_are_found_by_what_they_share(tmp_path):
    pytest.importorskip("bm25s")
    (tmp_path / "a.txt").write_text("西湖在杭州。\n\n黄鹤楼在武汉，\n临长江。\n", encoding="utf-8")
    write_lines(tmp_path / "b.jsonl", [{"title": "GPT-2", "text": "published in 2019"}, {"text": "岳阳楼在岳阳"}])
    passages = read_passages([str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl")])
    assert passages == ["西湖在杭州。", "黄鹤楼在武汉，\n临长江。", "GPT-2\npublished in 2019", "岳阳楼在岳阳"]
    found = Passages(passages)
    assert found.best("黄鹤楼在哪里")[0] == passages[1] and found.best("GPT 2019") == [passages[2]]
    assert found.best("xyz") == found.best("，。") == []
    assert len(found.best("在", count=2)) == 2
    assert search_terms("西湖A1") == ["西", "湖", "西湖", "a1"]


def test_passages_that_cannot_be_read_are_all_said(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n", encoding="utf-8")
    write_lines(tmp_path / "b.jsonl", [{"title": "x"}])
    with pytest.raises(UserError) as caught:
        read_passages([str(tmp_path / name) for name in ("a.txt", "b.jsonl", "c.txt")])
    assert len(caught.value.problems) == 3 and "holds no passage" in caught.value.problems[-1] + str(caught.value)


@pytest.mark.parametrize(
    ("answer", "key", "expected"),
    [
        ('{"statements": ["甲", " ", "乙"]}', "statements", ("甲", "乙")),
        ('{"statements": []}', "statements", ()),
        ('{"statements": "甲"}', "statements", None),
        ('{"statements": [1]}', "statements", None),
        ('```{"supported": false}```', "supported", False),
        ('{"supported": "yes"}', "supported", None),
        ('{"supported": true} {"supported": false}', "supported", None),
    ],
)
def test_facts_in_any_answer(answer, key, expected):
    assert facts_in(answer, key) == expected


def test_ratings_of_1_to_10():
    assert rating_in('{"rating": 10}', 10) == 10 and rating_in('{"rating": "7"}', 10) == 7
    assert rating_in('{"rating": 11}', 10) is rating_in("[[7]]", 10) is None
