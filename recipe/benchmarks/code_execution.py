"""Programs of a model run in a process of their own with limits; Pass@k. Plain Python.

This is no sandbox. It stops accidents and plain malice on a machine where nothing else is at stake: docs/benchmarks.md
shows the container to run it in.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from recipe.language import N_

SECONDS = 10  # of processor; a solution of HumanEval takes milliseconds
_WALL_FACTOR = 3  # a busy machine gives a process a part of a core
_MEMORY = 1 << 30
_FILE = 1 << 16
_LAUNCHER = Path(__file__).with_name("limited_process.py")


class End(Enum):
    """How a program ended."""

    PASSED = N_("passed")
    FAILED = N_("failed")
    TOO_SLOW = N_("too slow")
    KILLED = N_("killed")


class Outcome(NamedTuple):
    """How a program ended, and the exception that stopped it.

    Attributes:
        confined: whether the system could take away processes, network and writing, beyond the limits.
    """

    end: End
    error: str = ""
    confined: bool = True


def run_program(program: str, seconds: int = SECONDS) -> Outcome:
    """Run a program in a process with limits and an empty directory that goes away; passed is who comes to its end.

    A program that leaves early, by `sys.exit(0)` for one, has passed none of the tests at its end: the process proves
    with a random word that it got there.
    """
    proof = secrets.token_hex(16)
    order = {"program": program, "proof": proof, "cpu_seconds": seconds, "memory_bytes": _MEMORY, "file_bytes": _FILE}
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER)],
            cwd=directory,
            env={"LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(order).encode(), timeout=_WALL_FACTOR * seconds)
        except subprocess.TimeoutExpired:
            return Outcome(End.TOO_SLOW)
        finally:
            _end(process)
        answer.seek(0)
        return _outcome(answer.read(2 * _FILE), process.returncode, proof)


def _end(process: subprocess.Popen) -> None:
    """Kill the process and whatever it started that is still in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _outcome(answer: bytes, code: int, proof: str) -> Outcome:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return Outcome(End.TOO_SLOW)
    try:
        found = json.loads(answer)
        said, confined = found["said"], bool(found["confined"])
    except (ValueError, KeyError, TypeError):
        return Outcome(End.KILLED, f"signal {-code}" if code < 0 else f"exit code {code}")
    return Outcome(End.PASSED, "", confined) if said == proof else Outcome(End.FAILED, str(said)[:80], confined)


def pass_at(k: int, samples: int, passed: int) -> float:
    """Return the unbiased estimate of Pass@k from `samples` programs of which `passed` were right.

    Chen et al. 2021 (Evaluating Large Language Models Trained on Code), equation 1: 1 - C(n - c, k) / C(n, k).

    Raises:
        ValueError: fewer samples than k.
    """
    if k > samples:
        raise ValueError(f"Pass@{k} cannot be estimated from {samples} samples")
    return 1.0 - math.comb(samples - passed, k) / math.comb(samples, k)
