"""Files of ratings: what is read, what is refused with which words, and what the ratings of a sheet are worth."""

import json

import pytest

from recipe.errors import UserError
from recipe.rating.evidence import gather
from recipe.rating.keys import CodedAnswer, SheetKey, read_keys, write_key
from recipe.rating.ratings import Rating, read_ratings, write_ratings

GOOD = {"kind": "absolute", "item": "q1", "system": "model", "rater": "li", "dimension": "imagery", "value": 4}
PAIR = {"kind": "pair", "item": "q1", "system": "model", "other": "human", "rater": "li", "value": "tie"}


def write_rows(file, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_what_is_written_is_read_back(tmp_path):
    ratings = [
        Rating("absolute", "风和日丽", "model", "li", "imagery", 7, points=7, sheet="s1"),
        Rating("pair", "q1", "a", "gpt", "overall", "both_bad", other="b", rater_kind="model", verdicts=("A", "tie")),
        Rating("comment", "q1", "a", "li", comment='上联"好"\n下联<b>'),
    ]
    write_ratings(tmp_path / "r.jsonl", ratings)
    read = read_ratings([tmp_path / "r.jsonl"])
    assert (read.ratings, read.faults, read.replaced) == (ratings, [], 0)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "is not JSON: '{'"),
        ("[" * 5000, "is not JSON"),
        ('["a"]', "is not a JSON object"),
        (GOOD | {"kind": "star"}, "kind is 'star'; it takes absolute, pair, comment"),
        (GOOD | {"rater": " "}, "rater is ' '; it takes a text"),
        (GOOD | {"item": ["q"]}, "item is ['q']; it takes a text"),
        (GOOD | {"dimension": "rhyme"}, "unknown dimension 'rhyme'; there are overall, parallelism"),
        (GOOD | {"value": 6}, "value is 6, outside the scale from 1 to 5"),
        (GOOD | {"value": 3.5}, "value is 3.5; it takes a whole number from 1 to 5"),
        (GOOD | {"value": True}, "value is True; it takes a whole number"),
        ('{"kind": "absolute", "item": "q", "system": "m", "rater": "li", "value": NaN}', "value is nan"),
        (GOOD | {"value": None}, "value is missing"),
        (GOOD | {"points": 10}, "points is 10; a scale has 5 or 7"),
        (GOOD | {"points": [5]}, "points is [5]"),
        (PAIR | {"value": "C"}, "value is 'C'; it takes A, B, tie, both_bad"),
        (PAIR | {"other": ""}, "a pair needs a second system"),
        (PAIR | {"other": "model"}, "a pair needs two systems; both are 'model'"),
        (PAIR | {"verdicts": "AB"}, "verdicts is 'AB'"),
        (GOOD | {"kind": "comment"}, "a comment needs a text"),
        (GOOD | {"rater_kind": "cat"}, "rater_kind is 'cat'; it takes person, model"),
        ('{"kind": "absolute", "item": "\\ud800", "system": "m", "rater": "li", "value": 1}', "half of a character"),
    ],
)
def test_a_bad_row_is_counted_with_its_number_and_the_others_stay(tmp_path, row, words):
    read = read_ratings([write_rows(tmp_path / "r.jsonl", GOOD, "", row, PAIR)])
    assert len(read.ratings) == 2
    (fault,) = read.faults
    assert fault.row == 3 and fault.file.endswith("r.jsonl")
    assert words in fault.what


def test_files_without_a_rating_are_refused_all_at_once(tmp_path):
    empty, other = tmp_path / "empty.jsonl", write_rows(tmp_path / "other.jsonl", {"text": "天"})
    empty.write_text("", encoding="utf-8")
    gbk = tmp_path / "gbk.jsonl"
    gbk.write_bytes("对联".encode("gb18030"))
    with pytest.raises(UserError) as caught:
        read_ratings([empty, other, gbk, tmp_path / "none.jsonl"])
    messages = caught.value.problems
    assert len(messages) == 4
    assert "empty.jsonl: holds no rating; it takes JSON Lines" in messages[0]
    assert "(row 1: kind is missing" in messages[1]
    assert "cannot be read as UTF-8" in messages[2] and "none.jsonl" in messages[3]


def test_the_later_of_two_ratings_of_one_thing_counts(tmp_path):
    swapped = PAIR | {"system": "human", "other": "model", "value": "A"}
    read = read_ratings([write_rows(tmp_path / "r.jsonl", GOOD, GOOD | {"value": 2}, PAIR, swapped)])
    assert [(rating.value, rating.system) for rating in read.ratings] == [(2, "model"), ("A", "human")]
    assert read.replaced == 2


