"""Biases of judges that are planted must be found, and none where there is none."""

import random

import pytest

from recipe.rating.biases import measured_biases
from recipe.rating.evidence import Comparison, Evidence, Score, merged

CLOSE = 0.05


def compared(rater, item, value, texts, systems=("m", "h"), places=()):
    first, second = sorted(texts)
    swap = (first, second) != texts
    value = {"A": "B", "B": "A"}.get(value, value) if swap else value
    systems = systems[::-1] if swap else systems
    unit = f"{item}\n{first}\n{second}"
    return Comparison(rater, item, unit, (systems[0],), (systems[1],), "overall", value, (first, second), places)


def score(rater, item, system, value, text, dimension="overall"):
    return Score(rater, item, f"{item}\n{text}", (system,), dimension, value, text)


def biases(models, people=None, own=None, least=0.4):
    return measured_biases(models, people or Evidence(), own or {}, least, samples=100)


def test_position_by_hand():
    places = [("first", "first"), ("first", "second"), ("tie", "tie"), ("second", "tie")]
    rows = [compared("j", f"q{number}", "A", ("a", "b"), places=found) for number, found in enumerate(places)]
    (row,) = biases(Evidence(comparisons=rows)).position
    assert (row.judge, row.pairs) == ("j", 4)
    assert row.changed.value == 0.5  # the first and the last
    assert row.first.value == 3 / 5 and row.first.low < 0.6 < row.first.high


def test_a_judge_who_never_chooses_has_no_place_to_prefer():
    rows = [compared("j", "q", "tie", ("a", "b"), places=("tie", "tie"))]
    (row,) = biases(Evidence(comparisons=rows)).position
    assert row.changed.value == 0 and row.first.value != row.first.value


@pytest.mark.parametrize("source", ["pairs", "scores"])
def test_length_bias_is_found_beside_what_people_say(source):
    generator = random.Random(0)
    models, people = Evidence(), Evidence()
    for number in range(60):
        item = f"q{number}"
        short, long = f"{item}短", f"{item}长" + "字" * generator.randint(1, 9)
        if source == "pairs":
            models.comparisons.append(compared("j", item, "B", (short, long)))
            people.comparisons.append(compared("li", item, generator.choice("AB"), (short, long)))
        else:
            models.scores += [score("j", item, "m", 4, long), score("j", item, "h", 2, short)]
            fair = [2, 4] if generator.random() < 0.5 else [4, 2]
            people.scores += [score("li", item, "h", fair[0], short), score("li", item, "m", fair[1], long)]
    (row,) = biases(models, people).length
    assert (row.source, row.comparisons, row.longer.value) == (source, 60, 1.0)
    assert row.people is not None and row.people.low < 0.5 < row.people.high


def test_answers_of_one_length_say_nothing_of_length():
    assert biases(Evidence(comparisons=[compared("j", "q", "A", ("ab", "cd"))])).length == []


def test_self_preference_is_measured_against_people_else_against_other_judges():
    models, people = Evidence(), Evidence()
    for number in range(40):
        item, texts = f"q{number}", (f"{number}的甲", f"{number}的乙")
        models.comparisons.append(compared("j", item, "A", texts))
        models.comparisons.append(compared("k", item, "AB"[number % 2], texts))
        people.comparisons.append(compared("li", item, "B" if number % 4 else "tie", texts))
    own = {"j": ["m"]}
    (row,) = biases(models, people, own).own
    assert (row.judge, row.system, row.compared_with, row.comparisons) == ("j", "m", "people", 40)
    assert row.own.value == 1 and row.others.value == pytest.approx(10 * 0.5 / 40)
    (row,) = biases(models, None, own).own
    assert row.compared_with == "other judges" and row.others.value == 0.5
    (row,) = biases(Evidence(comparisons=[one for one in models.comparisons if one.rater == "j"]), None, own).own
    assert row.others is None and row.compared_with == ""


def test_agreement_with_people_by_hand():
    # Judge and one person on four answers: kappa by the table (1,1) (2,2) (5,5) (4,2), quadratic weights.
    judge, person = (1, 2, 5, 4), (1, 2, 5, 2)
    models = Evidence([score("j", f"q{n}", "m", value, "x") for n, value in enumerate(judge)])
    people = Evidence([score("li", f"q{n}", "m", value, "x") for n, value in enumerate(person)])
    (row,) = biases(models, people).with_people
    observed = 4 / 4
    expected = sum((one - other) ** 2 for one in judge for other in person) / 16
    assert row.kappa.value == pytest.approx(1 - observed / expected) and row.units == 4
    assert row.people != row.people and not row.is_low
    assert -1 <= row.alpha.value <= 1


def test_a_judge_who_draws_lots_is_low_and_one_like_people_is_not():
    generator = random.Random(1)
    models, people = Evidence(), Evidence()
    for number in range(200):
        truth = generator.randint(1, 5)
        near = [min(5, max(1, truth + generator.choice((-1, 0, 0, 1)))) for _ in range(3)]
        models.scores.append(score("good", f"q{number}", "m", near[0], "x"))
        models.scores.append(score("lots", f"q{number}", "m", generator.randint(1, 5), "x"))
        people.scores += [score("li", f"q{number}", "m", near[1], "x"), score("wu", f"q{number}", "m", near[2], "x")]
    good, lots = biases(models, people).with_people
    assert (good.judge, good.is_low, lots.judge, lots.is_low) == ("good", False, "lots", True)
    assert abs(good.kappa.value - good.people) < 3 * CLOSE
    assert lots.kappa.low < 0 < lots.kappa.high


def test_only_what_both_rated_counts():
    models = Evidence([score("j", "q1", "m", 3, "x"), score("j", "q2", "m", 3, "x")])
    people = Evidence([score("li", "q2", "m", 3, "y"), score("li", "q3", "m", 3, "x")])
    assert biases(models, people).with_people == []


def test_evidence_of_different_raters_is_put_together():
    one = Evidence([score("a", "q", "m", 1, "x")], checks={"a": [True]}, left_out=["z"])
    other = Evidence([score("b", "q", "m", 2, "x")], checks={"b": [False]})
    both = merged(one, other)
    assert both.raters() == ["a", "b"] and both.failed() == ["b"] and both.left_out == ["z"]
