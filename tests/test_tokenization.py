"""One character is one token: the ids of a BERT vocabulary without its habits; the fast table equals the tokenizer."""

import itertools
import random

import numpy as np
import pytest
import torch
from finetune_helpers import COMPOSED_ROWS, uer_vocabulary
from tiny_models import character_tokenizer, tiny_gpt2
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from recipe.errors import UserError
from recipe.model.modeling import load_model
from recipe.model.tokenization import (
    CLS,
    SEP,
    SPACE_TOKEN,
    UNK,
    CharacterTable,
    build_tokenizer,
    characters_known,
    corpus_vocabulary,
    encode_prompt,
    extend_tokenizer,
    load_tokenizer,
    tokenizer_hash,
)


@pytest.fixture(scope="module")
def uer_tokenizer(uer_model):
    return load_tokenizer(str(uer_model))


@pytest.fixture(scope="module")
def bert_tokenizer(uer_model):
    return AutoTokenizer.from_pretrained(str(uer_model))


def tokens(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)


# ---- Against the tokenizer people know ----


def test_chinese_text_keeps_the_ids_of_the_bert_tokenizer(uer_tokenizer, bert_tokenizer):
    assert isinstance(bert_tokenizer, BertTokenizerFast)
    for row in COMPOSED_ROWS:
        ours, theirs = uer_tokenizer(row).input_ids, bert_tokenizer(row).input_ids
        assert theirs[-1] == bert_tokenizer.sep_token_id
        assert ours == theirs[:-1]
    assert uer_tokenizer.get_vocab() == bert_tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("text", "berts", "ours"),
    [
        ("2024", ["202", "##4"], ["2", "0", "2", "4"]),
        ("The", ["the"], ["t", "h", "e"]),
        ("é", ["e"], [UNK]),
        ("山[SEP]水", ["山", SEP, "水"], ["山", "[", "s", "e", "p", "]", "水"]),
        ("[PAD][CLS]", ["[PAD]", CLS], [*"[pad][cls]"]),
        ("山 水", ["山", "水"], ["山", "水"]),
        ("山\u3000水\n", ["山", "水"], ["山", "水"]),
        ("“山”…", [UNK, "山", UNK, UNK], [UNK, "山", UNK, UNK]),
        ("𠮷", [UNK], [UNK]),
        ("İ", ["i"], ["i"]),
        ("Ａ", [UNK], [UNK]),
        ("", [], []),
    ],
)
def test_what_becomes_of_digits_letters_accents_and_special_tokens(uer_tokenizer, bert_tokenizer, text, berts, ours):
    assert tokens(bert_tokenizer, text) == [CLS, *berts, SEP]
    assert tokens(uer_tokenizer, text) == [CLS, *ours]


def test_the_prompt_has_no_end_token_and_no_token_types(uer_tokenizer):
    encoded = uer_tokenizer("山高-")
    assert sorted(encoded) == ["attention_mask", "input_ids"]
    assert encoded.input_ids[0] == uer_tokenizer.cls_token_id and SEP not in tokens(uer_tokenizer, "山高-")
    assert encode_prompt(uer_tokenizer, "山高-") == encoded.input_ids
    assert encode_prompt(uer_tokenizer, "山高") == encoded.input_ids[:-1]


def test_a_training_row_is_the_prompt_the_lower_line_and_the_end(uer_tokenizer):
    row = "山高-水低"
    table = CharacterTable(uer_tokenizer, sorted(row))
    ids, _, _ = table.encode([row], 80)
    lower = uer_tokenizer("水低", add_special_tokens=False).input_ids
    assert ids.tolist() == [*encode_prompt(uer_tokenizer, "山高-"), *lower, uer_tokenizer.sep_token_id]


def test_logits_are_equal_whether_or_not_token_types_were_asked_for(uer_model, uer_tokenizer, bert_tokenizer):
    model = load_model(str(uer_model), uer_tokenizer).eval()
    text = COMPOSED_ROWS[0]
    plain = uer_tokenizer(text, return_tensors="pt")
    asked = uer_tokenizer(text, return_tensors="pt", return_token_type_ids=True)
    with torch.inference_mode():
        expected = model(**plain).logits
        # Asked for by name the library makes them; what our tokenizer names as the model's inputs has none of them.
        found = model(**{name: asked[name] for name in uer_tokenizer.model_input_names}).logits
        berts = bert_tokenizer(text, return_tensors="pt")
        harmed = model(**berts).logits[:, :-1]
    assert torch.equal(found, expected)
    assert "token_type_ids" in berts  # what the tutorial feeds: [PAD]'s embedding added at every position
    assert not torch.allclose(harmed, expected, atol=1e-3)


# ---- Saved and loaded ----


