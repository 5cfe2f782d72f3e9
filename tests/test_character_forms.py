"""Lines in characters that a model lacks: read in forms that it knows, and answered in the line's own."""

from __future__ import annotations

import pytest

from recipe.couplet import character_forms
from recipe.couplet.character_forms import Reading, in_traditional, read_as_known

SIMPLIFIED = set("门前杨柳绿屋后杏花红春风吹大地头发干燥乾坤疏影雁里面海丑时光出发")


@pytest.fixture(params=[True, False], ids=["OpenCC", "the table"])
def with_opencc(request, monkeypatch):
    if request.param:
        pytest.importorskip("opencc")
    else:
        monkeypatch.setattr(character_forms, "_opencc", lambda direction: None)
    return request.param


def read(line: str) -> Reading:
    return read_as_known(line, SIMPLIFIED.__contains__)


def test_a_traditional_line_is_read_in_simplified_characters(with_opencc):
    assert read("門前楊柳綠") == Reading("门前杨柳绿", is_traditional=True)
    assert in_traditional("屋后杏花红") == "屋後杏花紅"


def test_what_the_model_knows_is_left_alone(with_opencc):
    assert read("春风吹大地") == Reading("春风吹大地")
    assert read_as_known("門前楊柳綠", lambda char: True) == Reading("門前楊柳綠")


def test_a_variant_is_read_by_its_common_form_and_said(with_opencc):
    assert read("疎影春鴈") == Reading("疏影春雁", variants=(("疎", "疏"), ("鴈", "雁")))
    assert read("疎影春風") == Reading("疏影春风", is_traditional=True, variants=(("疎", "疏"),))


def test_what_no_form_helps_stays_unknown(with_opencc):
    assert read("春风吹鑫") == Reading("春风吹鑫")
    assert read("春風吹鑫") == Reading("春风吹鑫", is_traditional=True)


def test_two_characters_of_a_line_never_become_one():
    assert read_as_known("時间时", set("时间").__contains__) == Reading("時间时")


def test_a_character_has_one_traditional_form_in_a_line():
    # As words, 出发 and 头发 have different ones; a repetition of the upper line asks for one.
    line = in_traditional("出发头发")
    assert line[1] == line[3] and line[1] in "發髮"


def test_opencc_tells_words_apart():
    pytest.importorskip("opencc")
    assert in_traditional("头发") == "頭髮" and in_traditional("出发") == "出發"


def test_the_upper_lines_characters_and_the_lines_own_are_not_met_again(monkeypatch, with_opencc):
    # 干 is written 乾 in 干燥, which the upper line 乾坤 has already.
    assert "乾" not in in_traditional("干燥", set("乾坤"))
    monkeypatch.setattr(character_forms, "_converted", lambda line, direction, table: "覆覆")
    assert in_traditional("复覆") == "复覆" and in_traditional("覆复") == "覆复"


def test_given_forms_stand_and_are_not_met_again(monkeypatch, with_opencc):
    assert in_traditional("屋后杏花红", given={"杏": "蘂"}) == "屋後蘂花紅"
    monkeypatch.setattr(character_forms, "_converted", lambda line, direction, table: "後后")
    assert in_traditional("后後", given={"後": "后"})[1] == "后"
