"""Models shared out among processes (FSDP2, on gloo): saved whole or not at all, resumed exactly, gathered whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_helpers import free_port
from safetensors.torch import load_file
from sharded_training import EFFECTIVE_BATCH, MOMENTS
from tiny_run import logged, tiny_trainer

from recipe.errors import UserError
from recipe.files import write_text
from recipe.model.finding import find_model
from recipe.run_directory import WRITING_PREFIX, checkpoints_by_step
from recipe.training.checkpoints import Sealer, is_sharded, newest_verified_checkpoint, problems_of, read_manifest
from recipe.training.second_start import finished_run

SCRIPT = Path(__file__).with_name("sharded_training.py")
SHORT = 6  # steps, of five an epoch; checkpoints after the fourth and the last


def run_together(processes: int, *runs: dict[str, Any]) -> tuple[list[int], str]:
    """Do the runs one after the other in so many processes; return their exit codes and what they said."""
    meeting = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, str(SCRIPT), json.dumps(runs, default=str)]
    started = [
        subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | meeting | {"OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]
    try:
        said = "".join(process.communicate(timeout=300)[1] for process in started)
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], said


def train_together(processes: int, *runs: dict[str, Any]) -> str:
    codes, said = run_together(processes, *runs)
    assert codes == [0] * processes, said
    return said


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "weights.safetensors")


def log_of(directory: Path) -> list[dict[str, float]]:
    return json.loads((directory / "logged.json").read_text(encoding="utf-8"))


def assert_same_run(directory: Path, other: Path) -> None:
    """The same to the last bit."""
    weights, others = weights_of(directory), weights_of(other)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert log_of(directory) == log_of(other)


def assert_like_run(records: list[dict], weights: dict[str, torch.Tensor], other: Path, atol: float = 1e-4) -> None:
    """The same but for the order of additions; losses of training, of held-out rows, and the norms of gradients."""
    others = log_of(other)
    assert [record.keys() for record in records] == [record.keys() for record in others]
    for record, expected in zip(records, others, strict=True):
        compared = record.keys() - {"train_loss"}  # of whose last steps the library counts those of one process only
        assert {name: record[name] for name in compared} == pytest.approx(
            {name: expected[name] for name in compared}, rel=2e-4
        )
    for name, weight in weights_of(other).items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=atol, msg=name)


# ---- The protocol, without processes ----


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A checkpoint of two processes as the store sees it."""
    sealers = [Sealer(tmp_path, 8) for _ in range(2)]
    for rank, sealer in enumerate(sealers):
        for name in (f"shard-{rank + 1:05}-model-00001-of-00001.safetensors", f"rng_state_{rank}.pth"):
            write_text(sealer.directory / name, f"{name} of process {rank}")
            sealer.take_finished(name)
        sealer.write_part(rank)
    for name in ("scheduler.pt", "trainer_state.json"):
        write_text(sealers[0].directory / name, name)
    sealers[0].put_in_place(2, {"seed": 7}, sharded=True)
    for sealer in sealers:
        sealer.close()
    return tmp_path / "checkpoint-8"


def test_each_process_lists_its_own_files_and_the_first_what_remains(sharded: Path) -> None:
    listed = [json.loads((sharded / name).read_text(encoding="utf-8"))["files"].keys() for name in MANIFESTS]
    assert [*map(sorted, listed)] == [
        ["manifest_0.json", "manifest_1.json", "scheduler.pt", "trainer_state.json"],
        ["rng_state_0.pth", "shard-00001-model-00001-of-00001.safetensors"],
        ["rng_state_1.pth", "shard-00002-model-00001-of-00001.safetensors"],
    ]
    assert problems_of(sharded) == [] and is_sharded(sharded)
    assert newest_verified_checkpoint(sharded.parent) == sharded


MANIFESTS = ("manifest.json", "manifest_0.json", "manifest_1.json")


