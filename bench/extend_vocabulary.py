"""Characters that the vocabulary lacks: what `--extend_vocabulary` buys, and how the new embeddings should start.

    python bench/extend_vocabulary.py [--steps 300]

A small model learns synthetic couplets. Then forty of their commoner characters are written as rare ones that its
vocabulary lacks, and it learns on, with the vocabulary as it is and with it extended; the rows of the new embeddings
start around the mean of the old ones (the library's `mean_resizing=True`), exactly at that mean, or as random as in a
new model (the recipe's choice). Printed, on held-out rows that hold rare characters: the share of unknown
tokens, and the loss in nats per token before and after; over the tokens that every variant has (the common
characters), and over the rare ones, which the unextended vocabulary cannot even name.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedModel, PreTrainedTokenizerFast, set_seed

from recipe.model.modeling import new_model
from recipe.model.tokenization import UNK, build_tokenizer, characters_known, corpus_vocabulary, extend_tokenizer
from recipe.rows.preprocessing import IGNORED_LABEL
from recipe.rows.sampling import epoch_order
from recipe.settings import ModelSettings
from recipe.synthetic import synthesize
from recipe.training.validation_metrics import reduce_logits

_FIRST_RARE = 0x3400  # CJK extension A: real characters that hardly any vocabulary holds
_BATCH = 32
_VALIDATION_ROWS = 500


def main() -> int:
    """Run all variants from the same weights and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="training steps of the base model and of each variant")
    steps = parser.parse_args().steps
    texts = [f"{couplet.upper}-{couplet.lower}" for couplet in synthesize(12_000, 1)]
    rare_of = _rare_characters(texts)
    rare_texts = ["".join(rare_of.get(char, char) for char in text) for text in texts]
    validation = [text for text in rare_texts[-_VALIDATION_ROWS:] if set(text) & set(rare_of.values())]
    tokenizer = build_tokenizer(corpus_vocabulary(sorted(set("".join(texts)))), False, 1024)
    base = _base_model(tokenizer, texts[:-_VALIDATION_ROWS], steps)
    print(f"{len(validation)} held-out rows with rare characters; {steps} steps of {_BATCH} rows for each variant")
    print(f"{'variant':34}{'unknown':>9}{'common before':>15}{'after':>9}{'rare before':>13}{'after':>9}")
    for variant in ("as it is", "extended, around the mean", "extended, at the mean", "extended, random"):
        model, known = _variant(base, tokenizer, sorted(rare_of.values()), variant)
        before = _losses(model, known, validation, set(rare_of.values()))
        _train(model, known, rare_texts[:-_VALIDATION_ROWS], steps)
        after = _losses(model, known, validation, set(rare_of.values()))
        print(f"{variant:34}{before[2]:9.2%}{before[0]:15.3f}{after[0]:9.3f}{before[1]:13.3f}{after[1]:9.3f}")
    return 0


def _rare_characters(texts: Sequence[str]) -> dict[str, str]:
    counts = Counter("".join(texts))
    common = [char for char, _ in counts.most_common(160) if "\u4e00" <= char <= "\u9fff"][40::3][:40]
    return {char: chr(_FIRST_RARE + index) for index, char in enumerate(common)}


def _base_model(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], steps: int) -> PreTrainedModel:
    set_seed(0)
    settings = ModelSettings(hidden_size=192, num_layers=3, num_heads=3, dropout=0.0)
    model = new_model(settings, tokenizer, 80)
    _train(model, tokenizer, texts, steps)
    return model


def _variant(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rare: Sequence[str], variant: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    set_seed(0)
    model = copy.deepcopy(base)
    if variant == "as it is":
        return model, tokenizer
    extended = extend_tokenizer(tokenizer, rare)
    assert all(characters_known(extended, rare).values())
    old_rows = len(tokenizer)
    model.resize_token_embeddings(len(extended), mean_resizing=variant == "extended, around the mean")
    if variant == "extended, at the mean":
        rows = cast(torch.Tensor, model.get_input_embeddings().weight.data)
        rows[old_rows:] = rows[:old_rows].mean(dim=0)
    return model, extended


def _batches(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> tuple[list[list[int]], np.ndarray]:
    rows = [[*ids, tokenizer.eos_token_id] for ids in tokenizer(list(texts)).input_ids]
    return rows, np.array([len(row) for row in rows], dtype=np.int32)


def _train(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], steps: int) -> None:
    rows, lengths = _batches(tokenizer, texts)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    order = itertools.cycle(np.array_split(epoch_order(lengths, _BATCH, 0, 0, True), len(rows) // _BATCH))
    model.train()
    for indices in itertools.islice(order, steps):
        batch = collate([{"input_ids": rows[index]} for index in indices])
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@torch.inference_mode()
def _losses(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], rare: set[str]
) -> tuple[float, float, float]:
    """Return nats per common token, nats per rare token (as `[UNK]` where it has none), and the share of `[UNK]`."""
    rows, _ = _batches(tokenizer, texts)
    unknown = tokenizer.convert_tokens_to_ids(UNK)
    rare_ids = torch.tensor([unknown, *(tokenizer.convert_tokens_to_ids(char) for char in sorted(rare))])
    collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    sums = dict.fromkeys(("common", "rare", "common count", "rare count", "unknown", "tokens"), 0.0)
    model.eval()
    for start in range(0, len(rows), 100):
        batch = collate([{"input_ids": row} for row in rows[start : start + 100]])
        _, losses = reduce_logits(model(**batch).logits, batch["labels"])
        targets = batch["labels"][:, 1:]
        is_rare, is_real = torch.isin(targets, rare_ids), targets != IGNORED_LABEL
        sums["common"] += losses[is_real & ~is_rare].sum().item()
        sums["rare"] += losses[is_rare].sum().item()
        sums["common count"] += (is_real & ~is_rare).sum().item()
        sums["rare count"] += is_rare.sum().item()
        sums["unknown"] += (targets == unknown).sum().item()
        sums["tokens"] += is_real.sum().item()
    return (
        sums["common"] / sums["common count"],
        sums["rare"] / sums["rare count"],
        sums["unknown"] / sums["tokens"],
    )


if __name__ == "__main__":
    sys.exit(main())
