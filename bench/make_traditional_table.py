"""Make recipe/data/traditional.tsv, the forms of characters, from OpenCC.

    pip install -c constraints.txt -e '.[verse]'
    python bench/make_traditional_table.py

Only single characters: words, which tell apart what characters alone do not, are left to OpenCC itself.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version

from opencc import OpenCC

from recipe.files import find_shipped, write_text

TABLE = "recipe/data/traditional.tsv"
CHARACTERS = range(0x4E00, 0xA000)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    simplify, restore = OpenCC("t2s").convert, OpenCC("s2t").convert
    rows = []
    for char in map(chr, CHARACTERS):
        simplified = simplify(char)
        if simplified != char and len(simplified) == 1:
            rows.append(f"{char}\t{simplified}\t{int(restore(simplified) == char)}")
    head = [
        f"# From OpenCC {version('opencc')} (Apache License 2.0), made by bench/make_traditional_table.py.",
        "# A traditional character, its simplified form, and 1 where that form is usually written so.",
    ]
    write_text(find_shipped(TABLE), "\n".join([*head, *rows]) + "\n")
    print(f"{TABLE}: {len(rows):,} characters")


if __name__ == "__main__":
    main()
