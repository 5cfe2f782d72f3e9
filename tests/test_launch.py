"""The shipped accelerate files: parsed by accelerate itself, and what they start asserted as far as hardware allows.

Without GPUs accelerate quietly starts fewer processes, or another kind of run, than a file says. So a test either looks
at what accelerate makes of the file before it starts anything, or asserts the processes that it got, or skips.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from distributed_helpers import free_port

from recipe.cli import parse_settings
from recipe.errors import UserError
from recipe.settings import TRAINING_DEFAULTS, DataSettings, ModelSettings, RunSettings
from recipe.training.arguments import typed_training_settings

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "recipe/launch").glob("*.yaml"))
EXPECTED = {
    "one-gpu": (DistributedType.NO, 1, 1),
    "several-gpus": (DistributedType.MULTI_GPU, 1, 2),
    "two-machines": (DistributedType.MULTI_GPU, 2, 16),
    "fsdp2": (DistributedType.FSDP, 1, 2),
}
# Says what it finds itself started as; the second line needs a card for each process.
PROBE = """
import json, os, sys
found = {name: os.environ.get(name) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "TORCHELASTIC_RUN_ID")}
if sys.argv[1] == "accelerator":
    from accelerate import Accelerator
    accelerator = Accelerator()
    found |= {"type": str(accelerator.distributed_type), "processes": accelerator.num_processes}
sys.stdout.write("PROBE " + json.dumps(found) + "\\n")
"""


def launch_file(name: str) -> Path:
    return ROOT / "recipe/launch" / f"{name}.yaml"


def understood(path: Path, *words: str) -> argparse.Namespace:
    """Return what `accelerate launch` makes of a file and flags, before it starts anything."""
    arguments = launch_command_parser().parse_args(["--config_file", str(path), *words, "run_finetune.py"])
    return _validate_launch_command(arguments)[0]


def header_command(path: Path) -> list[str]:
    """Return the words of the command in a file's header."""
    lines = [
        line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"
    ]
    start = next(number for number, line in enumerate(lines) if line.startswith("accelerate launch"))
    command = " ".join(line.rstrip("\\") for line in lines[start:] if line)
    return command.split()


def test_every_file_is_expected() -> None:
    assert {path.stem for path in FILES} == set(EXPECTED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_reads_the_file_as_what_it_says(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert (config.distributed_type, config.num_machines, config.num_processes) == EXPECTED[path.stem]
    unknown = yaml.safe_load(path.read_text(encoding="utf-8")).keys() - ClusterConfig.__dataclass_fields__.keys()
    assert not unknown


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_command_in_the_header_is_one(path: Path) -> None:
    words = header_command(path)
    script = words.index("run_finetune.py")
    assert words[:4] == ["accelerate", "launch", "--config_file", f"recipe/launch/{path.name}"]
    assert understood(path, *words[4:script]).config_file == str(path)
    groups = [ModelSettings, DataSettings, RunSettings]
    settings = parse_settings("run_finetune.py", "", groups, words[script + 1 :], TRAINING_DEFAULTS)
    assert settings[DataSettings].train_file == ["couplets.csv"]


def typed_under(monkeypatch: pytest.MonkeyPatch, devices: int, *words: str, **environment: str) -> dict[str, Any]:
    """Return the training settings of one of several processes on a machine with so many GPUs."""
    for name, value in ({"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: devices)
    groups = [ModelSettings, DataSettings, RunSettings]
    words = ("--config", "none", "--precision", "fp32", *words)
    typed, problems = typed_training_settings(parse_settings("run_finetune.py", "", groups, words, TRAINING_DEFAULTS))
    if problems:
        raise UserError(problems)
    return typed


def test_several_processes_without_a_gpu_train_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed_under(monkeypatch, 0)["use_cpu"] is True
    assert "use_cpu" not in typed_under(monkeypatch, 0, WORLD_SIZE="1")
    assert "use_cpu" not in typed_under(monkeypatch, 4)


def test_a_launch_file_of_another_machine_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UserError, match="started 4 processes, each of which needs a GPU of its own, and this machine has 1"
    ):
        typed_under(monkeypatch, 1)
    with pytest.raises(UserError, match="FSDP"):
        typed_under(monkeypatch, 0, ACCELERATE_USE_FSDP="true")
    assert typed_under(monkeypatch, 1, "--use_cpu", "true", ACCELERATE_MIXED_PRECISION="fp16")["fp16"] is False
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no"


def test_several_gpus_start_one_process_each() -> None:
    arguments = understood(launch_file("several-gpus"), "--num_processes", "8")
    assert arguments.multi_gpu and not arguments.use_fsdp and not arguments.use_cpu
    assert arguments.num_processes == 8


def test_two_machines_share_the_processes_and_have_a_rank() -> None:
    arguments = understood(launch_file("two-machines"), "--main_process_ip", "10.0.0.1", "--machine_rank", "1")
    prepare_multi_gpu_env(arguments)
    assert arguments.multi_gpu
    assert (arguments.nnodes, arguments.nproc_per_node, arguments.node_rank) == ("2", "8", 1)
    assert arguments.rdzv_endpoint == "10.0.0.1:29500"


def test_fsdp2_reaches_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = understood(launch_file("fsdp2"))
    assert arguments.use_fsdp
    environment = prepare_multi_gpu_env(arguments)
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    for name, value in environment.items():
        if name.startswith("FSDP_"):
            monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.transformer_cls_names_to_wrap == ["GPT2Block"]


# ---- Started ----


def start(path: Path, script: Path, what: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(path), *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    return subprocess.Popen(
        [*command, str(script), what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def found_by(*launchers: subprocess.Popen[str]) -> list[dict[str, str]]:
    """Wait for the launchers and return what their processes found; none is left behind."""
    try:
        outputs = [launcher.communicate(timeout=120)[0] for launcher in launchers]
    finally:
        for launcher in launchers:
            launcher.kill()
    assert [launcher.returncode for launcher in launchers] == [0] * len(launchers), "\n".join(outputs)
    return [json.loads(found) for found in re.findall(r"PROBE (.*)", "\n".join(outputs))]


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    script = tmp_path / "probe.py"
    script.write_text(PROBE, encoding="utf-8")
    return script


def test_one_gpu_starts_one_process(probe: Path) -> None:
    found = found_by(start(launch_file("one-gpu"), probe, "accelerator"))
    assert [(each["type"], each["processes"]) for each in found] == [("DistributedType.NO", 1)]


def test_two_launchers_on_this_machine_meet(probe: Path) -> None:
    words = ["--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port()), "--num_processes", "2"]
    ranks = ("0", "1")
    launchers = [start(launch_file("two-machines"), probe, "environment", *words, "--machine_rank", r) for r in ranks]
    found = found_by(*launchers)
    assert sorted(each["RANK"] for each in found) == ["0", "1"]
    assert {(each["WORLD_SIZE"], each["LOCAL_RANK"]) for each in found} == {("2", "0")}


@pytest.mark.parametrize("name", ["several-gpus", "fsdp2"])
def test_two_gpus_make_the_run_that_the_file_names(probe: Path, name: str) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs: without them accelerate starts something else than the file says")
    found = found_by(start(launch_file(name), probe, "accelerator"))
    expected = str(EXPECTED[name][0])
    assert [(each["type"], each["processes"]) for each in found] == [(expected, 2)] * 2
