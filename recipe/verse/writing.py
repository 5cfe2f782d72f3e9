"""The files that a collection of poems becomes: texts, couplets, vocabulary, summary and data card."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from recipe.couplet.form import DEFAULT_SEPARATOR
from recipe.files import atomic_open, sha256_of, write_text
from recipe.language import _
from recipe.verse.cleaning import Poem
from recipe.verse.collection import Collection
from recipe.verse.couplets import Couplet, Split

# With [CLS] and [SEP] 128 tokens: 93% of the poems stand in one row.
ROW_CHARACTERS = 126

TEXTS, DEV_TEXTS = "verse.csv", "verse.dev.csv"
TRAIN, DEV, TEST = (f"verse-couplets.{side}.csv" for side in ("train", "dev", "test"))
_MARKS = "，。、；：？！"
VOCABULARY, SUMMARY, CARD = "vocabulary.txt", "summary.json", "README.md"

_CARD = """# Verse of the Tang and Song dynasties, and its parallel couplets

Made by `python -m recipe.verse` from the collection chinese-poetry (https://github.com/chinese-poetry/chinese-poetry,
MIT licence; the poems are in the public domain): {source}.

- `verse.csv`, `verse.dev.csv`: poems in simplified characters, at most 126 characters a row, longer ones in parts.
- `verse-couplets.train.csv`, `.dev.csv`, `.test.csv`: the second and third couplets of poems of eight lines of five or
  seven characters, as far as they keep the hard rules of the form and answer each other better than chance.
- `vocabulary.txt`: the characters of the verse, the most frequent first, then the others of GB 2312.

Dev and test were dealt out by poem; no line of theirs stands in another file, and none of the poems holds a line of the
dev set of the public 600,000 couplets. Sentences with lost or very rare characters are left out.

**Limits.** Language, subjects and views are those of educated men of the 7th to the 13th century. Printed variants and
misprints remain. A parallel pair is one that the counts of its characters make likely, which nobody has read.

| what | count |
|---|---|
{counts}

| file | SHA-256 |
|---|---|
{hashes}
"""


def rows_of(poem: Poem) -> list[str]:
    """Return a poem as rows of at most `ROW_CHARACTERS` characters, cut after a sentence."""
    rows = [""]
    for sentence in poem.sentences:
        if rows[-1] and len(rows[-1]) + len(sentence) > ROW_CHARACTERS:
            rows.append("")
        rows[-1] += sentence
    return rows


def vocabulary(texts: Iterable[str]) -> str:
    """Return the characters a model should know: those of `texts`, the most frequent first, then of GB 2312.

    The standard's 6,763 characters, which Python's codec knows, are those of everyday Chinese: verse lacks a fifth of
    them, among them 她, 帮 and 鑫.
    """
    counts = Counter(char for text in texts for char in text)
    # Ties in the order of the code points, so that the file does not depend on the order of the poems.
    frequent = sorted(counts, key=lambda char: (-counts[char], char))
    return "".join(dict.fromkeys([DEFAULT_SEPARATOR, *frequent, *gb2312_characters(), *_MARKS]))


def gb2312_characters() -> list[str]:
    """Return the Chinese characters of GB 2312: rows 16 to 55 by use and sound, rows 56 to 87 by radical."""
    cells = (bytes((0xA0 + row, 0xA0 + cell)) for row in range(16, 88) for cell in range(1, 95))
    return [char for cell in cells if (char := cell.decode("gb2312", errors="ignore"))]


def write_rows(path: Path, rows: Iterable[str]) -> int:
    """Write a CSV file with the column `text1`, as all commands read it; return the number of rows."""
    count = 0
    with atomic_open(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text1"])
        for row in rows:
            writer.writerow([row])
            count += 1
    return count


def write_all(
    directory: Path, collection: Collection, counts: dict[str, int], poems: Sequence[Poem], split: Split
) -> str:
    """Write every file, the data card last; return what is said on the screen."""
    texts = [row for number in split.train_poems for row in rows_of(poems[number])]
    rows = {
        TEXTS: texts,
        DEV_TEXTS: [row for number in split.dev_poems for row in rows_of(poems[number])],
        TRAIN: _couplet_rows(split.train),
        DEV: _couplet_rows(split.dev),
        TEST: _couplet_rows(split.test),
    }
    written = {name: write_rows(directory / name, texts) for name, texts in rows.items()}
    shown = {_(what): count for what, count in counts.items()}
    shown |= {_("rows of {file}").format(file=name): count for name, count in written.items()}
    counts = counts | {f"rows of {name}": count for name, count in written.items()}
    write_text(directory / VOCABULARY, vocabulary(texts) + "\n")
    hashes = {name: sha256_of(directory / name) for name in (*rows, VOCABULARY)}
    opencc = importlib.metadata.version("opencc")
    summary = {
        "collection": {"files": len(collection.files), "sha256": collection.sha256},
        "opencc": opencc,
        "counts": counts,
        "sha256": hashes,
    }
    write_text(directory / SUMMARY, json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
    listed = [f"| {name} | {count:,} |" for name, count in counts.items()]
    hashed = [f"| `{name}` | `{digest}` |" for name, digest in hashes.items()]
    source = f"{len(collection.files)} files, SHA-256 of their contents `{collection.sha256}`; OpenCC {opencc}"
    card = _CARD.format(source=source, counts="\n".join(listed), hashes="\n".join(hashed))
    write_text(directory / CARD, card)
    # The numbers first: Chinese words would need other widths.
    lines = [f"{count:9,}  {what}" for what, count in shown.items()]
    return "\n".join([*lines, _("written: {directory}/").format(directory=directory)])


def _couplet_rows(couplets: Iterable[Couplet]) -> list[str]:
    return [couplet.upper + DEFAULT_SEPARATOR + couplet.lower for couplet in couplets]