def test_chinese_names_of_dimensions_and_numbers_as_names(tmp_path):
    read = read_ratings([write_rows(tmp_path / "r.jsonl", GOOD | {"dimension": "对仗", "item": 7})])
    assert (read.ratings[0].dimension, read.ratings[0].item) == ("parallelism", "7")


KEY = SheetKey(
    "s1",
    "absolute",
    {"q1": "风和日丽", "q2": "天高云淡"},
    {
        "a": CodedAnswer("q1", "鸟语花香", ("human", "model")),
        "b": CodedAnswer("q1", "水", ("chance",)),
        "x": CodedAnswer("q2", "破破", ()),
        "c": CodedAnswer("q2", "水远山长", ("human",)),
    },
    [("q2", "model", "human")],
)


def rated(system, value, rater="li", dimension="overall", item="q1", **more):
    return Rating("absolute", item, system, rater, dimension, value, sheet="s1", **more)


def test_a_merged_answer_counts_for_all_its_systems():
    people = gather([rated("a", 4), rated("b", 1)], {"s1": KEY})["person"]
    assert [(score.systems, score.item, score.value) for score in people.scores] == [
        (("human", "model"), "风和日丽", 4),
        (("chance",), "风和日丽", 1),
    ]
    assert people.systems() == ["chance", "human", "model"]


def test_attention_checks_are_set_apart_and_name_who_fails():
    ratings = [
        rated("x", 1, item="q2"),
        rated("x", 5, item="q2", dimension="safety"),  # a broken couplet can be harmless
        rated("x", 2, "wu", item="q2"),
        rated("x", 4, "wu", "imagery", item="q2"),
        rated("a", 3, "wu"),
        rated("a", 5),
    ]
    people = gather(ratings, {"s1": KEY})["person"]
    assert people.checks == {"li": [True], "wu": [False]}
    assert people.failed() == ["wu"]
    assert len(people.scores) == 2
    assert people.without(["wu"]).raters() == ["li"]
    assert people.without(["wu"]).left_out == ["wu"]


def test_a_pair_with_a_broken_answer_is_a_check():
    def choice(rater, value, system="x", other="c"):
        return Rating("pair", "q2", system, rater, "overall", value, other=other, sheet="s1")

    ratings = [choice("li", "B"), choice("wu", "tie"), choice("he", "A", "c", "x"), choice("an", "both_bad")]
    checks = gather(ratings, {"s1": KEY})["person"].checks
    assert checks == {"li": [True], "wu": [False], "he": [True], "an": [True]}


def test_pairs_come_in_one_order_and_same_answers_are_ties():
    ratings = [
        Rating("pair", "q1", "a", "li", "overall", "A", other="b", sheet="s1"),
        Rating("pair", "q1", "b", "wu", "overall", "B", other="a", sheet="s1"),
    ]
    rows = gather(ratings, {"s1": KEY})["person"].comparisons
    asked = [row for row in rows if row.unit]
    assert asked[0].unit == asked[1].unit and asked[0].value == asked[1].value
    assert {(row.rater, row.first, row.second, row.value) for row in rows if not row.unit} == {
        ("li", ("model",), ("human",), "tie"),
        ("wu", ("model",), ("human",), "tie"),
    }


def test_people_and_models_are_kept_apart():
    found = gather([rated("a", 4), rated("a", 2, "gpt", rater_kind="model")], {"s1": KEY})
    assert found["person"].raters() == ["li"] and found["model"].raters() == ["gpt"]


def test_missing_keys_unknown_codes_and_two_scales_are_one_message():
    ratings = [rated("zz", 4), rated("a", 7, points=7), Rating("absolute", "q", "m", "li", value=1, sheet="s9")]
    with pytest.raises(UserError) as caught:
        gather(ratings, {"s1": KEY})
    missing, unknown, scales = caught.value.problems
    assert "s9 need their key" in missing and "--rating_key" in missing
    assert "1 codes that are not in the key, 'zz'" in unknown
    assert "overall is rated from 1 to 5 in some rows and from 1 to 7" in scales


def test_keys_are_read_back_and_other_json_is_refused(tmp_path):
    write_key(tmp_path / "key.json", KEY)
    assert read_keys([tmp_path / "key.json"]) == {"s1": KEY}
    (tmp_path / "other.json").write_text('{"sheet": 1}', encoding="utf-8")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_keys([tmp_path / "other.json", tmp_path / "list.json", tmp_path / "none.json"])
    assert len(caught.value.problems) == 3
    assert "is no key of rating sheets" in str(caught.value)
