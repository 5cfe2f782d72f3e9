"""Everything that is to be measured on one GPU, in one run: the whole job in minutes, and what each choice is worth.

    python bench/gpu_600k.py --train_file couplets.csv --dev_file dev.csv --output_dir outputs/gpu-bench
    python bench/gpu_600k.py ... --only ceiling speed          # parts of it, while time on the card is short
    python bench/gpu_600k.py ... --rehearse                    # does all of it run? minutes on a CPU, no figures

Parts, each skipped where OUTPUT_DIR/results.jsonl has its record already:
  ceiling   the card's matrix-multiply rate in bf16 and fp32
  speed     the tutorial's loop, the plain Trainer and the recipe in turns (bench/training_speed.py)
  job       the whole command of couplet-600k-gpu.yaml, three epochs, from Enter to the published model
  tutorial  the tutorial's loop for --tutorial_minutes, and its loss on the same held-out rows at their end
  variants  the recipe with one setting changed at a time, a minute each: what a setting is worth
A part that was cut off is begun anew; a variant that fails is recorded as such. Where a command may take ten minutes:
`--only ceiling speed`, `--only job`, `--only tutorial`, `--only variants`, until all stand in the records.
The weights at the start are random (the pretrained ones are nothing that a bench downloads): the losses compare these
runs with each other, not with a fine-tuned model. Output of every command is kept in OUTPUT_DIR/*.log; the tables that
docs/performance.md has room for are printed at the end from the records, with empty cells for what was not run.
A rehearsal takes a tiny model, a few rows and a few seconds of each part, on whatever device there is, so that time on
a card is not lost to a slip in this script; what it prints says nothing about any machine.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from training_speed import append, read
from workload import default_device, machine, matmul_ceiling, write_model

CONFIG = "recipe/configs/couplet-600k-gpu.yaml"
VARIANTS: dict[str, list[str]] = {
    "as shipped": [],
    "torch_compile": ["--torch_compile", "true"],
    "batch 256": ["--per_device_train_batch_size", "256"],
    "batch 1024": ["--per_device_train_batch_size", "1024"],
    "no loader workers": ["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false"],
    "fp32": ["--precision", "fp32"],
    "tf32": ["--precision", "fp32", "--tf32", "true"],
    "random batches": ["--group_by_length", "false"],
}
NEEDS_CUDA = ("tf32",)
TARGETS = {"minutes": 5.0, "share of the ceiling": 0.35, "times the tutorial": 20.0}


@dataclass(frozen=True)
class Scale:
    """How much of everything is run.

    Attributes:
        layers, width: of the model; 12 and 768 make 102 million parameters.
        rows: flag for the number of rows.
        flags: of every command of the recipe.
        seconds: of each measured turn of `speed`; the ceiling takes a fifth of it.
        rounds: turns of each side.
        variant_steps: steps of a variant: enough for at least four log lines.
    """

    layers: int
    width: int
    rows: tuple[str, ...]
    flags: tuple[str, ...]
    seconds: float
    rounds: int
    variant_steps: int


_SHORT = ("--max_length", "20", "--logging_steps", "1")
FULL = Scale(12, 768, (), (), 30, 2, 400)
REHEARSAL = Scale(1, 64, ("--max_rows", "1500"), _SHORT, 2, 1, 4)


class CommandError(Exception):
    """A command of the bench ended with another code than 0."""


class Bench:
    """The options, the records so far, and how commands are run and logged."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.directory = options, Path(options.output_dir)
        self.scale = REHEARSAL if options.rehearse else FULL
        self.directory.mkdir(parents=True, exist_ok=True)
        self.records = self.directory / "results.jsonl"
        self.model_dir = write_model(self.directory / "gpt2", self.scale.layers, self.scale.width)

    def record(self, part: str, **figures: Any) -> None:
        append(self.records, {"part": part, "machine": machine(), **figures})

    def done(self, part: str) -> list[dict[str, Any]]:
        return [record for record in read(self.records) if record["part"] == part]

    def run(self, name: str, *words: str) -> tuple[str, float]:
        """Run a Python command, keep its output in a log, and return both output and seconds."""
        shutil.rmtree(self.directory / name, ignore_errors=True)  # of one that was cut off
        started = time.perf_counter()
        result = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        seconds = time.perf_counter() - started
        (self.directory / f"{name}.log").write_text(f"$ {' '.join(words)}\n{result.stdout}", encoding="utf-8")
        if result.returncode:
            raise CommandError(f"{name} ended with {result.returncode}; see {self.directory / name}.log")
        return result.stdout, seconds

    def recipe(self, name: str, *words: str) -> tuple[str, float]:
        """Run the recipe's command on the bench's model and rows."""
        data = ["--train_file", self.options.train_file, "--validation_file", self.options.dev_file]
        places = ["--output_dir", str(self.directory / name), "--cache_dir", str(self.directory / "cache")]
        command = ["-m", "accelerate.commands.launch", "--config_file", "recipe/launch/one-gpu.yaml", "run_finetune.py"]
        model = ["--model_name_or_path", str(self.model_dir)]
        scale = [*self.scale.rows, *self.scale.flags]
        return self.run(name, *command, "--config", CONFIG, *model, *data, *places, *scale, *words)

    def side_by_side(self, name: str, *words: str) -> list[dict[str, Any]]:
        """Run bench/training_speed.py on the same model, rows and cache, and return its records."""
        records = self.directory / f"{name}.jsonl"
        places = ["--model_dir", str(self.model_dir), "--cache_dir", str(self.directory / "cache")]
        files = ["--train_file", self.options.train_file, "--validation_file", self.options.dev_file]
        data = [*files, "--config", CONFIG, *self.scale.rows]
        self.run(name, "bench/training_speed.py", *words, *data, *places, "--records", str(records))
        return read(records)


