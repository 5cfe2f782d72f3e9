"""Several processes do what one does: the same losses, metrics and weights, each row once, on gloo and loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import distributed_run
import pytest
import torch
from distributed_helpers import Run, finish, free_port, read_run, start_agent
from finetune_helpers import ROOT, TINY, flags, invented_couplets, write_rows

from recipe.model.finding import find_model
from recipe.model.modeling import load_model
from recipe.model.tokenization import load_tokenizer

EFFECTIVE_BATCH = 8
MULTI = "DistributedType.MULTI_CPU"
ROWS = 150  # 15 held out, 135 to train on: neither is a multiple of any batch here
SETTINGS: dict[str, Any] = TINY | {
    "config": "none",
    "from_scratch": True,
    "dropout": 0.0,
    "num_train_epochs": 2,
    "learning_rate": 3e-3,
    "logging_steps": 1,
    "eval_steps": 9,
    "save_steps": 9,
    "per_device_eval_batch_size": 2,
    "generation_eval_size": 4,
    "sample_prompts": ["云山高"],
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "couplets.csv", invented_couplets(ROWS, seed=3))


def settings_for(processes: int, corpus: Path, directory: Path) -> dict[str, Any]:
    """Return the settings of a run of the same effective batch, with a cache of its own."""
    batch = {"per_device_train_batch_size": EFFECTIVE_BATCH // processes}
    return SETTINGS | batch | {"train_file": corpus, "cache_dir": directory / "cache"}


def trained(processes: int, corpus: Path, directory: Path) -> tuple[Run, str]:
    """Train in processes of their own and return the run, after a look at how many there really were."""
    settings = settings_for(processes, corpus, directory)
    output = finish(start_agent(directory, processes, **settings))[0]
    run = read_run(directory)
    assert [(rank["processes"], rank["type"]) for rank in run.ranks] == [(processes, MULTI)] * processes
    return run, output


@pytest.fixture(scope="session")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of one process that the others are held against; in this one."""
    directory = tmp_path_factory.mktemp("alone")
    settings = settings_for(1, corpus, directory)
    assert distributed_run.main([str(directory), *flags(output_dir=directory, use_cpu=True, **settings)]) == 0
    return read_run(directory)


