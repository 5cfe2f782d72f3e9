"""The library's `TrainingArguments` out of the recipe's settings, and the machine made ready for them."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations

from recipe.cli import Settings
from recipe.errors import UserError
from recipe.language import N_, _, enumerated, ngettext
from recipe.model.configuration import load_config
from recipe.model.placement import bf16_trains_faster, cpu_bf16_unit
from recipe.settings import ModelSettings, RunSettings
from recipe.training.validation_metrics import LOWER_IS_BETTER

# Fields of the library that would be accepted and then do nothing, or something else than they say, here.
_REFUSED = {
    "train_sampling_strategy": N_("the recipe orders the rows itself: use --group_by_length true or false"),
    "length_column_name": N_("the recipe knows the lengths of its rows; leave it out"),
    "remove_unused_columns": N_("the recipe's rows hold a column that the model cannot take; leave it out"),
    "label_names": N_("the labels are the tokens themselves; leave it out"),
    "batch_eval_metrics": N_(
        "the recipe's metrics need the whole held-out set, whose logits are never kept anyway; leave it out"
    ),
    "include_for_metrics": N_("the recipe's metrics take tokens and losses only; leave it out"),
    "hub_strategy": N_("the published directory is pushed once, at the end; leave it out"),
    "do_train": N_("run_finetune.py always trains, except with --check; leave it out"),
    "do_eval": N_("run_finetune.py always evaluates; set --eval_steps, or leave it out"),
    "do_predict": N_("run_evaluate.py scores a test file; leave it out"),
    "prediction_loss_only": N_("the recipe's loss is one of its metrics, weighted by tokens; leave it out"),
    "dataloader_drop_last": N_("it would also drop held-out rows from the evaluations; leave it out"),
    "use_liger_kernel": N_(
        "Liger has no kernels for GPT-2 (0.8.5), and the library would go on without it; leave it out"
    ),
    "liger_kernel_config": N_("Liger has no kernels for GPT-2 (0.8.5); leave it out"),
    "debug": N_("steps whose loss or gradient is not finite are reported anyway (--max_nonfinite_steps); leave it out"),
    "auto_find_batch_size": N_("it would change the effective batch size during a run; choose a batch that fits"),
}
# Numbers of mallopt's parameters, from malloc.h, and the largest value that it takes: an int.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT_BYTES = 2**31 - 1


class _OneSetting(HfArgumentParser):
    """The library's parser of its own fields, with errors that can be collected."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument "))


