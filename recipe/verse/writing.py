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
from recipe.verse.cleaning import Poem
from recipe.verse.collection import Collection
from recipe.verse.couplets import Couplet, Split

# With [CLS] and [SEP] 128 tokens: 93% of the poems stand in one row.
ROW_CHARACTERS = 126

TEXTS, DEV_TEXTS = "verse.csv", "verse.dev.csv"
TRAIN, DEV, TEST = (f"verse-couplets.{side}.csv" for side in ("train", "dev", "test"))
_MARKS = "，。、；：？！"
VOCABULARY, SUMMARY = "vocabulary.txt", "summary.json"


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
    """Write every file and the data card last; return the summary for the screen."""
    texts = [row for number in split.train_poems for row in rows_of(poems[number])]
    rows = {
        TEXTS: texts,
        DEV_TEXTS: [row for number in split.dev_poems for row in rows_of(poems[number])],
        TRAIN: _couplet_rows(split.train),
        DEV: _couplet_rows(split.dev),
        TEST: _couplet_rows(split.test),
    }
    counts = counts | {f"rows of {name}": write_rows(directory / name, texts) for name, texts in rows.items()}
    write_text(directory / VOCABULARY, vocabulary(texts) + "\n")
    hashes = {name: sha256_of(directory / name) for name in (*rows, VOCABULARY)}
    summary = {
        "collection": {"files": len(collection.files), "sha256": collection.sha256},
        "opencc": importlib.metadata.version("opencc"),
        "counts": counts,
        "sha256": hashes,
    }
    write_text(directory / SUMMARY, json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
    return json.dumps(summary, ensure_ascii=False, indent=2)


def _couplet_rows(couplets: Iterable[Couplet]) -> list[str]:
    return [couplet.upper + DEFAULT_SEPARATOR + couplet.lower for couplet in couplets]
