"""From the command to the first training step: a CSV of 600,000 rows with the 102M model, cold and cached.

    python bench/start_time.py --train_file couplets.csv [--turns 2]

Each turn is a process of its own with an empty cache and then one that finds the cache. The stages: imports; data
(read, validate, split, tokenize; the second time the checksum of the file, and its prepared rows are mapped); model
(weights read from disk); first batch (order of the epoch drawn and grouped, rows collated) up to the beginning of the
first forward pass. Files are in the page cache: the disk is not measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

STARTED = time.perf_counter()


def measure_here(options: argparse.Namespace) -> dict[str, float]:
    """Start the job in this process up to its first forward pass; return the seconds of each stage."""
    from workload import ONLY_STEPS, StepMeter, StopWhenMeasured, job_settings

    from recipe.settings import RunSettings
    from recipe.training import job as jobs
    from recipe.training.arguments import make_training_arguments, set_threads, typed_training_settings

    imported = time.perf_counter()
    model_seconds, load_model = 0.0, jobs.load_model

    def timed_load(*args: Any) -> Any:
        nonlocal model_seconds
        started = time.perf_counter()
        model = load_model(*args)
        model_seconds = time.perf_counter() - started
        return model

    chosen = ONLY_STEPS | {"train_file": options.train_file, "cache_dir": options.cache_dir}
    chosen |= {"model_name_or_path": options.model_dir, "max_steps": 1, "output_dir": options.cache_dir + "/run"}
    settings = job_settings("recipe/configs/couplet-600k.yaml", **chosen)
    set_threads(settings[RunSettings].num_threads)
    with mock.patch.object(jobs, "load_model", timed_load):
        job = jobs.prepare_job(settings, make_training_arguments(typed_training_settings(settings)[0]))
    prepared = time.perf_counter()
    trainer = jobs.make_trainer(job)
    meter = StepMeter(job.model, seconds=0.0)
    trainer.add_callback(StopWhenMeasured(meter))
    trainer.train()
    assert meter.first_forward is not None
    return {
        "imports": imported - STARTED,
        "data": prepared - imported - model_seconds,
        "model": model_seconds,
        "first batch": meter.first_forward - prepared,
        "rows": float(len(job.train.lengths) + len(job.validation.lengths)),
    }


def start(options: argparse.Namespace, cache_dir: str) -> dict[str, float]:
    """Run one start in a process of its own."""
    words = [*sys.argv, "--cache_dir", cache_dir]
    output = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def line(name: str, seconds: dict[str, float]) -> str:
    stages = ("imports", "data", "model", "first batch")
    beyond = sum(seconds[stage] for stage in stages[1:])
    cells = " | ".join(f"{seconds[stage]:.1f}" for stage in stages)
    return f"| {name}, {seconds['rows']:,.0f} rows | {cells} | {beyond:.1f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_file", required=True, help="CSV of couplets, column text1")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--model_dir", default="outputs/bench/gpt2-102m", help="model directory; made where missing")
    parser.add_argument("--cache_dir", default=None, help="start here and now with this cache")
    options = parser.parse_args()
    if options.cache_dir:
        print(json.dumps(measure_here(options)))
        return 0
    from workload import machine, write_model

    write_model(Path(options.model_dir))
    print(machine())
    print("| start | imports | data | model | first batch | seconds beyond imports |\n|---|---|---|---|---|---|")
    for _ in range(options.turns):
        with tempfile.TemporaryDirectory() as cache_dir:
            print(line("cold", start(options, cache_dir)), flush=True)
            print(line("cached", start(options, cache_dir)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
