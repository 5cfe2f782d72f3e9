"""`training.html`: a run to look at while it trains, one page without any other file, written at every evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, tostring

from markupsafe import Markup
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe.errors import notice
from recipe.files import write_text
from recipe.language import N_, _
from recipe.run_directory import SAMPLES_FILE, TRAINING_PAGE_FILE
from recipe.svg import WIDTH, element, frame, line, text
from recipe.templating import render

# The page looks for news that often while the run lasts.
REFRESH_SECONDS = 30
# Columns of the table of evaluations: key of the record, title, format.
_EVALUATED = (
    ("eval_loss", N_("loss"), ".4f"),
    ("eval_perplexity", N_("perplexity"), ".2f"),
    ("eval_accuracy", N_("accuracy"), ".1%"),
    ("eval_lower_accuracy", N_("lower line accuracy"), ".1%"),
    ("eval_bleu_teacher_forced", N_("BLEU (teacher-forced)"), ".2f"),
    ("eval_generation_bleu", N_("BLEU (generated)"), ".2f"),
)
# Plots: title, format of the axis, and for each curve its name, its class in the style sheet, its key in the records.
_PLOTS = (
    (
        N_("Loss (nats per real token)"),
        ".2f",
        ((N_("training"), "chance", "loss"), (N_("held out"), "model", "eval_loss")),
    ),
    (
        N_("Accuracy (share of real tokens)"),
        ".0%",
        ((N_("training"), "chance", "accuracy"), (N_("held out"), "model", "eval_accuracy")),
    ),
    (N_("Learning rate"), ".1e", ((N_("learning rate"), "references", "learning_rate"),)),
)
# A curve of more points than the plot has pixels is drawn through every second, third … of them.
_MOST_POINTS = 400


class Curve(NamedTuple):
    """A curve of a plot: its name, its class in the style sheet, and its (step, value) pairs in order."""

    name: str
    kind: str
    points: Sequence[tuple[int, float]]


class TrainingPage(TrainerCallback):
    """Write the page at every evaluation and at the end, from the history and from what the model has written.

    The samples of all evaluations are kept in `samples.jsonl`: a resumed run goes on from those of its checkpoint. A
    full disk costs the page, not the run.
    """

    def __init__(self, output_dir: str | Path, name: str, samples: Callable[[], Sequence[str]]) -> None:
        """Prepare the page.

        Args:
            name: what is trained, for the head of the page.
            samples: returns the texts that the model wrote at its last evaluation.
        """
        self._page, self._samples_file = Path(output_dir) / TRAINING_PAGE_FILE, Path(output_dir) / SAMPLES_FILE
        self._name, self._newest = name, samples
        self._samples: dict[int, list[str]] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on with the samples up to the checkpoint; a run that begins has none."""
        if state.is_world_process_zero and state.global_step and self._samples_file.exists():
            records = map(json.loads, self._samples_file.read_text(encoding="utf-8").splitlines())
            self._samples = {one["step"]: one["samples"] for one in records if one["step"] <= state.global_step}

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._samples[state.global_step] = list(self._newest())
            self._write(state, is_over=False)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self._write(state, is_over=True)

    def _write(self, state: TrainerState, is_over: bool) -> None:
        lines = [
            json.dumps({"step": step, "samples": texts}, ensure_ascii=False) for step, texts in self._samples.items()
        ]
        try:
            write_text(self._samples_file, "".join(f"{line}\n" for line in lines))
            write_text(self._page, page_of(self._name, state, self._samples, is_over))
        except OSError as error:
            notice(
                _("{file} is behind until it can be written again: {reason}").format(
                    file=self._page, reason=error.strerror
                )
            )


def page_of(name: str, state: TrainerState, samples: Mapping[int, Sequence[str]], is_over: bool) -> str:
    """Return the page of a run.

    Args:
        samples: what the model wrote at each evaluation, by its step.
        is_over: whether nothing more will come, so that the page need not look for it.
    """
    history = state.log_history
    plots = [plot for title, form, curves in _PLOTS if (plot := _plot(_(title), form, curves, history)) is not None]
    evaluations = [record for record in history if "eval_loss" in record]
    shown = [(key, title, form) for key, title, form in _EVALUATED if any(key in record for record in evaluations)]
    rows = [
        [f"{record['step']:,}", *(format(record[key], form) if key in record else "–" for key, title, form in shown)]
        for record in reversed(evaluations)
    ]
    return render(
        "training.html",
        name=name,
        step=f"{state.global_step:,}",
        steps=f"{state.max_steps:,}",
        share=state.global_step / max(state.max_steps, 1),
        is_over=is_over,
        is_complete=state.global_step >= state.max_steps,
        best=f"{state.best_global_step:,}" if state.best_global_step else None,
        refresh=REFRESH_SECONDS,
        plots=[Markup(tostring(plot, encoding="unicode")) for plot in plots],
        curves={"chance": _("training"), "model": _("held out")},
        header=[_("step"), *(_(title) for key, title, form in shown)],
        rows=rows,
        samples=[(f"{step:,}", texts) for step, texts in sorted(samples.items(), reverse=True) if texts],
    )


def _plot(title: str, form: str, curves: Sequence[tuple[str, str, str]], history: Sequence[Mapping]) -> Element | None:
    """Return a plot of the records' figures over the steps; None while there is no figure."""
    found = []
    for name, kind, key in curves:
        points = [(record["step"], record[key]) for record in history if isinstance(record.get(key), int | float)]
        finite = [(step, value) for step, value in points if abs(value) < float("inf")]  # false of nan too
        if finite:
            found.append(Curve(_(name), kind, finite[:: -(-len(finite) // _MOST_POINTS)]))
    return _curves(title, form, found) if found else None


def _curves(title: str, form: str, curves: Sequence[Curve]) -> Element:
    """Draw curves over common axes; a curve of few points has a dot at each of them."""
    height, left, right, top, bottom = 250, 64, 16, 34, 34
    svg = frame(height, title)
    steps = [step for curve in curves for step, value in curve.points]
    values = [value for curve in curves for step, value in curve.points]
    last, low, high = max(*steps, 1), min(values), max(values)
    span = (high - low) or abs(high) or 1.0

    def x_of(step: float) -> float:
        return left + (WIDTH - left - right) * step / last

    def y_of(value: float) -> float:
        return height - bottom - (height - top - bottom) * (value - low) / span

    svg.append(text(left, 18, title, "start", "label"))
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + span * part
        svg.append(line(left, y_of(value), WIDTH - right, y_of(value), "grid"))
        svg.append(text(left - 8, y_of(value) + 4, format(value, form), "end", "tick"))
        svg.append(text(x_of(last * part), height - 12, f"{last * part:,.0f}", "middle", "tick"))
    for curve in curves:
        points = " ".join(f"{x_of(step):.1f},{y_of(value):.1f}" for step, value in curve.points)
        svg.append(element("polyline", element("title", curve.name), points=points, class_=f"curve {curve.kind}"))
        if len(curve.points) <= 60:
            for step, value in curve.points:
                label = element(
                    "title",
                    _("{curve}, step {step:,}: {value}").format(curve=curve.name, step=step, value=format(value, form)),
                )
                place = {"cx": f"{x_of(step):.1f}", "cy": f"{y_of(value):.1f}", "r": "3.5"}
                svg.append(element("circle", label, class_=f"dot {curve.kind}", **place))
    return svg
