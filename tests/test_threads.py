"""How the commands' threads wait: set before torch is there, and never over the user's own choice."""

from __future__ import annotations

import os

import pytest

from recipe.errors import run_or_explain
from recipe.threads import wait_without_spinning


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that the environment is restored at the end
        monkeypatch.delenv(name)


def test_every_command_lets_waiting_threads_give_their_core_away():
    seen = []
    assert run_or_explain(lambda argv: seen.append(os.environ.get("GOMP_SPINCOUNT")) or 0, []) == 0
    assert int(seen[0]) < 10_000


@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "ACTIVE")])
def test_the_environments_own_choice_stays(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    wait_without_spinning()
    assert dict(os.environ) == before
