"""The promise of the default run, kept by its own bench; minutes long, so only with `pytest -m slow`."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_default_run_learns_in_three_minutes() -> None:
    result = subprocess.run([sys.executable, "bench/quickstart.py"], capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
