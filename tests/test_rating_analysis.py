"""The analysis of ratings: by hand on a few, and by raters of known skill and bias, whose truth must be found."""

import math

import numpy as np
import pytest

from recipe.rating.analysis import analyse, choices_by_figure, comparisons_from_scores, correlations
from recipe.rating.evidence import Comparison, Evidence, Score
from recipe.rating.uncertainty import sample_size


def score(rater, item, system, value, dimension="overall"):
    return Score(rater, item, f"{item}\n{system}", (system,), dimension, value)


def duel(rater, item, value, first="m", second="h"):
    return Comparison(rater, item, f"{item}\n{first}\n{second}", (first,), (second,), "overall", value)


HAND = Evidence(
    scores=[
        score("li", "q1", "m", 2),
        score("li", "q1", "h", 4),
        score("wu", "q1", "m", 3),
        score("wu", "q1", "h", 3),
        score("li", "q2", "m", 1),
        score("li", "q2", "h", 5),
    ],
    comparisons=[
        duel("li", "q1", "A"),
        duel("wu", "q1", "B"),
        duel("li", "q2", "tie"),
        duel("wu", "q2", "B"),
        duel("li", "q3", "both_bad"),
    ],
)


def test_means_and_differences_by_hand():
    found = analyse(HAND, samples=200)
    means = {row.system: row for row in found.means}
    assert (means["m"].mean.value, means["h"].mean.value) == (2.0, 4.0)
    assert (means["m"].ratings, means["m"].items) == (3, 2)
    assert means["m"].mean.low < 2 < means["m"].mean.high
    (difference,) = found.differences
    assert (difference.first, difference.second, difference.difference.value) == ("h", "m", 2.0)
    # Differences by item, over raters: (3.5 - 2.5) and (5 - 1).
    assert difference.sample == sample_size(np.array([1.0, 4.0]))


def test_win_rates_and_strengths_by_hand():
    found = analyse(HAND, samples=200)
    pairs, derived = found.wins
    assert (pairs.source, pairs.first, pairs.second) == ("pairs", "h", "m")
    assert (pairs.wins, pairs.losses, pairs.ties, pairs.both_bad) == (2, 1, 1, 1)
    assert pairs.rate.value == pytest.approx(0.6)
    assert (derived.source, derived.wins, derived.losses, derived.ties) == ("scores", 2, 0, 1)
    strengths = {row.system: row.strength.value for row in found.strengths if row.source == "pairs"}
    assert strengths["h"] == -strengths["m"]
    # One imaginary tie each: 3 - 5 P(2s) = P(s) - 1/2.
    strength = strengths["h"]
    assert 3 - 5 / (1 + math.exp(-2 * strength)) == pytest.approx(1 / (1 + math.exp(-strength)) - 0.5)


def test_agreement_and_kappas_by_hand():
    found = analyse(HAND, samples=100)
    by_kind = {row.kind: row for row in found.agreement}
    # Two answers rated by both: (2, 3) and (4, 3); two pairs compared by both, one alike.
    assert by_kind["absolute"].units == 2
    assert (by_kind["absolute"].equal, by_kind["absolute"].within_one) == (0.0, 1.0)
    assert by_kind["pair"].equal == 0.0 and by_kind["pair"].ordinal is None
    assert {(row.kind, row.units) for row in found.kappas} == {("absolute", 2), ("pair", 2)}


def test_answers_shared_by_systems_are_ties_between_them():
    shared = [Score("li", "q1", "q1\n好", ("h", "m"), "overall", 4), score("li", "q1", "c", 2)]
    rows = {(*row.first, *row.second, row.value) for row in comparisons_from_scores(shared)}
    assert rows == {("h", "m", "c", "A"), ("h", "m", "tie")}


def test_raters_are_listed_with_their_severity_and_checks():
    evidence = Evidence(HAND.scores, HAND.comparisons, checks={"wu": [True, False, False]})
    rows = {row.rater: row for row in analyse(evidence, samples=50).raters}
    assert (rows["li"].ratings, rows["li"].mean, rows["li"].failed) == (7, 3.0, False)
    assert (rows["wu"].checks, rows["wu"].noticed, rows["wu"].failed) == (3, 1, True)
    assert "failed the attention checks and still counted: wu" in analyse(evidence, samples=50).notes


def test_one_rater_is_said_and_nothing_at_all_is_no_error():
    alone = analyse(Evidence([score("li", "q1", "m", 2)]), samples=50)
    assert "one rater" in alone.notes[0]
    assert (alone.means[0].mean.value, alone.agreement, alone.wins) == (2.0, [], [])
    assert analyse(Evidence()).means == []


def test_same_seed_same_intervals():
    panel = Evidence(simulated(seed=1, items=20))
    assert analyse(panel, samples=50, seed=3) == analyse(panel, samples=50, seed=3)
    assert analyse(panel, samples=50, seed=3).means != analyse(panel, samples=50, seed=4).means


def test_correlation_of_figures_with_people():
    rows = [score("li", f"q{number}", system, value) for number in range(30) for system, value in (("m", 2), ("h", 4))]
    people = Evidence([row._replace(value=row.value + number % 2) for number, row in enumerate(rows)])
    truth = {(row.item, row.systems[0]): float(row.value) for row in people.scores}
    noise = {answer: float(index % 3) for index, answer in enumerate(truth)}
    ticks = []
    found = correlations(
        people,
        {"truth": truth, "against": {answer: -value for answer, value in truth.items()}, "noise": noise, "none": {}},
        samples=100,
        tick=lambda: ticks.append(1),
    )
    by_figure = {row.figure: row for row in found}
    assert by_figure["truth"].correlation.value == pytest.approx(1)
    assert by_figure["against"].correlation == pytest.approx((-1, -1, -1))
    assert by_figure["noise"].correlation.low < 0 < by_figure["noise"].correlation.high
    assert "none" not in by_figure and len(ticks) == 4
    assert by_figure["truth"].answers == 60


