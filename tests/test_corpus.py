"""A clean corpus: every row kept, held out or in quarantine with its reason; nothing leaks; nothing is done twice."""

import csv
import random
from collections import Counter

import pytest
from finetune_helpers import COMPOSED_ROWS, invented_couplets, write_rows

from recipe.errors import UserError
from recipe.formats.couplet import Couplet
from recipe.language import choose_language
from recipe.rows import corpus as corpus_module
from recipe.rows.cleaning import counted
from recipe.rows.corpus import prepare_corpus
from recipe.settings import DataSettings

ROWS = invented_couplets(300, seed=1)


@pytest.fixture
def prepare(tmp_path):
    """Return a function that prepares rows, or a file, in a cache directory of the test's own."""

    def run(rows, header="text1", name="rows.csv", **settings):
        path = write_rows(tmp_path / name, rows, header)
        defaults = {"train_file": [str(path)], "validation_size": 0, "cache_dir": str(tmp_path / "cache")}
        return prepare_corpus(DataSettings(**(defaults | settings)))

    return run


def rejected(corpus):
    with corpus.rejected_file.open(encoding="utf-8", newline="") as file:
        return [(int(row["row"]), row["reason"], row["text"]) for row in csv.DictReader(file)]


def upper_lines(dataset):
    return {text.split("-")[0] for text in dataset["text"]}


def adds_up(summary):
    return summary.read == summary.kept + summary.validation + sum(summary.rejected.values())


# ---- What is kept, what is rejected ----


def test_every_rejected_row_stands_in_the_quarantine_with_its_row_and_reason(prepare):
    rows = [
        "山高-水低",  # row 2
        "",  # an empty line
        '""',
        "山高水低",
        "山高-水低低",
        "-水低",
        "山高-",
        "山\x07高-水低",
        "山\ufffd-水低",
        "山\u200b高-水低",
        '"山高\n水低-风清月明"',  # two lines of the file
        "风清-月明",
        "山高-水低",
    ]
    corpus = prepare(rows)
    assert corpus.train["text"] == ["山高-水低", "风清-月明"]
    assert rejected(corpus) == [
        (3, "empty line", ""),
        (4, "empty", ""),
        (5, "no separator", "山高水低"),
        (6, "lines of unequal length", "山高-水低低"),
        (7, "empty upper or lower line", "-水低"),
        (8, "empty upper or lower line", "山高-"),
        (9, "control or damaged characters", "山\\u0007高-水低"),
        (10, "control or damaged characters", "山�-水低"),
        (12, "line break inside a cell (an unbalanced quote?)", "山高\\u000a水低-风清月明"),
        (11, "duplicate", "山高-水低"),
        (15, "duplicate", "山高-水低"),
    ]
    assert adds_up(corpus.summary) and corpus.summary.read == 13
    assert corpus.summary.rejected["control or damaged characters"] == 2
    assert corpus.summary.cleaned == {"invisible characters": 1}
    assert corpus.summary.characters["山"] == 1 and corpus.summary.characters["-"] == 2


def test_quarantined_rows_name_their_file(prepare, tmp_path):
    other = write_rows(tmp_path / "other.csv", ["坏"])
    corpus = prepare(["山高-水低", "差"], train_file=[str(tmp_path / "rows.csv"), str(other)])
    with corpus.rejected_file.open(encoding="utf-8") as file:
        assert [(row["file"], row["row"]) for row in csv.DictReader(file)] == [
            (str(tmp_path / "rows.csv"), "3"),
            (str(other), "2"),
        ]


