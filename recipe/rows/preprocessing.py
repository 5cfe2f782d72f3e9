"""Checked rows to token ids, by `datasets.map`: batched, cached on disk, memory-mapped when trained on."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, List, Value
from datasets.utils.logging import disable_progress_bar, enable_progress_bar
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from recipe.language import _
from recipe.model.tokenization import CharacterTable, tokenizer_hash
from recipe.rows.cleaning import counted, listed
from recipe.rows.corpus import Corpus
from recipe.rows.sampling import padding_share, sorted_order
from recipe.screen import is_terminal
from recipe.settings import DataSettings

_FEATURES = Features({"input_ids": List(Value("int32")), "length": Value("int32"), "opening_length": Value("int32")})
_MAP_BATCH_ROWS = 20_000
_BAR_FROM_ROWS = 500_000  # below, encoding takes less than two seconds and a bar would only flicker


@dataclass
class EncodedRows:
    """A split as token ids.

    Attributes:
        dataset: columns `input_ids` (`[CLS] text [SEP]`, cut at max_length), `length` (tokens before the cut) and
            `opening_length` (tokens of the part that is given, `[CLS]` included: where the answer begins).
        lengths: tokens of each row after the cut, for the sampler, in the smallest type that holds max_length: with
            the order of the rows they are all that grows with the corpus.
        truncated: rows that were cut.
        unknown_tokens: tokens that are `[UNK]`.
    """

    dataset: Dataset
    lengths: np.ndarray
    truncated: int
    unknown_tokens: int

    def first(self, rows: int) -> EncodedRows:
        """Return the first `rows` of them, without the counts of all."""
        chosen = range(min(rows, len(self.lengths)))
        return EncodedRows(self.dataset.select(chosen), self.lengths[: len(chosen)], 0, 0)

    @property
    def opening_lengths(self) -> np.ndarray:
        """Where the answer of each row begins, in tokens; shape (rows,)."""
        return np.asarray(self.dataset.with_format("numpy")["opening_length"][:])


def encode_corpus(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, data: DataSettings
) -> tuple[EncodedRows, EncodedRows]:
    """Encode the training and the held-out rows; the held-out ones come back sorted by length, for little padding."""
    characters = sorted(corpus.summary.characters.keys() | corpus.summary.validation_characters.keys())
    table = CharacterTable(tokenizer, characters)
    key = f"{corpus.fingerprint}-{tokenizer_hash(tokenizer)}-{data.max_length}"
    train = _encode(corpus.train, "train", table, data.max_length, corpus.directory, key)
    validation = _encode(corpus.validation, "validation", table, data.max_length, corpus.directory, key)
    order = sorted_order(validation.lengths)
    validation.dataset, validation.lengths = validation.dataset.select(order), validation.lengths[order]
    return train, validation


def _encode(rows: Dataset, part: str, table: CharacterTable, max_length: int, directory: Path, key: str) -> EncodedRows:
    fingerprint = hashlib.sha256(f"{key}-{part}".encode()).hexdigest()[:16]
    (enable_progress_bar if len(rows) >= _BAR_FROM_ROWS and is_terminal() else disable_progress_bar)()
    encoded = rows.with_format("arrow").map(
        _encode_batch,
        batched=True,
        batch_size=_MAP_BATCH_ROWS,
        fn_kwargs={"table": table, "max_length": max_length},
        remove_columns=rows.column_names,
        features=_FEATURES,
        desc=_("encoding training rows") if part == "train" else _("encoding validation rows"),
        # Named by what decides the ids: the library would hash the function and its table instead, which is slower
        # and changes with every release.
        new_fingerprint=fingerprint,
        cache_file_name=str(directory / f"{part}-{fingerprint}.arrow"),
    )
    full_lengths = [chunk.to_numpy() for chunk in encoded.data.column("length").chunks]
    smallest_type = np.min_scalar_type(max_length)
    ids = [chunk.flatten() for chunk in encoded.data.column("input_ids").chunks]
    return EncodedRows(
        encoded.with_format(None),
        lengths=np.concatenate([np.minimum(chunk, max_length).astype(smallest_type) for chunk in full_lengths]),
        truncated=sum(int((chunk > max_length).sum()) for chunk in full_lengths),
        unknown_tokens=sum(int(np.count_nonzero(chunk.to_numpy() == table.unk_id)) for chunk in ids),
    )


def _encode_batch(batch: pa.Table, table: CharacterTable, max_length: int) -> pa.Table:
    texts = batch.column("text").to_pylist()
    ids, offsets, lengths = table.encode(texts, max_length)
    openings = [text[:end] for text, end in zip(texts, batch.column("opening_length").to_pylist(), strict=True)]
    columns = {
        "input_ids": pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids)),
        "length": pa.array(lengths.astype(np.int32)),
        "opening_length": pa.array((table.count(openings) + 1).astype(np.int32)),  # with [CLS]
    }
    return pa.table(columns)


# Label of what is not learnt, padding: the collator's convention, and the `ignore_index` of torch's cross-entropy.
IGNORED_LABEL = -100


def make_collator(tokenizer: PreTrainedTokenizerFast) -> DataCollatorForLanguageModeling:
    """Return the collator of training and evaluation: rows padded at their end, `IGNORED_LABEL` where there is padding.

    The tokenizer itself pads at the beginning, as generation needs it. In training that would move short rows to other
    positions than a prompt starts at, and make `[CLS]` a label that is predicted from padding. Nothing is padded to
    multiples of 8, as is usual on a GPU: among rows as short as couplets that would be a fifth of all positions, and
    the matrices have rows × length rows, a multiple of 8 anyway.
    """
    right = copy.deepcopy(tokenizer)
    right.padding_side = "right"
    return DataCollatorForLanguageModeling(right, mlm=False)


def describe_rows(corpus: Corpus, train: EncodedRows, data: DataSettings, effective_batch_size: int) -> list[str]:
    """Say what became of the rows, and what a batch will look like, in lines for the screen."""
    summary = corpus.summary
    quantiles = np.quantile(train.lengths, [0.5, 0.95, 0.99, 1.0], method="lower")
    tokens = int(train.lengths.sum())
    grouped, padded = padding_share(train.lengths, effective_batch_size, seed=0)
    return [
        _(
            "rows: {read:,} read = {kept:,} to train on + {held_out:,} held out + {count:,} rejected ({rejected})"
        ).format(
            read=summary.read,
            kept=summary.kept,
            held_out=summary.validation,
            count=sum(summary.rejected.values()),
            rejected=counted(summary.rejected) or _("none"),
        ),
        *([_("taken out of rows: {kinds}").format(kinds=listed(summary.cleaned))] if summary.cleaned else []),
        _(
            "tokens of a row: median {median}, p95 {p95}, p99 {p99}, max {most}; "
            "{cut:,} rows cut at max_length {length}"
        ).format(
            median=quantiles[0],
            p95=quantiles[1],
            p99=quantiles[2],
            most=quantiles[3],
            cut=train.truncated,
            length=data.max_length,
        ),
        _(
            "{tokens:,} tokens an epoch, {unknown:.3%} of them [UNK]; padding in batches of {batch}: "
            "{grouped:.1%} grouped by length, {padded:.1%} in random order"
        ).format(
            tokens=tokens,
            unknown=train.unknown_tokens / tokens,
            batch=effective_batch_size,
            grouped=grouped,
            padded=padded,
        ),
    ]
