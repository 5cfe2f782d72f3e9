"""Tokenizers in which one character is one token, and the one way to encode a prompt.

BERT's own pipeline splits `2024` into `202 ##4`, strips accents, reads a literal `[SEP]` in the text as the end token,
appends `[SEP]` to every prompt and puts spaces between decoded characters. Here the vocabulary of such a tokenizer (or
the characters of the corpus) is put behind a pipeline without those habits; Chinese text keeps the very same ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from recipe.couplet.character_forms import Reading, read_as_known
from recipe.errors import UserError
from recipe.language import _, enumerated
from recipe.model.configuration import load_config
from recipe.model.finding import LOAD_ERRORS, find_model, has_only_vocabulary_txt
from recipe.text_files import read_utf8

PAD, UNK, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL_TOKENS = (PAD, UNK, CLS, SEP)
# A space is a character like others in plain text; the decoder removes real spaces, so it travels under this name.
SPACE_TOKEN = "▁"
# `stop_strings` (the `stop` of a served model) spells each token behind this text and fails where one of its letters is
# unknown: transformers' StopStringCriteria.clean_tokenizer_vocab.
_SPELLING_PROBE = "abcdef"
_DROPPED = -1
# Rows of embeddings without a token of their own: padding to multiples of 128 leaves up to 127, of 1024 in a vocabulary
# of 21,128 nearly a twentieth.
_MOST_PADDING, _MOST_PADDING_SHARE = 127, 0.05


def build_tokenizer(vocabulary: Mapping[str, int], lowercase: bool, max_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer over `vocabulary` that gives `[CLS]` and one token for each character of a text.

    Args:
        vocabulary: token → id; holds the four special tokens. Pieces of several characters keep their ids, unused.
        lowercase: fold the case, for vocabularies without capital letters.
        max_length: longest sequence of the model, in tokens.
    """
    core = Tokenizer(models.WordLevel(dict(vocabulary), unk_token=UNK))
    space = SPACE_TOKEN if SPACE_TOKEN in vocabulary else ""
    # İ is the only character whose lower case is two characters long.
    folding = [normalizers.Replace("İ", "I"), normalizers.Lowercase()] if lowercase else []
    core.normalizer = normalizers.Sequence([*folding, normalizers.Replace(Regex(r"\s"), space)])
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.post_processor = processors.TemplateProcessing(single=f"{CLS} $A", special_tokens=[(CLS, vocabulary[CLS])])
    # WordPiece puts a space before every token; removing them leaves text in which stop_strings still work, as they
    # do not behind the Fuse decoder.
    core.decoder = decoders.Sequence(
        [decoders.WordPiece(prefix="##", cleanup=False), decoders.Replace(" ", ""), decoders.Replace(SPACE_TOKEN, " ")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=CLS,
        eos_token=SEP,
        cls_token=CLS,
        sep_token=SEP,
        padding_side="left",
        model_max_length=max_length,
        # GPT-2 would embed token types through its word embeddings.
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        # A literal [SEP] in somebody's text is five characters, not the end of the line.
        split_special_tokens=True,
        do_lower_case=lowercase,
    )


def corpus_vocabulary(characters: Iterable[str]) -> dict[str, int]:
    """Return a vocabulary of the special tokens and `characters`, in the order given (the most frequent first).

    Six letters that the library needs come last: see `_SPELLING_PROBE`.
    """
    tokens = [*SPECIAL_TOKENS, *(SPACE_TOKEN if char == " " else char for char in characters), *_SPELLING_PROBE]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def read_characters(path: str) -> list[str]:
    """Return the different characters of a text file, in their order; line ends, and what else is not seen, are none.

    Raises:
        UserError: the file cannot be read as UTF-8, or holds no character.
    """
    try:
        text = read_utf8(path)
    except UserError as error:
        raise UserError(f"--vocabulary_file {error.problems[0]}") from None
    characters = list(dict.fromkeys(filter(str.isprintable, text)))
    if not characters:
        raise UserError(_("--vocabulary_file {path}: holds no character").format(path=path))
    return characters


def load_tokenizer(name_or_path: str) -> PreTrainedTokenizerFast:
    """Load a BERT-style tokenizer (or one of ours) and return it as a one-character-one-token tokenizer.

    Raises:
        UserError: nothing there, a vocabulary without the special tokens (GPT-2's byte pairs, say), or one of another
            size than the model's.
    """
    config, source = load_config(name_or_path), find_model(name_or_path)
    if has_only_vocabulary_txt(source):
        # The library goes by the model's type where no file names the tokenizer's, and looks for GPT-2's byte pairs.
        config.tokenizer_class = "BertTokenizer"
    try:
        loaded = AutoTokenizer.from_pretrained(source, config=config, trust_remote_code=False)
        vocabulary = loaded.get_vocab()
    except LOAD_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            _("{name}: its tokenizer cannot be loaded ({reason})").format(name=name_or_path, reason=reason)
        ) from None
    if missing := [token for token in SPECIAL_TOKENS if token not in vocabulary]:
        raise UserError(
            _(
                "{name}: its vocabulary lacks {missing}; the recipe needs a BERT-style vocabulary of Chinese "
                "characters, such as that of uer/gpt2-chinese-cluecorpussmall"
            ).format(name=name_or_path, missing=enumerated(missing))
        )
    _check_size(name_or_path, max(vocabulary.values()) + 1, config.vocab_size)
    lowercase = bool(loaded.init_kwargs.get("do_lower_case", True))
    return build_tokenizer(vocabulary, lowercase, min(int(loaded.model_max_length), 1 << 20))


