"""The values of a run's settings, each held against what can be done with it, before anything is read or made.

The libraries refuse most of these late, hours into a run, in words of their own or not at all.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import DynamoBackend

from recipe.language import _, enumerated

_INT = 2**31 - 1  # more steps, rows or seconds are a slip, and overflow an int of the libraries
_BATCH = 2**20
_SEED = 2**32 - 1  # NumPy's
# Each process or thread holds memory of its own; more than a few a core only take it, thousands all of it.
_A_CORE = 4 * (os.cpu_count() or 1)

# The smallest and the largest value of each number, the recipe's own settings first, then the library's.
_FROM_TO: dict[str, tuple[float, float]] = {
    **{"hidden_size": (1, 2**14), "num_layers": (1, 1000), "num_heads": (1, 2**10), "max_length": (4, 2**16)},
    **{"max_rows": (1, _INT), "validation_size": (0, _INT), "generation_eval_size": (0, _INT)},
    **{"max_nonfinite_steps": (1, _INT), "num_threads": (1, _A_CORE), "dataloader_num_workers": (0, _A_CORE)},
    **dict.fromkeys(("per_device_train_batch_size", "per_device_eval_batch_size"), (1, _BATCH)),
    **dict.fromkeys(("gradient_accumulation_steps", "eval_accumulation_steps", "ddp_bucket_cap_mb"), (1, _BATCH)),
    **dict.fromkeys(("torch_empty_cache_steps", "ddp_timeout"), (1, _INT)),
    **dict.fromkeys(("warmup_steps", "eval_delay", "save_total_limit", "max_grad_norm"), (0, _INT)),
    **{"weight_decay": (0, 100), "neftune_noise_alpha": (0, 10_000), "dataloader_prefetch_factor": (1, 1000)},
    **dict.fromkeys(("seed", "data_seed"), (0, _SEED)),
}
# Numbers above 0, and the largest.
_ABOVE_ZERO: dict[str, float] = {
    **{"num_train_epochs": 1e6, "learning_rate": 100, "adam_epsilon": 1},
    **dict.fromkeys(("logging_steps", "eval_steps", "save_steps"), _INT),
}
_PROBABILITIES = ("dropout", "adam_beta1", "adam_beta2", "label_smoothing_factor")
_SHARES_OR_STEPS = ("logging_steps", "eval_steps", "save_steps", "warmup_steps")
# Fields that take a JSON object, and whether they take a file that holds one as well.
_OBJECTS = {
    **dict.fromkeys(("accelerator_config", "fsdp_config", "deepspeed"), True),
    **dict.fromkeys(("lr_scheduler_kwargs", "gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"), False),
}


def values_out_of_range(values: Mapping[str, Any]) -> list[str]:
    """Return a problem for each value that nothing can be done with; None is a value that is not set."""
    given = {name: value for name, value in values.items() if value is not None}
    problems = [problem for name, value in given.items() if (problem := _number_problem(name, value))]
    problems += [problem for name in _OBJECTS if name in given and (problem := _object_problem(name, given[name]))]
    return problems + _compile_problems(given)


def _number_problem(name: str, value: Any) -> str | None:
    least, most = _FROM_TO.get(name, (-math.inf, _ABOVE_ZERO.get(name, math.inf)))
    sentence = _number_sentence(name, value, least, most)
    if sentence is None:
        return None
    shown = f"{value:g}" if isinstance(value, float) else value
    return sentence.format(name=name, value=shown, least=least, most=_INT if name == "max_steps" else most)


def _number_sentence(name: str, value: Any, least: float, most: float) -> str | None:
    """Say what a number should be, if it is not; written so that nan is out of every range."""
    if name in _PROBABILITIES and not 0 <= value < 1:
        return _("--{name} {value}: takes a number from 0 to below 1")
    if name == "max_steps" and value == 0:
        return _(
            "--{name} {value}: takes 1 to {most:,} steps, or -1 for as many as --num_train_epochs means; "
            "run_evaluate.py scores a model without training it"
        )
    if name == "max_steps" and not (value == -1 or 1 <= value <= _INT):
        return _("--{name} {value}: takes 1 to {most:,} steps, or -1 for as many as --num_train_epochs means")
    if name in ("num_train_epochs", "learning_rate") and value == 0:
        return _("--{name} {value}: takes a number above 0; run_evaluate.py scores a model without training it")
    if name in _ABOVE_ZERO and not value > 0:
        return _("--{name} {value}: takes a number above 0")
    if name in _FROM_TO and not value >= least:
        return _("--{name} {value}: takes {least} or more")
    if most < math.inf and value > most:
        if most == _A_CORE:
            return _("--{name} {value}: takes {most:,.0f} or less on this machine")
        return _("--{name} {value}: takes {most:,.0f} or less")
    if name in _SHARES_OR_STEPS and value > 1 and value != int(value):
        return _("--{name} {value}: takes a whole number of steps, or a share of all steps below 1")
    return None


def _object_problem(name: str, value: Any) -> str | None:
    """Say what is wrong with a JSON object, or with the file that should hold one."""
    takes_file = _OBJECTS[name]
    if takes_file:
        expected = _("--{name} {value}: takes a JSON object or a file that holds one")
    else:
        expected = _("--{name} {value}: takes a JSON object")
    if not isinstance(value, str):
        return None if isinstance(value, Mapping) else expected.format(name=name, value=value)
    problem = expected.format(name=name, value=repr(value))
    try:
        is_file = takes_file and not value.lstrip().startswith(("{", "["))
        found = json.loads(Path(value).read_text(encoding="utf-8") if is_file else value)
    except OSError as error:
        return _("{problem}; {reason}").format(problem=problem, reason=error.strerror)
    except ValueError as error:
        return _("{problem}; this is not JSON ({error})").format(problem=problem, error=error)
    return None if isinstance(found, dict) else problem


def _compile_problems(given: Mapping[str, Any]) -> list[str]:
    problems = []
    backend, mode = given.get("torch_compile_backend"), given.get("torch_compile_mode")
    known = sorted(item.value.lower() for item in DynamoBackend)
    if backend is not None and str(backend).lower() not in known:
        problems.append(
            _("--torch_compile_backend {backend!r}: takes one of {names}").format(
                backend=backend, names=enumerated(known)
            )
        )
    if mode is not None:
        from torch._inductor import list_mode_options  # takes a second

        if mode not in (modes := sorted(list_mode_options())):
            problems.append(
                _("--torch_compile_mode {mode!r}: takes one of {names}").format(mode=mode, names=enumerated(modes))
            )
    return problems
