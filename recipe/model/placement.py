"""Where a model runs, and in what number format: chosen once, for every command that loads one to write or to score."""

from __future__ import annotations

import os

import torch

from recipe.errors import UserError
from recipe.language import _
from recipe.settings import DeviceSettings

# Hidden sizes from which bf16 pays on a CPU that multiplies it (docs/performance.md). Narrower models spend their time
# elsewhere: in training on the conversions around each product, in writing on everything but products.
_BF16_WIDTH_TRAINING, _BF16_WIDTH_WRITING = 128, 512
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def chosen_device(settings: DeviceSettings) -> torch.device:
    """Return the device asked for; an NVIDIA GPU where none is named and there is one, else the CPU.

    Of several GPUs each process of this machine takes its own.

    Raises:
        UserError: a device that cannot be used.
    """
    if settings.device is None:
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        device = torch.device(settings.device)
        torch.zeros(1, device=device).item()  # which "meta" cannot
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            _("--device {device}: cannot be used ({reason})").format(device=settings.device, reason=reason)
        ) from None
    return device


def chosen_dtype(settings: DeviceSettings, device: torch.device, width: int) -> torch.dtype:
    """Return the number format asked for, else bf16 where `device` computes faster in it.

    Args:
        width: the model's hidden size.
    """
    if settings.dtype is not None:
        return _DTYPES[settings.dtype]
    if device.type == "cpu":
        return torch.bfloat16 if width >= _BF16_WIDTH_WRITING and cpu_bf16_unit() else torch.float32
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def cpu_bf16_unit() -> str | None:
    """Return the name of the processor's unit that multiplies bf16, as `lscpu` shows it; None if it has none.

    A processor without one emulates bf16 and is slower than in fp32. What the processor says of itself decides, no
    stopwatch: a measurement on a busy machine could choose otherwise for a resumed run than for the run before it.
    """
    if torch.cpu._is_amx_tile_supported():
        return "amx_bf16"
    return "avx512_bf16" if torch.cpu._is_avx512_bf16_supported() else None


def bf16_trains_faster(width: int) -> bool:
    """Whether a model of this hidden size takes its training steps faster in bf16 than in fp32 on this CPU."""
    return width >= _BF16_WIDTH_TRAINING and cpu_bf16_unit() is not None
