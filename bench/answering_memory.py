"""Memory does not grow with the prompts: 10,000 and a million upper lines answered by a tiny model.

    python bench/answering_memory.py                       # both, compared
    python bench/answering_memory.py --lines 10000 100000  # in minutes

Each run is the real command in a process of its own, at its default batch size, with a model of one layer, since it is
looked for what the lines themselves take. What is compared is the largest RssAnon, as in bench/memory.py.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from memory import DIRECTORY, TARGET, largest_memory

from recipe.model.modeling import new_model
from recipe.model.tokenization import build_tokenizer, corpus_vocabulary
from recipe.settings import ModelSettings

FEW, MANY = 10_000, 1_000_000
# Chinese characters in the order of Unicode: what they mean does not matter here.
CHARACTERS = [chr(number) for number in range(0x4E00, 0x4E00 + 400)]
LENGTHS = range(4, 12)


def make_model(directory: Path) -> None:
    tokenizer = build_tokenizer(corpus_vocabulary([*CHARACTERS, "-"]), lowercase=False, max_length=64)
    model = new_model(ModelSettings(hidden_size=16, num_layers=1, num_heads=2), tokenizer, 64)
    model.config.recipe = {"text_format": "couplet", "separator": "-"}
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def write_lines(file: Path, count: int) -> None:
    generator = random.Random(count)
    with file.open("w", encoding="utf-8") as lines:
        for _ in range(count):
            lines.write("".join(generator.sample(CHARACTERS, generator.choice(LENGTHS))) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[FEW, MANY])
    options = parser.parse_args()
    directory = DIRECTORY / "answering-model"
    make_model(directory)
    found = []
    for count in options.lines:
        prompts, answers = DIRECTORY / f"lines-{count}.txt", DIRECTORY / f"answers-{count}.tsv"
        write_lines(prompts, count)
        command = ["run_generate.py", "--model_name_or_path", str(directory), "--device", "cpu", "--best_of", "1"]
        command += ["--prompts_file", str(prompts), "--output_file", str(answers)]
        size, seconds = largest_memory(command, DIRECTORY / "answering-memory.log")
        found.append(size)
        print(f"{count:,} lines: largest RssAnon {size / 1e6:,.0f} MB, {seconds:.0f} s", flush=True)
    ratio = found[-1] / found[0]
    print(f"ratio {ratio:.2f}; target at most {TARGET}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
