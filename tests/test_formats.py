"""Text formats: what they read, how they split, what they carry; and that each is found again by what it carries."""

import subprocess
import sys

import pytest

from recipe.errors import UserError, printable
from recipe.formats.couplet import Couplet
from recipe.formats.registry import FORMATS, carried_format
from recipe.rows.cleaning import COMBINING, INVISIBLE, RejectedRowError, clean, clean_line
from recipe.settings import DataSettings
from recipe.word_lists import read_word_list

REST_OF_POEM = "江清月自明。云开红日出，风静晚潮平。"
# A row of each format as it stands in a file, and what it is.
ROWS = {
    "couplet": (["山高-水低"], ("山高", "水低")),
    "plain": (["床前 明月光"], ("", "床前 明月光")),
    "quatrain": (
        ["山高山水远，江清江月明。云开云日出，风静风潮平。"],
        ("山高山水远", "江清江月明。云开云日出，风静风潮平。"),
    ),
}


def format_named(name, **settings):
    return FORMATS[name].from_settings(DataSettings(**settings))


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_is_split_where_its_check_says_and_joined_to_the_same(name):
    cells, (prompt, answer) = ROWS[name]
    text_format = format_named(name)
    text, opening_length, *_ = text_format.check(cells)
    assert text_format.split(text, opening_length) == (prompt, answer)
    assert text_format.join(prompt, answer) == text
    assert text[:opening_length] == text_format.opening(prompt)
    assert text_format.has_answer is bool(prompt)


@pytest.mark.parametrize("name", FORMATS)
def test_a_published_model_carries_its_format(name):
    text_format = format_named(name)
    assert carried_format("model", text_format.carried()) == text_format
    assert text_format.carried()["text_format"] == name == text_format.name


@pytest.mark.parametrize(
    ("carried", "message"),
    [
        ({"text_format": "sonnet"}, f"format 'sonnet'; known are {', '.join(FORMATS)}"),
        ({}, "format None"),
        ("couplet", "format None"),
        ({"text_format": "couplet"}, "its separator is None"),
        ({"text_format": "couplet", "separator": "--"}, "its separator is '--'"),
    ],
)
def test_what_no_format_carries_is_refused(carried, message):
    with pytest.raises(UserError, match=message):
        carried_format("models/new", carried)


def test_a_foreign_model_is_taken_to_have_learnt_couplets():
    assert carried_format("hub/model", None) == Couplet()


def test_lines_of_two_columns_stay_what_they_are():
    text_format = Couplet(keeps_unequal=True)
    text, opening_length, held_out_by, _ = text_format.check(["天地人-日", "月"])
    assert (text, held_out_by) == ("天地人-日-月", "天地人-日")
    assert text_format.split(text, opening_length) == ("天地人-日", "月")


def test_the_prompt_of_a_whole_couplet_is_its_upper_line():
    typed = ("山高|水低", "山高|", "山高", "山|高|水低", "山-高", " 山 高 ｜水 低", "山高｜")
    assert [Couplet("|").read_prompt(line).text for line in typed] == [
        *("山高", "山高", "山高", "山|高|水低", "山-高", "山高", "山高")
    ]
    typed = ("山高－水低", "山高—", "山高——", "山高–水低", "山高 -", "山——高")
    assert [Couplet().read_prompt(line).text for line in typed] == ["山高", "山高", "山高——", "山高", "山高", "山——高"]


def test_cleaning():
    assert clean(" 山\u3000高 \n水 ", joins_lines=True) == ("山 高 水", ())
    assert clean_line(" 山\u3000高\t") == ("山高", ())
    for cell, reason in (
        (None, "empty"),
        (" ", "empty"),
        (5, "not text"),
        ("\u200b\ufeff ", "empty"),
        ("山\x07", "control"),
        ("山\ufffd", "control"),
        ("山\n高", "break"),
    ):
        with pytest.raises(RejectedRowError, match=reason):
            clean_line(cell)


@pytest.mark.parametrize(
    "mark",
    [
        *"\u200b\u200c\u200d\u2060\ufeff\u00ad",  # of no width
        *"\u200e\u202e\u2066\u061c",  # of direction
        *"\ufe00\ufe0f\U000e0100\u180b",  # variation selectors
        *"\u3164\u115f\uffa0\u2800\ufffc",  # fillers and blanks
        *"\U000e0001\U000e0041",  # tags
    ],
)
def test_what_nobody_sees_takes_no_place_and_is_spelled_out_in_messages(mark):
    line = f"{mark}山{mark} 高{mark}"
    assert clean_line(line) == ("山高", (INVISIBLE,))
    assert clean(line, joins_lines=True) == ("山 高", (INVISIBLE,))
    assert Couplet().check([f"{line}-水低"]) == ("山高-水低", 3, "山高", (INVISIBLE,))
    assert Couplet().read_prompt(line).text == Couplet().read_line(line).text == "山高"
    assert mark not in printable(line) and f"{ord(mark):x}" in printable(line)


def test_combining_marks_stay_where_a_script_writes_with_them():
    assert clean_line("山\u0301高\u20dd\u0336") == ("山高", (COMBINING,))
    assert clean_line("\u0301山1\ufe0f\u20e3") == ("山1", (COMBINING, INVISIBLE))
    kept = {"cafe\u0301": "café", "か\u3099": "が", "ไม\u0e48": "ไม\u0e48", "हि": "हि"}
    assert {text: clean(text, joins_lines=True) for text in kept} == {text: (same, ()) for text, same in kept.items()}
    assert clean_line("\uf9dd").text == "\uf9dd"  # not turned into the character that it doubles


def test_no_line_of_words_hides(tmp_path):
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeff山 高\r\n\u200b \n水\u2028低\n云\r雨\n".encode())
    assert read_word_list("--listed_words", str(file)) == ["山高", "水低", "云雨"]
    file.write_text("山高\n水\ufffd\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"--listed_words .*words.txt, line 2: .*control or damaged"):
        read_word_list("--listed_words", str(file))


def test_formats_load_no_torch():
    program = "import sys, recipe.settings, recipe.formats.registry; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
