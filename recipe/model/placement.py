"""Where a model runs, and in what number format: chosen once, for every command that loads one to write or to score."""

from __future__ import annotations

import torch

from recipe.errors import UserError
from recipe.settings import DeviceSettings

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def chosen_device(settings: DeviceSettings) -> torch.device:
    """Return the device asked for; an NVIDIA GPU where none is named and there is one, else the CPU.

    Raises:
        UserError: a device that cannot be used.
    """
    if settings.device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(settings.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {settings.device}: cannot be used ({reason})") from None
    return device


def chosen_dtype(settings: DeviceSettings, device: torch.device) -> torch.dtype:
    """Return the number format asked for, else bf16 where the GPU computes in it.

    On a CPU without special units bf16 is slower than fp32 (docs/performance.md).
    """
    if settings.dtype is not None:
        return _DTYPES[settings.dtype]
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
