"""Rows to token ids: encoded once, cut and counted, collated with the labels that training needs."""

import numpy as np
import pytest
import torch
from finetune_helpers import invented_couplets, write_rows
from tiny_models import character_tokenizer

from recipe.model.tokenization import CharacterTable
from recipe.rows import preprocessing
from recipe.rows.corpus import prepare_corpus
from recipe.rows.preprocessing import describe_rows, encode_corpus, make_collator
from recipe.settings import DataSettings

ROWS = invented_couplets(100, seed=2)
PAD, UNK, CLS, SEP = range(4)


@pytest.fixture
def prepared(tmp_path):
    """Return a function that prepares rows, and one to hold out if none are split off, and gives their settings too."""

    def run(rows, **settings):
        files = {"train_file": [str(write_rows(tmp_path / "rows.csv", rows))]}
        if "validation_size" not in settings:
            files["validation_file"] = [str(write_rows(tmp_path / "validation.csv", ["秋-冬"]))]
        data = DataSettings(**files, cache_dir=str(tmp_path / "cache"), **settings)
        return prepare_corpus(data), data

    return run


# ---- Encoding ----


def test_rows_are_encoded_cut_and_counted(prepared):
    corpus, data = prepared(["山高-水低", "山-水", "春夏秋-冬东西"], max_length=7)
    tokenizer = character_tokenizer("-山高水低春夏秋")
    train, validation = encode_corpus(corpus, tokenizer, data)
    assert train.dataset["input_ids"] == [
        [CLS, 5, 6, 4, 7, 8, SEP],
        [CLS, 5, 4, 7, SEP],
        [CLS, 9, 10, 11, 4, UNK, UNK],  # cut: one unknown character and [SEP] are gone
    ]
    assert train.dataset["length"] == [7, 5, 9]  # before the cut
    assert train.lengths.tolist() == [7, 5, 7]
    assert (train.truncated, train.unknown_tokens) == (1, 2)
    assert validation.dataset["input_ids"] == [[CLS, 11, 4, UNK, SEP]] and validation.unknown_tokens == 1


def test_held_out_rows_come_longest_first(prepared):
    corpus, data = prepared(ROWS, validation_size=10)
    _, validation = encode_corpus(corpus, character_tokenizer(), data)
    assert len(validation.lengths) == 10
    assert validation.lengths.tolist() == sorted(validation.lengths, reverse=True)
    assert [len(ids) for ids in validation.dataset["input_ids"]] == validation.lengths.tolist()


def test_a_second_start_encodes_nothing_again(prepared, monkeypatch):
    corpus, data = prepared(ROWS, validation_size=10)
    first = [part.dataset["input_ids"] for part in encode_corpus(corpus, character_tokenizer(), data)]
    files = {path: path.stat().st_mtime_ns for path in corpus.directory.iterdir()}
    monkeypatch.setattr(preprocessing, "_encode_batch", lambda *args: pytest.fail("rows were encoded again"))
    monkeypatch.setattr(CharacterTable, "encode", lambda *args: pytest.fail("rows were encoded again"))
    second = [part.dataset["input_ids"] for part in encode_corpus(corpus, character_tokenizer(), data)]
    assert first == second
    assert files == {path: path.stat().st_mtime_ns for path in corpus.directory.iterdir()}


def test_another_tokenizer_or_length_is_encoded_anew(prepared):
    corpus, data = prepared(ROWS, validation_size=10)
    first, _ = encode_corpus(corpus, character_tokenizer(), data)
    assert max(first.lengths) == 21
    other, _ = encode_corpus(corpus, character_tokenizer("山水"), data)
    assert other.unknown_tokens > 0 == first.unknown_tokens
    data.max_length = 12
    cut, _ = encode_corpus(corpus, character_tokenizer(), data)
    assert max(cut.lengths) == 12 and cut.truncated == sum(first.lengths > 12)


def test_the_summary_says_what_became_of_the_rows(prepared):
    rows = ["山高-水低", "坏", "春夏-冬东", "山-水", "山-水", "甲乙丙丁-戊己庚辛"]
    corpus, data = prepared(rows, max_length=9)
    train, _ = encode_corpus(corpus, character_tokenizer("-山高水低春夏冬东"), data)
    text = "\n".join(describe_rows(corpus, train, data, effective_batch_size=2))
    assert "rows: 7 read = 4 to train on + 1 held out + 2 rejected (1 no separator; 1 duplicate)" in text
    assert "median 7, p95 7, p99 7, max 9; 1 rows cut at max_length 9" in text
    assert "28 tokens an epoch, 25.000% of them [UNK]" in text  # 7 of the 8 foreign characters survive the cut
    assert "padding in batches of 2:" in text


# ---- The collator, literally ----


def test_labels_are_the_tokens_with_the_end_token_and_without_padding():
    collator = make_collator(character_tokenizer("-山高水低"))
    batch = collator([{"input_ids": [CLS, 5, 4, 7, SEP]}, {"input_ids": [CLS, 5, 6, 4, 7, 8, SEP]}])
    assert sorted(batch) == ["attention_mask", "input_ids", "labels"]
    assert torch.equal(batch["input_ids"], torch.tensor([[2, 5, 4, 7, 3, 0, 0], [2, 5, 6, 4, 7, 8, 3]]))
    assert torch.equal(batch["attention_mask"], torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]]))
    assert torch.equal(batch["labels"], torch.tensor([[2, 5, 4, 7, 3, -100, -100], [2, 5, 6, 4, 7, 8, 3]]))


def test_unknown_characters_are_learnt_like_others():
    collator = make_collator(character_tokenizer("-山"))
    assert collator([{"input_ids": [CLS, 5, 4, UNK, SEP]}])["labels"].tolist() == [[CLS, 5, 4, UNK, SEP]]


def test_the_collator_leaves_the_tokenizer_as_generation_needs_it():
    tokenizer = character_tokenizer()
    make_collator(tokenizer)
    assert tokenizer.padding_side == "left"


def test_ids_are_stored_small(prepared):
    corpus, data = prepared(ROWS, validation_size=10)
    train, _ = encode_corpus(corpus, character_tokenizer(), data)
    assert train.dataset.data.column("input_ids").chunk(0).flatten().to_numpy().dtype == np.int32
