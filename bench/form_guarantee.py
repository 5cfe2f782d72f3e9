"""How often lower lines leave the form, with the form held and without it, over thousands of upper lines.

Run:  python bench/form_guarantee.py --model_name_or_path DIR [--upper_file FILE.csv] [--lines 10000]
          [--weights trained random] [--modes greedy beam sample] [--tones prefer] [--free_lines 1000]

A third each of real upper lines (the first of --upper_file), composed ones and fuzzed ones (repetitions, marks
anywhere, unknown characters, emoji, spaces, Latin and digits, 1 to 40 characters); half and half without a file.
"random" is a model of the same configuration with random weights. The plain-Python rules of `recipe.couplet.form`
judge. Without the form only --free_lines lines are decoded, up to 48 tokens.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from recipe.couplet.form import form_violations, is_chinese_character, split_couplet
from recipe.generating.generator import Generator
from recipe.model.modeling import load_model
from recipe.model.tokenization import load_tokenizer
from recipe.rows.reading import Source, read_rows
from recipe.settings import DecodingSettings
from recipe.synthetic import synthesize

MARKS = "，。！？、；：“”‘’（）《》—…·-"
NOISE = "abZ019éあ𠮷龘😀🏮 \u3000"
LENGTHS = (1, 2, 3, 4, 5, 7, 7, 9, 11, 15, 24, 40)
MODES: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "beam": {"do_sample": False, "num_beams": 4},
    "sample": {"temperature": 1.5},
}
FREE_TOKENS = 48


def fuzzed_line(generator: random.Random, characters: Sequence[str]) -> str:
    """An upper line of few or many distinct characters, with marks and foreign characters anywhere."""
    length = generator.choice(LENGTHS)
    few = generator.sample(characters, k=generator.choice((1, 2, 5, 40)))
    line = [generator.choice(few) for _ in range(length)]
    for position in range(length):
        if generator.random() < 0.25:
            line[position] = generator.choice(MARKS + NOISE)
    text = "".join(line)
    return text if text.strip() else few[0]


def upper_lines(count: int, upper_file: str | None, characters: Sequence[str]) -> dict[str, list[str]]:
    """The upper lines by where they come from."""
    generator = random.Random(0)
    kinds = ["composed", "fuzzed"] if upper_file is None else ["real", "composed", "fuzzed"]
    share, rest = divmod(count, len(kinds))
    lines = {"composed": [couplet.upper for couplet in synthesize(share, seed=1)]}
    lines["fuzzed"] = [fuzzed_line(generator, characters) for _ in range(share + rest)]
    if upper_file is not None:
        cells = (row.cells[0] for row in read_rows(Source((upper_file,), ("text1",), "utf-8")) if row.cells)
        halves = (split_couplet(cell) for cell in cells)
        lines["real"] = [pair[0] for pair in halves if pair is not None][:share]
    return lines


def with_random_weights(model: PreTrainedModel) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(model.config).eval()


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, lines: dict[str, list[str]], settings: DecodingSettings
) -> str:
    """Answer all lines and describe how many answers break the form."""
    generator = Generator(model, tokenizer, settings)
    uppers = [upper for group in lines.values() for upper in group]
    refused = [prompt for prompt in generator.prepare(uppers) if prompt.refusal is not None]
    started = time.perf_counter()
    answers = generator.answer(uppers)
    seconds = time.perf_counter() - started
    broken = [form_violations(found[0].prompt, found[0].text) for found in answers]
    by_kind = Counter(str(violation) for violations in broken for violation in violations)
    share = sum(map(bool, broken)) / len(broken)
    shown = ", ".join(f"{name} {count}" for name, count in by_kind.most_common())
    return (
        f"{sum(map(bool, broken)):,} of {len(broken):,} lines ({share:.2%}) in {seconds:.0f} s"
        f"{'; ' + shown if shown else ''}{f'; {len(refused)} refused' if refused else ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name_or_path", default="models/couplet")
    parser.add_argument("--upper_file", help="CSV with a column text1 of whole couplets")
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--free_lines", type=int, default=1_000)
    parser.add_argument("--weights", nargs="+", default=["trained", "random"], choices=["trained", "random"])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES))
    parser.add_argument("--tones", default="prefer", choices=["off", "prefer", "strict"])
    options = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # free generation of [PAD] makes the library suspect padded prompts
    tokenizer = load_tokenizer(options.model_name_or_path)
    trained = load_model(options.model_name_or_path, tokenizer)
    characters = [char for char in tokenizer.get_vocab() if len(char) == 1 and is_chinese_character(char)]
    lines = upper_lines(options.lines, options.upper_file, sorted(characters))
    print(
        "violations of the form;", ", ".join(f"{len(group):,} {kind}" for kind, group in lines.items()), "upper lines"
    )
    free_share = options.free_lines // len(lines)
    free_lines = {kind: group[:free_share] for kind, group in lines.items()}
    for weights in options.weights:
        model = trained if weights == "trained" else with_random_weights(trained)
        for mode in options.modes:
            held = DecodingSettings(tones=options.tones, **MODES[mode])
            free = DecodingSettings(continue_freely=True, max_new_tokens=FREE_TOKENS, **MODES[mode])
            print(f"{weights:8} {mode:7} with the form:    {measure(model, tokenizer, lines, held)}", flush=True)
            if free_share:
                print(
                    f"{weights:8} {mode:7} without the form: {measure(model, tokenizer, free_lines, free)}", flush=True
                )


if __name__ == "__main__":
    main()
