"""How much memory this process has held at its most."""

from __future__ import annotations

import resource
import sys

import torch


def peak_memory() -> int:
    """Return the most bytes that this process has held: allocated on the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB on Linux
