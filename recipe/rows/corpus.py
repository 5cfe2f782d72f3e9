"""A clean corpus out of the user's files: every row checked, counted, and either kept or put into quarantine.

`prepare_corpus` streams the rows once, removes duplicates, holds out whole upper lines, and leaves a directory of
memory-mapped Arrow files that a second start of the same job opens without doing any work again. What a row of a
couplet corpus is comes from `recipe.couplet.form`.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from datasets import Dataset
from tqdm import tqdm

from recipe.couplet.form import DEFAULT_SEPARATOR, split_couplet
from recipe.errors import UserError, printable
from recipe.files import atomic_directory, atomic_open, sha256_of
from recipe.rows.reading import Row, Source, read_rows, training_source, validation_source
from recipe.settings import DataSettings

# Part of the cache key: raise it when the same files would give other rows.
_FORMAT_VERSION = 2
_BATCH_ROWS = 20_000
_SCHEMA = pa.schema([("text", pa.string()), ("file", pa.uint16()), ("row", pa.int64())])
_QUARANTINE_TEXT_CHARS = 1_000  # a million-character cell should not make a million-character report
_HELD_OUT_SHARE = 10  # at most one row in so many is held out, so that a tiny corpus still trains


class Reason:
    """Why a row is rejected, in the words of the summary."""

    EMPTY = "empty"
    NOT_TEXT = "not text"
    NO_SEPARATOR = "no separator"
    EMPTY_LINE = "empty upper or lower line"
    UNEQUAL = "lines of unequal length"
    CONTROL = "control or damaged characters"
    LINE_BREAK = "line break inside a cell (an unbalanced quote?)"
    DUPLICATE = "duplicate"
    HELD_OUT = "upper line stands in the validation file"


@dataclass
class CorpusSummary:
    """What became of the rows; `read == kept + held_out + sum(rejected.values())`."""

    read: int = 0
    kept: int = 0
    held_out: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    file_hashes: dict[str, str] = field(default_factory=dict)
    file_bytes: dict[str, int] = field(default_factory=dict)
    characters: dict[str, int] = field(default_factory=dict)
    held_out_characters: dict[str, int] = field(default_factory=dict)


@dataclass
class Corpus:
    """Checked rows: two datasets with a column `text`, the summary, and the file of rejected rows."""

    train: Dataset
    validation: Dataset
    summary: CorpusSummary
    rejected_file: Path
    fingerprint: str
    directory: Path


class _ArrowSink:
    """Append rows to an Arrow stream file in batches, so that memory does not grow with the corpus."""

    def __init__(self, path: Path) -> None:
        self._writer = pa.ipc.new_stream(str(path), _SCHEMA)
        self._columns: tuple[list[str], list[int], list[int]] = ([], [], [])

    def append(self, text: str, file: int, row: int) -> None:
        texts, files, rows = self._columns
        texts.append(text)
        files.append(file)
        rows.append(row)
        if len(texts) >= _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_batch(
            pa.record_batch([pa.array(c, f.type) for c, f in zip(self._columns, _SCHEMA, strict=True)], _SCHEMA)
        )
        self._columns = ([], [], [])

    def close(self) -> None:
        self._flush()
        self._writer.close()


class _Quarantine:
    """The CSV file of rejected rows, and their count by reason."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(("file", "row", "reason", "text"))
        self.counts: Counter[str] = Counter()

    def add(self, file: str, row: int, reason: str, text: str) -> None:
        self.counts[reason] += 1
        # Escaped, so that a control character in the data cannot act on the terminal that shows this file.
        shown = printable(text[:_QUARANTINE_TEXT_CHARS], keep="")
        self._writer.writerow((file, row, reason, shown))

    def close(self) -> None:
        self._file.close()


def row_separator(data: DataSettings) -> str:
    """Return what stands between the lines of a checked row; empty for plain texts.

    That is the files' separator; but white space, which vocabularies have no token for, becomes the default one.
    """
    if data.text_format == "plain":
        return ""
    return DEFAULT_SEPARATOR if data.separator.isspace() else data.separator


