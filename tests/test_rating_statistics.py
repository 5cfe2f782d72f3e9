"""Agreement, strengths, correlation and sample sizes against published worked examples and figures done by hand."""

import math

import numpy as np
import pytest

from recipe.rating.agreement import alpha, cohen_kappa, coincidences, share_within
from recipe.rating.strengths import bradley_terry
from recipe.rating.uncertainty import PanelBootstrap, interval, mid_ranks, sample_size, spearman

# Krippendorff 2011, section C: four observers, twelve units.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
THREE_RATERS = [[1, 2, 3, None, 5], [1, 2, 3, 4, 5], [1, 3, 3, 4, 4]]


def units_of(rows):
    """Turn rows of raters into the values of each unit."""
    return {number: [row[number] for row in rows if row[number] is not None] for number in range(len(rows[0]))}


@pytest.mark.parametrize(
    ("rows", "level", "expected"),
    [
        (THREE_RATERS, "ordinal", 0.93489),
        (KRIPPENDORFF, "nominal", 0.743),
        (KRIPPENDORFF, "ordinal", 0.815),
    ],
)
def test_alpha_of_published_examples(rows, level, expected):
    found = alpha(coincidences(units_of(rows)).by_unit.sum(axis=0), level)
    assert found == pytest.approx(expected, abs=5e-6 if expected == 0.93489 else 5e-4)


def test_alpha_without_pairs_or_variation_is_no_number():
    assert math.isnan(alpha(coincidences({"a": [3], "b": [4]}).by_unit.sum(axis=0), "ordinal"))
    assert math.isnan(alpha(coincidences({"a": [3, 3], "b": [3, 3]}).by_unit.sum(axis=0), "nominal"))


def test_alpha_below_zero_for_raters_who_contradict_each_other():
    # By hand: coincidences 12 and 21 twice each, none on the diagonal; alpha = 1 - 3 · 4 / 8.
    assert alpha(coincidences({"a": [1, 2], "b": [2, 1]}).by_unit.sum(axis=0), "nominal") == pytest.approx(-0.5)


def test_percent_agreement_by_hand():
    found = coincidences({"a": [1, 1], "b": [1, 2], "c": [1, 5], "d": [4]})
    assert share_within(found, 0) == pytest.approx(1 / 3)
    assert share_within(found, 1) == pytest.approx(2 / 3)
    assert math.isnan(share_within(coincidences({"d": [4]}), 0))


def test_kappa_of_cohens_worked_example():
    # 20 times both yes, 5 yes/no, 10 no/yes, 15 both no: observed 0.7, by chance 0.5.
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)


def test_quadratic_kappa_by_hand():
    # Weighted disagreement 1/4 observed; expected from the margins: 20 / 16.
    assert cohen_kappa([1, 2, 3, 3], [1, 2, 3, 2], "quadratic") == pytest.approx(0.8)
    assert math.isnan(cohen_kappa([2, 2], [2, 2]))


# Agresti's American League of 1987: wins of the row's team over the column's, in the order of the teams.
BASEBALL_TEAMS = ["Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore"]
BASEBALL = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ],
    dtype=float,
)
# The same teams' log abilities over Baltimore's as R's BradleyTerry2 prints them.
BASEBALL_ABILITIES = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0]


def test_bradley_terry_of_published_examples():
    found = bradley_terry(BASEBALL)
    assert found - found[-1] == pytest.approx(BASEBALL_ABILITIES, abs=1e-4)
    # Citations among four journals of statistics (Stigler 1994), over Biometrika.
    citations = np.array([[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]], dtype=float)
    found = bradley_terry(citations)
    assert found - found[0] == pytest.approx([0.0, -2.9491, -0.4796, 0.2690], abs=1e-4)


def test_bradley_terry_of_two_systems_is_the_log_odds():
    assert np.diff(bradley_terry(np.array([[0, 3.5], [1.5, 0]]))) == pytest.approx(-math.log(3.5 / 1.5))


def test_bradley_terry_fits_many_tables_at_once():
    tables = np.stack([BASEBALL, BASEBALL.T])
    both = bradley_terry(tables)
    assert both[0] == pytest.approx(bradley_terry(BASEBALL))
    assert both[1] == pytest.approx(-both[0])


def test_a_system_that_never_loses_needs_the_imaginary_ties():
    always = np.array([[0.0, 5.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="never lost"):
        bradley_terry(always)
    # By hand with one tie each: 5 (1 - P) = P' - 1/2, where P = 1/(1+exp(-2s)) and P' = 1/(1+exp(-s)).
    strength = bradley_terry(always, prior_ties=1.0)[0]
    assert 5 * (1 - 1 / (1 + math.exp(-2 * strength))) == pytest.approx(1 / (1 + math.exp(-strength)) - 0.5)


def test_spearman_of_published_and_tied_examples():
    intelligence = np.array([106, 100, 86, 101, 99, 103, 97, 113, 112, 110])
    television = np.array([7, 27, 2, 50, 28, 29, 20, 12, 6, 17])
    assert spearman(intelligence, television) == pytest.approx(-29 / 165)
    assert mid_ranks(np.array([3, 1, 3, 2])) == pytest.approx([3.5, 1, 3.5, 2])
    # By hand from the mid-ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5 / sqrt(4.5 · 5).
    assert spearman(np.array([1, 2, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(4.5 / math.sqrt(22.5))
    assert math.isnan(spearman(np.array([1, 1]), np.array([1, 2])))
    assert math.isnan(spearman(np.array([1]), np.array([1])))


def test_sample_size_by_hand():
    # Mean 1, deviation 2: (1.959964 + 0.841621)² · 4 = 31.4.
    differences = np.array([3.0, -1.0] * 8)
    deviation = math.sqrt(16 * 4 / 15)
    expected = math.ceil((2.8015852 * deviation) ** 2)
    found = sample_size(differences)
    assert (found.items, found.needed, found.more) == (16, expected, expected - 16)
    assert sample_size(np.array([1.0, -1.0])).more is None
    assert sample_size(np.array([1.0, 1.0, 1.0])).more == 0


def test_bootstrap_draws_items_and_raters():
    bootstrap = PanelBootstrap(items=3, raters=2, samples=50, seed=1)
    table = np.arange(12.0).reshape(3, 2, 2)
    by_hand = [
        sum(items[i] * raters[r] * table[i, r] for i in range(3) for r in range(2))
        for items, raters in zip(bootstrap.items, bootstrap.raters, strict=True)
    ]
    assert bootstrap.totals(table) == pytest.approx(np.array(by_hand))
    assert (bootstrap.items.sum(axis=1) == 3).all() and (bootstrap.raters.sum(axis=1) == 2).all()
    assert np.array_equal(bootstrap.items, PanelBootstrap(3, 2, 50, 1).items)


def test_interval_leaves_out_draws_without_the_figure():
    assert interval(2.0, np.array([np.nan, 1.0, 3.0])) == pytest.approx((2.0, 1.05, 2.95))
    assert math.isnan(interval(2.0, np.array([np.nan])).low)
