"""The hard rules of the form, on lines whose faults are known."""

import pytest

from recipe.couplet.form import (
    Violation,
    clauses,
    form_violations,
    is_chinese_character,
    is_punctuation,
    repetition_pattern,
    split_couplet,
)


@pytest.mark.parametrize("char", "，。！？、“”‘’…—·-~+$😀🏮 \u3000\t\u200d\ufe0f")
def test_marks_are_mirrored(char):
    assert is_punctuation(char)
    assert not is_chinese_character(char)


@pytest.mark.parametrize("char", "春〇𠮷龘a9éあⅣ①")
def test_letters_and_numbers_are_answered(char):
    assert not is_punctuation(char)


@pytest.mark.parametrize(("char", "is_chinese"), [("春", True), ("〇", True), ("𠮷", True), ("a", False), ("9", False)])
def test_only_chinese_characters_answer(char, is_chinese):
    assert is_chinese_character(char) is is_chinese


def test_repetition_pattern_names_first_positions():
    assert repetition_pattern("年年有余") == (0, 0, 2, 3)
    assert repetition_pattern("山山水水") == (0, 0, 2, 2)
    assert repetition_pattern("天，地，人") == (0, 1, 2, 3, 4), "equal marks repeat nothing"
    assert repetition_pattern("") == ()


def test_clauses_hold_the_positions_between_marks():
    assert clauses("红日，照") == ((0, 1), (3,))
    assert clauses("“红”……日。") == ((1,), (5,))
    assert clauses("，。") == ()


@pytest.mark.parametrize(
    ("upper", "lower", "expected"),
    [
        ("红日东升", "青山北望", []),
        ("年年红，岁", "夜夜绿，天", []),
        ("红日东升", "青山北", [Violation.LENGTH, Violation.REPETITION]),
        ("红日，东", "青，山北", [Violation.PUNCTUATION]),
        ("红日，东", "青山。北", [Violation.MARK]),
        ("年年红", "夜日绿", [Violation.REPETITION]),
        ("年月红", "夜夜绿", [Violation.REPETITION]),
        ("红日东升", "红山北望", [Violation.SHARED_CHARACTER]),
        ("红日，升", "青山，x", [Violation.FOREIGN_CHARACTER]),
        ("红", "9", [Violation.FOREIGN_CHARACTER]),
        ("", "", []),
    ],
)
def test_each_violation_is_named_once(upper, lower, expected):
    assert form_violations(upper, lower) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("红日-青山", ("红日", "青山")),
        ("一-二-三-四", ("一-二", "三-四")),
        ("一-二-三-四五", None),
        ("红日升-青山", ("红日升", "青山")),
        ("红日青山", None),
        ("红日-", ("红日", "")),
        ("-", ("", "")),
        ("", None),
    ],
)
def test_the_middle_separator_splits(text, expected):
    assert split_couplet(text) == expected


def test_other_separators():
    assert split_couplet("红日 青山", " ") == ("红日", "青山")
    assert split_couplet("红日||青山", "||") == ("红日", "青山")
