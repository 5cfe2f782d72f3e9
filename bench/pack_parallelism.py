"""Write the table of parallelism that ships, which `--best_of` ranks lower lines by.

python bench/pack_parallelism.py --couplets data/verse/verse-couplets.train.csv

Pairs of characters that were seen once are left out: they are two thirds of the table, and without them the table tells
human lower lines from random ones nearly as well (docs/verse.md).
"""

from __future__ import annotations

import argparse

from recipe.couplet.parallelism import SHIPPED_TABLE, CharacterAssociation
from recipe.evaluating.testset import read_training_file
from recipe.files import atomic_open, sha256_of
from recipe.settings import EvaluationSettings

LEAST_SEEN = 2


def main() -> None:
    """Learn, cut, write; say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--couplets", required=True, help="CSV of couplets that `python -m recipe.verse` wrote")
    arguments = parser.parse_args()
    rows = read_training_file(EvaluationSettings(train_file=[arguments.couplets]))
    assert rows is not None
    table = CharacterAssociation.learn(rows.uppers, rows.lowers).common(LEAST_SEEN)
    with atomic_open(SHIPPED_TABLE, "wb") as file:
        file.write(table.to_bytes())
    size = f"{len(table.pairs):,} pairs of {len(table.characters):,} characters"
    print(f"{SHIPPED_TABLE}: {size}, SHA-256 {sha256_of(SHIPPED_TABLE)}")


if __name__ == "__main__":
    main()
