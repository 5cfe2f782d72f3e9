"""From a collection of verse to texts and couplets, on made-up poems in files of the collection's shape."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest

from recipe.couplet.form import split_couplet
from recipe.errors import UserError
from recipe.files import sha256_of
from recipe.model.tokenization import read_characters
from recipe.synthetic import synthesize
from recipe.verse import couplets as verse_couplets
from recipe.verse.__main__ import main
from recipe.verse.cleaning import Poem, clean, simplify
from recipe.verse.collection import read_collection
from recipe.verse.couplets import (
    distinct,
    excluded_lines,
    is_middle,
    line_key,
    parallelism_scores,
    regulated_couplets,
    split_by_poem,
)
from recipe.verse.writing import ROW_CHARACTERS, gb2312_characters, rows_of, vocabulary

POEMS = 1500
FILES = {
    "poet.tang.0.json": slice(0, 700),
    "poet.song.1000.json": slice(1100, None),
    "poet.song.0.json": slice(700, 1100),
}


@pytest.fixture(scope="module")
def made_up() -> list[list[str]]:
    """Poems of four sentences of two lines of seven; the middle ones are synthetic couplets, the others no pairs."""
    pairs = [
        (pair.upper, pair.lower)
        for pair in synthesize(16_000, seed=3)
        if len(pair.upper) == 7 and "，" not in pair.upper
    ]
    lines = [line for pair in pairs[2 * POEMS : 4 * POEMS] for line in pair]
    assert len(lines) == 4 * POEMS
    random.Random(1).shuffle(lines)
    poems = []
    for number in range(POEMS):
        first, last = lines[4 * number : 4 * number + 2], lines[4 * number + 2 : 4 * number + 4]
        sentences = [first, *pairs[2 * number : 2 * number + 2], last]
        poems.append([f"{upper}，{lower}。" for upper, lower in sentences])
    return poems


def write_files(directory: Path, made_up: list[list[str]]) -> Path:
    directory.mkdir(parents=True)
    for name, part in FILES.items():
        records = [{"author": "某", "title": "無題", "id": "0", "paragraphs": poem} for poem in made_up[part]]
        (directory / name).write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def unpacked(made_up, tmp_path_factory) -> Path:
    return write_files(tmp_path_factory.mktemp("collection") / "package/dist/quantangshi", made_up).parents[2]


@pytest.fixture(scope="module")
def tarball(unpacked) -> Path:
    path = unpacked / "collection.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(unpacked / "package", "package")
    return path


@pytest.fixture(scope="module")
def written(tarball) -> Path:
    directory = tarball.parent / "verse"
    assert main(["--poems", str(tarball), "--output_dir", str(directory), "--held_out", "60"]) == 0
    return directory


@pytest.fixture(scope="module")
def poems(made_up) -> list[Poem]:
    return clean(["".join(poem) for poem in made_up], rare_below=1)


def rows(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text1"] for row in csv.DictReader(file)]


def test_every_packaging_gives_the_same_files_byte_for_byte(made_up, unpacked, written, tmp_path):
    git_clone = write_files(tmp_path / "chinese-poetry/全唐诗", made_up).parent
    # The same names stand elsewhere in the collection with something else in them.
    other = git_clone / "strains/json"
    other.mkdir(parents=True)
    (other / "poet.tang.0.json").write_text('[{"strains": ["平平仄"]}]', encoding="utf-8")
    expected = {file.name: sha256_of(file) for file in written.iterdir()}
    for number, source in enumerate((unpacked / "package", git_clone, git_clone / "全唐诗")):
        output = tmp_path / str(number)
        main(["--poems", str(source), "--output_dir", str(output), "--held_out", "60"])
        assert {file.name: sha256_of(file) for file in output.iterdir()} == expected


def test_poems_come_in_the_order_of_dynasty_and_number(tarball, made_up):
    collection = read_collection(tarball)
    assert collection.files == ["poet.tang.0.json", "poet.song.0.json", "poet.song.1000.json"]
    assert collection.poems == ["".join(poem) for poem in made_up]


def test_no_line_stands_on_two_sides(written):
    sides = [rows(written / f"verse-couplets.{side}.csv") for side in ("train", "dev", "test")]
    lines = [{line for text in side for line in split_couplet(text)} for side in sides]
    assert [len(side) for side in sides[1:]] == [60, 60]
    assert len(sides[0]) > 500
    assert not (lines[0] & lines[1] or lines[0] & lines[2] or lines[1] & lines[2])
    texts = "".join(rows(written / "verse.csv"))
    assert not any(line in texts for line in lines[1] | lines[2])
    assert all(line in texts for line in lines[0])
    held_out_texts = "".join(rows(written / "verse.dev.csv"))
    assert all(line in held_out_texts for line in lines[1])


def test_summary_and_card_say_what_was_written(written):
    summary = json.loads((written / "summary.json").read_text(encoding="utf-8"))
    card = (written / "README.md").read_text(encoding="utf-8")
    assert summary["counts"]["poems read"] == POEMS
    for name, digest in summary["sha256"].items():
        assert sha256_of(written / name) == digest
        assert digest in card
        if name.endswith(".csv"):
            assert len(rows(written / name)) == summary["counts"][f"rows of {name}"]


def test_parallelism_separates_the_middle_couplets(poems):
    couplets = regulated_couplets(poems)
    assert len(couplets) == 4 * POEMS
    scores = parallelism_scores(couplets, poems)
    middle = np.array([is_middle(couplet) for couplet in couplets])
    parallel = scores >= verse_couplets.PARALLEL_FROM
    assert parallel[middle].mean() > 0.9
    assert parallel[~middle].mean() < 0.3


def test_a_couplet_is_not_scored_by_a_table_that_has_counted_it():
    # Two poems of characters of their own: each would find itself perfectly parallel.
    poems = clean(
        ["甲乙丙丁戊，己庚辛壬癸。子丑寅卯辰，巳午未申酉。东西南北中，上下左右前。金木水火土，青红白黑黄。"], 1
    )
    couplets = regulated_couplets(poems)
    assert len(couplets) == 4
    assert parallelism_scores(couplets, poems).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("春风来（一作「去」）小院，明月到高楼。", "春风来小院，明月到高楼。"),
        ("春风来小院，（（甲）乙）明月到高楼。（见《某志》卷一。）", "春风来小院，明月到高楼。"),
        ("春风来[小]院[一]，明月到高楼〖2〗。", "春风来小院，明月到高楼。"),
        ("「春风来小院，明月到高楼。」", "春风来小院，明月到高楼。"),
        ("春风来小院,明月到高楼.", "春风来小院，明月到高楼。"),
        ("春风 来小院，\n明月到高楼。。", "春风来小院，明月到高楼。"),
        ("春风来□院，明月到高楼。白云归远岫，流水绕孤洲。", "白云归远岫，流水绕孤洲。"),
        ("春风来{罒/录}院，明月到高楼。白云归远岫，流水绕孤洲。", "白云归远岫，流水绕孤洲。"),
        ("春风来院（，明月到高楼。白云归远岫，流水绕孤洲。", "白云归远岫，流水绕孤洲。"),
        ("此诗见于某书所引而不知其何人所作也云云。白云归远岫，流水绕孤洲。", "白云归远岫，流水绕孤洲。"),
    ],
)
def test_notes_and_lost_characters_are_cleaned_away(printed, expected):
    (poem,) = clean([printed], rare_below=1)
    assert poem.text == expected
    assert poem.is_whole == (len(expected) > 12 or "归" not in expected)


def test_a_poem_with_a_gap_gives_no_couplets():
    lost = "春风来□院，明月到高楼。"
    rest = "白云归远岫，流水绕孤洲。" * 4
    assert clean([lost + rest], 1)[0].is_whole is False
    assert regulated_couplets(clean([lost + rest], 1)) == []
    assert len(regulated_couplets(clean([rest], 1))) == 4


def test_rare_characters_take_their_sentence_with_them():
    common, rare = "白云归远岫，流水绕孤洲。", "白云归远岫，流水绕孤舟。"
    assert [poem.text for poem in clean([common] * 5 + [rare], rare_below=5)] == [common] * 5


def test_traditional_characters_and_variants_become_the_standard_ones():
    assert simplify(["風過疎簷雲隠岫，鴈歸遠浦樹生煙。"]) == ["风过疏檐云隐岫，雁归远浦树生烟。"]


def test_doubled_poems_are_dropped():
    texts = ["白云归远岫，流水绕孤洲。", "白云归远岫，流水绕孤舟。", "白云归远岫，流水绕孤洲。"]
    assert [poem.text for poem in distinct(clean(texts, 1))] == texts[:1]


def test_excluded_lines_reach_no_side(poems):
    couplets = [couplet for couplet in regulated_couplets(poems) if is_middle(couplet)]
    forbidden = couplets[0].upper
    split = split_by_poem(couplets, poems, 60, frozenset({line_key(forbidden)}))
    kept = {line for side in (split.train, split.dev, split.test) for couplet in side for line in couplet[:2]}
    assert forbidden not in kept
    assert not any(forbidden in poems[number].lines for number in split.train_poems + split.dev_poems)
    assert len(excluded_lines()) == 123


def test_long_poems_are_cut_after_a_sentence():
    sentence = "白云归远岫，流水绕孤洲。"
    (poem,) = clean([sentence * 30], 1)
    parts = rows_of(poem)
    assert "".join(parts) == sentence * 30
    assert all(len(part) <= ROW_CHARACTERS and part.endswith("。") for part in parts)


def test_the_vocabulary_knows_everyday_characters():
    known = vocabulary(["月明", "月白"])
    assert known.startswith("-月")
    assert set("福祥家国梦党她帮鑫，。、；：？！") < set(known)
    assert len(known) == len(set(known))
    assert len(gb2312_characters()) == 6763


def test_errors_say_what_was_found_and_what_to_do(tmp_path, tarball, unpacked):
    (tmp_path / "empty").mkdir()
    text = tmp_path / "poems.txt"
    text.write_text("白云归远岫", encoding="utf-8")
    torn = tmp_path / "torn.tgz"
    torn.write_bytes(tarball.read_bytes()[:20_000])
    foreign = tmp_path / "foreign.tgz"
    with tarfile.open(foreign, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("package/index.js"), io.BytesIO())
    for path, words in (
        (tmp_path / "nowhere", "no such file or directory"),
        (tmp_path / "empty", "holds no file quantangshi/poet.tang.N.json"),
        (text, "is not a tarball, or a damaged one"),
        (torn, "is not a tarball, or a damaged one"),
        (foreign, "holds no file quantangshi/poet.tang.N.json"),
    ):
        with pytest.raises(UserError) as caught:
            main(["--poems", str(path), "--output_dir", str(tmp_path / "out")])
        assert words in str(caught.value)
        assert "npm pack chinese-poetry@2.0.1" in str(caught.value)
    with pytest.raises(UserError, match=r"--held_out 3000: of [\d,]+ parallel couplets none is left"):
        main(["--poems", str(unpacked), "--output_dir", str(tmp_path / "out"), "--held_out", "3000"])
    with pytest.raises(UserError, match="--held_out 0: must be at least 1"):
        main(["--poems", str(unpacked), "--held_out", "0"])
    assert not (tmp_path / "out").exists()


def test_errors_are_chinese_where_that_is_asked_for(tmp_path, capsys):
    for path, words in (
        (tmp_path / "nowhere", "没有这个文件或目录"),
        (tmp_path, "里面没有 quantangshi/poet.tang.N.json"),
    ):
        with pytest.raises(UserError, match=f"{words}.*npm pack chinese-poetry@2.0.1` 可以获取"):
            main(["--language", "zh", "--poems", str(path)])
    with pytest.raises(SystemExit):
        main(["--language", "zh"])
    assert "缺少参数：--poems" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[{", '{"a": 1}', '[{"title": "無題"}]', '["詩"]', '[{"paragraphs": 3}]'])
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / "quantangshi").mkdir()
    (tmp_path / "quantangshi/poet.tang.0.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"poet\.tang\.0\.json: is not a list of poems"):
        read_collection(tmp_path)


def test_a_missing_opencc_is_explained(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -c constraints\.txt -e '\.\[verse\]'"):
        simplify(["風"])


def test_a_vocabulary_file_gives_each_character_once(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("天地\n天人\n", encoding="utf-8")
    assert read_characters(str(tmp_path / "vocabulary.txt")) == ["天", "地", "人"]
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    for name, problem in (("empty.txt", "holds no character"), ("nowhere.txt", "no such file")):
        with pytest.raises(UserError, match=f"--vocabulary_file .*{problem}"):
            read_characters(str(tmp_path / name))
