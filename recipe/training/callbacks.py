"""What a run shows and writes while it trains: one tidy line a record, a bar with the time left, `metrics.jsonl`."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe.errors import notice
from recipe.files import write_text
from recipe.run_directory import METRICS_FILE

# Figures of a log line in their order: key of the record, name on the screen, format.
_TRAINING_FIGURES = (
    ("loss", "loss", ".4f"),
    ("accuracy", "accuracy", ".1%"),
    ("tutorial_accuracy_padded_to_50", "padded-to-50 accuracy", ".1%"),
    ("learning_rate", "lr", ".2e"),
    ("grad_norm", "grad norm", ".2f"),
    ("tokens_per_second", "real tokens/s", ",.0f"),
)
_EVALUATION_FIGURES = (
    ("eval_loss", "loss", ".4f"),
    ("eval_perplexity", "perplexity", ".2f"),
    ("eval_accuracy", "accuracy", ".1%"),
    ("eval_lower_accuracy", "lower line accuracy", ".1%"),
    ("eval_bleu_teacher_forced", "BLEU (teacher-forced)", ".2f"),
    ("eval_generation_bleu", "BLEU (generated)", ".2f"),
)


def format_record(logs: dict[str, Any], figures: tuple[tuple[str, str, str], ...]) -> str:
    """Return `name value` for each figure that the record holds."""
    return "  ".join(f"{name} {format(logs[key], spec)}" for key, name, spec in figures if key in logs)


def format_duration(seconds: float) -> str:
    """Return hours:minutes:seconds, without the hours where there are none."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _bar(args: TrainingArguments, **options: Any) -> tqdm:
    """Return a progress bar, invisible with `--disable_tqdm`, that redraws seldom where its output goes to a file."""
    interval = 0.2 if sys.stderr.isatty() else 30
    return tqdm(mininterval=interval, dynamic_ncols=True, disable=args.disable_tqdm, **options)


class TidyProgress(ProgressCallback):
    """The library's progress bars, with records printed as a line of named figures instead of a dict."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the bar where a resumed run stopped; the library's counts those steps as done in no time."""
        self._started, self._first_step = time.perf_counter(), state.global_step
        self.current_step = state.global_step
        if state.is_world_process_zero:
            self.training_bar = _bar(
                args, total=state.max_steps, initial=state.global_step, desc="training", unit=" steps"
            )

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Show a bar only for evaluations of over two seconds, and take it away before the samples are printed."""
        if not state.is_world_process_zero:
            return
        bar: tqdm | None = self.prediction_bar
        if bar is None:
            bar = _bar(args, total=len(eval_dataloader), desc="evaluating", unit=" batches", delay=2, leave=False)
            self.prediction_bar = bar
        bar.update(1)
        if bar.n == bar.total:
            self.on_evaluate(args, state, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Replace the library's print of the whole dict."""
        if not state.is_world_process_zero or self.training_bar is None:
            return
        record = logs or {}
        if "loss" in record:
            done = state.global_step - self._first_step
            left = (time.perf_counter() - self._started) / max(done, 1) * (state.max_steps - state.global_step)
            line = f"{format_record(record, _TRAINING_FIGURES)}  left {format_duration(left)}"
        elif "eval_loss" in record:
            line = f"held out: {format_record(record, _EVALUATION_FIGURES)}"
        else:
            return
        self.training_bar.write(f"step {state.global_step:,}/{state.max_steps:,}  {line}")


class ConfigFile(TrainerCallback):
    """Write the run's resolved configuration when training begins: a start that is refused leaves an earlier one's."""

    def __init__(self, path: str | Path, text: str) -> None:
        self.path, self.text = path, text

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            write_text(self.path, self.text)


class MetricsFile(TrainerCallback):
    """Append every log record to `metrics.jsonl`, one JSON object a line, as soon as there is one.

    A resumed run starts the file again from its checkpoint's history: records beyond it belong to steps that are
    trained again. A full disk does not end the run: the history writes the missing records as soon as there is room.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.path = Path(output_dir) / METRICS_FILE
        self._complete = True

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self._write_history(state)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        try:
            if self._complete:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(_json_line({"step": state.global_step} | logs))
            else:
                self._write_history(state)
            self._complete = True
        except OSError as error:
            if self._complete:
                notice(f"{self.path} is behind until it can be written again: {error.strerror}")
            self._complete = False

    def _write_history(self, state: TrainerState) -> None:
        write_text(self.path, "".join(_json_line({"step": record["step"]} | record) for record in state.log_history))


def _json_line(record: dict[str, Any]) -> str:
    # JSON has no nan: the gradient norm of a skipped step would make a line that strict readers refuse.
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()
    }
    return json.dumps(finite, ensure_ascii=False, allow_nan=False) + "\n"
