"""Optimizer and learning rates of a run, tried on a tiny model: the libraries make them when all is loaded."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, get_scheduler

from recipe.errors import UserError
from recipe.language import _
from recipe.training.optimizers import muon_for, schedule_options

# What a schedule cannot do without, with a value to begin with.
_SCHEDULE_NEEDS = {
    "cosine_with_min_lr": '{"min_lr_rate": 0.1}',
    "cosine_warmup_with_min_lr": '{"min_lr_rate": 0.1}',
}
# By these an optimizer is made of more than parameters and numbers: only with the real model.
_MADE_WITH_MODEL = {"params", "model", "optimizer_dict"}
_STEPS = 100  # of a run whose length is not known yet


def try_optimizer(arguments: TrainingArguments, muon: bool) -> None:
    """Make the optimizer and its learning rates as the library will.

    Raises:
        UserError: a package is missing, or a value is refused; the settings are named.
    """
    model = GPT2LMHeadModel(
        GPT2Config(n_layer=1, n_head=1, n_embd=8, n_positions=8, vocab_size=8, bos_token_id=0, eos_token_id=0)
    )
    optimizer: Optimizer | None
    try:
        if muon:
            factory, options = muon_for(arguments)
            optimizer = factory()(model, **options)
        else:
            made, options = Trainer.get_optimizer_cls_and_kwargs(arguments, model)
            optimizer = None if _MADE_WITH_MODEL & options.keys() else made(model.parameters(), **options)
    except Exception as error:  # whatever the packages behind --optim raise
        with_args = f" --optim_args {arguments.optim_args!r}" if arguments.optim_args is not None else ""
        raise UserError(f"--optim {_value(arguments.optim)}{with_args}: {_reason(error)}") from None
    if optimizer is not None:
        _try_schedule(arguments, optimizer, arguments.max_steps if arguments.max_steps > 0 else _STEPS)


def _try_schedule(arguments: TrainingArguments, optimizer: Optimizer, steps: int) -> None:
    warmup = arguments.get_warmup_steps(steps)
    kind, options = _value(arguments.lr_scheduler_type), schedule_options(arguments, steps)
    try:
        schedule = get_scheduler(kind, optimizer, warmup, steps, options)
        if isinstance(schedule, LambdaLR):
            for rate in schedule.lr_lambdas:
                [rate(step) for step in (0, warmup, steps)]
    except Exception as error:
        given = f" --lr_scheduler_kwargs {options}" if options else ""
        problem = _("--lr_scheduler_type {kind}{given}, over {steps:,} steps, {warmup:,} of warm-up: {reason}").format(
            kind=kind, given=given, steps=steps, warmup=warmup, reason=_reason(error)
        )
        if kind in _SCHEDULE_NEEDS and not options:
            problem = _("{problem}. This schedule needs more, for example --lr_scheduler_kwargs '{needed}'").format(
                problem=problem, needed=_SCHEDULE_NEEDS[kind]
            )
        raise UserError(problem) from None


def _value(kind: Any) -> str:
    return str(getattr(kind, "value", kind))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