SKILLS = {"human": 3.6, "best": 3.0, "model": 2.6, "chance": 1.6}


def simulated(seed, items, raters=3, skills=SKILLS):
    """Ratings 1 to 5 by raters of different severity, of items of different difficulty, with noise: a hard panel."""
    generator = np.random.default_rng(seed)
    severity = generator.normal(0, 0.5, raters)
    found = []
    for item in range(items):
        difficulty = generator.normal(0, 0.4)
        for system, skill in skills.items():
            quality = skill + difficulty + generator.normal(0, 0.7)
            for rater in range(raters):
                value = round(quality + severity[rater] + generator.normal(0, 0.8))
                found.append(score(f"r{rater}", f"q{item}", system, min(5, max(1, value))))
    return found


def ordering(scores):
    """Systems from best to worst by their mean."""
    by_system = {}
    for row in scores:
        by_system.setdefault(row.systems[0], []).append(row.value)
    return sorted(by_system, key=lambda system: -np.mean(by_system[system]))


def needed_items(scores):
    """The most items that the table of differences asks for, over neighbours in skill."""
    neighbours = {frozenset(pair) for pair in zip(SKILLS, list(SKILLS)[1:], strict=False)}
    found = analyse(Evidence(scores), samples=50).differences
    return max(row.sample.needed for row in found if {row.first, row.second} in neighbours)


def test_the_planted_order_is_found_at_the_sample_size_that_the_table_names():
    needed = needed_items(simulated(seed=1000, items=200))
    assert 10 < needed < 200
    right = sum(ordering(simulated(seed, needed)) == list(SKILLS) for seed in range(200))
    assert right >= 190
    # And a tenth of it is not enough: the table does not simply ask for plenty.
    assert sum(ordering(simulated(seed, max(2, needed // 10))) == list(SKILLS) for seed in range(200)) < 190


def test_intervals_of_the_difference_hold_the_truth():
    # Against the mean over very many items and raters, which the rounding to the scale moves off 3.0 - 2.6.
    pair = {name: SKILLS[name] for name in ("best", "model")}
    truth = np.mean([_mean_difference(simulated(seed, 400, raters=12, skills=pair)) for seed in range(900, 906)])
    held = 0
    for seed in range(60):
        (row,) = analyse(Evidence(simulated(seed, 40, skills=pair)), samples=200, seed=seed).differences
        held += row.difference.low <= truth <= row.difference.high
    assert held >= 54


def _mean_difference(scores):
    values = {system: [row.value for row in scores if row.systems[0] == system] for system in ("best", "model")}
    return np.mean(values["best"]) - np.mean(values["model"])


def test_a_biased_rater_does_not_change_the_order_but_the_agreement():
    fair = simulated(seed=5, items=60)
    # One rater calls every answer a 3: no help, but no vote either.
    lazy = [row._replace(value=3) if row.rater == "r2" else row for row in fair]
    assert ordering(lazy) == ordering(fair) == list(SKILLS)
    alphas = [analyse(Evidence(rows), samples=50).agreement[0].ordinal.value for rows in (fair, lazy)]
    assert alphas[1] < alphas[0] - 0.1


def test_choices_beside_figures_by_hand():
    def chose(item, value, rater="li", first="a", second="b"):
        return Comparison(rater, item, f"{item}", (first,), (second,), "overall", value)

    rows = [chose("1", "A"), chose("1", "A", "wu"), chose("2", "B"), chose("3", "tie"), chose("4", "both_bad")]
    rows += [chose("5", "A"), chose("6", "B")]
    figures = {
        # Higher for the chosen answer twice, lower once, equal once; unknown for an answer to the last item.
        "one": {
            ("1", "a"): 2,
            ("1", "b"): 1,
            ("2", "a"): 5,
            ("2", "b"): 3,
            ("5", "a"): 1,
            ("5", "b"): 1,
            ("6", "a"): 0,
        },
        "none": {("7", "a"): 1.0},
        "not finite": {("1", "a"): math.nan, ("1", "b"): 1.0},
    }
    (found,) = choices_by_figure(Evidence(comparisons=rows), figures, samples=200)
    assert (found.figure, found.dimension, found.choices) == ("one", "overall", 4)
    assert found.share.value == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert 0 <= found.share.low < found.share.value < found.share.high <= 1
    turned = [
        row._replace(first=row.second, second=row.first, value={"A": "B", "B": "A"}.get(row.value)) for row in rows
    ]
    (again,) = choices_by_figure(Evidence(comparisons=turned), {"one": figures["one"]}, samples=200)
    assert again == found


def test_a_figure_of_the_true_worth_chooses_as_people_do_and_noise_does_not():
    generator = np.random.default_rng(5)
    rows, worth, noise = [], {}, {}
    for item in range(200):
        for system in "ab":
            worth[f"{item}", system], noise[f"{item}", system] = generator.normal(size=2)
        gap = worth[f"{item}", "a"] - worth[f"{item}", "b"] + generator.normal(scale=0.3)
        rows.append(Comparison("li", f"{item}", f"{item}", ("a",), ("b",), "overall", "A" if gap > 0 else "B"))
    found = {row.figure: row.share for row in choices_by_figure(Evidence(comparisons=rows), {"w": worth, "n": noise})}
    assert found["w"].low > 0.85 and found["n"].low < 0.5 < found["n"].high
