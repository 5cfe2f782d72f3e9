"""Does the default run keep its promise? Three minutes, and lower lines whose words answer the upper line's.

    python bench/quickstart.py

Runs `accelerate launch run_finetune.py` (with directories of its own), then lets the published model answer the
held-out upper lines greedily under the form, and asks the synthesizer how many of their words are answered by a word of
the class that answers them. Exits with 1 where the time or the share misses its mark.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST_SECONDS = 180.0
LEAST_AGREEMENT = 0.85
PROMPTS = (
    *("春满神州花似锦", "窗前翠竹迎风舞", "一帘细雨，数点寒梅", "故园今夜月", "江山处处皆诗画", "老树逢春抽嫩叶"),
    *("爆竹声中辞旧岁", "书香润泽千家院", "夜雨敲窗，孤灯照壁", "白云深处", "渔舟唱晚归来早", "雪压寒松松更翠"),
)


def main() -> int:
    """Run and judge; print every figure with its mark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quickstart-") as directory:
        seconds = _train(Path(directory))
        agreement, words, chance = _judge(Path(directory))
    print(f"from Enter to the published model: {seconds:.0f} s (at most {MOST_SECONDS:.0f})")
    print(f"words answered by their class: {agreement:.1%} of {words:,} (at least {LEAST_AGREEMENT:.0%})")
    print(f"the same for random composed lower lines of the same shape: {chance:.1%}")
    return int(seconds > MOST_SECONDS or agreement < LEAST_AGREEMENT)


def _train(directory: Path) -> float:
    started = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "run_finetune.py"),
            *("--output_dir", str(directory / "run"), "--publish_dir", str(directory / "model")),
            *("--cache_dir", str(directory / "cache")),
        ],
        check=True,
    )
    return time.perf_counter() - started


def _judge(directory: Path) -> tuple[float, int, float]:
    """Return the share of answered words among the synthesizer's held-out upper lines, their number, and chance."""
    from recipe.cli import parse_settings
    from recipe.formats.couplet import Couplet as CoupletFormat
    from recipe.generating.generator import Generator
    from recipe.model.modeling import load_model
    from recipe.model.tokenization import load_tokenizer
    from recipe.rows.corpus import prepare_corpus
    from recipe.settings import DataSettings, DecodingSettings, ModelSettings, RunSettings
    from recipe.synthetic import Couplet, chance_agreement, class_agreement

    data = parse_settings(
        "quickstart", "", [ModelSettings, DataSettings, RunSettings], ["--cache_dir", str(directory / "cache")], {}
    )[DataSettings]
    rows = prepare_corpus(data).validation[:]
    pairs = [CoupletFormat().split(*row) for row in zip(rows["text"], rows["opening_length"], strict=True)]
    tokenizer = load_tokenizer(str(directory / "model"))
    model = load_model(str(directory / "model"), tokenizer).eval()
    generator = Generator(model, tokenizer, DecodingSettings(do_sample=False, num_return_sequences=1))
    answers = generator.answer([upper for upper, _ in pairs])
    counts = [class_agreement(upper, first.text) for (upper, _), (first, *_) in zip(pairs, answers, strict=True)]
    words = sum(counted for counted, _ in counts)
    for first, *_ in generator.answer(PROMPTS):
        print(f"{first.prompt}-{first.text}")
    chance = chance_agreement([Couplet(*pair) for pair in pairs])
    return sum(agreed for _, agreed in counts) / words, words, chance


if __name__ == "__main__":
    sys.exit(main())
