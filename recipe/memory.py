"""How much memory the process has held."""

from __future__ import annotations

import resource
import sys

import torch

MIB = 1 << 20


def peak_memory() -> int:
    """Return the most bytes that were held at once: allocated on the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