def _check_size(name_or_path: str, tokens: int, rows: int) -> None:
    """Refuse a vocabulary that cannot be the model's own, to go by its size.

    More rows than tokens are common: embeddings are padded to a multiple of some number. Far more are another model's,
    and so is any row too few: each character would then be taken for another, and extending the embeddings hides it.
    """
    if rows < tokens or rows - tokens > max(_MOST_PADDING, rows * _MOST_PADDING_SHARE):
        raise UserError(
            _(
                "{name}: its vocabulary has {tokens:,} tokens, but by its config.json the model has {rows:,}; the two "
                "do not belong together. Use the vocabulary that the model was trained with"
            ).format(name=name_or_path, tokens=tokens, rows=rows)
        )


def extend_tokenizer(tokenizer: PreTrainedTokenizerFast, characters: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that also knows `characters`; new ids follow the old ones, which stay as they are."""
    vocabulary = dict(tokenizer.get_vocab())
    unknown = [char for char, is_known in characters_known(tokenizer, list(characters)).items() if not is_known]
    # As the tokenizer will see them: a capital in lower case where it folds the case; spaces, which it drops so far, as
    # their token. Several characters may become one.
    normalize = tokenizer.backend_tokenizer.normalizer.normalize_str
    tokens = dict.fromkeys(normalize(char) or SPACE_TOKEN for char in unknown)
    # Behind the highest id, which in a vocab.txt with a line twice is more than the number of tokens.
    vocabulary |= {token: new_id for new_id, token in enumerate(tokens, start=max(vocabulary.values()) + 1)}
    return build_tokenizer(vocabulary, bool(tokenizer.init_kwargs["do_lower_case"]), tokenizer.model_max_length)


def characters_known(tokenizer: PreTrainedTokenizerFast, characters: Sequence[str]) -> dict[str, bool]:
    """Say for each character whether the tokenizer has a token of its own for it."""
    unknown = tokenizer.convert_tokens_to_ids(UNK)
    encoded = tokenizer(list(characters), add_special_tokens=False).input_ids if characters else []
    return {char: len(ids) == 1 and ids[0] != unknown for char, ids in zip(characters, encoded, strict=True)}


def tokenizer_hash(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return 16 hexadecimal digits that change whenever the same text would be encoded otherwise."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # These two are set by the last call of the tokenizer, not by what it is.
    state["padding"] = state["truncation"] = None
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def unknown_characters(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """Return the distinct characters of `text` that the vocabulary lacks, in order; what it drops is none of them."""
    characters = list(dict.fromkeys(text))
    encoded = tokenizer(characters, add_special_tokens=False).input_ids if characters else []
    return [char for char, ids in zip(characters, encoded, strict=True) if ids == [tokenizer.unk_token_id]]


def read_by(tokenizer: PreTrainedTokenizerFast, text: str) -> Reading:
    """Return how a model with this tokenizer sees a text that may hold characters it lacks."""
    return read_as_known(text, lambda char: not unknown_characters(tokenizer, char))


def encode_prompt(tokenizer: PreTrainedTokenizerFast, opening: str) -> list[int]:
    """Return the token ids of what a model is given: `[CLS]` + the opening of a text (`TextFormat.opening`).

    Training rows, evaluation and generation all begin like this.
    """
    return tokenizer(opening).input_ids


class CharacterTable:
    """The tokenizer as an array from code point to id: the same ids, in a tenth of the time.

    The table is taken from the tokenizer itself, character by character, which is exact because nothing in its
    pipeline looks at more than one character.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, characters: Sequence[str]) -> None:
        self.cls_id, self.sep_id, self.unk_id = (tokenizer.convert_tokens_to_ids(token) for token in (CLS, SEP, UNK))
        self._ids = np.full(0x110000, _DROPPED, dtype=np.int32)
        encoded = tokenizer(list(characters), add_special_tokens=False).input_ids if characters else []
        for char, ids in zip(characters, encoded, strict=True):
            if len(ids) == 1:
                self._ids[ord(char)] = ids[0]

    def encode(self, texts: Sequence[str], max_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Encode `[CLS] text [SEP]` for each text, cut to `max_length` tokens.

        Returns:
            The ids of all rows behind each other (int32), the offsets of the rows in them (int32, rows + 1), and the
            full lengths before the cut (int64, rows).
        """
        ids = self._look_up(texts)
        kept = ids != _DROPPED
        lengths = _count_by_text(kept, texts) + 2
        ends = np.cumsum(lengths)
        starts = ends - lengths
        framed = np.empty(int(lengths.sum()), dtype=np.int32)
        is_text = np.ones(len(framed), dtype=bool)
        is_text[starts] = is_text[ends - 1] = False
        framed[is_text] = ids[kept]
        framed[starts], framed[ends - 1] = self.cls_id, self.sep_id
        inside = np.arange(len(framed)) - np.repeat(starts, lengths) < max_length
        offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, max_length))])
        return framed[inside], offsets.astype(np.int32), lengths

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """Return how many tokens each text has, `[CLS]` and `[SEP]` not among them (int64, texts)."""
        return _count_by_text(self._look_up(texts) != _DROPPED, texts)

    def _look_up(self, texts: Sequence[str]) -> np.ndarray:
        """Return the ids of all characters of the texts behind each other."""
        return self._ids[np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)]


def _count_by_text(is_counted: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Return for each text how many of its characters are counted."""
    text_of_character = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    return np.bincount(text_of_character[is_counted], minlength=len(texts))