def test_a_cell_that_is_no_text_is_rejected(prepare, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text1": "山高-水低"}\n{"text1": null}\n{"text1": 5}\n{"x": 1}\n{oops\n', encoding="utf-8")
    corpus = prepare([], train_file=[str(path)])
    assert [(row, reason) for row, reason, _ in rejected(corpus)] == [
        (2, "empty"),
        (3, "not text"),
        (4, "no key 'text1'"),
        (5, "not JSON"),
    ]
    assert adds_up(corpus.summary)


def test_reasons_are_chinese_on_the_screen_and_english_in_files(prepare, tmp_path):
    choose_language("zh")
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text1": "山高-水低"}\n{"x": 1}\n[1]\n{"text1": "a", "text1": "b"}\n', encoding="utf-8")
    corpus = prepare([], train_file=[str(path)])
    reasons = ["no key 'text1'", "not a JSON object", "key 'text1' twice"]
    assert [reason for _, reason, _ in rejected(corpus)] == reasons == list(corpus.summary.rejected)
    assert counted(corpus.summary.rejected) == "没有键 'text1' 1 行；不是 JSON 对象 1 行；键 'text1' 重复 1 行"
    with pytest.raises(
        UserError, match=r"没有剩下可训练的数据行（读入 2 行：没有分隔符 2 行）。第一处在 .*第 2 行：山高水低。"
    ):
        prepare(["山高水低", "风清月明"])


def test_words_that_other_readers_take_for_missing_values_are_text(prepare):
    corpus = prepare(["NA-甲乙", "null-甲乙丙丁", "nan-甲乙丙"])
    assert corpus.train["text"] == ["NA-甲乙", "null-甲乙丙丁", "nan-甲乙丙"]


def test_a_separator_inside_a_line_survives(prepare):
    corpus = prepare(["山-高-水-低", "三-八节-四-九天", "a-b-c"])
    # The one in the exact middle separates; without one there the row has no separator that is certain.
    assert corpus.train["text"] == ["山-高-水-低", "三-八节-四-九天"]
    assert rejected(corpus) == [(4, "no separator", "a-b-c")]


@pytest.mark.parametrize("separator", ["|", "／", "，", "\t", " ", "\u3000"])
def test_other_separators(prepare, separator):
    corpus = prepare([f"山高{separator}水低", "风清月明"], separator=separator)
    between = Couplet(separator).between
    assert between == ("-" if separator.isspace() else separator)
    assert corpus.train["text"] == [f"山高{between}水低"]
    assert [reason for _, reason, _ in rejected(corpus)] == ["no separator"]


def test_spaces_between_characters_are_no_part_of_a_couplet(prepare):
    corpus = prepare([" 山 高\u3000- 水 低 ", "风 清-月明"])
    assert corpus.train["text"] == ["山高-水低", "风清-月明"]


def test_rows_that_differ_in_spaces_only_are_duplicates(prepare):
    corpus = prepare(["山高-水低", "山 高-水 低"])
    assert rejected(corpus) == [(3, "duplicate", "山高-水低")]


def test_unequal_lines_are_kept_where_that_is_asked_for(prepare):
    corpus = prepare(["山高-水低低", "风清-月明"], unequal_lines="keep")
    assert corpus.train["text"] == ["山高-水低低", "风清-月明"] and not corpus.summary.rejected


def test_two_columns_may_hold_the_separator_anywhere(prepare):
    corpus = prepare(["山-高,水-低", "风清,", "a,b"], "upper,lower", upper_column="upper", lower_column="lower")
    assert corpus.train["text"] == ["山-高-水-低", "a-b"]
    assert [(row, reason) for row, reason, _ in rejected(corpus)] == [(3, "empty")]


def test_the_separator_inside_a_line_of_two_columns_is_not_taken_for_the_one_between_them(prepare):
    columns = {"upper_column": "upper", "lower_column": "lower"}
    corpus = prepare(["天地人-日,月"], "upper,lower", unequal_lines="keep", **columns)
    row = corpus.train[0]
    assert row["text"][: row["opening_length"]] == "天地人-日-"


def test_the_public_pair_of_files(prepare, tmp_path):
    (tmp_path / "in.txt").write_text("晚 风 摇 树 \n\n愿 景 \n", encoding="utf-8")
    (tmp_path / "out.txt").write_text("晨 露 润 花 \n无 \n天 成 \n", encoding="utf-8")
    files = {"upper_file": str(tmp_path / "in.txt"), "lower_file": str(tmp_path / "out.txt")}
    corpus = prepare([], train_file=[], **files)
    assert corpus.train["text"] == ["晚风摇树-晨露润花", "愿景-天成"]
    assert [(row, reason) for row, reason, _ in rejected(corpus)] == [(2, "empty")]


def test_plain_texts_need_no_separator_and_keep_their_spaces(prepare):
    corpus = prepare(["床前 明月光", "  a  b\t", '"line one\nline two"', "", "床前 明月光"], text_format="plain")
    assert corpus.train["text"] == ["床前 明月光", "a b", "line one line two"]
    assert [reason for _, reason, _ in rejected(corpus)] == ["empty line", "duplicate"]


def test_gb18030_is_read_as_its_own_encoding(prepare, tmp_path):
    path = write_rows(tmp_path / "gb.csv", ["山高-水低", "䶮-𠮷"], encoding="gb18030")
    corpus = prepare([], train_file=[str(path)], encoding="gb18030")
    assert corpus.train["text"] == ["山高-水低", "䶮-𠮷"]
    with pytest.raises(UserError, match="--encoding gb18030"):
        prepare([], train_file=[str(path)])


def test_max_rows_reads_only_the_first_rows_of_the_training_files(prepare, tmp_path):
    validation = write_rows(tmp_path / "validation.csv", ROWS[50:80])
    corpus = prepare(ROWS[:50], max_rows=10, validation_file=[str(validation)])
    assert corpus.train["text"] == ROWS[:10]
    assert corpus.summary.validation == 30


def test_a_corpus_without_a_usable_row_says_what_was_found(prepare):
    with pytest.raises(UserError, match=r"no row is left to train on \(read 2: 2 no separator\)"):
        prepare(["甲乙", "丙丁"])
    with pytest.raises(UserError, match=r"read 0: no rows at all"):
        prepare([])


def test_a_failed_preparation_leaves_nothing_behind(prepare, tmp_path):
    with pytest.raises(UserError):
        prepare(["甲乙"])
    assert list((tmp_path / "cache").iterdir()) == []


# ---- Held-out rows ----


def test_the_split_is_by_upper_line_and_nothing_leaks(prepare):
    # Three lower lines to each upper line.
    rows = [upper + "-" + lower for upper, lower in (row.split("-") for row in ROWS)]
    rows += [row[:-1] + char for row in ROWS for char in "甲乙"]
    corpus = prepare(rows, validation_size=60)
    train, validation = upper_lines(corpus.train), upper_lines(corpus.validation)
    assert not train & validation
    assert len(train | validation) == len(ROWS)
    assert 60 <= corpus.summary.validation < 63 and corpus.summary.validation == len(corpus.validation)
    rows_of_line = Counter(text.split("-")[0] for text in corpus.validation["text"])
    assert set(rows_of_line.values()) == {3}
    assert adds_up(corpus.summary)


def test_the_split_does_not_depend_on_the_order_of_the_rows(prepare):
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    first, second = prepare(ROWS, validation_size=20), prepare(shuffled, name="shuffled.csv", validation_size=20)
    assert sorted(first.validation["text"]) == sorted(second.validation["text"])
    assert len(first.validation) == 20
    # A row more changes the held-out set by at most that row.
    third = prepare([*ROWS, "甲乙-丙丁"], name="more.csv", validation_size=20)
    assert len(set(third.validation["text"]) - set(first.validation["text"])) <= 1


def test_at_most_a_tenth_is_held_out(prepare):
    assert len(prepare(ROWS, validation_size=2000).validation) == 30
    assert len(prepare(ROWS[:9], name="nine.csv", validation_size=2000).validation) == 0


def test_a_validation_file_of_ones_own_takes_its_upper_lines_out_of_the_training_rows(prepare, tmp_path):
    validation = [*ROWS[:10], ROWS[0], "没有分隔"]
    path = write_rows(tmp_path / "validation.csv", validation)
    other_lower = ROWS[3][:-1] + "甲"
    corpus = prepare([*ROWS[5:60], other_lower], validation_file=[str(path)], validation_size=20)
    assert corpus.validation["text"] == ROWS[:10]
    assert corpus.train["text"] == ROWS[10:60]
    assert corpus.summary.rejected == {
        "upper line is in the validation file": 6,
        "no separator": 1,
        "duplicate": 1,
    }
    assert adds_up(corpus.summary)


# ---- The cache ----


def test_a_second_start_does_no_work_again(prepare, tmp_path, monkeypatch):
    first = prepare(ROWS, validation_size=20)
    monkeypatch.setattr(corpus_module, "_build", lambda *args: pytest.fail("the rows were read again"))
    second = prepare_corpus(
        DataSettings(
            train_file=[str(tmp_path / "rows.csv")],
            validation_size=20,
            cache_dir=str(tmp_path / "cache"),
            max_length=33,  # changes how rows are encoded, not which rows there are
        )
    )
    assert second.train["text"] == first.train["text"] and second.summary == first.summary


@pytest.mark.parametrize("change", [{"validation_size": 10}, {"unequal_lines": "keep"}, {"separator": "|"}])
def test_other_settings_are_another_corpus(prepare, change):
    rows = [*ROWS, "山高|水低"]
    assert prepare(rows).fingerprint != prepare(rows, **change).fingerprint


def test_changed_rows_are_read_again(prepare):
    first = prepare(ROWS[:20])
    second = prepare(ROWS[:21])
    assert (len(first.train), len(second.train)) == (20, 21)
    assert first.fingerprint != second.fingerprint


def test_composed_couplets_pass_every_check(prepare):
    corpus = prepare(COMPOSED_ROWS)
    assert corpus.train["text"] == COMPOSED_ROWS and not corpus.summary.rejected
    assert corpus.summary.file_hashes.keys() == {str(corpus.directory.parents[1] / "rows.csv")}
