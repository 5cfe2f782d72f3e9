"""Train a GPT-2 under `fully_shard` beside a whole one; a script for `torchrun` with two processes on gloo.

`sharded_run.py RECORD_DIR` writes RECORD_DIR/sharded.json: losses and gradient norms of both, and how far
their weights are apart.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_models import tiny_gpt2

from recipe.training.nonfinite import whole_norm

VOCABULARY, STEPS, ROWS_A_PROCESS = 50, 6, 4


def main(directory: Path) -> None:
    torch.distributed.init_process_group("gloo")
    rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
    mesh = torch.distributed.init_device_mesh("cpu", (processes,))
    whole = tiny_gpt2(VOCABULARY, n_positions=32, n_embd=32, n_layer=2).train()
    sharded = copy.deepcopy(whole)
    for block in sharded.transformer.h:
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(sharded, mesh=mesh, reshard_after_forward=True)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True) for model in (whole, sharded)]
    losses: list[list[float]] = [[], []]
    norms: list[list[float]] = [[], []]
    for step in range(STEPS):
        ids = torch.randint(VOCABULARY, (processes * ROWS_A_PROCESS, 12), generator=torch.Generator().manual_seed(step))
        own = ids[rank * ROWS_A_PROCESS : (rank + 1) * ROWS_A_PROCESS]
        for number, (model, rows) in enumerate([(whole, ids), (sharded, own)]):
            loss = model(input_ids=rows, labels=rows).loss
            loss.backward()
            norm = whole_norm(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
            assert bool(torch.isfinite(norm))
            norms[number].append(norm.item())
            optimizers[number].step()
            optimizers[number].zero_grad()
            mean = loss.detach()
            torch.distributed.all_reduce(mean)
            losses[number].append(mean.item() / processes)
    gathered = get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank == 0:  # the only one that receives the gathered weights
        write_findings(directory / "sharded.json", whole, sharded, gathered, losses, norms)
    torch.distributed.destroy_process_group()


def write_findings(
    file: Path,
    whole: torch.nn.Module,
    sharded: torch.nn.Module,
    gathered: dict,
    losses: list[list[float]],
    norms: list[list[float]],
) -> None:
    differences = [(gathered[name] - weight).abs().max().item() for name, weight in whole.state_dict().items()]
    parts = [part for part in sharded.parameters() if isinstance(part, DTensor)]
    found = {
        "whole_losses": losses[0],
        "sharded_losses": losses[1],
        "whole_norms": norms[0],
        "sharded_norms": norms[1],
        "largest_difference": max(differences),
        "parameters": len(list(whole.parameters())),
        "sharded_parameters": len(parts),
        "held_here": sum(part.to_local().numel() for part in parts),
        "all": sum(weight.numel() for weight in whole.parameters()),
    }
    file.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
