"""Write a synthetic corpus: `python -m recipe.synthetic --rows 20000 --seed 7 --output_file couplets.csv`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from recipe.couplet.form import DEFAULT_SEPARATOR
from recipe.errors import UserError, run_or_explain
from recipe.files import at_home, atomic_open
from recipe.synthetic.synthesis import capacity, synthesize

SHIPPED_ROWS = 20_000
SHIPPED_SEED = 7


def main(argv: Sequence[str]) -> int:
    """Compose and write the file; the shipped corpus is what the defaults write."""
    parser = argparse.ArgumentParser(prog="python -m recipe.synthetic", description=__doc__)
    parser.add_argument("--rows", type=int, default=SHIPPED_ROWS, help="couplets to write (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SHIPPED_SEED, help="decides which ones (default: %(default)s)")
    parser.add_argument("--output_file", required=True, type=at_home, help="CSV to write: header text1, rows 上联-下联")
    arguments = parser.parse_args(argv)
    if not 0 < arguments.rows <= capacity():
        raise UserError(f"--rows is {arguments.rows:,}; choose a number from 1 to {capacity():,}")
    with atomic_open(arguments.output_file) as file:
        file.write("text1\n")
        file.writelines(
            f"{upper}{DEFAULT_SEPARATOR}{lower}\n" for upper, lower in synthesize(arguments.rows, arguments.seed)
        )
    print(f"{arguments.rows:,} couplets written to {arguments.output_file}")
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
