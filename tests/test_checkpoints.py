"""Checkpoints: whole or absent, verified before they are loaded, resumed exactly, rotated by step."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_run import IDENTITY, LeaveAfterSave, logged, tiny_trainer, weights_sha256

from recipe.errors import UserError
from recipe.files import sync
from recipe.run_directory import checkpoints_by_step
from recipe.training.checkpoints import check_same_run, newest_verified_checkpoint, problems_of, rotate
from recipe.training.nonfinite import GuardedTrainer

STATE_FILES = [
    *("model.safetensors", "optimizer.pt", "scheduler.pt"),
    *("rng_state.pth", "progress_0.json", "trainer_state.json"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> GuardedTrainer:
    trainer = tiny_trainer(tmp_path_factory.mktemp("finished"))
    trainer.train()
    return trainer


@pytest.fixture
def run_dir(finished: GuardedTrainer, tmp_path: Path) -> Path:
    """A copy of the finished run's directory (checkpoints 16 and 20) to damage."""
    return Path(shutil.copytree(finished.args.output_dir, tmp_path / "run"))


def test_a_checkpoint_is_whole_and_holds_no_pickle_of_arguments(run_dir: Path) -> None:
    assert list(checkpoints_by_step(run_dir)) == [16, 20]
    checkpoint = run_dir / "checkpoint-20"
    assert problems_of(checkpoint) == []
    manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["files"].keys() == {path.name for path in checkpoint.iterdir()} - {"manifest.json"}
    assert set(STATE_FILES) <= manifest["files"].keys()
    assert "training_args.bin" not in manifest["files"]
    assert manifest["identity"] == IDENTITY | {"processes": 1}
    assert not list(run_dir.glob(".*"))


