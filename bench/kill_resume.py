"""Kill the real command again and again, at random moments and in the middle of its saves, and compare the end.

Run:  python bench/kill_resume.py [--kills 100] [--directory outputs/kill_resume]

First an unbroken run of `run_finetune.py` on a small configuration. Then runs of the same command that are killed
(SIGKILL) and started again with `--resume_from_checkpoint auto` until they finish; a finished one is compared and the
next begins. Three kills of four wait for a checkpoint that is being written or removed (its hidden directory stands
there) and strike within it, the others strike at a moment drawn from the shortest time in which a start has come to its
end, start-up and publishing included.
A kill counts as "during a save" only if the half-written directory is still there when the process is dead.

After every kill each directory named `checkpoint-N` must be whole, and the next start must say that it goes on from the
newest of them. At the end of every run the published weights, the held-out figures and every logged loss must equal the
unbroken run's. Results are added up in DIRECTORY/kills.jsonl, so that the hundred can be reached in several sittings.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from recipe.run_directory import checkpoints_by_step
from recipe.training.checkpoints import problems_of

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "train_file": "recipe/data/handwritten.csv",
    "validation_size": 20,
    "from_scratch": "true",
    "hidden_size": 128,
    "num_layers": 4,
    "max_steps": 100,  # the second epoch begins at step 27
    "per_device_train_batch_size": 12,
    "learning_rate": 1e-3,
    "save_steps": 2,
    "eval_steps": 2,
    "logging_steps": 3,
    "generation_eval_size": 4,
    "num_threads": 1,
}
SHARE_DURING_SAVE = 0.75
TIMED = re.compile(r"runtime|per_second")


@dataclass
class Attempt:
    """One process of the command that was killed, or that finished before it could be."""

    killed: bool = False
    during_save: bool = False
    resumed: bool = False
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def command(directory: Path, resume: bool) -> list[str]:
    """Return the command of a run in `directory`."""
    settings = SETTINGS | {
        "output_dir": directory / "run",
        "publish_dir": directory / "model",
        "cache_dir": directory.parent / "cache",
    }
    arguments = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    resuming = ["--resume_from_checkpoint", "auto"] if resume else []
    return [sys.executable, str(ROOT / "run_finetune.py"), *arguments, *resuming]


def outcome(directory: Path) -> dict[str, object]:
    """Return what two runs must agree on: the weights' sha256, and every logged record without what a clock is in."""
    records = [json.loads(line) for line in (directory / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    timeless = [{name: value for name, value in record.items() if not TIMED.search(name)} for record in records]
    weights = (directory / "model/model.safetensors").read_bytes()
    logged = {f"log record {number}": record for number, record in enumerate(timeless)}
    return {"sha256": hashlib.sha256(weights).hexdigest(), "log records": len(records), **logged}


def differences(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """Return what of a finished run is not as in the unbroken one, with both values."""
    return [
        f"the end differs in {key}: {found.get(key)} instead of {expected[key]}"
        for key in expected
        if found.get(key) != expected[key]
    ]


def unfinished(run: Path) -> set[tuple[str, int]]:
    """Return name and time of change of each hidden directory of a checkpoint that is being written or removed."""
    found = set()
    for pattern in (".writing-*", ".removing-*"):
        for path in run.glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # finished since
                found.add((path.name, path.stat().st_ctime_ns))
    return found


def wait_to_strike(process: subprocess.Popen, run: Path, draw: random.Random, longest: float) -> None:
    """Return when the process is to be killed, or when it has ended by itself."""
    if draw.random() >= SHARE_DURING_SAVE:
        until = time.monotonic() + draw.uniform(0, longest)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        return
    saves_to_let_pass, old, standing = draw.randrange(3), unfinished(run), False
    while process.poll() is None:
        stood, standing = standing, bool(unfinished(run) - old)
        if standing and not stood:
            if saves_to_let_pass == 0:
                time.sleep(draw.uniform(0, 0.01))  # a save of this model takes a little longer
                return
            saves_to_let_pass -= 1
        time.sleep(0.0005)


def attempt(directory: Path, draw: random.Random, longest: float, strike: bool) -> Attempt:
    """Start or go on with the run in `directory`, kill it if it is to be, and look at what it left."""
    run = directory / "run"
    expected, old = max(checkpoints_by_step(run), default=None), unfinished(run)
    log, start = directory / "output.txt", time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command(directory, resume=True), stdout=output, stderr=output, cwd=ROOT)
        if strike:
            wait_to_strike(process, run, draw, longest)
            process.kill()
        code = process.wait()
    killed = code == -signal.SIGKILL
    result = Attempt(killed, killed and bool(unfinished(run) - old), seconds=time.monotonic() - start)
    if code != 0 and not killed:
        result.problems.append(f"exit code {code}: {log.read_text(encoding='utf-8')[-2000:]}")
    for checkpoint in checkpoints_by_step(run).values():
        result.problems += [f"{checkpoint} after the kill: {problem}" for problem in problems_of(checkpoint)]
    result.problems += [f"set aside: {path}" for path in run.glob("*.damaged*")]
    started = re.search(r"Going on from \S*checkpoint-(\d+)", log.read_text(encoding="utf-8"))
    result.resumed = started is not None
    if started and int(started[1]) != expected:
        result.problems.append(f"went on from step {started[1]} instead of {expected}")
    if not started and expected is not None and max(checkpoints_by_step(run), default=0) > expected:
        listing = sorted((path.stat().st_ctime, path.name) for path in run.iterdir())
        result.problems.append(f"trained on without going on from step {expected}: {time.time()} {listing}")
    return result


def report(attempts: list[dict], finished: int) -> list[str]:
    """Print the sums so far and return all problems."""
    kills = [record for record in attempts if record["killed"]]
    problems = [problem for record in attempts for problem in record["problems"]]
    print(
        f"{len(kills)} kills, {sum(record['during_save'] for record in kills)} of them during a save, "
        f"{sum(record['resumed'] for record in attempts)} starts that went on from a checkpoint, "
        f"{finished} runs brought to their end and equal to the unbroken one, {len(problems)} problems"
    )
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="stop after so many, earlier sittings included")
    parser.add_argument("--directory", type=Path, default=Path("outputs/kill_resume"), help="where the runs live")
    parser.add_argument("--minutes", type=float, default=None, help="stop this sitting after so many minutes")
    options = parser.parse_args()
    base = options.directory.absolute()
    records_file, unbroken, broken = base / "kills.jsonl", base / "unbroken", base / "broken"
    base.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    if not (unbroken / "seconds.txt").exists():
        start = time.monotonic()
        subprocess.run(command(unbroken, resume=False), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (unbroken / "seconds.txt").write_text(str(time.monotonic() - start), encoding="utf-8")
    whole_run = float((unbroken / "seconds.txt").read_text(encoding="utf-8"))
    expected = outcome(unbroken)
    lines = records_file.read_text(encoding="utf-8").splitlines() if records_file.exists() else []
    records = [json.loads(line) for line in lines]
    draw = random.Random(len(records))
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")

    bar = tqdm(total=options.kills, initial=sum(record["killed"] for record in records), desc="kills")
    ended = False
    while (bar.n < options.kills or not ended) and time.monotonic() < deadline:
        broken.mkdir(exist_ok=True)
        # Once the kills are done, the last run is brought to its end.
        to_the_end = [whole_run, *(record["seconds"] for record in records if record["finished"])]
        result = attempt(broken, draw, min(to_the_end), strike=bar.n < options.kills)
        bar.update(int(result.killed))
        ended = not result.killed
        record = vars(result) | {"finished": ended}
        if ended and not result.problems:
            result.problems += differences(outcome(broken), expected)
            shutil.rmtree(broken)
        records.append(record)
        with records_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if result.problems:
            break
    bar.close()
    problems = report(records, sum(record["finished"] and not record["problems"] for record in records))
    print("\n".join(problems), f"weights: sha256 {expected['sha256']}", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
