"""Answer upper lines (上联) with lower lines (下联) that cannot leave the couplet's form.

One or several upper lines, with the model that was trained last.
    python run_generate.py --prompt 春满神州花似锦
    python run_generate.py --prompt 春满神州花似锦 --best_of 16 --num_return_sequences 3
A file, a line each or a column of a table; the answers go to a table in the same order.
    python run_generate.py --prompts_file upper.txt --output_file couplets.tsv
Type upper lines and read the answers; or let whole couplets begin with a character.
    python run_generate.py --interactive
    python run_generate.py --compose 春 --line_length 7
"""

import sys
from collections.abc import Sequence

from recipe.cli import parse_settings
from recipe.errors import run_or_explain
from recipe.settings import DecodingSettings, DeviceSettings, GenerationSettings


def main(argv: Sequence[str]) -> int:
    settings = parse_settings("run_generate.py", __doc__, [GenerationSettings, DecodingSettings, DeviceSettings], argv)
    from recipe.generating.generate import generate  # here, so that --help and a mistyped flag do not wait for torch

    return generate(settings)


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