def test_a_saved_tokenizer_is_the_same_in_the_library_alone(uer_tokenizer, tmp_path):
    uer_tokenizer.save_pretrained(tmp_path)
    plain = AutoTokenizer.from_pretrained(str(tmp_path))
    for text in [*COMPOSED_ROWS[:20], "山[SEP]水", "2024 The é", ""]:
        assert plain(text).input_ids == uer_tokenizer(text).input_ids
    assert (plain.bos_token, plain.eos_token, plain.pad_token, plain.unk_token) == (CLS, SEP, "[PAD]", UNK)
    assert plain.padding_side == "left"
    assert plain.decode(plain("春满，神州-").input_ids, skip_special_tokens=True) == "春满，神州-"
    assert plain.decode(plain("春满").input_ids) == "[CLS]春满"


def test_padding_stands_before_the_prompt(uer_tokenizer):
    batch = uer_tokenizer(["山高水低-", "山-"], padding=True)
    assert batch.input_ids[1][:3] == [uer_tokenizer.pad_token_id] * 3
    assert batch.attention_mask[1] == [0, 0, 0, 1, 1, 1]


def test_loading_ours_again_gives_ours(uer_tokenizer, uer_model, tmp_path):
    model = load_model(str(uer_model), uer_tokenizer)
    model.save_pretrained(tmp_path)
    uer_tokenizer.save_pretrained(tmp_path)
    assert tokenizer_hash(load_tokenizer(str(tmp_path))) == tokenizer_hash(uer_tokenizer)


def test_the_hash_does_not_change_with_use_but_with_the_vocabulary(uer_tokenizer):
    before = tokenizer_hash(uer_tokenizer)
    uer_tokenizer(["山", "山高"], padding=True, truncation=True, max_length=3)
    assert tokenizer_hash(uer_tokenizer) == before
    assert tokenizer_hash(extend_tokenizer(uer_tokenizer, "“")) != before
    assert tokenizer_hash(character_tokenizer("山水")) != tokenizer_hash(character_tokenizer("水山"))


def test_directories_without_a_usable_vocabulary_are_explained(tmp_path, uer_model):
    with pytest.raises(UserError, match=r"is not a model; there is no file in this directory"):
        load_tokenizer(str(tmp_path))
    with pytest.raises(UserError, match="neither a directory here nor downloaded before"):
        load_tokenizer("nobody/nothing-of-that-name")
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / name).write_bytes((uer_model / name).read_bytes())
    byte_pairs = Tokenizer(models.BPE({"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")]))
    PreTrainedTokenizerFast(tokenizer_object=byte_pairs, unk_token="<|endoftext|>").save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"its vocabulary lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\]"):
        load_tokenizer(str(tmp_path))


# ---- From the corpus ----


def test_a_corpus_vocabulary_is_the_special_tokens_its_characters_and_the_librarys_letters():
    assert corpus_vocabulary("-山 水山") == {
        **{"[PAD]": 0, UNK: 1, CLS: 2, SEP: 3},
        **{"-": 4, "山": 5, SPACE_TOKEN: 6, "水": 7},
        **{letter: 8 + number for number, letter in enumerate("abcdef")},
    }


def test_a_corpus_tokenizer_keeps_case_accents_and_spaces():
    tokenizer = character_tokenizer("aAé1 山")
    assert tokens(tokenizer, "aA é1山") == [CLS, "a", "A", SPACE_TOKEN, "é", "1", "山"]
    assert tokenizer.decode(tokenizer("aA é1山").input_ids, skip_special_tokens=True) == "aA é1山"


def test_without_a_token_for_it_a_space_leaves_no_trace():
    tokenizer = character_tokenizer("山水")
    assert tokens(tokenizer, "山 水\t\n") == [CLS, "山", "水"]


def test_extending_adds_the_missing_characters_behind_the_old_ids(uer_tokenizer):
    extended = extend_tokenizer(uer_tokenizer, ["山", "“", "”", "𠮷", "山", "…"])
    old = uer_tokenizer.get_vocab()
    new = extended.get_vocab()
    assert {token: new[token] for token in old} == old
    assert [token for token, _ in sorted(new.items(), key=lambda item: item[1])][len(old) :] == ["“", "”", "𠮷", "…"]
    assert tokens(extended, "“𠮷”…The") == [CLS, "“", "𠮷", "”", "…", "t", "h", "e"]
    assert characters_known(extended, ["山", "“", "é"]) == {"山": True, "“": True, "é": False}
    assert characters_known(extended, []) == {}


def test_new_ids_follow_the_highest_one_where_a_vocabulary_has_gaps():
    gappy = build_tokenizer({"[PAD]": 0, UNK: 1, CLS: 2, SEP: 3, "山": 9}, False, 64)
    assert extend_tokenizer(gappy, "水山-").get_vocab() == gappy.get_vocab() | {"水": 10, "-": 11}