def make_row_check(data: DataSettings) -> Callable[[Row], tuple[str, str, str]]:
    """Return the function that turns a row into `(text, upper line, "")`, or `("", "", reason)` to reject it.

    For `text_format=plain` the "upper line", by which rows are held out, is the whole text.
    """
    separator, keeps_unequal = data.separator, data.unequal_lines == "keep"
    between = row_separator(data)

    def check_couplet(row: Row) -> tuple[str, str, str]:
        cells = []
        for cell in _split_at_space(row.cells, separator) if separator.isspace() else row.cells:
            text, reason = _clean(cell, keep_spaces=False)
            if reason:
                return "", "", reason
            cells.append(text)
        if len(cells) == 2:
            upper, lower = cells
        elif (lines := split_couplet(cells[0], separator)) is None:
            return "", "", Reason.NO_SEPARATOR
        else:
            upper, lower = lines
        if not upper or not lower:
            return "", "", Reason.EMPTY_LINE
        if len(upper) != len(lower) and not keeps_unequal:
            return "", "", Reason.UNEQUAL
        return upper + between + lower, upper, ""

    def check_plain(row: Row) -> tuple[str, str, str]:
        text, reason = _clean(row.cells[0], keep_spaces=True)
        return text, text, reason

    return check_couplet if data.text_format == "couplet" else check_plain


def _split_at_space(cells: tuple[Any, ...], separator: str) -> tuple[Any, ...]:
    """Split a cell at its separating space before cleaning, which would remove it."""
    if len(cells) == 1 and isinstance(cells[0], str):
        return split_couplet(cells[0].strip(), separator) or cells
    return cells


def _clean(cell: object, keep_spaces: bool) -> tuple[str, str]:
    """Return `(text without stray white space, "")`, or `("", reason)`."""
    if cell is None or cell == "":
        return "", Reason.EMPTY
    if not isinstance(cell, str):
        return "", Reason.NOT_TEXT
    if cell.isprintable() and " " not in cell and "\ufffd" not in cell:
        return cell, ""
    words = cell.split()
    if not words:
        return "", Reason.EMPTY
    if not keep_spaces and "\n" in cell.strip():
        return "", Reason.LINE_BREAK
    text = (" " if keep_spaces else "").join(words)
    if any(char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in text):
        return "", Reason.CONTROL
    return text, ""


def prepare_corpus(data: DataSettings) -> Corpus:
    """Check, deduplicate and split the user's rows, or open what an earlier start of the same job left.

    Raises:
        UserError: settings or files that cannot give a corpus.
    """
    source, held_out_source = training_source(data), validation_source(data)
    hashes = {file: sha256_of(file) for part in (source, held_out_source) if part for file in part.files}
    fingerprint = _fingerprint(data, hashes)
    directory = Path(data.cache_dir) / f"corpus-{fingerprint}"
    if not (directory / "summary.json").exists():
        with atomic_directory(directory) as temporary:
            _build(temporary, data, source, held_out_source, hashes)
    summary = CorpusSummary(**json.loads((directory / "summary.json").read_text(encoding="utf-8")))
    train, validation = (Dataset.from_file(str(directory / f"{part}.arrow")) for part in ("train", "validation"))
    return Corpus(train, validation, summary, directory / "rejected_rows.csv", fingerprint, directory)


