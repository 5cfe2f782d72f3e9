"""Make texts and couplets of the verse collection: `python -m recipe.verse --poems chinese-poetry-2.0.1.tgz`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recipe.errors import UserError, run_or_explain
from recipe.files import at_home
from recipe.language import LANGUAGES, N_, _, asked_language, choose_language
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
    choose_language(asked_language(argv))
    parser = argparse.ArgumentParser(
        prog="python -m recipe.verse",
        description=_("Make texts and couplets of the collection chinese-poetry, to pretrain and to fine-tune on."),
    )
    parser.add_argument(
        "--poems",
        required=True,
        type=at_home,
        help=_("the collection chinese-poetry: its npm tarball, or a directory with its unpacked files or git clone"),
    )
    parser.add_argument(
        "--output_dir", default=OUTPUT_DIR, type=at_home, help=_("directory of the files (default: %(default)s)")
    )
    parser.add_argument(
        "--held_out",
        type=int,
        default=HELD_OUT,
        help=_("couplets in the dev file, and in the test file (default: %(default)s)"),
    )
    parser.add_argument(
        "--language", choices=LANGUAGES, help=_("language of help and messages; unset follows the locale")
    )
    arguments = parser.parse_args(argv)
    if arguments.held_out < 1:
        raise UserError(_("--held_out {number}: must be at least 1").format(number=arguments.held_out))
    collection = read_collection(arguments.poems)
    print(
        _("{count:,} poems read; simplifying and cleaning them takes half a minute").format(
            count=len(collection.poems)
        ),
        flush=True,
    )
    cleaned = clean(simplify(collection.poems))
    poems = distinct(cleaned)
    candidates = [couplet for couplet in regulated_couplets(poems) if is_middle(couplet) and keeps_form(couplet)]
    scores = parallelism_scores(candidates, poems)
    parallel = [candidates[number] for number in np.flatnonzero(scores >= PARALLEL_FROM).tolist()]
    split = split_by_poem(parallel, poems, arguments.held_out, excluded_lines())
    counts = {
        N_("poems read"): len(collection.poems),
        N_("poems with text"): len(cleaned),
        N_("distinct poems"): len(poems),
        N_("middle couplets that keep the form"): len(candidates),
        N_("of them parallel"): len(parallel),
    }
    print(write_all(Path(arguments.output_dir), collection, counts, poems, split))
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
