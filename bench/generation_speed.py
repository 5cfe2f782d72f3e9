"""What the form costs, couplets per second at several batch sizes against the tutorial's way, and the start-up.

Run:  python bench/generation_speed.py [--model_name_or_path DIR] [--upper_file FILE.csv] [--lines 4000]
          [--parts overhead throughput startup]

overhead: greedy decoding of one batch with the form and without it, interleaved, equally many tokens on both sides
  (without the form no end token is known); the median over the pairs of time with / time without - 1. Beside it the
  time spent inside the form's own code over the rest of a run (one of its own, since timing takes time), which other
  work on the machine disturbs less.
  For the model and for random weights of the 102M-parameter GPT-2 over 21,128 tokens.
throughput: upper lines answered by `Generator` with the default settings (sampling), the same upper lines at each batch
  size, longest ones included; the tutorial's way is one prompt a call, sampled with its settings (n-gram blocking too)
  until the length fits, at most --tries times. A couplet is valid if it keeps the whole form; seconds per valid one.
startup: wall time of `run_generate.py --prompt ...` in a new process, against importing torch and loading the model in
  one; medians of 5, interleaved.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, LogitsProcessor
from transformers.utils import logging

from recipe.couplet.form import form_violations, split_couplet
from recipe.couplet.plan import TonePolicy, plan_form
from recipe.generating.generator import Generator
from recipe.generating.processor import FormLogitsProcessor
from recipe.generating.tables import FormTables
from recipe.model.modeling import load_model
from recipe.model.tokenization import build_tokenizer, encode_prompt, load_tokenizer
from recipe.rows.reading import Source, read_rows
from recipe.settings import DecodingSettings
from recipe.synthetic import synthesize

PAIRS, PAIRS_OF_LARGE_MODEL = 60, 9
STARTUP_RUNS = 5
TUTORIAL = {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.95, "no_repeat_ngram_size": 2}


def upper_lines(count: int, upper_file: str | None) -> list[str]:
    """Real upper lines from a CSV with a column text1, or composed ones."""
    if upper_file is None:
        return [couplet.upper for couplet in synthesize(count, seed=1)]
    cells = (row.cells[0] for row in read_rows(Source((upper_file,), ("text1",), "utf-8")) if row.cells)
    pairs = (split_couplet(cell) for cell in cells)
    return list(itertools.islice((pair[0] for pair in pairs if pair is not None), count))


def large_model_and_tokenizer() -> tuple[Any, Any]:
    """Random weights of the tutorial's architecture, and a vocabulary of its size."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(chr, range(0x4E00, 0x4E00 + 20_000)), *"，。、；：！？-"]
    tokens += [f"##{index}" for index in range(21_128 - len(tokens))]
    tokenizer = build_tokenizer({token: index for index, token in enumerate(tokens)}, True, 1024)
    torch.manual_seed(0)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return GPT2LMHeadModel(GPT2Config(vocab_size=21_128, pad_token_id=0, **ids)).eval(), tokenizer


class TimedForm(LogitsProcessor):
    """The form, with the seconds that it takes."""

    def __init__(self, form: FormLogitsProcessor) -> None:
        self.form, self.seconds = form, 0.0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        started = time.perf_counter()
        result = self.form(input_ids, scores)
        self.seconds += time.perf_counter() - started
        return result


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def overhead(model: Any, tokenizer: Any, uppers: Sequence[str], pairs: int) -> str:
    """Interleaved times of the same batch with and without the form; everything the form needs is counted."""
    tables = FormTables(tokenizer, model.config.vocab_size)
    tables.tone_tables()
    prompts = torch.tensor([encode_prompt(tokenizer, upper + "-") for upper in uppers])
    steps = len(uppers[0]) + 1
    config = GenerationConfig(max_new_tokens=steps, pad_token_id=tokenizer.pad_token_id, use_cache=True)
    model.generation_config = config
    mask = torch.ones_like(prompts)
    inside: list[float] = []

    def without() -> None:
        model.generate(prompts, attention_mask=mask)

    def with_form() -> None:
        plan_form.cache_clear()
        form = FormLogitsProcessor.answering(tables, uppers, prompts.shape[1], TonePolicy.PREFER)
        form.answers(model.generate(prompts, attention_mask=mask, logits_processor=[form]))

    def with_timed_form() -> None:
        plan_form.cache_clear()
        started = time.perf_counter()
        form = TimedForm(FormLogitsProcessor.answering(tables, uppers, prompts.shape[1], TonePolicy.PREFER))
        form.seconds += time.perf_counter() - started
        output = model.generate(prompts, attention_mask=mask, logits_processor=[form])
        finished = time.perf_counter()
        form.form.answers(output)
        form.seconds += time.perf_counter() - finished
        inside.append(form.seconds / (time.perf_counter() - started - form.seconds))

    without()
    with_form()
    ratios, times = [], []
    for index in range(pairs):
        order = (without, with_form) if index % 2 else (with_form, without)
        found = {work: timed(work) for work in order}
        ratios.append(found[with_form] / found[without])
        times.append(found[without])
        with_timed_form()
    quarters = statistics.quantiles(ratios, n=4)
    return (
        f"batch {len(uppers):3}, {steps - 1} characters: {statistics.median(times) * 1000:.0f} ms without, "
        f"{statistics.median(ratios) - 1:+.1%} with (quartiles {quarters[0] - 1:+.1%} to {quarters[2] - 1:+.1%}); "
        f"inside the form {statistics.median(inside):.1%}"
    )


