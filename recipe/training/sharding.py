"""A model whose weights are shared out among processes (FSDP2): saved and loaded in shards, gathered whole.

`torch.distributed.checkpoint` does the work: each process writes the shards that it holds, and any number of processes
reads what it needs of them. It does so in safetensors. The format of its own, which `save_fsdp_optimizer` of accelerate
and `save_optimizer_distributed` of transformers use, keeps a pickle that is loaded unchecked
(`FileSystemReader.read_metadata`).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed import checkpoint as distributed_checkpoint
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

# By the names of parameters, which the number of processes does not change; the optimizer's own numbers could.
_BY_NAME = StateDictOptions(flatten_optimizer_state_dict=True)
_STATE = "state."  # what the names of an optimizer's state begin with then; groups have settings only


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this process holds of a tensor; all of it where it is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shard_files(rank: int) -> str:
    """Return the pattern of the names that the library gives to the files of a process; it counts from 1."""
    return f"shard-{rank + 1:05}-*.safetensors"


def save_shards(directory: str | Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write this process' part of weights and optimizer state into a file of its own; all processes call it together.

    Raises:
        RuntimeError: it failed in one of them; in all of them alike.
    """
    _reshard(model)
    state = get_optimizer_state_dict(model, optimizer, options=_BY_NAME)
    tensors = _weights(model) | _tensors(_state_of(state))
    with _as_one_error():
        writer = HuggingFaceStorageWriter(str(directory), save_distributed=True)
        distributed_checkpoint.save(tensors, storage_writer=writer)


def load_weights(directory: str | Path, model: torch.nn.Module, alone: bool = False) -> None:
    """Read into a model, sharded or whole, what it needs of the weights in a directory of shards.

    Args:
        alone: only this process calls it, whatever others there are.

    Raises:
        RuntimeError: a tensor is missing or has another shape.
    """
    _load(_weights(model), directory, alone)  # into the model's own tensors


def load_optimizer(directory: str | Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Read the state of an optimizer, sharded or whole; the settings of its groups, rates among them, stay the run's.

    Raises:
        RuntimeError: a tensor is missing or has another shape, as for another optimizer.
    """
    _reshard(model)
    found = get_optimizer_state_dict(model, optimizer, options=_BY_NAME)
    state = _state_of(found)
    tensors = _tensors(state)
    _load(tensors, directory)
    for name, value in state.items():
        found[name] = tensors[name] if isinstance(value, torch.Tensor) else type(value)(tensors[name].item())
    set_optimizer_state_dict(model, optimizer, found, options=_BY_NAME)


def gather_weights(model: torch.nn.Module) -> dict[str, Any]:
    """Return all weights, whole, on the CPU, in the first process; nothing in the others, which must call it too."""
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def _reshard(model: torch.nn.Module) -> None:
    """Let go of weights that stayed gathered after an evaluation; they are other parameters than the optimizer's.

    accelerate shards embeddings and the last norm with `reshard_after_forward=False`, for the backward that follows.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _weights(model: torch.nn.Module) -> dict[str, Any]:
    """Return weights and buffers by name, tied ones once: safetensors refuses two tensors in the same memory."""
    every = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    tied = every - {name for name, _ in model.named_parameters()}
    return {name: tensor for name, tensor in get_model_state_dict(model).items() if name not in tied}


def _state_of(optimizer_state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in optimizer_state.items() if name.startswith(_STATE)}


def _tensors(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with its plain numbers (Adafactor counts its steps so) as tensors: the format has no others."""
    return {name: value if isinstance(value, torch.Tensor) else torch.tensor(value) for name, value in state.items()}


def _load(tensors: dict[str, Any], directory: str | Path, alone: bool = False) -> None:
    with _as_one_error(), warnings.catch_warnings():
        # Said of every single process, which is no fault here.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        reader = HuggingFaceStorageReader(str(directory))
        distributed_checkpoint.load(tensors, storage_reader=reader, no_dist=alone)


@contextlib.contextmanager
def _as_one_error() -> Iterator[None]:
    """Turn the library's exception, no `Exception` and a traceback for each process, into the first one's reason."""
    try:
        yield
    except CheckpointException as failed:
        rank, (reason, _) = min(failed.failures.items(), key=lambda failure: failure[0])
        raise RuntimeError(f"process {rank}: {type(reason).__name__}: {reason}") from None