def set_threads(requested: int | None) -> None:
    """Give this process its share of the machine's cores.

    `accelerate launch` without a configuration sets one thread a process, also where there is just one process.
    """
    available = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(requested or max(1, available // processes))


def reuse_freed_memory() -> None:
    """Have glibc keep what this process frees, up to 2 GiB, and take large tensors from it as well.

    By default a block of over 32 MiB goes back to the system at once, and so does the end of the heap: every step then
    asks for its activations and logits anew, which the system hands out page by page and cleared (docs/performance.md).
    mallopt(3) describes the two parameters, and why not M_MMAP_THRESHOLD: 32 MiB are its upper limit. Elsewhere than
    under glibc nothing is done.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    libc.mallopt(_M_MMAP_MAX, 0)


def typed_training_settings(settings: Settings) -> tuple[dict[str, Any], list[str]]:
    """Return the passed-through settings converted to the types of `TrainingArguments`, and what is wrong with them.

    A value of a wrong type is left out; a field that the recipe refuses is a problem too.
    """
    parser = _OneSetting(cast(Any, TrainingArguments))
    problems, typed = [], {}
    for key, value in settings.training.items():
        try:
            typed[key] = _typed(parser, key, value)
        except UserError as error:
            problems += error.problems
        if key in _REFUSED:
            problems.append(_("--{name} {value}: {reason}").format(name=key, value=value, reason=_(_REFUSED[key])))
    problems += _missing_trackers(typed.get("report_to"))
    for switches in (_processes, functools.partial(_precision, settings)):
        try:
            typed |= switches(typed)
        except UserError as error:
            problems += error.problems
    return typed, problems


def _processes(typed: Mapping[str, Any]) -> dict[str, bool]:
    """Return the switch with which several processes without a GPU train on the CPU, over gloo.

    The library takes the CPU for them only where it is told to; without, each process is a run of its own.

    Raises:
        UserError: the launcher's settings are for a machine with other GPUs.
    """
    if os.environ.get("ACCELERATE_MIXED_PRECISION"):
        os.environ["ACCELERATE_MIXED_PRECISION"] = "no"  # --precision decides; a file of another machine may differ
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or typed.get("use_cpu"):
        return {}
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if kind is None or kind.type == "mps":
        if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
            raise UserError(
                _("the launch file shards the model (FSDP), which needs a GPU for each process; this machine has none")
            )
        return {"use_cpu": True}
    if here > (devices := torch.accelerator.device_count()):
        raise UserError(
            ngettext(
                "the launcher started {processes} processes, each of which needs a GPU of its own, and this machine "
                "has {count}; start one process, or train on the CPU with --use_cpu true",
                "the launcher started {processes} processes, each of which needs a GPU of its own, and this machine "
                "has {count}; start {count} processes, or train on the CPU with --use_cpu true",
                devices,
            ).format(processes=here, count=devices)
        )
    return {}


def _missing_trackers(report_to: Any) -> list[str]:
    """Name the trackers that are not installed; the Trainer would raise when the data is ready and the model loaded."""
    wanted = [report_to] if isinstance(report_to, str) else report_to or []
    available = get_available_reporting_integrations()
    return [
        _(
            "--report_to {name}: is not installed or not known; installed: {available}. For TensorBoard run: "
            "pip install -c constraints.txt -e '.[track]'"
        ).format(name=name, available=enumerated(available) or _("none"))
        for name in wanted
        if name not in ("none", "all", *available)
    ]


def _typed(parser: HfArgumentParser, key: str, value: Any) -> Any:
    if value is None:
        return None
    if key.endswith("_strategy") and value is False:
        value = "no"  # which YAML reads as a truth value
    values = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, Mapping) else value]
    parsed, beyond = parser.parse_known_args([f"--{key}", *map(str, values)])
    if beyond:
        raise UserError(
            _("--{name} takes one value; found {values}").format(name=key, values=" ".join(map(str, values)))
        )
    return getattr(parsed, key)


def _precision(settings: Settings, typed: Mapping[str, Any]) -> dict[str, bool]:
    """Return the library's two switches for the precision that is wanted, where the user has not set them.

    Raises:
        UserError: `--precision` beside a switch of the library's own.
    """
    wanted = settings[RunSettings].precision
    if typed.get("bf16") or typed.get("fp16"):
        if wanted != "auto":
            raise UserError(_("--precision contradicts --bf16 or --fp16; give one of them"))
        return {}
    if wanted == "auto":
        wanted = _fastest_precision(settings[ModelSettings], on_cpu=bool(typed.get("use_cpu")))
    switches = {"bf16": wanted == "bf16", "fp16": wanted == "fp16"}
    # The library takes bf16 without a GPU for a slip, unless it is told of the CPU.
    on_cpu = {"use_cpu": True} if wanted == "bf16" and not torch.accelerator.is_available() else {}
    return switches | on_cpu


def _fastest_precision(model: ModelSettings, on_cpu: bool) -> str:
    """Return the precision in which the steps of a training are the fastest on this machine."""
    if torch.accelerator.is_available() and not on_cpu:
        if not torch.cuda.is_available():
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if cpu_bf16_unit() is None:
        return "fp32"
    name = model.model_name_or_path
    try:
        width = model.hidden_size if name is None else load_config(name).hidden_size
    except UserError:
        return "fp32"  # the check of the model itself says what is wrong with it
    return "bf16" if bf16_trains_faster(width) else "fp32"


def _blamed(own: Mapping[str, Any], message: str) -> list[str]:
    """Return the settings that the library complains of: those without which it does not say the same."""
    found = []
    for name in own:
        try:
            TrainingArguments(**{key: value for key, value in own.items() if key != name})
            found.append(name)
        except Exception as error:  # another complaint: the first is gone
            if str(error) != message:
                found.append(name)
    return found


def make_training_arguments(typed: Mapping[str, Any]) -> TrainingArguments:
    """Return the library's arguments.

    Raises:
        UserError: values that contradict each other, or a device that is not there.
    """
    # The first is passed to train(), which does not look it up; the second is done once, after publishing.
    own = {key: value for key, value in typed.items() if key not in ("resume_from_checkpoint", "push_to_hub")}
    # Pinned memory is for copies to a GPU; without one torch warns. With it a copy need not wait for the step before.
    own.setdefault("dataloader_pin_memory", torch.cuda.is_available())
    own.setdefault("accelerator_config", {"non_blocking": bool(own["dataloader_pin_memory"])})
    # The library takes every figure whose name does not end in "loss" for one that should grow; perplexity should not.
    best_by = str(own.get("metric_for_best_model") or "loss").removeprefix("eval_")
    own.setdefault("greater_is_better", best_by not in LOWER_IS_BETTER)
    try:
        arguments = TrainingArguments(**own)
    except (ValueError, ImportError, RuntimeError, TypeError, KeyError, OSError) as error:
        blamed = " ".join(f"--{name} {own[name]}" for name in _blamed(own, str(error)))
        reason = " ".join(str(error).split())
        raise UserError(
            _("{settings}: {reason}").format(settings=blamed or _("training settings"), reason=reason)
        ) from None
    # The library finds it out only when it makes the model ready to train.
    if arguments.fsdp and arguments.world_size == 1:
        raise UserError(
            _("--fsdp shards a model over several processes; start them with accelerate launch or torchrun")
        )
    if arguments.torch_compile:
        # One graph for all lengths. `accelerate launch` always sets this to False: a graph for each of the first eight
        # lengths and none for the other twenty.
        os.environ["ACCELERATE_DYNAMO_USE_DYNAMIC"] = "true"
    return arguments
