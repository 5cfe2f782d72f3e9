"""Ten thousand broken data files: each gets an answer, and every row that was read is accounted for.

Run:  python bench/fuzz_data.py [--files 10000] [--seed 0] [--only NUMBER]

Each file is a small corpus in one of the formats (CSV, TSV, JSON Lines, Parquet, the pair of text files), damaged in
up to three ways that its number draws: random bytes, bits flipped, cut short, other encodings in between, NULs, quotes
without their partner, huge cells, headers twice, rows of a million characters, and so on. A directory, an empty file, a
dangling link and a file that grows while it is read stand in place of some. The recipe's own preparation reads it, with
settings that fit the format or do not. What counts as an answer: a corpus, or a `UserError`. What must hold of a
corpus: rows read = kept + held out + rejected, the files on disk hold exactly so many, no held-out upper line is among
the training rows, and every tenth corpus is tokenized as for training. Anything else, a traceback above all, is a
failure; `--only` repeats one file.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import disable_progress_bars
from tqdm import tqdm

from recipe.errors import UserError
from recipe.model.tokenization import build_tokenizer, corpus_vocabulary
from recipe.rows.corpus import Corpus, prepare_corpus
from recipe.rows.preprocessing import encode_corpus
from recipe.settings import DataSettings

CHARACTERS = "山水风月花柳春秋日星云雨红绿东西高低来去金玉松竹鹤鱼晨暮行坐"
ODD = [
    "-",
    " ",
    "\t",
    "\u3000",
    "\ufeff",
    "\u200b",
    "\x00",
    "\x1b[31m",
    "\u202e",
    "😀",
    "é",
    "[SEP]",
    "“",
    "…",
    "\ufffd",
]
ENCODINGS = ["utf-8", "utf-8-sig", "gb18030", "utf-16", "big5", "latin-1"]
ENDINGS = ["csv", "tsv", "jsonl", "json", "parquet", "txt pair"]


def line(draw: random.Random, length: int) -> str:
    """Return a line of characters, now and then with something odd in it."""
    characters = [draw.choice(CHARACTERS) for _ in range(length)]
    if draw.random() < 0.1 and characters:
        characters[draw.randrange(length)] = draw.choice(ODD)
    return "".join(characters)


def couplets(draw: random.Random) -> list[tuple[str, str]]:
    """Return 1 to 60 pairs of lines, most of them of equal length."""
    lengths = [draw.choice([0, 1, 4, 5, 7, 7, 11]) for _ in range(draw.choice([1, 5, 20, 60]))]
    return [(line(draw, size), line(draw, size + (draw.random() < 0.05))) for size in lengths]


def table(pairs: list[tuple[str, str]], delimiter: str) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["text1", "upper", "lower"])
    writer.writerows([f"{upper}-{lower}", upper, lower] for upper, lower in pairs)
    return file.getvalue().encode("utf-8", "surrogatepass")


def json_lines(draw: random.Random, pairs: list[tuple[str, str]]) -> bytes:
    odd: list[object] = [None, 3, [], {}, {"text1": 5}, {"text1": None}, {"other": "山-水"}, {"text1": "\ud800-山"}]
    records: list[object] = [{"text1": f"{upper}-{lower}", "upper": upper, "lower": lower} for upper, lower in pairs]
    records = [draw.choice(odd) if draw.random() < 0.05 else record for record in records]
    return "".join(json.dumps(record, ensure_ascii=draw.random() < 0.5) + "\n" for record in records).encode(
        "utf-8", "surrogatepass"
    )


def parquet(draw: random.Random, pairs: list[tuple[str, str]]) -> bytes:
    texts = [None if draw.random() < 0.02 else f"{upper}-{lower}" for upper, lower in pairs]
    columns: dict[str, object] = {
        "text1": texts,
        "upper": [upper for upper, _ in pairs],
        "lower": [p[1] for p in pairs],
    }
    kind = draw.random()
    if kind < 0.1:
        columns["text1"] = list(range(len(pairs)))
    elif kind < 0.2:
        columns["text1"] = [str(text).encode("gb18030", "replace") for text in texts]
    elif kind < 0.3:
        columns["text1"] = [[text] for text in texts]
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


# ---- Damage: bytes in, bytes out ----


def flip_bits(draw: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice([1, 3, 30])):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def insert(pieces: list[bytes]) -> Callable[[random.Random, bytes], bytes]:
    """Return a damage that puts one of `pieces` at one to three places."""

    def damage(draw: random.Random, content: bytes) -> bytes:
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(content) + 1)
            content = content[:at] + draw.choice(pieces) + content[at:]
        return content

    return damage


def mix_encodings(draw: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    lines[at] = lines[at].decode("utf-8", "replace").encode(draw.choice(ENCODINGS), "replace")
    return b"\n".join(lines)


def repeat_header(draw: random.Random, content: bytes) -> bytes:
    header, _, rest = content.partition(b"\n")
    return draw.choice([header + b"\n" + content, header + b"," + header + b"\n" + rest, b"\n" + content])


def reencode(draw: random.Random, content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode(draw.choice(ENCODINGS), "replace")


DAMAGES: list[Callable[[random.Random, bytes], bytes]] = [
    lambda draw, content: draw.randbytes(draw.choice([1, 100, 5000])),
    lambda draw, content: content[: draw.randrange(len(content))],
    lambda draw, content: content + draw.randbytes(50),
    lambda draw, content: content.replace(b"\n", draw.choice([b"\r", b"\r\n", b"\n\n", b"\x0b", b"\xe2\x80\xa8"])),
    lambda draw, content: content.replace(b",", draw.choice([b";", b"\t", b"|"])),
    lambda draw, content: content * draw.choice([2, 3]),
    flip_bits,
    mix_encodings,
    reencode,
    repeat_header,
    insert([b'"', b'"""', b"'", b'\\"']),
    insert([b"\x00", b"\x00" * 100, b"\x1b]0;title\x07", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"]),
    insert([b"\n", b"\r", b"\n\n\n", b","]),
    insert(["山".encode() * 40_000, b"x" * 200_000]),
    insert([b"[" * 5000, b"{" * 5000, b'{"text1": 1e999}', b'{"text1": ' + b"9" * 5000 + b"}", b"NaN\n"]),
]


# ---- One file ----


def write_case(draw: random.Random, directory: Path) -> tuple[DataSettings, Path]:
    """Write one damaged corpus and return settings that read it, and the file that may grow."""
    ending = draw.choice(ENDINGS)
    pairs = couplets(draw)
    encoding = "utf-8" if draw.random() < 0.9 else draw.choice([*ENCODINGS, "no-such-encoding"])
    options = {
        "encoding": encoding,
        "cache_dir": str(directory / "cache"),
        "validation_size": draw.choice([0, 3]),
        "separator": draw.choice(["-"] * 8 + ["|", " "]),
        "text_format": draw.choice(["couplet", "couplet", "plain"]),
        "unequal_lines": draw.choice(["reject", "keep"]),
        "max_rows": draw.choice([None, None, None, 1, 7]),
    }
    if ending == "txt pair":
        contents = [" ".join(part[side] + "\n" for part in pairs).encode() for side in (0, 1)]
        paths = [directory / "in.txt", directory / "out.txt"]
        sources: dict[str, object] = {"upper_file": str(paths[0]), "lower_file": str(paths[1])}
    else:
        delimiter = "\t" if ending == "tsv" else ","
        is_table = ending in ("csv", "tsv")
        content = table(pairs, delimiter) if is_table else parquet(draw, pairs) if ending == "parquet" else b""
        contents, paths = [content or json_lines(draw, pairs)], [directory / f"rows.{ending}"]
        sources = {"train_file": [str(paths[0])]}
        if draw.random() < 0.3:
            sources |= {"upper_column": "upper", "lower_column": "lower"}
    for content, path in zip(contents, paths, strict=True):
        path.write_bytes(damaged(draw, content, spare_header=ending in ("csv", "tsv") and draw.random() < 0.7))
    if draw.random() < 0.03:
        replace_by_something_else(draw, paths[0])
    return DataSettings(**options, **sources), paths[0]  # type: ignore[arg-type]


def damaged(draw: random.Random, content: bytes, spare_header: bool) -> bytes:
    """Return `content` after up to three damages; a spared header lets the rows below it be read."""
    header, newline, body = content.partition(b"\n") if spare_header else (b"", b"", content)
    for _ in range(draw.choice([0, 1, 1, 2, 3])):
        body = draw.choice(DAMAGES)(draw, body) if body else body
    return header + newline + body


def replace_by_something_else(draw: random.Random, path: Path) -> None:
    path.unlink()
    kind = draw.randrange(4)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.touch()
    elif kind == 2:
        path.symlink_to(path.with_name("nowhere"))
    else:
        million = "山" * 1_000_000
        path.write_text(f"text1\n{million}-{million}\n春来-秋去\n", encoding="utf-8")


class Growing(threading.Thread):
    """Appends to a file until it is told to stop."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self.enough = path, threading.Event()

    def run(self) -> None:
        while not self.enough.wait(0.0005):
            with self.path.open("ab") as file:
                file.write("山高-水低\n".encode())


def account_for(corpus: Corpus) -> None:
    """Raise AssertionError unless every row that was read went to exactly one place."""
    summary = corpus.summary
    assert summary.read == summary.kept + summary.validation + sum(summary.rejected.values()), summary
    assert (len(corpus.train), len(corpus.validation)) == (summary.kept, summary.validation), summary
    with corpus.rejected_file.open(encoding="utf-8", newline="") as file:
        quarantined = list(csv.reader(file))
    assert len(quarantined) - 1 == sum(summary.rejected.values()), "rows in the quarantine file"
    assert all(cell.isprintable() for row in quarantined for cell in row), "an unescaped control character"


def tokenize(corpus: Corpus, data: DataSettings) -> None:
    """Encode the rows as for training and check the number of them and of their tokens."""
    separator = [] if data.text_format == "plain" else ["-", data.separator]
    vocabulary = corpus_vocabulary([*separator, *corpus.summary.characters])
    train, _ = encode_corpus(corpus, build_tokenizer(vocabulary, False, 1 << 20), data)
    assert len(train.dataset) == len(train.lengths) == corpus.summary.kept
    assert all(length <= data.max_length for length in train.lengths)


def no_leak(corpus: Corpus, data: DataSettings) -> None:
    if data.text_format == "couplet" and data.upper_column is None and data.upper_file is None:
        uppers = [
            {row["text"][: row["opening_length"] - 1] for row in part} for part in (corpus.train, corpus.validation)
        ]
        assert not uppers[0] & uppers[1], "an upper line on both sides of the split"


def try_file(number: int, seed: int) -> str:
    """Prepare one file and return the kind of answer; raises what is not one."""
    draw = random.Random(f"{seed}-{number}")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        data, path = write_case(draw, Path(directory))
        growing = Growing(path) if draw.random() < 0.01 and path.is_file() else None
        if growing:
            growing.start()
        try:
            corpus = prepare_corpus(data)
            account_for(corpus)
            no_leak(corpus, data)
            if number % 10 == 0 and len(corpus.validation):  # without held-out rows the job ends here
                tokenize(corpus, data)
            return "corpus"
        except UserError as error:
            assert error.problems and all(problem.strip() for problem in error.problems)
            assert len(str(error)) < 5000, "a message nobody reads"
            assert not list((Path(directory) / "cache").glob("*")), "something left of a failed preparation"
            return "refused"
        finally:
            if growing:
                growing.enough.set()
                growing.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=None, help="repeat the one file of this number")
    options = parser.parse_args()
    disable_progress_bars()
    answers: Counter[str] = Counter()
    numbers = range(options.files) if options.only is None else [options.only]
    for number in tqdm(numbers, desc="files"):
        try:
            answers[try_file(number, options.seed)] += 1
        except Exception as error:  # anything at all: that is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            if answers[kind] == 0:
                tqdm.write(f"file {number}: {''.join(traceback.format_exception(error))[-2500:]}")
            answers[kind] += 1
    for answer, count in answers.most_common():
        print(f"{count:8,} {answer}")
    failures = sum(answers.values()) - answers["corpus"] - answers["refused"]
    print(f"{sum(answers.values()):,} files, {failures} without an answer or with rows unaccounted for")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