def measure_ceiling(bench: Bench) -> None:
    dtypes = (torch.bfloat16, torch.float32)
    rates = {str(dtype): matmul_ceiling(default_device(), dtype, bench.scale.seconds / 5) for dtype in dtypes}
    bench.record("ceiling", **rates)


def measure_speed(bench: Bench) -> None:
    turns = ["--rounds", str(bench.scale.rounds), "--seconds", str(bench.scale.seconds)]
    for record in bench.side_by_side("speed", "speed", *turns):
        bench.record("speed", **record)


def measure_variants(bench: Bench) -> None:
    """Train some hundred steps of each; the tokens/s are the median of the log lines after the first three."""
    known = {record["variant"] for record in bench.done("variants")}
    for name, words in VARIANTS.items():
        if name in known or (name in NEEDS_CUDA and default_device().type != "cuda"):
            continue
        only = ["--eval_strategy", "no", "--save_strategy", "no", "--publish_dir", "none"]
        only += ["--load_best_model_at_end", "false", "--eval_on_start", "false"]
        run = f"variant-{name.replace(' ', '-')}"
        try:
            bench.recipe(run, *only, "--max_steps", str(bench.scale.variant_steps), *words)
        except CommandError as failure:  # too little memory for the batch, no compiler: the others go on
            bench.record("variants", variant=name, failure=str(failure))
            continue
        rates = [record["tokens_per_second"] for record in logged(bench, run) if "tokens_per_second" in record][3:]
        bench.record("variants", variant=name, tokens_per_second=sorted(rates)[len(rates) // 2])


def measure_job(bench: Bench) -> None:
    """Run the whole command: cold, with evaluations, checkpoints and publishing, as a user would."""
    publish = ["--publish_dir", str(bench.directory / "published")]
    output, seconds = bench.recipe("job", *publish)
    records = logged(bench, "job")
    losses = [(record["step"], record["eval_loss"]) for record in records if "eval_loss" in record]
    rates = sorted(record["tokens_per_second"] for record in records if "tokens_per_second" in record)
    steps = re.search(r"training: 100%.*", output)
    bench.record(
        "job",
        seconds=seconds,
        losses=losses,
        tokens_per_second=rates[len(rates) // 2],
        bar=steps.group(0) if steps else "",
    )


def measure_tutorial(bench: Bench) -> None:
    """Train the tutorial's loop from the same weights; its loss is the better of its two ways to be fed."""
    budget = bench.scale.seconds if bench.options.rehearse else 60 * bench.options.tutorial_minutes
    words = ["quality", "--side", "a", "--budget", str(budget), "--validation_rows", "1000000"]
    records = bench.side_by_side("tutorial", *words)
    bench.record("tutorial", **records[-1])


def logged(bench: Bench, run: str) -> list[dict[str, Any]]:
    return read(bench.directory / run / "metrics.jsonl")


PARTS: dict[str, Callable[[Bench], None]] = {
    "ceiling": measure_ceiling,
    "speed": measure_speed,
    "job": measure_job,
    "tutorial": measure_tutorial,
    "variants": measure_variants,
}


def tables(bench: Bench) -> str:
    """Return what was measured; a cell stays empty where there is no record."""
    lines = ["| part | figure |", "|---|---|"]
    for record in bench.done("ceiling"):
        lines += [
            f"| ceiling, {key} | {value / 1e12:.0f} TFLOP/s |" for key, value in record.items() if "torch." in key
        ]
    for record in bench.done("speed"):
        share = record["useful_flops"] / record["ceiling"]
        lines.append(f"| speed ({record['side']}) | {record['tokens_per_second']:,.0f} real tokens/s, {share:.0%} |")
    lines += [f"| (c) : ({other}) | {ratio:.1f} |" for other, ratio in ratios(bench).items()]
    variants = {record["variant"]: variant_text(record) for record in bench.done("variants")}
    lines += [f"| {name} | {variants.get(name, '')} |" for name in VARIANTS]
    jobs = [f"{record['seconds'] / 60:.1f} min, losses {record['losses']}" for record in bench.done("job")]
    tutorials = [f"{record['seconds'] / 60:.1f} min, loss {record['loss']:.4f}" for record in bench.done("tutorial")]
    lines += [f"| the whole command | {'; '.join(jobs)} |", f"| the tutorial's loop | {'; '.join(tutorials)} |"]
    return "\n".join([*lines, "", f"targets: {TARGETS}"])


def ratios(bench: Bench) -> dict[str, float]:
    """Return by how much the recipe's median rate exceeds that of the other sides, of those that were measured."""
    rates: dict[str, list[float]] = {}
    for record in bench.done("speed"):
        rates.setdefault(record["side"], []).append(record["tokens_per_second"])
    medians = {side: statistics.median(taken) for side, taken in rates.items()}
    return {other: medians["c"] / medians[other] for other in ("a", "b") if {"c", other} <= medians.keys()}


def variant_text(record: dict[str, Any]) -> str:
    return record["failure"] if "failure" in record else f"{record['tokens_per_second']:,.0f} tokens/s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_file", required=True, help="CSV of couplets, column text1")
    parser.add_argument("--dev_file", required=True, help="CSV of held-out couplets, same column")
    parser.add_argument("--output_dir", default=None, help="default outputs/gpu-bench, or outputs/gpu-rehearsal")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--tutorial_minutes", type=float, default=8)
    parser.add_argument("--rehearse", action="store_true", help="a tiny model and few rows, on any device")
    options = parser.parse_args()
    if not torch.cuda.is_available() and not options.rehearse:
        parser.error("no GPU is to be seen; bench/training_speed.py measures on CPUs, --rehearse tries this script")
    options.output_dir = options.output_dir or f"outputs/gpu-{'rehearsal' if options.rehearse else 'bench'}"
    bench = Bench(options)
    for part in options.only:
        if part == "variants" or not bench.done(part):
            print(f"{part} …", flush=True)
            try:
                PARTS[part](bench)
            except CommandError as error:
                raise SystemExit(str(error)) from None
    print(tables(bench))
    return 0


if __name__ == "__main__":
    sys.exit(main())
