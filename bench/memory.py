"""Memory does not grow with the corpus: a small model trained on 100,000 and on 10 million composed rows.

    python bench/memory.py synthesize --rows 10000000        # 2 files below outputs/bench, once
    python bench/memory.py prepare --rows 10000000        # read, check, split, encode; once
    python bench/memory.py train                          # both, compared

Each run is the real command in a process of its own; a look at /proc every tenth of a second keeps the largest RssAnon:
memory that is the process' own, without the mapped pages of files, which the kernel takes back when it needs them. The
stages are separate commands, since ten million rows take minutes each. `train` runs 60 steps of couplet-small-cpu.yaml
on prepared rows; the stages before it report their own largest RssAnon.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from workload import ONLY_STEPS, process_memory

SMALL, LARGE = 100_000, 10_000_000
TARGET = 1.2
DIRECTORY = Path("outputs/bench")
STEPS = 60


def corpus(rows: int) -> Path:
    return DIRECTORY / f"composed-{rows}.csv"


def largest_memory(command: list[str], log: Path) -> tuple[int, float]:
    """Run a command to its end; return its largest RssAnon in bytes, of its own process, and its seconds."""
    started, largest = time.perf_counter(), 0
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen([sys.executable, *command], stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            try:
                largest = max(largest, process_memory(process.pid, "RssAnon"))
            except ValueError:  # it is just ending: a process without memory has no such line
                continue
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}; see {log}")
    return largest, time.perf_counter() - started


def command_of(what: str, rows: int) -> list[str]:
    """Return the command of a stage for so many rows."""
    if what == "synthesize":
        return ["-m", "recipe.synthetic", "--rows", str(rows), "--output_file", str(corpus(rows))]
    words = ["run_finetune.py", "--config", "recipe/configs/couplet-small-cpu.yaml", "--train_file", str(corpus(rows))]
    for name, value in ONLY_STEPS.items():
        words += [f"--{name}", str(value)]
    words += ["--max_steps", "1" if what == "prepare" else str(STEPS), "--output_dir", str(DIRECTORY / "memory-run")]
    return [*words, "--cache_dir", str(DIRECTORY / "memory-cache")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("synthesize", "prepare", "train"))
    parser.add_argument("--rows", type=int, nargs="+", default=[SMALL, LARGE])
    options = parser.parse_args()
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    found = []
    for rows in options.rows:
        size, seconds = largest_memory(command_of(options.what, rows), DIRECTORY / f"memory-{options.what}.log")
        found.append(size)
        print(f"{options.what}, {rows:,} rows: largest RssAnon {size / 1e6:,.0f} MB, {seconds:.0f} s", flush=True)
    if options.what != "train" or len(found) < 2:
        return 0
    ratio = found[-1] / found[0]
    print(f"ratio {ratio:.2f}; target at most {TARGET}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