@pytest.mark.parametrize("name", ["manifest_1.json", "shard-00002-model-00001-of-00001.safetensors", "rng_state_0.pth"])
def test_what_one_process_wrote_is_missing_cut_or_changed(
    sharded: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    whole = (sharded / name).read_bytes()
    (sharded / name).write_bytes(whole[:-3])
    assert problems_of(sharded) == [f"{name} has {len(whole) - 3} bytes instead of {len(whole)}"]
    (sharded / name).write_bytes(whole[:-3] + b"xxx")
    assert problems_of(sharded) == [f"{name} does not match its checksum"]
    (sharded / name).unlink()
    assert problems_of(sharded) == [f"{name} is missing"]
    assert newest_verified_checkpoint(sharded.parent) is None
    assert f"{name} is missing" in capfd.readouterr().err


def test_a_manifest_that_lists_too_few_processes_is_no_checkpoint(sharded: Path) -> None:
    manifest = json.loads((sharded / "manifest.json").read_text(encoding="utf-8"))
    (sharded / "manifest.json").write_text(json.dumps(manifest | {"processes": 3}), encoding="utf-8")
    assert problems_of(sharded) == ["manifest_2.json is missing"]


def test_shards_are_named_for_what_they_are_where_a_model_is_wanted(sharded: Path) -> None:
    for directory in (sharded, sharded.parent):
        with pytest.raises(UserError, match=r"checkpoint-8: holds a model in shards.*--publish_dir DIR"):
            find_model(str(directory))


# ---- Two processes ----


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps of two processes: `unbroken` and `broken` with dropout, `plain` without."""
    directory = tmp_path_factory.mktemp("two")
    names = ("unbroken", "broken", "plain")
    unbroken, broken, plain = ({"directory": directory / name, "max_steps": SHORT} for name in names)
    train_together(2, unbroken, broken | {"leave_after": 4}, broken, plain | {"dropout": 0.0})
    return directory


def test_two_processes_go_on_exactly(two: Path) -> None:
    assert_same_run(two / "broken", two / "unbroken")
    checkpoint = two / "broken/checkpoint-6"
    assert problems_of(checkpoint) == [] and is_sharded(checkpoint)
    shards = sorted(checkpoint.glob("shard-*.safetensors"))
    assert len(shards) == 2
    weights = weights_of(two / "broken")
    held = [load_file(shard) for shard in shards]
    matrix = "transformer.h.0.mlp.c_fc.weight"
    assert [part[matrix].shape[0] for part in held] == [weights[matrix].shape[0] // 2] * 2
    assert torch.equal(torch.cat([part[matrix] for part in held]), weights[matrix])
    assert not list(checkpoint.glob("*.bin")) and not list(checkpoint.glob(".metadata"))


def test_a_finished_run_in_shards_says_how_a_model_is_made_of_them(two: Path) -> None:
    directory = two / "unbroken"
    identity = read_manifest(directory / "checkpoint-6")["identity"]
    said = finished_run(str(directory), identity, None, "", is_free=False)
    assert "make a model that answers of its shards: the same command with --publish_dir DIR" in said
    assert finished_run(str(directory), identity, str(two / "published"), "", is_free=False) is None


def test_one_process_goes_on_from_the_shards_of_two(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "plain/checkpoint-4", tmp_path / "checkpoint-4")
    alone = {"dropout": 0.0, "max_steps": SHORT, "per_device_train_batch_size": EFFECTIVE_BATCH}
    with pytest.raises(UserError, match="processes: 2, each with a part of the model in the checkpoint, 1 now"):
        tiny_trainer(tmp_path, **alone).train("auto")
    trainer = tiny_trainer(tmp_path, allow_changed=True, **alone)
    trainer.train("auto")
    assert_like_run(logged(trainer), trainer.model.state_dict(), two / "plain")
    assert not is_sharded(tmp_path / "checkpoint-6")


def test_another_optimizer_than_the_shards_are_of_is_one_sentence(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "plain/checkpoint-4", tmp_path / "checkpoint-4")
    alone = {"allow_changed": True, "max_steps": SHORT, "per_device_train_batch_size": EFFECTIVE_BATCH}
    with pytest.raises(UserError, match=r"cannot be loaded into this run \(RuntimeError: process 0: .*momentum_buffer"):
        tiny_trainer(tmp_path, muon=True, **alone).train("auto")


# ---- Killed in a save, and other numbers of processes ----


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "ranks"), [(2, (1, 1, 0, 1, 0)), (4, (0, 3, 2, 1, 0))])
def test_killed_at_any_moment_of_a_save_it_goes_on_from_the_one_before(
    tmp_path: Path, processes: int, ranks: tuple[int, ...]
) -> None:
    """Each start goes on with the run that was killed last, and is then killed in another."""
    settings = {"max_steps": SHORT, "save_steps": 2}
    before = {"directory": tmp_path / "unbroken"} | settings
    for moment, rank in zip(MOMENTS, ranks, strict=True):
        killed = {"directory": tmp_path / moment} | settings
        codes, _ = run_together(processes, before, killed | {"killed": (moment, rank, 4)})
        assert codes[rank] == -signal.SIGKILL and all(codes)
        assert list(checkpoints_by_step(tmp_path / moment)) == [2]
        assert list((tmp_path / moment).glob(f"{WRITING_PREFIX}*"))
        before = killed
    train_together(processes, before)
    for moment in MOMENTS:
        assert_same_run(tmp_path / moment, tmp_path / "unbroken")
        assert not list((tmp_path / moment).glob(".*"))


@pytest.mark.slow
def test_other_numbers_of_processes_go_on(tmp_path: Path) -> None:
    """The same rows at every step, in every number of processes: without dropout only the rounding differs."""
    common = {"dropout": 0.0, "save_total_limit": None, "allow_changed": True, "max_steps": SHORT}
    kinds = {"adamw": common, "muon": common | {"muon": True}}
    runs = {
        (kind, name): {"directory": tmp_path / kind / name} | settings
        for kind, settings in kinds.items()
        for name in ("four", "two", "two to four", "four to two")
    }

    def go_on(source: str, target: str) -> None:
        for kind in kinds:
            shutil.copytree(tmp_path / kind / source / "checkpoint-4", tmp_path / kind / target / "checkpoint-4")

    train_together(4, *(runs[kind, "four"] for kind in kinds))
    go_on("four", "four to two")
    said = train_together(2, *(runs[kind, name] for kind in kinds for name in ("two", "four to two")))
    assert "processes: 4, each with a part of the model in the checkpoint, 2, each" in said
    go_on("two", "two to four")
    train_together(4, *(runs[kind, "two to four"] for kind in kinds))
    go_on("four", "four to one")
    for kind, settings in kinds.items():
        # Muon rounds to bf16, which makes more of the order of additions.
        four, atol = tmp_path / kind / "four", 2e-3 if kind == "muon" else 1e-4
        alone = tiny_trainer(tmp_path / kind / "four to one", per_device_train_batch_size=EFFECTIVE_BATCH, **settings)
        alone.train("auto")
        assert_like_run(logged(alone), alone.model.state_dict(), four, atol)
        for name in ("two", "two to four", "four to two"):
            assert_like_run(log_of(tmp_path / kind / name), weights_of(tmp_path / kind / name), four, atol)


@pytest.mark.slow
def test_a_damaged_shard_is_set_aside_and_a_whole_checkpoint_refused(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "unbroken", tmp_path / "damaged")
    (tmp_path / "damaged/checkpoint-6/shard-00002-model-00001-of-00001.safetensors").unlink()
    said = train_together(2, {"directory": tmp_path / "damaged", "max_steps": SHORT})
    assert "checkpoint-6 is damaged and is not used: shard-00002-model-00001-of-00001.safetensors is missing" in said
    assert "checkpoint-4, verified whole" in said
    assert_same_run(tmp_path / "damaged", two / "unbroken")

    tiny_trainer(tmp_path / "whole", max_steps=4).train()
    codes, said = run_together(2, {"directory": tmp_path / "whole", "allow_changed": True})
    assert codes == [2, 2]
    assert "checkpoint-4 holds a whole model, and this run shares it out among its processes (FSDP)" in said
