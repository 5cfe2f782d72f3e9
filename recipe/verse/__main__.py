"""Make texts and couplets of the verse collection: `python -m recipe.verse --poems chinese-poetry-2.0.1.tgz`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recipe.errors import UserError, run_or_explain
from recipe.files import at_home
from recipe.verse.cleaning import clean, simplify
from recipe.verse.collection import read_collection
from recipe.verse.couplets import (
    PARALLEL_FROM,
    distinct,
    excluded_lines,
    is_middle,
    keeps_form,
    parallelism_scores,
    regulated_couplets,
    split_by_poem,
)
from recipe.verse.writing import write_all

HELD_OUT = 4000
OUTPUT_DIR = "data/verse"


def main(argv: Sequence[str]) -> int:
    """Read, clean, choose, split and write."""
    parser = argparse.ArgumentParser(prog="python -m recipe.verse", description=__doc__)
    parser.add_argument(
        "--poems",
        required=True,
        type=at_home,
        help="the collection chinese-poetry: its npm tarball, or a directory that holds it unpacked or as a git clone",
    )
    parser.add_argument(
        "--output_dir", default=OUTPUT_DIR, type=at_home, help="directory of the files (default: %(default)s)"
    )
    parser.add_argument(
        "--held_out", type=int, default=HELD_OUT, help="couplets of the dev and of the test file (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    if arguments.held_out < 1:
        raise UserError(f"--held_out is {arguments.held_out}; choose a number from 1")
    collection = read_collection(arguments.poems)
    print(f"{len(collection.poems):,} poems read; simplifying and cleaning them takes half a minute", flush=True)
    cleaned = clean(simplify(collection.poems))
    poems = distinct(cleaned)
    candidates = [couplet for couplet in regulated_couplets(poems) if is_middle(couplet) and keeps_form(couplet)]
    scores = parallelism_scores(candidates, poems)
    parallel = [candidates[number] for number in np.flatnonzero(scores >= PARALLEL_FROM).tolist()]
    split = split_by_poem(parallel, poems, arguments.held_out, excluded_lines())
    counts = {
        "poems read": len(collection.poems),
        "poems with text": len(cleaned),
        "distinct poems": len(poems),
        "middle couplets that keep the form": len(candidates),
        "of them parallel": len(parallel),
    }
    print(write_all(Path(arguments.output_dir), collection, counts, poems, split))
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
