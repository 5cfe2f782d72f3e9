"""Pack a published model as the base that ships: weights in half precision, tokenizer, configuration, card.

python bench/pack_base.py --model models/couplet                 # writes recipe/data/base, prints its SHA-256
python bench/pack_base.py --model models/couplet --output models/packed

How the model is made: docs/verse.md. Half precision halves the file; loaded, the weights are fp32 again, rounded to
eleven significant bits. The card is the published one's, with the section of this file before its data.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from recipe.files import atomic_directory, sha256_of, write_text

COPIED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "metrics.json")
MOST_BYTES = 25 << 20
PROVENANCE = """
## Where it comes from

The base of the couplet recipe: pretrained on Tang and Song verse and fine-tuned on the parallel couplets of its
regulated poems, all made by `python -m recipe.verse` from the collection chinese-poetry (MIT; the poems are in the
public domain). The weights are figures computed from these texts; they are under the recipe's licence, Apache-2.0.
docs/verse.md has every command. It writes classical verse: modern subjects, names and words it knows badly, if at all.
"""


def main() -> None:
    """Pack and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="directory of the published model")
    parser.add_argument("--output", default="recipe/data/base", help="directory to write (default: %(default)s)")
    arguments = parser.parse_args()
    source = Path(arguments.model)
    with atomic_directory(arguments.output) as target:
        for name in COPIED:
            shutil.copyfile(source / name, target / name)
        weights = {name: weight.to(torch.float16) for name, weight in load_file(source / "model.safetensors").items()}
        save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
        (target / "model.safetensors").chmod(0o644)
        card = (source / "README.md").read_text(encoding="utf-8")
        write_text(target / "README.md", card.replace("\n## Data\n", PROVENANCE + "\n## Data\n", 1))
    packed = Path(arguments.output)
    size = sum(file.stat().st_size for file in packed.iterdir())
    print(f"{packed}: {size:,} bytes; model.safetensors SHA-256 {sha256_of(packed / 'model.safetensors')}")
    if size > MOST_BYTES:
        raise SystemExit(f"more than the {MOST_BYTES:,} bytes that may ship")


if __name__ == "__main__":
    main()