def report_overhead(name: str, model: Any, tokenizer: Any, uppers: Sequence[str], pairs: int) -> None:
    of_seven = [upper for upper in uppers if len(upper) == 7]
    for batch in (1, 16, 64):
        print(f"overhead, {name}: {overhead(model, tokenizer, of_seven[:batch], pairs)}", flush=True)


def report_throughput(model: Any, tokenizer: Any, uppers: Sequence[str], tutorial_lines: int, tries: int) -> None:
    reference = tutorial_way(model, tokenizer, uppers[:: max(1, len(uppers) // tutorial_lines)], tries)
    for batch in (1, 16, 64):
        lines = uppers[:: 8 if batch == 1 else 1]
        generator = Generator(model, tokenizer, DecodingSettings(generation_batch_size=batch))
        started = time.perf_counter()
        answers = generator.answer(lines)
        seconds = time.perf_counter() - started
        valid = sum(not form_violations(found[0].prompt, found[0].text) for found in answers)
        print(
            f"batch {batch:3}: {len(lines) / seconds:.1f} couplets/s, {valid:,} of {len(lines):,} valid, "
            f"{reference / (seconds / valid):.0f} times the tutorial's way",
            flush=True,
        )


def tutorial_way(model: Any, tokenizer: Any, uppers: Sequence[str], tries: int) -> float:
    """Seconds per valid couplet of one prompt a call, sampled until the length fits."""
    config = GenerationConfig(
        **TUTORIAL, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, use_cache=True
    )
    model.generation_config = config
    torch.manual_seed(0)
    valid, fitting, calls = 0, 0, 0
    started = time.perf_counter()
    for upper in uppers:
        prompt = torch.tensor([encode_prompt(tokenizer, upper + "-")])
        for _ in range(tries):
            calls += 1
            output = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_length=2 * len(upper) + 11)
            lower = tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
            if len(lower) == len(upper):
                fitting += 1
                valid += not form_violations(upper, lower)
                break
    seconds = time.perf_counter() - started
    print(
        f"tutorial's way: {len(uppers):,} upper lines, {calls:,} calls, {fitting:,} of the right length, "
        f"{valid:,} valid; {valid / seconds:.2f} valid couplets/s",
        flush=True,
    )
    return seconds / max(valid, 1)


def report_startup(directory: str) -> None:
    command = [sys.executable, "run_generate.py", "--model_name_or_path", directory, "--prompt", "春满神州花似锦"]
    loading = (
        "import torch; from transformers import AutoModelForCausalLM, AutoTokenizer; "
        f"AutoTokenizer.from_pretrained({directory!r}); AutoModelForCausalLM.from_pretrained({directory!r})"
    )
    times: dict[str, list[float]] = {"command": [], "loading": []}
    for index in range(STARTUP_RUNS + 1):
        for name, words in (("loading", [sys.executable, "-c", loading]), ("command", command)):
            seconds = timed(lambda words=words: subprocess.run(words, check=True, capture_output=True))  # type: ignore[misc]
            if index:  # the first of each warms the disk cache
                times[name].append(seconds)
    whole, part = statistics.median(times["command"]), statistics.median(times["loading"])
    print(
        f"first couplet after {whole:.2f} s; importing torch and loading the model: {part:.2f} s; {whole / part:.2f} x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name_or_path", default="models/couplet")
    parser.add_argument("--upper_file", help="CSV with a column text1 of whole couplets")
    parser.add_argument("--lines", type=int, default=4000)
    parser.add_argument("--tutorial_lines", type=int, default=100)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--parts", nargs="+", default=["overhead", "throughput", "startup"])
    options = parser.parse_args()
    logging.disable_progress_bar()
    tokenizer = load_tokenizer(options.model_name_or_path)
    model: Any = load_model(options.model_name_or_path, tokenizer).eval()
    uppers = upper_lines(options.lines, options.upper_file)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; {Path(options.model_name_or_path).name}")
    if "overhead" in options.parts:
        report_overhead("the model", model, tokenizer, uppers, PAIRS)
        large, large_tokenizer = large_model_and_tokenizer()
        report_overhead("102M parameters", large, large_tokenizer, uppers, PAIRS_OF_LARGE_MODEL)
    if "throughput" in options.parts:
        report_throughput(model, tokenizer, uppers, options.tutorial_lines, options.tries)
    if "startup" in options.parts:
        report_startup(options.model_name_or_path)


if __name__ == "__main__":
    main()
