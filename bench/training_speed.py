"""Training side by side: (a) the tutorial's loop, (b) the plain Trainer with random batches, (c) the recipe.

    python bench/training_speed.py speed --train_file couplets.csv --rounds 3
    python bench/training_speed.py quality --train_file couplets.csv --budget 200

The same model, rows and device. Every turn is a process of its own (so that its peak memory is its own), the sides take
turns, and each measures the matrix-multiply ceiling right before and after its steps, since a shared machine changes
from minute to minute. `speed` uses the 102M model with the batch of couplet-600k.yaml; `quality` trains (a) for
`--budget` seconds and reports when (c) reaches the loss per real token that (a) ended with, evaluation left out.

(a) follows what is known of the tutorial, in today's API names: rows padded and cut to 50, batches of 10 in random
order, labels that are a copy of the inputs, token_type_ids fed, AdamW at a constant 1e-3 in fp32, the tokenizer called
on every batch, accuracy every 30 batches. (b) is `transformers.Trainer` with its own defaults, the recipe's batch size
and dynamic padding. Records are appended to --records as JSON lines; the table is made of all of them.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging
from workload import (
    ONLY_STEPS,
    StepMeter,
    StopWhenMeasured,
    default_device,
    job_settings,
    machine,
    matmul_ceiling,
    peak_memory,
    write_model,
)

from recipe.rows.preprocessing import IGNORED_LABEL, make_collator
from recipe.settings import RunSettings
from recipe.training.arguments import (
    make_training_arguments,
    reuse_freed_memory,
    set_threads,
    typed_training_settings,
)
from recipe.training.job import Job, make_trainer, prepare_job

SIDES = {"a": "the tutorial's loop", "b": "plain Trainer, random batches", "c": "the recipe"}
TUTORIAL_BATCH, TUTORIAL_LENGTH, TUTORIAL_RATE = 10, 50, 1e-3


def prepare(options: argparse.Namespace, output_dir: str, **overrides: Any) -> Job:
    """Return the recipe's job on the file and the model of the bench; (a) and (b) take rows and model from it."""
    model = {} if options.config.endswith("-small-cpu.yaml") else {"model_name_or_path": options.model_dir}
    chosen = ONLY_STEPS | model | {"train_file": options.train_file, "cache_dir": options.cache_dir} | overrides
    if options.max_rows:
        chosen["max_rows"] = options.max_rows
    if options.validation_file:
        chosen["validation_file"] = options.validation_file
    settings = job_settings(options.config, output_dir=output_dir, max_steps=options.max_steps, **chosen)
    set_threads(settings[RunSettings].num_threads)
    job = prepare_job(settings, make_training_arguments(typed_training_settings(settings)[0]))
    if options.side == "c" and job.run.reuse_freed_memory and job.arguments.device.type == "cpu":
        reuse_freed_memory()
    return job


# ---- The three sides ----


def train_tutorial(job: Job, model: Any, tokenizer: Any, is_done: Callable[[], bool]) -> None:
    """Run the tutorial's loop over random batches, epoch after epoch, until `is_done()`."""
    device = job.arguments.device
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=TUTORIAL_RATE, weight_decay=0.0)

    def collate(rows: list[dict[str, str]]) -> dict[str, torch.Tensor]:
        texts = [row["text"] for row in rows]
        batch = tokenizer(texts, padding="max_length", truncation=True, max_length=TUTORIAL_LENGTH, return_tensors="pt")
        return {**batch, "labels": batch["input_ids"].clone()}

    loader = torch.utils.data.DataLoader(
        job.corpus.train, batch_size=TUTORIAL_BATCH, shuffle=True, drop_last=True, collate_fn=collate
    )
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    for number, batch in enumerate(epochs):
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        output = model(**batch)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if number % 30 == 0:
            hits = output.logits.argmax(dim=2)[:, :-1] == batch["labels"][:, 1:]
            print(f"batch {number}: loss {output.loss.item():.3f}, accuracy {hits.float().mean().item():.3f}")
        if is_done():
            return


def library_parts(job: Job, model_dir: str) -> tuple[Any, Any]:
    """Return model and tokenizer as the library gives them: what (a) and (b) train."""
    if job.model.config.name_or_path:
        return AutoModelForCausalLM.from_pretrained(model_dir), AutoTokenizer.from_pretrained(model_dir)
    config: Any = copy.copy(job.model.config)
    config.activation_function = GPT2Config().activation_function
    model = GPT2LMHeadModel(config)
    model.load_state_dict(job.model.state_dict())
    return model, _with_token_types(job.tokenizer)


def _with_token_types(tokenizer: Any) -> Callable[..., Any]:
    """Return a tokenizer that adds the end token and token_type_ids, as BERT's does."""

    def encode(texts: list[str], **kwargs: Any) -> dict[str, torch.Tensor]:
        tokenizer.padding_side = "right"
        batch = tokenizer([text + tokenizer.eos_token for text in texts], **kwargs)
        return {**batch, "token_type_ids": torch.zeros_like(batch["input_ids"])}

    return encode


