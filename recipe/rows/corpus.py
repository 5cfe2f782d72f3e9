"""A clean corpus out of the user's files: every row checked, counted, and either kept or put into quarantine.

`prepare_corpus` streams the rows once, removes duplicates, holds out whole upper lines, and leaves a directory of
memory-mapped Arrow files that a second start of the same job opens without doing any work again. What a row is, and
which part of it is given, its text format says (`recipe.formats`).
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from datasets import Dataset

from recipe.errors import UserError, printable
from recipe.files import atomic_directory, atomic_open, sha256_of
from recipe.formats.registry import FORMATS
from recipe.language import N_, _, enumerated
from recipe.rows.cleaning import RejectedRowError, counted
from recipe.rows.reading import (
    Row,
    Source,
    checked_text,
    read_rows,
    training_source,
    validation_source,
    why_rejected,
)
from recipe.screen import progress_bar
from recipe.settings import DataSettings
from recipe.stored_files import stored

# Part of the cache key: raise it when the same files would give other rows.
_FORMAT_VERSION = 7
_BATCH_ROWS = 20_000
_SCHEMA = pa.schema([("text", pa.string()), ("opening_length", pa.int32()), ("file", pa.uint16()), ("row", pa.int64())])
_QUARANTINE_TEXT_CHARS = 1_000  # a million-character cell should not make a million-character report
_VALIDATION_SHARE = 10  # at most one row in so many is held out, so that a tiny corpus still trains
DUPLICATE = N_("duplicate")
IN_VALIDATION = N_("upper line is in the validation file")
_HELD_OUT = N_("held out with their upper line")


@dataclass
class CorpusSummary:
    """What became of the rows; `read == kept + validation + sum(rejected.values())`.

    Attributes:
        cleaned: how many rows something was taken out of beside white space, by its kind; rejected ones not counted.
    """

    read: int = 0
    kept: int = 0
    validation: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    cleaned: dict[str, int] = field(default_factory=dict)
    file_hashes: dict[str, str] = field(default_factory=dict)
    file_bytes: dict[str, int] = field(default_factory=dict)
    characters: dict[str, int] = field(default_factory=dict)
    validation_characters: dict[str, int] = field(default_factory=dict)


@dataclass
class Corpus:
    """Checked rows: two datasets, the summary, and the file of rejected rows.

    Each dataset has the columns `text` and `opening_length`, which are those of `recipe.formats.base.Text`.
    """

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
        self._rows: list[tuple[str, int, int, int]] = []

    def append(self, text: str, opening_length: int, file: int, row: int) -> None:
        self._rows.append((text, opening_length, file, row))
        if len(self._rows) >= _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(zip(*self._rows, strict=True), _SCHEMA, strict=True)
            self._writer.write_batch(pa.record_batch([pa.array(values, f.type) for values, f in columns], _SCHEMA))
        self._rows = []

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
        self.first: dict[str, Row] = {}  # of each reason

    def add(self, file: str, row: int, reason: str, text: str) -> None:
        self.counts[reason] += 1
        # Escaped, so that a control character in the data cannot act on the terminal that shows this file.
        text = text[:_QUARANTINE_TEXT_CHARS]
        shown = printable(text, keep="")
        self.first.setdefault(reason, Row(file, row, (text,), reason))
        self._writer.writerow((file, row, reason, shown))

    def close(self) -> None:
        self._file.close()


def prepare_corpus(data: DataSettings) -> Corpus:
    """Check, deduplicate and split the user's rows, or open what an earlier start of the same job left.

    Raises:
        UserError: settings or files that cannot give a corpus.
    """
    source, own_validation = training_source(data), validation_source(data)
    hashes = {file: sha256_of(stored(file)) for part in (source, own_validation) if part for file in part.files}
    fingerprint = _fingerprint(data, hashes)
    directory = Path(data.cache_dir) / f"corpus-{fingerprint}"
    if not (directory / "summary.json").exists():
        with atomic_directory(directory) as temporary:
            _build(temporary, data, source, own_validation, hashes)
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
    directory: Path, data: DataSettings, source: Source, own_validation: Source | None, hashes: dict[str, str]
) -> None:
    """Write the rows, the quarantine and the summary of one corpus into `directory`."""
    summary = CorpusSummary(file_hashes=hashes, file_bytes={file: stored(file).stat().st_size for file in hashes})
    quarantine = _Quarantine(directory / "rejected_rows.csv")
    with contextlib.closing(quarantine):
        texts, keys = _stream_checked(
            directory / "train-checked.arrow", data, source, summary, quarantine, data.max_rows
        )
        keep = _first_of_each(texts)
        names = source.files
        if own_validation is None:
            validation = _choose_validation(keys, keep, data.validation_size)
            splits = [("train", keep & ~validation), ("validation", keep & validation)]
            _write_splits(directory, "train", splits, summary, quarantine, names, [(~keep, DUPLICATE)])
        else:
            own_texts, own_keys = _stream_checked(
                directory / "validation-checked.arrow", data, own_validation, summary, quarantine
            )
            leaked = np.isin(keys, own_keys)
            rejections = [(~keep, DUPLICATE), (keep & leaked, IN_VALIDATION)]
            _write_splits(directory, "train", [("train", keep & ~leaked)], summary, quarantine, names, rejections)
            own_keep = _first_of_each(own_texts)
            _write_splits(
                directory,
                "validation",
                [("validation", own_keep)],
                summary,
                quarantine,
                own_validation.files,
                [(~own_keep, DUPLICATE)],
            )
    summary.rejected = dict(quarantine.counts.most_common())
    if not summary.kept:
        counts = dict(summary.rejected)
        if summary.validation:
            counts[_HELD_OUT] = summary.validation
        raise UserError(
            _("{files}: no row is left to train on (read {read:,}: {found})").format(
                files=enumerated(source.files), read=summary.read, found=counted(counts) or _("no rows at all")
            )
            + why_rejected(source, quarantine.first, quarantine.counts, takes_other_texts=True)
        )
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
    """Write the rows that pass the checks; return 64-bit hashes of their texts and of what holds them out."""
    text_format, sink = FORMATS[data.text_format].from_settings(data), _ArrowSink(path)
    texts, keys, cleaned = array("Q"), array("Q"), Counter(summary.cleaned)
    file_numbers = {file: number for number, file in enumerate(source.files)}
    digest = xxhash.xxh3_64_intdigest
    with contextlib.closing(sink):
        rows = progress_bar(read_rows(source), desc=_("reading"), unit=_("row"), delay=2, leave=False)
        for row in _limited(rows, max_rows):
            summary.read += 1
            try:
                text, opening_length, held_out_by, removed = checked_text(row, text_format)
            except RejectedRowError as rejection:
                quarantine.add(row.file, row.number, rejection.reason, data.separator.join(map(str, row.cells)))
                continue
            texts.append(digest(text.encode()))
            keys.append(digest(held_out_by.encode()))
            cleaned.update(removed)
            sink.append(text, opening_length, file_numbers[row.file], row.number)
    summary.cleaned = dict(cleaned.most_common())
    return np.frombuffer(texts, dtype=np.uint64), np.frombuffer(keys, dtype=np.uint64)


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


def _choose_validation(keys: np.ndarray, keep: np.ndarray, size: int) -> np.ndarray:
    """Return a mask of about `size` rows: all rows of the upper lines whose hashes are smallest.

    A hash knows nothing of the order of the rows or of the training seed, so the same upper lines are held out however
    the file is shuffled, and none stands on both sides.
    """
    wanted = min(size, int(keep.sum()) // _VALIDATION_SHARE)
    if wanted <= 0:
        return np.zeros(len(keys), dtype=bool)
    threshold = np.partition(keys[keep], wanted - 1)[wanted - 1]
    return keys <= threshold


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
            for name, _mask in splits
        }
        characters: dict[str, Counter[str]] = {name: Counter() for name in sinks}
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
            summary.validation, summary.validation_characters = int(mask.sum()), dict(characters[name].most_common())
