"""Likelihood of given lower lines under a model: their summed losses, line by line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from recipe.formats.base import TextFormat
from recipe.generating.processes import Processes
from recipe.model.tokenization import encode_prompt

# Logits of a batch take its characters * vocabulary * 4 bytes: 108 MB for a vocabulary of 21,128.
BATCH_CHARACTERS = 1280


def line_losses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    uppers: Sequence[str],
    lowers: Sequence[str],
    text_format: TextFormat,
    processes: Processes,
) -> tuple[list[float], list[int]]:
    """Return the summed negative log-likelihood (nats) of each lower line given its upper line, and what was summed.

    Counted are the lower line's characters that the vocabulary has: the end token is not one, and the probability of
    `[UNK]` is not that of any character. Both lists have one entry a line. The processes share the lines, and all of
    them get all losses.
    """
    prompts = [encode_prompt(tokenizer, text_format.opening(upper)) for upper in uppers]
    targets = [tokenizer(lower, add_special_tokens=False).input_ids for lower in lowers]
    by_length: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
        if target:
            by_length[len(prompt), len(target)].append(index)
    batches = []
    for (_, target_length), indices in by_length.items():
        rows = max(1, BATCH_CHARACTERS // target_length)
        batches += [indices[start : start + rows] for start in range(0, len(indices), rows)]
    found: list[tuple[int, float, int]] = []
    with tqdm(total=len(uppers), desc="likelihood", unit=" lines", delay=2, leave=False) as progress:
        for batch in processes.share(batches):
            ids = torch.tensor([prompts[index] + targets[index] for index in batch], device=model.device)
            summed, counted = _batch_losses(model, ids, len(prompts[batch[0]]), tokenizer.unk_token_id)
            found += zip(batch, summed.tolist(), counted.tolist(), strict=True)
            progress.update(len(batch) * processes.count)
    losses, characters = [0.0] * len(uppers), [0] * len(uppers)
    for index, loss, count in processes.gather(found):
        losses[index], characters[index] = loss, count
    return losses, characters


@torch.inference_mode()
def _batch_losses(
    model: PreTrainedModel, ids: torch.Tensor, prompt_length: int, unknown_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the summed losses of `ids[:, prompt_length:]` and the numbers of tokens summed, each of shape (rows,)."""
    targets = ids[:, prompt_length:]
    # Only the places that predict a target need logits; the last of them predicts the last target.
    logits = model(ids[:, :-1], logits_to_keep=targets.shape[1]).logits.float()
    losses = cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=unknown_id)
    return losses.sum(dim=1), (targets != unknown_id).sum(dim=1)