def plain_trainer(job: Job, model: Any, output_dir: str) -> Trainer:
    """Return the library's Trainer with its defaults on the recipe's rows and batch size."""
    arguments = TrainingArguments(
        output_dir,
        per_device_train_batch_size=job.arguments.per_device_train_batch_size,
        learning_rate=job.arguments.learning_rate,
        max_steps=job.arguments.max_steps,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    return Trainer(model, arguments, train_dataset=job.train.dataset, data_collator=make_collator(job.tokenizer))


# ---- Speed ----


def measure_speed(options: argparse.Namespace) -> None:
    """Measure one side in this process and append its record."""
    with tempfile.TemporaryDirectory() as output_dir:
        job = prepare(options, output_dir)
        device = job.arguments.device
        dtype = torch.bfloat16 if options.side == "c" and job.arguments.bf16 else torch.float32
        ceilings = [matmul_ceiling(device, dtype)]
        model, tokenizer = (job.model, None) if options.side == "c" else library_parts(job, options.model_dir)
        meter = StepMeter(model, options.seconds)
        if options.side == "a":
            train_tutorial(job, model, tokenizer, lambda: meter.done)
        else:
            trainer = make_trainer(job) if options.side == "c" else plain_trainer(job, model, output_dir)
            trainer.add_callback(StopWhenMeasured(meter))
            trainer.train()
        if not meter.done:
            raise SystemExit(f"({options.side}) ended before {options.seconds} s were measured; raise --max_steps")
        memory = peak_memory(device)
        ceilings.append(matmul_ceiling(device, dtype))
    record = {"side": options.side, **meter.figures(), "peak_memory": memory, "ceiling": statistics.mean(ceilings)}
    append(options.records, record | {"dtype": str(dtype), "machine": machine()})


def speed_table(records: list[dict[str, Any]]) -> str:
    """Return the table of medians and, below it, the ratios over the rounds with their range."""
    by_side = {side: [record for record in records if record["side"] == side] for side in SIDES}
    rows = [
        "| | real tokens/s | padding | seconds a step | operations/s, positions | of the ceiling, positions "
        "| of the ceiling, real tokens | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for side, taken in by_side.items():
        if not taken:
            continue

        def median(value: Callable[[dict[str, Any]], float], taken: list[dict[str, Any]] = taken) -> float:
            return statistics.median(map(value, taken))

        rows.append(
            f"| ({side}) {SIDES[side]} | {median(lambda r: r['tokens_per_second']):,.0f} "
            f"| {median(lambda r: r['padding_share']):.1%} | {median(lambda r: r['seconds_a_step']):.3f} "
            f"| {median(lambda r: r['computed_flops']) / 1e12:.3f} T "
            f"| {median(lambda r: r['computed_flops'] / r['ceiling']):.0%} "
            f"| {median(lambda r: r['useful_flops'] / r['ceiling']):.0%} "
            f"| {median(lambda r: r['peak_memory']) / 1e9:.2f} GB |"
        )
    for other in ("a", "b"):
        pairs = zip(by_side["c"], by_side[other], strict=False)
        ratios = sorted(ours["tokens_per_second"] / theirs["tokens_per_second"] for ours, theirs in pairs)
        if ratios:
            rows.append(
                f"\n(c) : ({other}) = {statistics.median(ratios):.2f}, rounds {ratios[0]:.2f} to {ratios[-1]:.2f}"
            )
    return "\n".join(rows)


# ---- Time to quality ----


@torch.no_grad()
def validation_loss(job: Job, model: Any, most_rows: int, with_token_types: bool = False) -> float:
    """Return the loss in nats per real token over the held-out rows, of every length if there are too many."""
    model.eval()
    collator, total, count = make_collator(job.tokenizer), 0.0, 0
    validation = len(job.validation.lengths)
    rows = job.validation.dataset.select(range(0, validation, max(1, validation // most_rows)))
    for start in range(0, len(rows), 64):
        chosen = rows[start : start + 64]["input_ids"]
        batch = collator([{"input_ids": ids} for ids in chosen]).to(job.arguments.device)
        extra = {"token_type_ids": torch.zeros_like(batch["input_ids"])} if with_token_types else {}
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], **extra).logits
        labels = batch["labels"][:, 1:].flatten()
        total += torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels, reduction="sum").item()
        count += int((labels != IGNORED_LABEL).sum())
    model.train()
    return total / count


class UntilLoss(TrainerCallback):
    """Evaluates every few seconds of training and stops at a loss; the time of evaluating does not count."""

    def __init__(self, job: Job, target: float, every: float, most_rows: int) -> None:
        self.job, self.target, self.every, self.most_rows = job, target, every, most_rows
        self.curve: list[tuple[float, float]] = []
        self._since = self._paused = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seconds = time.perf_counter() - self._since - self._paused
        last = self.curve[-1][0] if self.curve else 0.0
        if seconds - last < self.every and state.global_step < state.max_steps:
            return
        started = time.perf_counter()
        loss = validation_loss(self.job, self.job.model, self.most_rows)
        self._paused += time.perf_counter() - started
        self.curve.append((seconds, loss))
        print(f"(c) {seconds:.0f} s, step {state.global_step}: {loss:.4f}", flush=True)
        control.should_training_stop = loss <= self.target


def measure_quality(options: argparse.Namespace) -> None:
    """Train one side and append its record; (c) takes its target from (a)'s last record."""
    with tempfile.TemporaryDirectory() as output_dir:
        job = prepare(options, output_dir)
        if options.side == "a":
            model, tokenizer = library_parts(job, options.model_dir)
            started = time.perf_counter()
            train_tutorial(job, model, tokenizer, lambda: time.perf_counter() - started > options.budget)
            seconds = time.perf_counter() - started
            losses = [validation_loss(job, model, options.validation_rows, with_types) for with_types in (False, True)]
            # The way that is better for it: with token_type_ids, as it was trained, or without, as it generates.
            rows = min(options.validation_rows, len(job.validation.lengths))
            figures = {"seconds": seconds, "loss": min(losses), "both_losses": losses, "validation_rows": rows}
            append(options.records, {"side": "a"} | figures)
            return
        target = [record for record in read(options.records) if record["side"] == "a"][-1]
        watch = UntilLoss(job, target["loss"], options.budget / 40, options.validation_rows)
        trainer = make_trainer(job)
        trainer.add_callback(watch)
        trainer.train()
        seconds, loss = watch.curve[-1]
        append(options.records, {"side": "c", "seconds": seconds, "loss": loss, "curve": watch.curve})


def quality_text(records: list[dict[str, Any]]) -> str:
    """Return one line for each pair of (a) and (c)."""
    lines = []
    sides = ([record for record in records if record["side"] == side] for side in ("a", "c"))
    for theirs, ours in zip(*sides, strict=False):
        reached = ours["loss"] <= theirs["loss"]
        faster = f"{theirs['seconds'] / ours['seconds']:.1f} times sooner" if reached else "not reached"
        lines.append(
            f"(a) {theirs['loss']:.3f} nats a real token after {theirs['seconds']:.0f} s; "
            f"(c) {ours['loss']:.3f} after {ours['seconds']:.0f} s: {faster}"
        )
    return "\n".join(lines)


# ---- The command ----


def append(file: Path, record: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(record) + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "quality"))
    parser.add_argument("--train_file", required=True, help="CSV of couplets, column text1")
    parser.add_argument("--validation_file", help="CSV of held-out couplets; default: rows split off the training file")
    parser.add_argument("--validation_rows", type=int, default=1000, help="quality: evaluate at most about so many")
    parser.add_argument("--records", type=Path, default=None, help="JSON lines file; default outputs/bench/WHAT.jsonl")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side; 0 only prints the table")
    parser.add_argument("--seconds", type=float, default=25, help="speed: seconds measured in a turn")
    parser.add_argument("--budget", type=float, default=200, help="quality: seconds that (a) trains")
    parser.add_argument("--max_steps", type=int, default=100_000, help="steps of (b)'s and (c)'s schedule")
    parser.add_argument("--config", default=None, help="recipe configuration; default by WHAT and device")
    parser.add_argument("--model_dir", default="outputs/bench/gpt2-102m", help="model directory; made where missing")
    parser.add_argument("--cache_dir", default="outputs/cache")
    parser.add_argument("--max_rows", type=int, default=None)
    parser.add_argument("--side", choices=tuple(SIDES), default=None, help="measure this side here and now")
    options = parser.parse_args()
    options.records = options.records or Path(f"outputs/bench/{options.what}.jsonl")
    options.records.parent.mkdir(parents=True, exist_ok=True)
    on_gpu = default_device().type == "cuda"
    small = options.what == "quality" and not on_gpu
    job = "couplet-small-cpu" if small else "couplet-600k-gpu" if on_gpu else "couplet-600k"
    options.config = options.config or f"recipe/configs/{job}.yaml"
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if options.side:
        (measure_speed if options.what == "speed" else measure_quality)(options)
        return 0
    write_model(Path(options.model_dir))
    for turn in range(options.rounds):
        for side in SIDES if options.what == "speed" else ("a", "c"):
            print(f"round {turn + 1}, ({side}) {SIDES[side]}", flush=True)
            subprocess.run([sys.executable, *sys.argv, "--side", side], check=True, stdout=subprocess.DEVNULL)
    records = read(options.records)
    print(machine())
    print(speed_table(records) if options.what == "speed" else quality_text(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