def assert_equal_to_rounding(run: Run, alone: Run) -> None:
    """Losses, gradients and every metric of every evaluation; weights, which add up the rounding of all steps."""
    for name in ("loss", "grad_norm", "learning_rate", "accuracy"):
        assert run.figures(name) == pytest.approx(alone.figures(name), rel=2e-4), name
    names = [name for name in alone.records[0] if name.startswith("eval_") and "second" not in name]
    assert {"eval_loss", "eval_accuracy", "eval_lower_accuracy", "eval_generation_bleu"} <= set(names)
    for name in (name for name in names if name != "eval_runtime"):
        assert run.figures(name) == pytest.approx(alone.figures(name), rel=2e-4), name
    for name, weight in alone.weights.items():
        torch.testing.assert_close(run.weights[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def assert_each_row_once(run: Run, epochs: int = 2) -> None:
    """Every training row once an epoch, balanced between the processes; every held-out row once an evaluation."""
    steps = run.train_steps()
    an_epoch = len(steps) // epochs
    epoch_rows = [
        Counter(row for step in steps[e * an_epoch : (e + 1) * an_epoch] for row in step) for e in range(epochs)
    ]
    assert all(set(rows.values()) == {1} for rows in epoch_rows)
    assert len(epoch_rows[0]) == ROWS - ROWS // 10
    assert epoch_rows[0] == epoch_rows[1]
    sizes = [[len(batch) for batch in rank["train"]] for rank in run.ranks]
    assert all(max(of_step) - min(of_step) <= 1 for of_step in list(zip(*sizes, strict=True))[: an_epoch - 1])
    for rank in run.ranks:
        for rows in rank["evaluated"]:
            assert set(Counter(map(tuple, rows)).values()) == {1}
            assert len(rows) == ROWS // 10


def test_two_processes_equal_one(alone: Run, corpus: Path, tmp_path: Path) -> None:
    run, output = trained(2, corpus, tmp_path)
    assert_equal_to_rounding(run, alone)
    assert_each_row_once(run)
    assert list(map(sorted, run.train_steps())) == list(map(sorted, alone.train_steps()))
    assert output.count("云山高-") == len(alone.figures("eval_loss"))


@pytest.mark.slow
def test_four_processes_equal_one(alone: Run, corpus: Path, tmp_path: Path) -> None:
    run, _ = trained(4, corpus, tmp_path)
    assert_equal_to_rounding(run, alone)
    assert_each_row_once(run)


# ---- Two machines, played by two agents on loopback ----


def meet(directory: Path, corpus: Path, port: int) -> list[subprocess.Popen]:
    """Start one agent for each machine, one process each; both wait for the other."""
    settings = settings_for(2, corpus, directory) | {"ddp_timeout": 60, "resume_from_checkpoint": "auto"}
    return [start_agent(directory, 1, agents=2, port=port, **settings) for _ in range(2)]


def wait_for_checkpoint(directory: Path, agents: list[subprocess.Popen]) -> None:
    until = time.monotonic() + 180
    while not (directory / "checkpoint-9").exists():
        assert time.monotonic() < until and all(agent.poll() is None for agent in agents)
        time.sleep(0.02)


def kill_machine(agent: subprocess.Popen) -> None:
    """Kill an agent and the processes it started, as a machine does that loses its power."""
    workers = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text(encoding="utf-8").split()
    for process in [agent.pid, *map(int, workers)]:
        os.kill(process, signal.SIGKILL)
    agent.communicate()


@pytest.mark.slow
def test_two_agents_train_together_and_go_on_after_one_is_killed(alone: Run, corpus: Path, tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    finish(*meet(unbroken, corpus, free_port()))
    expected = read_run(unbroken)
    assert [(rank["processes"], rank["type"]) for rank in expected.ranks] == [(2, MULTI)] * 2
    assert_equal_to_rounding(expected, alone)

    agents = meet(broken, corpus, free_port())
    wait_for_checkpoint(broken, agents)
    kill_machine(agents[1])
    agents[0].communicate(timeout=180)
    assert agents[0].returncode != 0
    assert not list(broken.glob("rank-*.json"))  # it was killed before its end

    finish(*meet(broken, corpus, free_port()))
    run = read_run(broken)
    assert all(torch.equal(weight, expected.weights[name]) for name, weight in run.weights.items())
    assert run.figures("loss") == expected.figures("loss")


# ---- Sharding ----


@pytest.mark.slow
def test_the_command_shares_a_model_out_and_publishes_it_whole(
    alone: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARE_OUT", "1")
    published = tmp_path / "published"
    settings = settings_for(2, corpus, tmp_path) | {"publish_dir": published}
    output = finish(start_agent(tmp_path, 2, **settings))[0]
    run = read_run(tmp_path, published)
    assert [(rank["processes"], rank["type"]) for rank in run.ranks] == [(2, "DistributedType.FSDP")] * 2
    assert_equal_to_rounding(run, alone)
    assert_each_row_once(run)
    assert output.count("云山高-") == len(alone.figures("eval_loss"))
    tokenizer = load_tokenizer(find_model(str(published)))
    model = load_model(str(published), tokenizer)
    assert all(torch.equal(weight, run.weights[name]) for name, weight in model.named_parameters())
    assert model.config.architectures == ["GPT2LMHeadModel"]


@pytest.mark.slow
@pytest.mark.parametrize("shared_out", ["", "1"])
def test_the_check_of_two_processes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_out: str
) -> None:
    monkeypatch.setenv("SHARE_OUT", shared_out)
    output = finish(start_agent(tmp_path, 2, **settings_for(2, corpus, tmp_path) | {"check": True}))[0]
    assert output.count("check passed:") == 1 and "the same logits" in output
    assert not list(tmp_path.glob(".check-*"))


@pytest.mark.slow
def test_fully_sharded_blocks_train_like_whole_ones(tmp_path: Path) -> None:
    """The sharding itself, of this model, with tied weights, without accelerate and the Trainer."""
    script = ROOT / "tests/sharded_run.py"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run([*launcher, str(script), str(tmp_path)], check=True, timeout=180, cwd=ROOT)
    found = json.loads((tmp_path / "sharded.json").read_text(encoding="utf-8"))
    assert found["sharded_parameters"] == found["parameters"]
    assert found["held_here"] <= 0.6 * found["all"]
    assert found["sharded_losses"] == pytest.approx(found["whole_losses"], rel=1e-5)
    assert found["sharded_norms"] == pytest.approx(found["whole_norms"], rel=1e-5)
    assert found["largest_difference"] < 1e-4  # a hundredth of one step of AdamW at its rate of 1e-2
