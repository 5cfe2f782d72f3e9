"""How well the learned parallelism tells human lower lines from random ones of the same shape.

Run:  python bench/parallelism_separation.py --train_file TRAIN.csv --test_file TEST.csv [--couplets 20000 600000]

Prints the AUC (probability that a human line scores above a random one; 0.5 is a coin) by the number of training
couplets and by the shrinkage k of the association, from which `recipe.couplet.parallelism.SHRINKAGE` was chosen.
"""

from __future__ import annotations

import argparse

import numpy as np
from tabulate import tabulate

import recipe.couplet.parallelism
from recipe.couplet.parallelism import CharacterAssociation
from recipe.evaluating.resampling import area_under_curve
from recipe.evaluating.testset import chance_lines, read_test_set, read_training_file
from recipe.settings import EvaluationSettings

SHRINKAGES = (0.1, 0.25, 0.5, 1.0, 3.0, 10.0)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_file", required=True)
    parser.add_argument("--test_file", required=True)
    parser.add_argument("--couplets", type=int, nargs="+", default=[20_000, 100_000, 600_000])
    arguments = parser.parse_args()
    settings = EvaluationSettings(test_file=[arguments.test_file], train_file=[arguments.train_file])
    test_set, training_file = read_test_set(settings), read_training_file(settings)
    assert training_file is not None
    lines, same_shape = chance_lines(test_set, training_file, seed=42)
    chosen = np.asarray(same_shape)
    rows = []
    for couplets in arguments.couplets:
        association = CharacterAssociation.learn(training_file.uppers[:couplets], training_file.lowers[:couplets])
        row = [f"{couplets:,}"]
        for shrinkage in SHRINKAGES:
            recipe.couplet.parallelism.SHRINKAGE = shrinkage
            human = association.score_lines(test_set.uppers, test_set.first_references)[chosen]
            chance = association.score_lines(test_set.uppers, lines)[chosen]
            row.append(f"{area_under_curve(human, chance):.3f}")
        rows.append(row)
    print(
        tabulate(rows, ["training couplets", *(f"k = {shrinkage}" for shrinkage in SHRINKAGES)], disable_numparse=True)
    )


if __name__ == "__main__":
    main()
