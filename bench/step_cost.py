"""What a training step of the 102M model costs on a CPU, setting by setting and operator by operator.

    python bench/step_cost.py settings --rounds 3   # each speed setting on and off, in processes that take turns
    python bench/step_cost.py profile               # operators of the shipped settings by their own time

A step is that of couplet-600k.yaml: 64 rows of random tokens in one of a few lengths, forward, hits counted, backward,
clipped, AdamW. Wall time on all cores; each process measures the matrix-multiply ceiling of its number format before
and after. Reading,
collating and logging are not in it: bench/training_speed.py has them.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging
from workload import VOCABULARY_SIZE, flops_per_position, machine, matmul_ceiling, peak_memory

from recipe.training.arguments import reuse_freed_memory, set_threads

ROWS = 64
LENGTHS = (17, 22, 17, 27, 19, 24)  # common ones among the 600,000 rows; their mean is that of the rows
WARM_UP_STEPS = 3
# activation, dropout, whether freed memory is kept, whether matrix products are bf16
Switches = tuple[str, float, bool, bool]
SHIPPED = "as shipped"
SETTINGS: dict[str, Switches] = {
    "as the library has it": ("gelu_new", 0.1, False, False),
    "freed memory kept": ("gelu_new", 0.1, True, False),
    "fused activation": ("gelu_pytorch_tanh", 0.1, False, False),
    SHIPPED: ("gelu_pytorch_tanh", 0.1, True, False),
    "as shipped, dropout 0": ("gelu_pytorch_tanh", 0.0, True, False),
    "as shipped, bf16": ("gelu_pytorch_tanh", 0.1, True, True),
}


class Steps:
    """A model with its optimizer, made as a setting says, and single steps of it."""

    def __init__(self, setting: str) -> None:
        activation, dropout, keep, bf16 = SETTINGS[setting]
        if keep:
            reuse_freed_memory()
        set_threads(None)
        torch.manual_seed(0)
        drop: dict[str, Any] = {"attn_pdrop": dropout, "embd_pdrop": dropout, "resid_pdrop": dropout}
        config: dict[str, Any] = {"vocab_size": VOCABULARY_SIZE, "bos_token_id": None, "eos_token_id": None}
        config |= {"activation_function": activation, "use_cache": False}
        self.model: Any = GPT2LMHeadModel(GPT2Config(**config, **drop)).train()
        self.model.loss_type = "ForCausalLM"
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def step(self, length: int) -> None:
        ids = torch.randint(200, 21_000, (ROWS, length))
        with torch.autocast("cpu", self.dtype, enabled=self.dtype is torch.bfloat16):
            output = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids)
        output.logits[:, :-1].argmax(dim=-1)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def measure_here(setting: str) -> dict[str, float]:
    """Return tokens/s, share of the ceiling, page faults a step and peak memory of one setting, in this process."""
    steps = Steps(setting)
    device = torch.device("cpu")
    ceilings = [matmul_ceiling(device, steps.dtype)]
    for length in LENGTHS[:WARM_UP_STEPS]:
        steps.step(length)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    started = time.perf_counter()
    for length in LENGTHS:
        steps.step(length)
    seconds = time.perf_counter() - started
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    memory = peak_memory(device)
    ceilings.append(matmul_ceiling(device, steps.dtype))
    operations = sum(flops_per_position(steps.model.config, length) * ROWS * length for length in LENGTHS)
    return {
        "tokens": ROWS * sum(LENGTHS) / seconds,
        "share": operations / seconds / statistics.mean(ceilings),
        "faults": faults / len(LENGTHS),
        "memory": memory,
    }


def compare_settings(rounds: int) -> None:
    """Measure every setting in turns and print the table of medians; ratios are to the first setting of the round."""
    taken: dict[str, list[dict[str, float]]] = {setting: [] for setting in SETTINGS}
    for turn in range(rounds):
        for setting, records in taken.items():
            words = [sys.executable, __file__, "settings", "--setting", setting]
            output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            records.append(json.loads(output.splitlines()[-1]))
            print(f"round {turn + 1}, {setting}: {records[-1]['tokens']:.0f} tokens/s", file=sys.stderr, flush=True)
    plain = next(iter(taken.values()))
    print("| setting | tokens/s | times the first | of the ceiling | page faults a step | peak memory |")
    print("|---|---|---|---|---|---|")
    for setting, records in taken.items():
        ratios = sorted(record["tokens"] / first["tokens"] for record, first in zip(records, plain, strict=True))
        middle = {key: statistics.median(record[key] for record in records) for key in records[0]}
        print(
            f"| {setting} | {middle['tokens']:.0f} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}) | {middle['share']:.0%} | {middle['faults']:,.0f} | {middle['memory'] / 1e9:.2f} GB |"
        )


def print_profile() -> None:
    steps = Steps(SHIPPED)
    for length in LENGTHS[:WARM_UP_STEPS]:
        steps.step(length)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for length in LENGTHS:
            steps.step(length)
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=44))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("settings", "profile"))
    parser.add_argument("--rounds", type=int, default=3, help="turns of each setting")
    parser.add_argument("--setting", choices=tuple(SETTINGS), default=None, help="measure this one here and now")
    options = parser.parse_args()
    logging.set_verbosity_error()
    if options.setting:
        print(json.dumps(measure_here(options.setting)))
        return 0
    print(machine())
    if options.what == "settings":
        compare_settings(options.rounds)
    else:
        print_profile()
    return 0


if __name__ == "__main__":
    sys.exit(main())
