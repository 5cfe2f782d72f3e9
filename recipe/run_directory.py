"""What a run's directory (`--output_dir`) holds, by name.

| name | what it is |
|---|---|
| `checkpoint-N` | a checkpoint after N steps, whole under this name |
| `checkpoint-N.damaged` | one that did not match its manifest and was set aside |
| `.writing-…`, `.removing-…` | one that is being written or deleted; what a kill leaves of it, the next run removes |
| `metrics.jsonl` | every log record, one JSON object a line |
| `training.html`, `samples.jsonl` | a page to watch the run on, and what the model wrote at each evaluation |
| `training_config.yaml` | all settings of the run, as `--config` takes them |
| `rejected_rows.csv` | the rows that were not trained on, with reasons |
| `.run.lock` | the process that holds the directory |
| `.check-*` | the miniature run of `--check`, while it lasts |
"""

from __future__ import annotations

from pathlib import Path

METRICS_FILE = "metrics.jsonl"
TRAINING_PAGE_FILE = "training.html"
SAMPLES_FILE = "samples.jsonl"
CONFIG_FILE = "training_config.yaml"  # a published model carries it too
REJECTED_ROWS_FILE = "rejected_rows.csv"
LOCK_FILE = ".run.lock"
CHECK_PREFIX = ".check-"
WRITING_PREFIX = ".writing-"
REMOVING_PREFIX = ".removing-"
CHECKPOINT_PREFIX = "checkpoint-"


def checkpoint_directory(output_dir: str | Path, step: int) -> Path:
    """Return where the checkpoint of a step stands, or will stand."""
    return Path(output_dir) / f"{CHECKPOINT_PREFIX}{step}"


def checkpoints_by_step(output_dir: str | Path) -> dict[int, Path]:
    """Return the directories named `checkpoint-N` of a run by their step, the oldest first."""
    found = {
        int(path.name.removeprefix(CHECKPOINT_PREFIX)): path
        for path in Path(output_dir).glob(f"{CHECKPOINT_PREFIX}*")
        if path.name.removeprefix(CHECKPOINT_PREFIX).isdecimal() and path.is_dir()
    }
    return dict(sorted(found.items()))