def test_every_file_and_then_the_name_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that reaches the disk before the bytes leaves, after a power cut, a name over nothing."""
    flushed: list[tuple[str, bool]] = []

    def record(path: Path) -> None:
        flushed.append((path.relative_to(tmp_path).as_posix(), (tmp_path / "checkpoint-4").exists()))
        sync(path)

    monkeypatch.setattr("recipe.training.checkpoints.sync", record)
    tiny_trainer(tmp_path, max_steps=4).train()
    files = json.loads((tmp_path / "checkpoint-4/manifest.json").read_text(encoding="utf-8"))["files"]
    assert sorted(flushed[:-1]) == sorted((f".writing-checkpoint-4/{name}", False) for name in files)
    assert flushed[-1] == (".", True)


@pytest.mark.parametrize(
    ("stop", "workers"),
    [(4, 0), (8, 2), (12, 0), (16, 2)],
    ids=["first epoch", "first epoch, workers", "second epoch", "second epoch, workers"],
)
def test_a_resumed_run_equals_the_unbroken_one_bit_for_bit(
    finished: GuardedTrainer, tmp_path: Path, stop: int, workers: int
) -> None:
    with pytest.raises(SystemExit):
        tiny_trainer(tmp_path, [LeaveAfterSave(stop)], dataloader_num_workers=workers).train()
    resumed = tiny_trainer(tmp_path, dataloader_num_workers=workers)
    resumed.train("auto")
    assert weights_sha256(resumed) == weights_sha256(finished)
    assert logged(resumed) == logged(finished)  # every loss, gradient norm and evaluation, and the mean of the run


@pytest.mark.parametrize("steps", [14, 20], ids=["within an epoch", "at the end of an epoch"])
def test_resuming_a_finished_run_changes_nothing(tmp_path: Path, steps: int) -> None:
    first = tiny_trainer(tmp_path, max_steps=steps)
    first.train()
    standing = list(checkpoints_by_step(tmp_path))
    again = tiny_trainer(tmp_path, max_steps=steps)
    again.train("auto")
    assert weights_sha256(again) == weights_sha256(first)
    assert logged(again) == logged(first)
    assert list(checkpoints_by_step(tmp_path)) == standing


@pytest.mark.parametrize("name", STATE_FILES)
def test_a_missing_file_is_an_error_not_a_fresh_start(run_dir: Path, name: str) -> None:
    (run_dir / "checkpoint-20" / name).unlink()
    assert problems_of(run_dir / "checkpoint-20") == [f"{name} is missing"]
    with pytest.raises(UserError, match=f"{name} is missing"):
        tiny_trainer(run_dir).train(run_dir / "checkpoint-20")


@pytest.mark.parametrize("name", STATE_FILES)
def test_one_changed_bit_is_found(run_dir: Path, name: str) -> None:
    path = run_dir / "checkpoint-20" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert problems_of(run_dir / "checkpoint-20") == [f"{name} does not match its checksum"]


@pytest.mark.parametrize("name", STATE_FILES)
def test_a_manifest_that_does_not_name_the_state_is_refused(run_dir: Path, name: str) -> None:
    path = run_dir / "checkpoint-20" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["files"][name]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert problems_of(path.parent) == [f"{name} is missing"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": 1}', "[" * 100_000, '{"files": {"a": 3}}', "\x00"])
def test_a_manifest_that_cannot_be_read_is_damage(run_dir: Path, content: str) -> None:
    (run_dir / "checkpoint-20" / "manifest.json").write_text(content, encoding="utf-8")
    assert "manifest.json cannot be read" in problems_of(run_dir / "checkpoint-20")[0]


def test_a_damaged_newest_is_named_and_set_aside_and_the_one_before_is_used(
    finished: GuardedTrainer, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = run_dir / "checkpoint-20" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-7])
    resumed = tiny_trainer(run_dir)
    resumed.train("auto")
    assert weights_sha256(resumed) == weights_sha256(finished)
    assert list(checkpoints_by_step(run_dir)) == [16, 20]
    assert (run_dir / "checkpoint-20.damaged").is_dir()
    message = capsys.readouterr().err
    assert "checkpoint-20 is damaged" in message and "bytes instead of" in message


def test_a_directory_of_another_program_is_set_aside(run_dir: Path) -> None:
    for number in (30, 31):
        (run_dir / f"checkpoint-{number}").mkdir()
    (run_dir / "checkpoint-30.damaged").mkdir()
    assert newest_verified_checkpoint(run_dir) == run_dir / "checkpoint-20"
    assert (run_dir / "checkpoint-30.damaged-2").is_dir() and (run_dir / "checkpoint-31.damaged").is_dir()


def test_a_renamed_checkpoint_is_refused(run_dir: Path) -> None:
    (run_dir / "checkpoint-16").rename(run_dir / "checkpoint-18")
    assert problems_of(run_dir / "checkpoint-18") == ["its manifest belongs to step 16"]


def test_all_differences_stand_in_one_message(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = {"data": "other rows", "seed": 8}
    with pytest.raises(UserError) as error:
        tiny_trainer(run_dir, identity=changed).train("auto")
    assert "data: forty rows in the checkpoint, other rows now" in str(error.value)
    assert "seed: 7 in the checkpoint, 8 now" in str(error.value)
    assert "--allow_changed" in str(error.value)
    tiny_trainer(run_dir, identity=changed, allow_changed=True).train("auto")
    assert "seed: 7 in the checkpoint, 8 now" in capsys.readouterr().err
    check_same_run(run_dir / "checkpoint-20", IDENTITY | {"processes": 1})


def test_a_changed_learning_rate_holds_after_a_resume(run_dir: Path) -> None:
    shutil.rmtree(run_dir / "checkpoint-20")
    trainer = tiny_trainer(run_dir, learning_rate=1e-3)
    trainer.train("auto")
    rates = {record["step"]: record["learning_rate"] for record in trainer.state.log_history if "loss" in record}
    # Linear to zero over 20 steps; a record shows the rate of the step before it.
    assert rates[15] == pytest.approx(1e-2 * (20 - 14) / 20)
    assert rates[18] == pytest.approx(1e-3 * (20 - 17) / 20)


def test_a_fresh_start_does_not_mix_with_what_stands_there(run_dir: Path) -> None:
    with pytest.raises(UserError, match=r"already holds checkpoint-16, checkpoint-20.*--resume_from_checkpoint auto"):
        tiny_trainer(run_dir).train()
    with pytest.raises(UserError, match="already holds checkpoint-20"):
        tiny_trainer(run_dir).train(run_dir / "checkpoint-16")
    with pytest.raises(UserError, match=r"checkpoint-3 cannot be resumed from.*manifest"):
        tiny_trainer(run_dir).train(run_dir / "checkpoint-3")


def test_auto_in_an_empty_directory_starts_fresh(finished: GuardedTrainer, tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, max_steps=4)
    (tmp_path / ".writing-checkpoint-8").mkdir()  # of a run that was killed
    trainer.train("auto")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]


def test_rotation_goes_by_step_and_keeps_the_best(tmp_path: Path) -> None:
    for age, step in enumerate([300, 100, 1000, 200]):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}/manifest.json").touch()
        os.utime(tmp_path / f"checkpoint-{step}", (age, age))
    (tmp_path / "checkpoint-7").mkdir()  # another program's, without a manifest
    (tmp_path / "checkpoint-50.damaged").mkdir()
    rotate(tmp_path, keep=2, best_step=100)
    assert list(checkpoints_by_step(tmp_path)) == [7, 100, 300, 1000]
    rotate(tmp_path, keep=None, best_step=None)
    assert list(checkpoints_by_step(tmp_path)) == [7, 100, 300, 1000]
    assert (tmp_path / "checkpoint-50.damaged").is_dir()


def test_the_best_survives_and_is_loaded_only_whole(tmp_path: Path) -> None:
    class WorseAndWorse(GuardedTrainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            return super().evaluate(*args, **kwargs) | {"eval_loss": float(self.state.global_step)}

    best = {"load_best_model_at_end": True, "eval_steps": 4, "save_total_limit": 1, "trainer_class": WorseAndWorse}
    trainer = tiny_trainer(tmp_path, [LeaveAfterSave(20)], **best)
    with pytest.raises(SystemExit):
        trainer.train()
    assert trainer.state.best_global_step == 4
    assert list(checkpoints_by_step(tmp_path)) == [4, 20]
    weights = tmp_path / "checkpoint-4" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=r"best checkpoint .*checkpoint-4 is damaged"):
        tiny_trainer(tmp_path, **best).train("auto")


def test_a_save_that_fails_loses_only_itself(
    finished: GuardedTrainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class FullAtStepEight(GuardedTrainer):
        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            super()._save_optimizer_and_scheduler(output_dir)
            if self.state.global_step == 8:
                raise OSError(28, "No space left on device")

    trainer = tiny_trainer(tmp_path, trainer_class=FullAtStepEight, save_total_limit=None)
    trainer.train()
    assert list(checkpoints_by_step(tmp_path)) == [4, 12, 16, 20]
    assert not list(tmp_path.glob(".*"))
    assert weights_sha256(trainer) == weights_sha256(finished)
    message = capsys.readouterr().err
    assert "step 8 could not be saved" in message and "No space left" in message and "Training goes on" in message


def test_a_last_save_that_fails_is_an_error(tmp_path: Path) -> None:
    class FullAtTheEnd(GuardedTrainer):
        def _save_scaler(self, output_dir: str) -> None:
            if self.state.global_step == 20:
                raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"step 20 could not be saved.*No space left.*--resume_from_checkpoint auto"):
        tiny_trainer(tmp_path, trainer_class=FullAtTheEnd).train()
    assert list(checkpoints_by_step(tmp_path)) == [12, 16]


def test_too_little_space_is_found_before_a_byte_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipe.disk.free_bytes", lambda directory: 1000)
    with pytest.raises(UserError, match=r"step 4 could not be saved.*0 MB free, 17 MB needed"):
        tiny_trainer(tmp_path, max_steps=4).train()
    assert not list(tmp_path.glob("*checkpoint*"))


def test_settings_that_would_break_the_promise_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        tiny_trainer(tmp_path, save_only_model=True, save_on_each_node=True)
    assert len(error.value.problems) == 2
