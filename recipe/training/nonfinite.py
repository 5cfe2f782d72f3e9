"""Numbers that go wrong: a step with a loss or a gradient that is not finite is skipped, counted and reported.

The library's `logging_nan_inf_filter` keeps such a loss out of the log and lets the step destroy the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.distributed.tensor import DTensor
from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from recipe.errors import UserError, notice
from recipe.language import _, enumerated
from recipe.training.checkpointed_trainer import CheckpointedTrainer

_ROWS_SHOWN = 32


def whole_norm(norm: torch.Tensor) -> torch.Tensor:
    """Return the norm as every process has it: under FSDP2 each holds its shards' part, as a `DTensor`."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


class GuardedTrainer(CheckpointedTrainer):
    """A trainer that never steps on numbers that are not finite.

    Args:
        max_nonfinite_steps: Stop after so many such steps in a row.
        The other arguments are those of `CheckpointedTrainer`.

    Attributes:
        skipped_steps: Steps that were skipped so far, those before a resume included. A skipped step counts as a step
            for the schedule and the position in the data.
    """

    def __init__(self, *args: Any, max_nonfinite_steps: int = 5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_nonfinite_steps = max_nonfinite_steps
        self.skipped_steps = 0
        self._skipped_in_a_row = 0
        self._batches: list[dict[str, Any]] = []
        self._losses: list[torch.Tensor] = []

    @override
    def progress(self) -> dict[str, Any]:
        """Add the counts to what a checkpoint keeps of this process."""
        counts = {"skipped_steps": self.skipped_steps, "skipped_in_a_row": self._skipped_in_a_row}
        return super().progress() | counts

    @override
    def restore_progress(self, progress: dict[str, Any]) -> None:
        """Take back the counts."""
        super().restore_progress(progress)
        self.skipped_steps = progress["skipped_steps"]
        self._skipped_in_a_row = progress["skipped_in_a_row"]

    # ---- Overrides of the library, which has no such check ----

    @override
    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Fetch the batches of one step and remember them, to be able to say what was in them."""
        batches, num_items_in_batch = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._batches, self._losses = batches, []
        return batches, num_items_in_batch

    @override
    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run forward and backward; a loss that is not finite is noted, and the running mean goes to the log instead.

        That is what `logging_nan_inf_filter` does, without its wait for the device after every batch.
        """
        loss = super().training_step(model, inputs, *args, **kwargs)
        self._losses.append(loss)
        mean = self._tr_loss / (1 + self.state.global_step - self._globalstep_last_logged)
        return torch.where(torch.isfinite(loss), loss, mean)

    @override
    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """Return the norm of the gradients, and drop them if the step must not be taken.

        This is the last point before the optimizer at which the norm is known. An optimizer skips parameters without a
        gradient: no decay, no momentum, no count.
        """
        norm = whole_norm(super()._get_grad_norm(model, grad_norm))
        if self._is_finite_everywhere(norm):
            self._skipped_in_a_row = 0
            return norm
        model.zero_grad(set_to_none=True)
        self.skipped_steps += 1
        self._skipped_in_a_row += 1
        self._report_skipped(norm)
        return norm

    @override
    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the number of skipped steps once there is one."""
        super().log(logs | {"skipped_steps": self.skipped_steps} if self.skipped_steps else logs, *args, **kwargs)

    # ---- Parts ----

    def _is_finite_everywhere(self, norm: torch.Tensor) -> bool:
        """Return whether losses and gradients are finite in all processes: they must take or skip a step together."""
        finite = torch.isfinite(torch.stack([*self._losses, norm.to(self._losses[0])])).all()
        if self.accelerator.scaler is not None:
            # fp16 finds its loss scale by letting gradients overflow, and skips those steps itself.
            finite = torch.isfinite(torch.stack(self._losses)).all()
        if self.args.world_size > 1:
            verdict = finite.to(torch.int32)
            torch.distributed.all_reduce(verdict, torch.distributed.ReduceOp.MIN)
            finite = verdict
        return bool(finite)

    def _report_skipped(self, norm: torch.Tensor) -> None:
        step = self.state.global_step + 1
        losses = enumerated(f"{loss.item():g}" for loss in self._losses)
        if self._skipped_in_a_row < self.max_nonfinite_steps:
            if self.is_world_process_zero():
                notice(
                    _("Skipped step {step}: loss {losses}, gradient norm {norm:g} ({count} skipped so far).").format(
                        step=step, losses=losses, norm=norm.item(), count=self.skipped_steps
                    )
                )
            return
        rows = gather_object(self._rows_of_step())
        shown = rows[:_ROWS_SHOWN]
        if len(rows) > _ROWS_SHOWN:
            shown.append(_("and {count} more").format(count=len(rows) - _ROWS_SHOWN))
        raise UserError(
            _(
                "{count} steps in a row gave numbers that are not finite; the last was step {step}: loss {losses}, "
                "gradient norm {norm:g}. They did not change the weights, and the checkpoints in {directory} are "
                "intact. Lower --learning_rate, train in fp32, or look at the rows of that step:{rows}"
            ).format(
                count=self._skipped_in_a_row,
                step=step,
                losses=losses,
                norm=norm.item(),
                directory=self.args.output_dir,
                rows="".join(f"\n    {row}" for row in shown),
            )
        )

    def _rows_of_step(self) -> list[str]:
        """Return this process' rows of the step as text, escaped for a terminal; as token ids without a tokenizer."""
        rows = [row for batch in self._batches for row in batch["input_ids"].tolist()]
        if isinstance(self.processing_class, PreTrainedTokenizerBase):
            return [repr(text) for text in self.processing_class.batch_decode(rows, skip_special_tokens=True)]
        return [str(row) for row in rows]
