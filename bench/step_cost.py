"""What a training step of the 102M model costs, part by part, in CPU time of one thread: steady on a busy machine.

    python bench/step_cost.py shares       # (a) the tutorial's batch and (c) the recipe's: parts, ceiling, real tokens
    python bench/step_cost.py settings     # dropout and the fused activation switched on and off
    python bench/step_cost.py profile      # operators by their own time

Wall time says little where other work shares the cores; the CPU time of one thread says what the work itself costs.
Some 20 seconds each. The ceiling is the best matrix-product rate in the same CPU time. Data loading and logging are
not in it: bench/training_speed.py has them.
"""

from __future__ import annotations

import argparse
import sys
from time import process_time
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import ACT2FN
from transformers.utils import logging
from workload import VOCABULARY_SIZE, flops_per_position, machine

MEAN_TOKENS, MEAN_TUTORIAL_TOKENS = 22, 21.3  # of a row of the 600,000; cut at 50 as the tutorial does
SHAPES = [(320, 768, 3072), (1280, 768, 3072), (2048, 2048, 2048)]
Switches = dict[str, tuple[float, str]]
SETTINGS: Switches = {
    "as GPT-2 is (dropout 0.1, gelu_new)": (0.1, "gelu_new"),
    "dropout 0": (0.0, "gelu_new"),
    "fused activation": (0.1, "gelu_pytorch_tanh"),
    "both": (0.0, "gelu_pytorch_tanh"),
}


def ceiling() -> float:
    """Return the best rate of a matrix product, in operations per second of CPU time."""
    rates = []
    for rows, inner, columns in SHAPES:
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        torch.mm(left, right)
        operations = 2 * rows * inner * columns
        repeats = max(1, int(6e10 / operations))
        started = process_time()
        for _ in range(repeats):
            torch.mm(left, right)
        rates.append(operations * repeats / (process_time() - started))
    return max(rates)


class Steps:
    """A model with its optimizer, and the cost of single steps."""

    def __init__(self) -> None:
        config: dict[str, Any] = {"vocab_size": VOCABULARY_SIZE, "bos_token_id": None, "eos_token_id": None}
        self.model: Any = GPT2LMHeadModel(GPT2Config(**config, use_cache=False)).train()
        self.model.loss_type = "ForCausalLM"
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def switch(self, dropout: float, activation: str) -> None:
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        for block in self.model.transformer.h:
            block.mlp.act = ACT2FN[activation]

    def step(self, rows: int, length: int, as_tutorial: bool = False) -> dict[str, float]:
        """Train on random tokens and return the CPU seconds of each part."""
        ids = torch.randint(200, 21_000, (rows, length))
        extra = {"token_type_ids": torch.zeros_like(ids)} if as_tutorial else {}
        times = [process_time()]
        output = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, **extra)
        times.append(process_time())
        output.loss.backward()
        times.append(process_time())
        if not as_tutorial:
            output.logits[:, :-1].argmax(dim=-1)
        times.append(process_time())
        if not as_tutorial:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        times.append(process_time())
        self.optimizer.step()
        self.optimizer.zero_grad()
        times.append(process_time())
        names = ("forward", "backward", "accuracy", "clipping", "AdamW")
        return {name: end - start for name, start, end in zip(names, times, times[1:], strict=False)}


def report(name: str, seconds: dict[str, float], rows: int, length: int, real: float, top: float, steps: Steps) -> None:
    total, model = sum(seconds.values()), seconds["forward"] + seconds["backward"]
    operations = flops_per_position(steps.model.config, length) * rows * length
    parts = ", ".join(f"{part} {value:.2f}" for part, value in seconds.items())
    print(
        f"{name}: {rows} x {length}: {parts} s; {real * rows / total:.0f} real tokens a CPU second; "
        f"{operations / model / top:.0%} of the ceiling forward and backward, {operations / total / top:.0%} in all",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("shares", "settings", "profile"))
    what = parser.parse_args().what
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    top, steps = ceiling(), Steps()
    print(f"{machine()}; ceiling {top / 1e9:.0f} GFLOP/s of one thread")
    steps.step(8, 20)  # allocates the optimizer's state
    if what == "shares":
        report("(a)", steps.step(10, 50, as_tutorial=True), 10, 50, MEAN_TUTORIAL_TOKENS, top, steps)
        report("(c)", steps.step(32, MEAN_TOKENS), 32, MEAN_TOKENS, MEAN_TOKENS, top, steps)
    elif what == "settings":
        for name, switches in SETTINGS.items():
            steps.switch(*switches)
            report(name, steps.step(16, 20), 16, 20, 20, top, steps)
    else:
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            steps.step(16, 20)
        print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=44))
    return 0


if __name__ == "__main__":
    sys.exit(main())