def test_characters_that_the_tokenizer_makes_one_are_added_once():
    folding = build_tokenizer({"[PAD]": 0, UNK: 1, CLS: 2, SEP: 3, "山": 4}, True, 64)
    extended = extend_tokenizer(folding, ["Ａ", "ａ", " ", "\u3000", "水"])
    assert extended.get_vocab() == folding.get_vocab() | {"ａ": 5, "▁": 6, "水": 7}
    assert tokens(extended, "Ａ 水") == [CLS, "ａ", "▁", "水"]


# ---- The table ----


def encoded_rows(tokenizer, texts, max_length=10_000):
    characters = sorted(set("".join(texts)))
    ids, offsets, lengths = CharacterTable(tokenizer, characters).encode(texts, max_length)
    rows = [ids[start:end].tolist() for start, end in itertools.pairwise(offsets)]
    return rows, lengths.tolist()


def fuzzed_texts(count, seed):
    """Texts of everything Unicode has but surrogates, with much Chinese, white space and special tokens among it."""
    rng = random.Random(seed)
    planes = [(0x20, 0x7F), (0x80, 0x2FF), (0x2000, 0x206F), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xE000, 0x1FFFF)]
    pieces = [
        "[SEP]",
        "[UNK]",
        "[CLS]",
        " ",
        "\u3000",
        "\n",
        "İ",
        "ß",
        "ﬁ",
        "e\u0301",
        "👍🏽",
        "##山",
        "\x00",
        SPACE_TOKEN,
    ]
    texts = [""]
    for _ in range(count):
        drawn = [chr(rng.randint(*rng.choice(planes))) for _ in range(rng.randint(0, 20))]
        drawn += rng.sample(pieces, rng.randint(0, 3)) + rng.choices(COMPOSED_ROWS, k=rng.randint(0, 1))
        rng.shuffle(drawn)
        texts.append("".join(drawn))
    return texts


@pytest.mark.parametrize("kind", ["uer", "uer extended", "corpus", "corpus with a space"])
@pytest.mark.parametrize("texts", ["composed", "fuzzed"])
def test_the_character_table_equals_the_tokenizer(uer_tokenizer, kind, texts):
    texts = COMPOSED_ROWS if texts == "composed" else fuzzed_texts(1500, seed=8)
    tokenizer = {
        "uer": lambda: uer_tokenizer,
        "uer extended": lambda: extend_tokenizer(uer_tokenizer, sorted(set("".join(texts[:300])))),
        "corpus": lambda: character_tokenizer(sorted(set("".join(COMPOSED_ROWS)))),
        "corpus with a space": lambda: character_tokenizer(sorted(set("".join(texts)))),
    }[kind]()
    rows, lengths = encoded_rows(tokenizer, texts)
    expected = [[*ids, tokenizer.sep_token_id] for ids in tokenizer(texts).input_ids]
    assert rows == expected
    assert lengths == [len(row) for row in expected]


def test_rows_are_cut_and_their_full_lengths_told(uer_tokenizer):
    rows, lengths = encoded_rows(uer_tokenizer, ["山高水低", "", "山"], max_length=4)
    cls, sep = uer_tokenizer.cls_token_id, uer_tokenizer.sep_token_id
    ids = uer_tokenizer("山高水低", add_special_tokens=False).input_ids
    assert rows == [[cls, *ids[:3]], [cls, sep], [cls, ids[0], sep]]
    assert lengths == [6, 2, 3]


def test_a_table_of_no_characters_encodes_empty_texts(uer_tokenizer):
    ids, offsets, lengths = CharacterTable(uer_tokenizer, []).encode(["", ""], 8)
    assert ids.dtype == np.int32 and ids.tolist() == [uer_tokenizer.cls_token_id, uer_tokenizer.sep_token_id] * 2
    assert offsets.tolist() == [0, 2, 4] and lengths.tolist() == [2, 2]


def test_a_vocabulary_larger_than_its_tokens_says_so_before_training(uer_model):
    vocabulary = {token: index for index, token in enumerate([*uer_vocabulary(), "“"])}
    with pytest.raises(UserError, match=r"tokenizer has .* tokens, but the embeddings have only"):
        load_model(str(uer_model), build_tokenizer(vocabulary, True, 64))
    # More rows than tokens are common (padded to a round number) and harmless.
    smaller = character_tokenizer("山水")
    assert load_model(str(uer_model), smaller).config.eos_token_id == smaller.sep_token_id
    assert tiny_gpt2(smaller).get_input_embeddings().weight.shape[0] == len(smaller)
