"""How much disk the checkpoints of a run take, and whether it is there."""

import pytest

from recipe import disk
from recipe.errors import UserError


@pytest.mark.parametrize(
    ("limit", "saves", "at_once"),
    [(None, 7, 7), (3, 2, 2), (3, 100, 5), (1, 100, 3)],
)
def test_a_run_holds_the_newest_the_best_and_the_one_that_is_being_written(limit, saves, at_once):
    assert disk.run_bytes(1000, limit, saves) == 1000 * at_once


def test_what_a_resumed_run_holds_already_is_not_asked_for_again(tmp_path, monkeypatch):
    for directory in ("checkpoint-4", "checkpoint-8", "checkpoint-2.damaged"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "model.safetensors").write_bytes(bytes(2_000_000))
    monkeypatch.setattr("recipe.disk.free_bytes", lambda directory: 1_000_000)
    disk.check_space_for_run(tmp_path, 5_000_000)  # 4 MB stand there, 1 MB is free
    with pytest.raises(UserError, match=r"has 1 MB free, .* up to 7 MB\. Free 2 MB more"):
        disk.check_space_for_run(tmp_path, 7_000_000)
