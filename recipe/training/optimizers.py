"""Muon for the hidden matrices, AdamW for everything else, as one optimizer that the Trainer saves and resumes.

Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) makes the update of a matrix orthogonal, so that all its
directions learn alike. It is meant for the matrices inside the blocks; embeddings, biases and norms stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch.optim import AdamW, Muon, Optimizer
from transformers import PreTrainedModel, SchedulerType, TrainingArguments


class MuonWithAdamW(Optimizer):
    """One optimizer over both: their groups behind each other, their states together.

    Args:
        hidden_matrices: groups of two-dimensional parameters for Muon.
        others: groups for AdamW.
        lr: learning rate of both. Muon's is scaled so that its updates are as large as AdamW's usually are (Liu et al.
            2025, arXiv:2502.16982: 0.2 times the root of the longer side), so one rate serves both.
        momentum: Muon's.
        adamw: AdamW's own arguments (betas, eps, fused).
    """

    def __init__(
        self,
        hidden_matrices: list[dict[str, Any]],
        others: list[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        **adamw: Any,
    ) -> None:
        self._muon = Muon(hidden_matrices, lr=lr, momentum=momentum, adjust_lr_fn="match_rms_adamw")
        self._adamw = AdamW(others, lr=lr, **adamw)
        super().__init__([*self._muon.param_groups, *self._adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Have both work on the groups and the states of this optimizer, which are what a schedule and a save see."""
        count = len(self._muon.param_groups)
        self._muon.param_groups, self._adamw.param_groups = self.param_groups[:count], self.param_groups[count:]
        self._muon.state = self._adamw.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step with both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._muon.step()
        self._adamw.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state; the base class puts new groups and a new state in the place of the shared ones."""
        super().load_state_dict(state_dict)
        self._share()


def schedule_options(arguments: TrainingArguments, steps: int) -> dict[str, Any]:
    """Return the options of the schedule of a run of so many steps: the user's, and the decay of `warmup_stable_decay`.

    The library wants `num_decay_steps` in steps (`get_wsd_schedule`), which a configuration for files of any size
    cannot know. Without them the learning rate falls over the last quarter of the run (docs/performance.md).
    """
    options = dict(cast(dict | None, arguments.lr_scheduler_kwargs) or {})
    if arguments.lr_scheduler_type == SchedulerType.WARMUP_STABLE_DECAY:
        left = steps - arguments.get_warmup_steps(steps)
        options.setdefault("num_decay_steps", min(steps // 4, left))
    return options


def muon_for(arguments: TrainingArguments) -> tuple[Callable[[], Callable[..., MuonWithAdamW]], dict[str, Any]]:
    """Return what the Trainer makes an optimizer of several kinds with: a factory, and the arguments of its product.

    The library's own protocol (`is_optimizer_factory`): the factory is called without arguments, its product on the
    model.
    """
    kwargs = {
        "lr": arguments.learning_rate,
        "weight_decay": arguments.weight_decay,
        "betas": (arguments.adam_beta1, arguments.adam_beta2),
        "eps": arguments.adam_epsilon,
    }
    return lambda: _make_muon, kwargs


def _make_muon(model: PreTrainedModel, weight_decay: float, **kwargs: Any) -> MuonWithAdamW:
    """Sort the parameters: matrices inside the blocks to Muon, the rest to AdamW; biases and norms do not decay."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    embeddings.add(id(model.get_output_embeddings().weight))  # a matrix of its own where the two are not tied
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    tables = [parameter for parameter in trained if id(parameter) in embeddings]
    hidden = [parameter for parameter in trained if parameter.ndim == 2 and id(parameter) not in embeddings]
    vectors = [parameter for parameter in trained if parameter.ndim == 1]
    others = [{"params": tables, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return MuonWithAdamW([{"params": hidden, "weight_decay": weight_decay}], others, fused=True, **kwargs)
