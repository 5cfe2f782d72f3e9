"""Programs of strangers: what they cannot do, and Pass@k. Each hostile program runs under the limits, one at a time."""

import itertools
import random
import statistics
import sys

import pytest

from recipe.benchmarks import code_execution
from recipe.benchmarks.code_execution import End, pass_at, run_program

linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def test_a_program_that_comes_to_its_end_has_passed():
    program = (
        "import math, re, collections, itertools, heapq, random, hashlib, decimal\nassert math.sqrt(4) == 2\nprint(1)"
    )
    assert run_program(program).end is End.PASSED


@pytest.mark.parametrize(
    ("program", "end", "error"),
    [
        ("assert 1 == 2", End.FAILED, "AssertionError"),
        ("this is no Python", End.FAILED, "SyntaxError"),
        ("import sys; sys.exit(0)", End.FAILED, "SystemExit"),
        ("import os; os._exit(0)", End.KILLED, "exit code 0"),
        ("f = lambda: f()\nf()", End.FAILED, "RecursionError"),
        ("x = bytearray(10 * 2**30)", End.FAILED, "MemoryError"),
        ("import os\nwhile True: os.write(1, b'x' * 4096)", End.KILLED, ""),
        ('print("{\\"said\\": 1}")\nraise KeyError', End.FAILED, "KeyError"),
    ],
)
def test_a_program_that_does_not_has_not(program, end, error):
    outcome = run_program(program)
    assert outcome.end is end and error in outcome.error


@linux
@pytest.mark.parametrize(
    "program",
    [
        "import os\nos.fork()",
        "import subprocess\nsubprocess.run(['true'])",
        "import socket\nsocket.create_connection(('127.0.0.1', 80))",
        "import os\nos.remove(VICTIM)",
        "import os\nos.rename(VICTIM, VICTIM + '2')",
        "import os\nos.chmod(VICTIM, 0)",
        "import shutil\nshutil.rmtree(HERE)",
        "open(HERE + '/new.txt', 'w')",
        "open(VICTIM, 'r+')",
        "import os\nos.mkdir(HERE + '/new')",
        "import os\nos.symlink(VICTIM, HERE + '/new')",
        "import os\nos.truncate(VICTIM, 0)",
        "import os\nos.kill(os.getppid(), 9)",
        "import os\nos.execv('/bin/true', ['true'])",
    ],
)
def test_a_program_can_do_no_harm(program, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("whole", encoding="utf-8")
    outcome = run_program(f"VICTIM, HERE = {str(victim)!r}, {str(tmp_path)!r}\n{program}")
    assert outcome.end is End.FAILED and outcome.error == "PermissionError" and outcome.confined
    assert victim.read_text(encoding="utf-8") == "whole" and [file.name for file in tmp_path.iterdir()] == [
        "victim.txt"
    ]


@linux
@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import time\ntime.sleep(99)",
        "import os\nwhile True:\n try: os.fork()\n except OSError: pass",
    ],
)
def test_an_endless_program_is_ended(program, monkeypatch):
    monkeypatch.setattr(code_execution, "_WALL_FACTOR", 1)
    assert run_program(program, seconds=1).end is End.TOO_SLOW


def test_pass_at_k_is_the_mean_over_all_choices_of_k_samples():
    for samples, passed, k in ((5, 2, 1), (5, 2, 3), (6, 0, 2), (4, 4, 4), (7, 1, 7)):
        results = [True] * passed + [False] * (samples - passed)
        exact = statistics.mean(any(chosen) for chosen in itertools.combinations(results, k))
        assert pass_at(k, samples, passed) == pytest.approx(exact)
    with pytest.raises(ValueError, match="Pass@3 cannot"):
        pass_at(3, 2, 1)


def test_two_hundred_texts_that_are_no_programs_end_without_a_traceback_of_ours():
    rng = random.Random(7)
    characters = "\t\n '(\":a一\ud7ff"
    for _ in range(2):  # each tries a hundred damaged programs in one process; a process each takes too long
        texts = ["".join(rng.choices(characters, k=30)) for _ in range(100)]
        program = f"for text in {texts!r}:\n    try: exec(compile(text, 'x', 'exec'), {{}})\n    except Exception: pass"
        assert run_program(program).end is End.PASSED
    assert run_program("\0").end is End.FAILED
    assert run_program("\ud800").end in (End.FAILED, End.KILLED)
