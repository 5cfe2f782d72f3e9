"""What a run shows and writes while it trains: one tidy line a record, a bar with the time left, `metrics.jsonl`."""

from __future__ import annotations

import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from recipe.errors import notice
from recipe.files import write_text
from recipe.language import N_, _
from recipe.run_directory import METRICS_FILE
from recipe.screen import progress_bar

# Figures of a log line in their order: key of the record, name on the screen, format. A line stays below 100 columns,
# however many steps; metrics.jsonl has all the figures, the learning rate and the gradient norm among them.
_TRAINING_FIGURES = (
    ("loss", N_("loss"), ".4f"),
    ("accuracy", N_("accuracy"), ".1%"),
    ("tutorial_accuracy_padded_to_50", N_("padded-to-50"), ".1%"),
    ("tokens_per_second", N_("tokens/s"), ",.0f"),
)
_HELD_OUT_FIGURES = (
    ("eval_loss", N_("loss"), ".4f"),
    ("eval_perplexity", N_("perplexity"), ".2f"),
    ("eval_accuracy", N_("accuracy"), ".1%"),
)
_WRITING_FIGURES = (
    ("eval_lower_accuracy", N_("lower line accuracy"), ".1%"),
    ("eval_bleu_teacher_forced", N_("BLEU (teacher-forced)"), ".2f"),
    ("eval_generation_bleu", N_("BLEU (generated)"), ".2f"),
)


_BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}{postfix}]"


def format_record(logs: dict[str, Any], figures: tuple[tuple[str, str, str], ...]) -> str:
    """Return `name value` for each figure that the record holds."""
    return "  ".join(f"{_(name)} {format(logs[key], spec)}" for key, name, spec in figures if key in logs)


def format_duration(seconds: float) -> str:
    """Return hours:minutes:seconds, without the hours where there are none."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Pace:
    """How long the rest of a run takes: steps, evaluations and saves, each at its own pace so far."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._seconds: dict[str, list[float]] = {"step": [], "evaluation": [], "save": []}

    def took(self, what: str) -> None:
        """Count the time since the last call for a step, an evaluation or a save."""
        now = time.perf_counter()
        self._seconds[what].append(now - self._since)
        self._since = now

    def seconds_left(self, args: TrainingArguments, state: TrainerState) -> float:
        """Return the estimate; what has not happened yet counts nothing."""
        left = {
            "step": state.max_steps - state.global_step,
            "evaluation": _times_left(state, args.eval_strategy, state.eval_steps),
            "save": _times_left(state, args.save_strategy, state.save_steps),
        }
        means = {what: statistics.fmean(seconds) for what, seconds in self._seconds.items() if seconds}
        return sum(left[what] * mean for what, mean in means.items())


def _times_left(state: TrainerState, strategy: str, interval: float) -> int:
    """Return how often the library still does something by a strategy."""
    if strategy == IntervalStrategy.STEPS:
        return int(-(-state.max_steps // interval) - state.global_step // interval)
    if strategy == IntervalStrategy.EPOCH:
        return math.ceil(state.num_train_epochs) - math.floor(state.epoch or 0)
    return 0


class TidyProgress(ProgressCallback):
    """The library's progress bars, with records printed as a line of named figures instead of a dict."""

    def __init__(self) -> None:
        super().__init__()
        self._pace = Pace()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the bar where a resumed run stopped; the library's counts those steps as done in no time."""
        self._pace = Pace()
        self.current_step = state.global_step
        if state.is_world_process_zero:
            self.training_bar = progress_bar(
                total=state.max_steps,
                initial=state.global_step,
                desc="training",
                bar_format=_BAR_FORMAT,
                mininterval=0.2,
                dynamic_ncols=True,
                disable=args.disable_tqdm,
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the one estimate of the time left; the bar's own takes an evaluation for steps."""
        self._pace.took("step")
        if self.training_bar is not None:
            self.training_bar.set_postfix_str(self._left(args, state), refresh=False)
        super().on_step_end(args, state, control, **kwargs)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._pace.took("save")

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._pace.took("evaluation")
        super().on_evaluate(args, state, control, **kwargs)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Show a bar only for evaluations of over two seconds, and take it away before the samples are printed."""
        if not state.is_world_process_zero:
            return
        bar: tqdm | None = self.prediction_bar
        if bar is None:
            total = len(eval_dataloader)
            bar = progress_bar(
                total=total, desc="evaluating", unit="batch", delay=2, leave=False, disable=args.disable_tqdm
            )
            self.prediction_bar, self._batches_left = bar, total
        bar.update(1)
        self._batches_left -= 1  # the bar of a screen that is no terminal counts nothing
        if not self._batches_left:
            super().on_evaluate(args, state, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Replace the library's print of the whole dict."""
        if not state.is_world_process_zero or self.training_bar is None:
            return
        record = logs or {}
        if "loss" in record:
            line = f"{format_record(record, _TRAINING_FIGURES)}  {self._left(args, state)}"
        elif "eval_loss" in record:
            line = _("held out: {figures}").format(figures=format_record(record, _HELD_OUT_FIGURES))
            if writing := format_record(record, _WRITING_FIGURES):
                line += f"\n  {writing}"
        else:
            return
        place = _("step {step:,}/{steps:,}").format(step=state.global_step, steps=state.max_steps)
        self.training_bar.write(f"{place}  {line}")

    def _left(self, args: TrainingArguments, state: TrainerState) -> str:
        return _("left {time}").format(time=format_duration(self._pace.seconds_left(args, state)))


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
                notice(
                    _("{file} is behind until it can be written again: {reason}").format(
                        file=self.path, reason=error.strerror
                    )
                )
            self._complete = False

    def _write_history(self, state: TrainerState) -> None:
        write_text(self.path, "".join(_json_line({"step": record["step"]} | record) for record in state.log_history))


def _json_line(record: dict[str, Any]) -> str:
    # JSON has no nan: the gradient norm of a skipped step would make a line that strict readers refuse.
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()
    }
    return json.dumps(finite, ensure_ascii=False, allow_nan=False) + "\n"
