"""Write a synthetic corpus: `python -m recipe.synthetic --rows 5000 --seed 7 --output_file couplets.csv`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from recipe.couplet.form import DEFAULT_SEPARATOR
from recipe.errors import UserError, run_or_explain
from recipe.files import at_home, atomic_open
from recipe.language import LANGUAGES, _, asked_language, choose_language
from recipe.synthetic.synthesis import capacity, synthesize

SHIPPED_ROWS = 5_000
SHIPPED_SEED = 7


def main(argv: Sequence[str]) -> int:
    """Compose and write the file; the shipped corpus is what the defaults write."""
    choose_language(asked_language(argv))
    parser = argparse.ArgumentParser(
        prog="python -m recipe.synthetic",
        description=_("Write couplets that are composed from a lexicon; the defaults write the corpus that ships."),
    )
    parser.add_argument("--rows", type=int, default=SHIPPED_ROWS, help=_("couplets to write (default: %(default)s)"))
    parser.add_argument(
        "--seed", type=int, default=SHIPPED_SEED, help=_("decides which couplets (default: %(default)s)")
    )
    parser.add_argument(
        "--output_file", required=True, type=at_home, help=_("CSV to write: header text1, rows 上联-下联")
    )
    parser.add_argument(
        "--language", choices=LANGUAGES, help=_("language of help and messages; unset follows the locale")
    )
    arguments = parser.parse_args(argv)
    if not 0 < arguments.rows <= capacity():
        raise UserError(_("--rows {rows}: must be 1 to {most:,}").format(rows=arguments.rows, most=capacity()))
    with atomic_open(arguments.output_file) as file:
        file.write("text1\n")
        file.writelines(
            f"{upper}{DEFAULT_SEPARATOR}{lower}\n" for upper, lower in synthesize(arguments.rows, arguments.seed)
        )
    print(_("{rows:,} couplets written to {file}").format(rows=arguments.rows, file=arguments.output_file))
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
