"""How a process's threads wait for each other; set before torch is imported."""

from __future__ import annotations

import os

# Rounds of GNU OpenMP's waiting loop, some tens of microseconds, before a thread gives its core away. The library's own
# 300,000 are lost time as soon as another program wants the cores: beside one with two threads a step on two cores took
# 410 to 560 ms with them and 260 ms with 2,000; alone, 127 ms with either (docs/performance.md).
_ROUNDS = "2000"
_OWN_CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def wait_without_spinning() -> None:
    """Let threads that wait for others give their core away soon, unless the environment says how they wait.

    GNU OpenMP, torch's on Linux, reads the variable once, when torch is imported; other platforms' libraries ignore it.
    """
    if not any(name in os.environ for name in _OWN_CHOICES):
        os.environ["GOMP_SPINCOUNT"] = _ROUNDS