def _fingerprint(data: DataSettings, hashes: dict[str, str]) -> str:
    relevant = asdict(data)
    # Where the prepared rows are kept and how long a row may be in tokens change nothing about the rows themselves.
    for name in ("cache_dir", "max_length"):
        del relevant[name]
    text = json.dumps([_FORMAT_VERSION, relevant, hashes], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _build(
    directory: Path, data: DataSettings, source: Source, held_out_source: Source | None, hashes: dict[str, str]
) -> None:
    """Write the rows, the quarantine and the summary of one corpus into `directory`."""
    summary = CorpusSummary(file_hashes=hashes, file_bytes={file: Path(file).stat().st_size for file in hashes})
    quarantine = _Quarantine(directory / "rejected_rows.csv")
    with contextlib.closing(quarantine):
        pairs, uppers = _stream_checked(
            directory / "train-checked.arrow", data, source, summary, quarantine, data.max_rows
        )
        keep = _first_of_each(pairs)
        names = source.files
        if held_out_source is None:
            held_out = _choose_held_out(uppers, keep, data.validation_size)
            splits = [("train", keep & ~held_out), ("validation", keep & held_out)]
            _write_splits(directory, "train", splits, summary, quarantine, names, [(~keep, Reason.DUPLICATE)])
        else:
            own_pairs, own_uppers = _stream_checked(
                directory / "validation-checked.arrow", data, held_out_source, summary, quarantine
            )
            leaked = np.isin(uppers, own_uppers)
            rejections = [(~keep, Reason.DUPLICATE), (keep & leaked, Reason.HELD_OUT)]
            _write_splits(directory, "train", [("train", keep & ~leaked)], summary, quarantine, names, rejections)
            own_keep = _first_of_each(own_pairs)
            _write_splits(
                directory,
                "validation",
                [("validation", own_keep)],
                summary,
                quarantine,
                held_out_source.files,
                [(~own_keep, Reason.DUPLICATE)],
            )
    summary.rejected = dict(quarantine.counts.most_common())
    if not summary.kept:
        counts = summary.rejected | ({"held out with their upper line": summary.held_out} if summary.held_out else {})
        found = "; ".join(f"{count:,} {reason}" for reason, count in counts.items()) or "no rows at all"
        raise UserError(f"{', '.join(source.files)}: no row is left to train on (read {summary.read:,}: {found})")
    with atomic_open(directory / "summary.json") as file:
        json.dump(asdict(summary), file, ensure_ascii=False)


def _stream_checked(
    path: Path,
    data: DataSettings,
    source: Source,
    summary: CorpusSummary,
    quarantine: _Quarantine,
    max_rows: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the rows that pass the checks; return 64-bit hashes of their texts and of their upper lines."""
    check, sink = make_row_check(data), _ArrowSink(path)
    pairs, uppers = array("Q"), array("Q")
    file_numbers = {file: number for number, file in enumerate(source.files)}
    digest = xxhash.xxh3_64_intdigest
    with contextlib.closing(sink):
        for row in _limited(tqdm(read_rows(source), desc="reading", unit=" rows", delay=2, leave=False), max_rows):
            summary.read += 1
            text, upper, reason = ("", "", row.fault) if row.fault else check(row)
            if reason:
                quarantine.add(row.file, row.number, reason, data.separator.join(map(str, row.cells)))
                continue
            pairs.append(digest(text.encode()))
            uppers.append(digest(upper.encode()))
            sink.append(text, file_numbers[row.file], row.number)
    return np.frombuffer(pairs, dtype=np.uint64), np.frombuffer(uppers, dtype=np.uint64)


def _limited(rows: Iterable[Row], count: int | None) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if count is not None and number >= count:
            return
        yield row


def _first_of_each(hashes: np.ndarray) -> np.ndarray:
    """Return a mask of the first occurrence of each 64-bit hash.

    Two of n different texts share a hash with probability n²/2⁶⁵: 3 in a million for ten million rows.
    """
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    mask = np.ones(len(hashes), dtype=bool)
    mask[order[1:][ranked[1:] == ranked[:-1]]] = False
    return mask


def _choose_held_out(uppers: np.ndarray, keep: np.ndarray, size: int) -> np.ndarray:
    """Return a mask of about `size` rows: all rows of the upper lines whose hashes are smallest.

    A hash knows nothing of the order of the rows or of the training seed, so the same upper lines are held out however
    the file is shuffled, and none stands on both sides.
    """
    wanted = min(size, int(keep.sum()) // _HELD_OUT_SHARE)
    if wanted <= 0:
        return np.zeros(len(uppers), dtype=bool)
    threshold = np.partition(uppers[keep], wanted - 1)[wanted - 1]
    return uppers <= threshold


def _write_splits(
    directory: Path,
    part: str,
    splits: list[tuple[str, np.ndarray]],
    summary: CorpusSummary,
    quarantine: _Quarantine,
    files: tuple[str, ...],
    rejections: list[tuple[np.ndarray, str]],
) -> None:
    """Distribute the checked rows over the split files by mask, batch by batch, and put the rejected aside."""
    checked = directory / f"{part}-checked.arrow"
    with contextlib.ExitStack() as stack:
        reader = pa.ipc.open_stream(stack.enter_context(pa.memory_map(str(checked))))
        sinks = {
            name: stack.enter_context(pa.ipc.new_stream(str(directory / f"{name}.arrow"), _SCHEMA))
            for name, _ in splits
        }
        characters: dict[str, Counter[str]] = {name: Counter() for name, _ in splits}
        start = 0
        for batch in reader:
            window = slice(start, start + batch.num_rows)
            start += batch.num_rows
            for name, mask in splits:
                chosen = batch.filter(pa.array(mask[window]))
                sinks[name].write_batch(chosen)
                characters[name].update("".join(chosen.column("text").to_pylist()))
            for mask, reason in rejections:
                for row in batch.filter(pa.array(mask[window])).to_pylist():
                    quarantine.add(files[row["file"]], row["row"], reason, row["text"])
    checked.unlink()
    for name, mask in splits:
        if name == "train":
            summary.kept, summary.characters = int(mask.sum()), dict(characters[name].most_common())
        else:
            summary.held_out, summary.held_out_characters = int(mask.sum()), dict(characters[name].most_common())
