"""Tones: the shipped table, and the rules between two lines."""

import csv
from pathlib import Path

import pytest

from recipe.couplet.form import split_couplet
from recipe.couplet.plan import NO_NEED, TonePolicy, plan_form
from recipe.couplet.tones import (
    Tone,
    ToneSystem,
    choose_system,
    last_tones_agree,
    opposite,
    rhythm_positions,
    rhythm_tones_opposed,
    tone_of,
    tones_opposed,
)

HANDWRITTEN = Path(__file__).parents[1] / "recipe/data/handwritten.csv"
MODERN, ANCIENT = ToneSystem.MODERN, ToneSystem.ANCIENT


@pytest.mark.parametrize(
    ("char", "modern", "ancient"),
    [
        ("天", Tone.LEVEL, Tone.LEVEL),
        ("地", Tone.OBLIQUE, Tone.OBLIQUE),
        ("国", Tone.LEVEL, Tone.OBLIQUE),  # 入声: oblique of old, level today
        ("國", Tone.LEVEL, Tone.OBLIQUE),
        ("学", Tone.LEVEL, Tone.OBLIQUE),
        ("长", Tone.EITHER, Tone.EITHER),  # cháng, zhǎng
        ("𠮷", Tone.EITHER, Tone.EITHER),  # not in the table
        ("，", Tone.EITHER, Tone.EITHER),
        ("a", Tone.EITHER, Tone.EITHER),
    ],
)
def test_tones_of_characters(char, modern, ancient):
    assert tone_of(char, MODERN) == modern
    assert tone_of(char, ANCIENT) == ancient


def test_wildcards_are_opposed_to_everything():
    assert opposite(Tone.LEVEL) == Tone.OBLIQUE
    assert opposite(Tone.EITHER) == Tone.EITHER
    assert tones_opposed("天", "地", MODERN)
    assert not tones_opposed("天", "山", MODERN)
    assert tones_opposed("长", "山", MODERN)
    assert tones_opposed("地", "长", MODERN)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("红日东升照九州", [1, 3, 5, 6]), ("红日东升", [1, 3]), ("红", [0]), ("红日升，照大地。", [1, 5, 6]), ("，", [])],
)
def test_rhythm_positions_count_within_clauses(line, expected):
    assert rhythm_positions(line) == expected


def test_last_tones():
    assert last_tones_agree("红日照", "青山高", MODERN)
    assert not last_tones_agree("青山高", "红日照", MODERN)
    assert last_tones_agree("红日照。", "青山高。", MODERN), "the mark at the end has no tone"
    assert not last_tones_agree("日", "", MODERN)
    assert rhythm_tones_opposed("红日照", "春山高", MODERN)
    assert not rhythm_tones_opposed("红日照", "春水高", MODERN)
    assert not rhythm_tones_opposed("红日照", "春山", MODERN)


def test_the_upper_line_chooses_the_system():
    assert choose_system("人心思祖国") is ANCIENT, "国 is oblique in the old system alone"
    assert choose_system("红日照") is MODERN
    assert choose_system("，") is MODERN


def test_plans_ask_a_repeated_character_for_all_its_tones():
    # 天 (level) at positions 2 and 4 is opposed by oblique; 地 (oblique) at the end by level.
    assert plan_form("人天人天地", TonePolicy.STRICT).needs == (NO_NEED, Tone.OBLIQUE, NO_NEED, NO_NEED, Tone.LEVEL)
    # 地 stands first (no rhythm position), fourth and last: one need. 天 decides nothing at odd positions.
    assert plan_form("地天天地", TonePolicy.STRICT).needs == (Tone.LEVEL, Tone.OBLIQUE, NO_NEED, NO_NEED)
    assert set(plan_form("地天天地", TonePolicy.OFF).needs) == {NO_NEED}


def test_a_plan_decides_each_character_once_and_no_mark():
    plan = plan_form("春，夏春，！秋")
    assert plan.sources == (0, 1, 2, 0, 4, 5, 6)
    assert plan.fresh_positions == [0, 2, 6]


def test_a_line_that_ends_in_a_level_tone_is_answered_in_an_oblique_one():
    assert plan_form("青山天", TonePolicy.PREFER).needs[-1] == Tone.OBLIQUE
    assert plan_form("青山长", TonePolicy.PREFER).needs[-1] == Tone.LEVEL, (
        "a wildcard may end an upper line as it should"
    )


def test_lines_written_by_hand_have_the_tones_of_the_form():
    with HANDWRITTEN.open(encoding="utf-8", newline="") as file:
        rows = [row[0] for row in csv.reader(file)][1:]
    pairs = [pair for row in rows if (pair := split_couplet(row))]
    of_seven = [(upper, lower) for upper, lower in pairs if len(upper) == 7 and rhythm_positions(upper) == [1, 3, 5, 6]]
    assert (len(pairs), len(of_seven)) == (1865, 1388)

    def agreeing(check, pairs, systems):
        return sum(any(check(*pair, system) for system in systems) for pair in pairs)

    assert agreeing(last_tones_agree, pairs, ToneSystem) == 1865
    # Either system alone calls good lines wrong; a line passes unless both agree that it fails.
    assert agreeing(rhythm_tones_opposed, of_seven, [MODERN]) == 988
    assert agreeing(rhythm_tones_opposed, of_seven, [ANCIENT]) == 1205
    assert agreeing(rhythm_tones_opposed, of_seven, ToneSystem) == 1247
