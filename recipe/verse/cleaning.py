"""From a printed poem to its text: simplified characters, no editors' notes, no lost characters.

What is left are sentences of Chinese characters and seven marks, `秦川雄帝宅，函谷壮皇居。`. A sentence that cannot be
brought to that form (a character is lost, composed from parts, or too rare to learn) is left out, the others stay.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from recipe.couplet.character_forms import STANDARD_FORMS
from recipe.couplet.form import is_chinese_character
from recipe.errors import UserError
from recipe.language import _

# Fewer occurrences in the whole collection do not teach a character.
RARE_BELOW = 20
_LONGEST_CLAUSE = 16  # longer ones are prose: prefaces and editors' remarks that no bracket marks

# Editors' notes: emendations, sources, references. They nest, so the innermost go first.
_NOTE = re.compile(r"（[^（）]*）|〔[^〔〕]*〕|〖[^〖〗]*〗|【[^【】]*】|\([^()]*\)|\[[一二三四五六七八九十〇○\d]+\]")
_COMPOSED = re.compile(r"\{[^{}]*\}")  # a character described by its parts: {罒/录}
_LOST = "□"
_DROPPED = str.maketrans("", "", "「」『』《》〈〉“”‘’[]")  # quotation marks; brackets around an editor's conjecture
_MARKS = str.maketrans(",.!?;:、", "，。！？；：，")
_DOUBLED_MARKS = re.compile(r"[，。！？；：]*([。！？；])[，。！？；：]*|([，：])[，：]*")
_SENTENCE = re.compile(r"[^。！？；]+[。！？；]")


@dataclass(frozen=True)
class Poem:
    """A cleaned poem.

    Attributes:
        sentences: each with its marks, the last of which ends it.
        is_whole: no sentence was left out.
    """

    sentences: tuple[str, ...]
    is_whole: bool

    @property
    def text(self) -> str:
        """The whole poem."""
        return "".join(self.sentences)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The clauses without their marks: what is called a line of verse."""
        return tuple(line for line in re.split("[，：。！？；]", self.text) if line)


def simplify(texts: Sequence[str]) -> list[str]:
    """Return the texts in simplified characters, by OpenCC's `t2s`, and in the standard forms of printed variants.

    Raises:
        UserError: OpenCC is not installed.
    """
    if importlib.util.find_spec("opencc") is None:
        raise UserError(
            _(
                "the poems are in traditional characters, and OpenCC, which simplifies them, is not installed; run: "
                "pip install -c constraints.txt -e '.[verse]'"
            )
        )
    from opencc import OpenCC

    converter = OpenCC("t2s")
    return [converter.convert(text).translate(STANDARD_FORMS) for text in texts]


def clean(texts: Iterable[str], rare_below: int = RARE_BELOW) -> list[Poem]:
    """Return the cleaned poems of simplified texts, in order; those of which no sentence is left are missing.

    Args:
        rare_below: a sentence with a character that occurs less often in all texts together is left out.
    """
    bare = [_without_notes(text) for text in texts]
    split = [_SENTENCE.findall(text) for text in bare]
    counts = Counter("".join(sentence for sentences in split for sentence in sentences))
    known = {char for char, count in counts.items() if count >= rare_below and is_chinese_character(char)}
    known |= {"，", "："}
    poems = []
    for text, sentences in zip(bare, split, strict=True):
        kept = tuple(sentence for sentence in sentences if known.issuperset(sentence[:-1]) and _is_verse(sentence))
        if kept:
            poems.append(Poem(kept, is_whole="".join(kept) == text))
    return poems


def _without_notes(text: str) -> str:
    """Return a poem's text without notes, quotation marks and white space; every lost character is a □."""
    text = "".join(text.split())
    while (shorter := _NOTE.sub("", text)) != text:
        text = shorter
    text = _COMPOSED.sub(_LOST, text).translate(_DROPPED).translate(_MARKS)
    return _DOUBLED_MARKS.sub(lambda match: match[1] or match[2], text).lstrip("，。！？；：")


def _is_verse(sentence: str) -> bool:
    return all(0 < len(clause) <= _LONGEST_CLAUSE for clause in re.split("[，：]", sentence[:-1]))
