"""Runs of one and of several processes on this machine, and what they recorded."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from finetune_helpers import ROOT, flags
from safetensors.torch import load_file
from torch import Tensor

SCRIPT = ROOT / "tests/distributed_run.py"


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_agent(directory: Path, processes: int, agents: int = 1, port: int = 0, **settings: Any) -> subprocess.Popen:
    """Start a `torchrun` agent of `processes` processes; with several agents they meet at the port of loopback."""
    meeting = ["--rdzv_backend", "c10d", "--rdzv_endpoint", f"127.0.0.1:{port}", "--rdzv_id", str(port)]
    launcher = ["-m", "torch.distributed.run", "--nnodes", str(agents), "--nproc_per_node", str(processes), *meeting]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # Without a GPU several processes take the CPU by themselves.
    on_cpu = {"use_cpu": True} if torch.accelerator.is_available() else {}
    words = [str(SCRIPT), str(directory), *flags(output_dir=directory, **on_cpu, **settings)]
    return subprocess.Popen(
        [sys.executable, *launcher, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=environment,
    )


@dataclass
class Run:
    """What a finished run left behind: records of each process, log records, the weights of the last checkpoint."""

    ranks: list[dict[str, Any]]
    records: list[dict[str, Any]]
    weights: dict[str, Tensor]

    def figures(self, name: str) -> list[float]:
        return [record[name] for record in self.records if name in record]

    def train_steps(self) -> list[list[tuple[int, ...]]]:
        """Return the rows of every training batch, over all processes."""
        steps = zip(*(rank["train"] for rank in self.ranks), strict=True)
        return [[tuple(row) for batch in step for row in batch] for step in steps]


def read_run(directory: Path, model: Path | None = None) -> Run:
    """Return what a run left behind; the weights of another model than its last checkpoint where one is named."""
    ranks = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("rank-*.json"))]
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    last = max(directory.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return Run(ranks, [json.loads(line) for line in lines], load_file((model or last) / "model.safetensors"))


def finish(*agents: subprocess.Popen, timeout: float = 240) -> list[str]:
    """Wait for agents that must succeed and return what they printed."""
    try:
        outputs = [agent.communicate(timeout=timeout)[0] for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    assert [agent.returncode for agent in agents] == [0] * len(agents), "\n".join(outputs)
    return outputs
