"""The Trainer of the recipe: the library's, with our order of the rows, real-token figures, and generated samples."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, SequentialSampler
from typing_extensions import override

from recipe.rows.preprocessing import IGNORED_LABEL
from recipe.rows.sampling import EpochOrderSampler
from recipe.training.nonfinite import GuardedTrainer
from recipe.training.validation_metrics import TokenWindow, window_figures


class CoupletTrainer(GuardedTrainer):
    """A `GuardedTrainer` that groups rows by length and knows what a real token is.

    Args:
        train_lengths: tokens of each training row, shape (rows,), for the sampler.
        group_by_length: batches of like length; otherwise in random order.
        generation_metrics: called with the model at every evaluation; its figures are merged into the evaluation's.
        The other arguments are those of `GuardedTrainer`.
    """

    def __init__(
        self,
        *args: Any,
        train_lengths: np.ndarray,
        group_by_length: bool,
        generation_metrics: Callable[[torch.nn.Module], dict[str, float]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.train_lengths = train_lengths
        self.group_by_length = group_by_length
        self.generation_metrics = generation_metrics
        self.generation_seconds = 0.0  # that these took at the last evaluation
        self.window = TokenWindow()
        self._window_since = time.perf_counter()
        self._window_paused = 0.0

    @contextlib.contextmanager
    def _pause(self) -> Iterator[None]:
        """Leave the time of a block out of the tokens/s: evaluating and saving are no training."""
        started = time.perf_counter()
        yield
        self._window_paused += time.perf_counter() - started

    def _window_seconds(self) -> float:
        return time.perf_counter() - self._window_since - self._window_paused

    @override
    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        """Order the rows by seed and epoch alone.

        The library removes the column of lengths before it asks for the sampler and then reads every row to measure it;
        its grouped order is drawn from the global generator, so that a resumed run sees other batches.
        """
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        effective = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return EpochOrderSampler(self.train_lengths, effective, seed, self.group_by_length)

    @override
    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler:
        """Keep the order given (by length). The library returns no sampler at all in distributed runs."""
        return SequentialSampler(eval_dataset)  # type: ignore[arg-type]

    @override
    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Let each row count once: see `_unrepeated`."""
        return super().get_batch_samples(self._unrepeated(epoch_iterator), num_batches, device)

    def _unrepeated(self, batches: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Take the labels from rows that come a second time in an epoch.

        With several processes accelerate fills the last round of batches up with the first rows of the epoch, so that
        every process has a batch of full size.
        """
        size, state = self.args.train_batch_size, self.accelerator.gradient_state
        last_round = len(self.train_lengths) % (size * self.args.world_size)
        for batch in batches:
            if last_round and state.end_of_dataloader:
                batch["labels"][max(0, last_round - size * self.args.process_index) :] = IGNORED_LABEL
            yield batch

    @override
    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Count hits on the way. The library hands a training step's logits to nobody."""
        labels = inputs["labels"]
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training:
            self.window.add(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss

    @override
    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Merge the figures of generated lines into the evaluation's own.

        `compute_metrics` sees predictions, not the model; what `evaluate` returns is what loggers, the choice of the
        best checkpoint and the history read.
        """
        with self._pause():
            output = super().evaluation_loop(*args, **kwargs)
            if self.generation_metrics is not None:
                prefix = kwargs.get("metric_key_prefix", "eval")
                started = time.perf_counter()
                figures = self.generation_metrics(self.accelerator.unwrap_model(self.model))
                self.generation_seconds = time.perf_counter() - started
                metrics: dict[str, float] = cast(dict, output.metrics)
                metrics.update({f"{prefix}_{name}": value for name, value in figures.items()})
        return output

    @override
    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Leave the time of saving out of the tokens/s."""
        with self._pause():
            super()._save_checkpoint(*args, **kwargs)

    @override
    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add accuracy and tokens/s to the records of training; the library's tokens/s counts padding."""
        sums = self.window.drain(lambda sums: self.accelerator.reduce(sums, "sum")) if "loss" in logs else {}
        if sums:
            logs |= window_figures(sums, self._window_seconds())
            self._window_since, self._window_paused = time.perf_counter(), 0.0
        super().log(logs, start_time)

    @override
    def progress(self) -> dict[str, Any]:
        window = {"sums": self.window.state(), "seconds": self._window_seconds()}
        return super().progress() | {"window": window}

    @override
    def restore_progress(self, progress: dict[str, Any]) -> None:
        super().restore_progress(progress)
        self.window.restore(progress["window"]["sums"], self.args.device)
        self._window_since, self._window_paused = time.perf_counter() - progress["window"]["seconds"], 0.0

    @override
    def divided_progress(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Give the open window of all to the first process: the next record adds up those of all."""
        sums = [part["window"]["sums"] for part in parts]
        if all(sums):
            whole = [sum(column) for column in zip(*sums, strict=True)]
            sums[0] = whole if self.is_world_process_zero() else [0] * len(whole)
        return super().divided_progress(parts) | {"window": parts[0]["window"] | {"sums": sums[0]}}

    @override
    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Start the clock of the first window here, not when the trainer was made."""
        self._window_since = time.perf_counter()
        return super().train(*args, **kwargs)
