"""Count poems that break the form: a model trained on made-up poems, one of random weights, greedily and sampled.

    python bench/poem_guarantee.py
    python bench/poem_guarantee.py --poems 1000 --train_file poems.csv   # poems of your own in a column text1

Sampling is at temperature 1.5 from all characters. Broken is what `recipe.formats.quatrain.poem_violations` names: the
number and the lengths of the lines, marks, other characters than Chinese ones, the rhyme of the even lines. Without the
form the same prompts are continued freely, by which one sees what it holds.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).parents[1]))

from recipe.couplet.form import is_chinese_character
from recipe.formats.quatrain import COMMA, LINE_LENGTHS, POEM_LENGTHS, STOP
from recipe.formats.rhymes import rhymes
from recipe.generating.generator import Generator
from recipe.generating.loading import ReadyModel, load_ready_model
from recipe.settings import DecodingSettings, DeviceSettings

ROOT = Path(__file__).parents[1]
MODES = {
    "greedy": {"do_sample": False},
    "temperature 1.5": {"do_sample": True, "temperature": 1.5, "top_k": 0, "top_p": 1.0},
}
LONGEST_ANSWER = 57  # tokens: seven lines of seven characters, their marks, the end


def made_up_poems(count: int, seed: int) -> list[str]:
    """Poems that keep the form and mean nothing: characters of the shipped couplets, each poem with one rhyme."""
    draw = random.Random(seed)
    shipped = (ROOT / "recipe/data/couplets.csv").read_text(encoding="utf-8")
    characters = sorted(char for char in set(shipped) if is_chinese_character(char))
    groups = [sorted(group & set(characters)) for group in rhymes().values()]
    groups = [group for group in groups if len(group) >= POEM_LENGTHS[-1] // 2]
    poems = []
    for _ in range(count):
        length, lines, rhymed = draw.choice(LINE_LENGTHS), draw.choice(POEM_LENGTHS), draw.choice(groups)
        ends = draw.sample(rhymed, lines // 2)
        texts = ["".join(draw.choices(characters, k=length)) for _ in range(lines)]
        texts[1::2] = [text[:-1] + end for text, end in zip(texts[1::2], ends, strict=True)]
        poems.append("".join(text + (STOP if place % 2 else COMMA) for place, text in enumerate(texts)))
    return poems


def train(directory: Path, train_file: str | None, steps: int) -> ReadyModel:
    """Train a model of the default size by the command, with one thread."""
    if train_file is None:
        train_file = str(directory / "poems.csv")
        Path(train_file).write_text("text1\n" + "\n".join(made_up_poems(20_000, seed=1)) + "\n", encoding="utf-8")
    words = [
        *("run_finetune.py", "--config", "none", "--from_scratch", "--text_format", "quatrain"),
        *("--train_file", train_file, "--output_dir", str(directory / "out"), "--cache_dir", str(directory / "cache")),
        *("--publish_dir", str(directory / "model"), "--max_steps", str(steps), "--eval_steps", str(steps)),
        *("--save_steps", str(steps), "--num_threads", "1", "--learning_rate", "1e-3", "--hidden_size", "128"),
        *("--num_layers", "2", "--num_heads", "4", "--sample_prompts", "春满神州花似锦", "万里晴空飞"),
    ]
    subprocess.run([sys.executable, *words], check=True, cwd=ROOT)
    return load_ready_model(str(directory / "model"), DeviceSettings(device="cpu"))


def broken_share(ready: ReadyModel, model: torch.nn.Module, prompts: Sequence[str], settings: DecodingSettings) -> str:
    """Write a poem for each prompt and describe how many of them break the form."""
    generator = Generator(model, ready.tokenizer, settings, text_format=ready.text_format)  # type: ignore[arg-type]
    started = time.perf_counter()
    answers = [found[0] for found in generator.answer(prompts)]
    seconds = time.perf_counter() - started
    broken = [ready.text_format.violations(answer.prompt, answer.text) for answer in answers]
    lines = Counter(1 + answer.text.count(COMMA) + answer.text.count(STOP) for answer in answers)
    kinds = Counter(violation for violations in broken for violation in violations)
    shown = ", ".join(f"{name} {count}" for name, count in kinds.most_common())
    whole = f"; {lines[4]} of four lines, {lines[8]} of eight" if not kinds else f"; {shown}"
    return f"{sum(map(bool, broken)):,} of {len(broken):,} poems broken in {seconds:.0f} s{whole}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_file", help="CSV with a column text1 of poems; unset makes 20,000 up")
    parser.add_argument("--poems", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        ready = train(Path(directory), options.train_file, options.steps)
    torch.manual_seed(0)
    untrained = AutoModelForCausalLM.from_config(ready.model.config).eval()
    prompts = [poem.split(COMMA)[0] for poem in made_up_poems(options.poems, seed=2)]
    for weights, model in (("trained", ready.model), ("random", untrained)):
        for name, mode in MODES.items():
            for kind, held in (("with", {}), ("without", {"continue_freely": True, "max_new_tokens": LONGEST_ANSWER})):
                found = broken_share(ready, model, prompts, DecodingSettings(**mode, **held))  # type: ignore[arg-type]
                print(f"{weights:8} {name:16} {kind:8} the form: {found}", flush=True)


if __name__ == "__main__":
    main()
