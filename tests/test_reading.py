"""Files of every format people bring, and a clear message for each one that cannot be read."""

import json
import os
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe.errors import UserError
from recipe.rows.reading import Row, Source, read_rows, training_source, validation_source
from recipe.settings import DataSettings

LINES = ["山高-水低", "风清-月明"]


def read(path, **settings):
    return list(read_rows(training_source(DataSettings(train_file=[str(path)], **settings))))


def write(tmp_path, name, content, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def failure(*args, **settings):
    with pytest.raises(UserError) as caught:
        read(*args, **settings)
    return str(caught.value)


# ---- Formats ----


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_with_any_line_end_with_and_without_a_byte_order_mark(tmp_path, newline, encoding):
    path = write(
        tmp_path, "rows.csv", newline.join(["id,text1,other", "1,山高-水低,x", '2,"风清-月明",y', ""]), encoding
    )
    assert read(path) == [Row(str(path), 2, ("山高-水低",)), Row(str(path), 3, ("风清-月明",))]


def test_a_last_row_without_a_line_end_is_read(tmp_path):
    assert [row.cells for row in read(write(tmp_path, "rows.csv", "text1\n山高-水低"))] == [("山高-水低",)]


def test_tsv_with_two_columns(tmp_path):
    path = write(tmp_path, "rows.tsv", "lower\tupper\n水低\t山高\n月明\t风,清\n")
    rows = read(path, upper_column="upper", lower_column="lower")
    assert [row.cells for row in rows] == [("山高", "水低"), ("风,清", "月明")]


def test_json_lines_and_their_faulty_rows(tmp_path):
    good = json.dumps({"text1": "山高-水低", "n": 1}, ensure_ascii=False)
    content = "\n".join([good, "{broken", "[1]", "", '{"other": 1}', '{"text1": null}', '{"text1": 5}', "[" * 5000])
    rows = read(write(tmp_path, "rows.jsonl", content))
    assert [row.number for row in rows] == list(range(1, 9))
    assert [row.fault for row in rows] == [
        *("", "not JSON", "not a JSON object", "empty line", "no key 'text1'"),
        *("", "", "not JSON"),
    ]
    assert rows[0].cells == ("山高-水低",) and rows[5].cells == (None,) and rows[6].cells == (5,)
    assert rows[1].cells == ("{broken",)  # what stands there is shown in the quarantine


def test_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": [1, 2, 3], "text1": ["山高-水低", None, "风清-月明"]}), path)
    assert read(path) == [Row(str(path), n, (text,)) for n, text in enumerate(["山高-水低", None, "风清-月明"], 1)]


def test_the_public_pair_of_files(tmp_path):
    upper = write(tmp_path, "in.txt", "山 高 \n风 清 \n")
    lower = write(tmp_path, "out.txt", "水 低 \n月 明 \n")
    source = training_source(DataSettings(upper_file=str(upper), lower_file=str(lower)))
    assert [row.cells for row in read_rows(source)] == [("山 高 \n", "水 低 \n"), ("风 清 \n", "月 明 \n")]
    assert [row.number for row in read_rows(source)] == [1, 2]


def test_a_pair_of_unequal_length_names_the_shorter_file(tmp_path):
    upper, lower = write(tmp_path, "in.txt", "山 高\n风 清\n"), write(tmp_path, "out.txt", "水 低\n")
    with pytest.raises(UserError, match=r"out\.txt: ends after line 1, but the other file goes on"):
        list(read_rows(training_source(DataSettings(upper_file=str(upper), lower_file=str(lower)))))


def test_several_files_are_read_in_their_order_and_rows_name_theirs(tmp_path):
    first = write(tmp_path, "a.csv", "text1\n山高-水低\n")
    second = write(tmp_path, "b.jsonl", json.dumps({"text1": "风清-月明"}))
    rows = list(read_rows(training_source(DataSettings(train_file=[str(first), str(second)]))))
    assert [(row.file, row.number, row.cells) for row in rows] == [
        (str(first), 2, ("山高-水低",)),
        (str(second), 1, ("风清-月明",)),
    ]


def test_rows_are_numbered_by_their_first_line_as_in_an_editor(tmp_path):
    path = write(tmp_path, "rows.csv", 'text1\n"山\n高-水低"\n\n风清-月明\n')
    rows = read(path)
    assert [(row.number, row.cells, row.fault) for row in rows] == [
        (2, ("山\n高-水低",), ""),
        (4, (), "empty line"),
        (5, ("风清-月明",), ""),
    ]


def test_a_row_with_too_few_cells_is_a_fault_of_that_row(tmp_path):
    rows = read(write(tmp_path, "rows.csv", "id,text1\n1\n2,山高-水低\n3,a,b,c\n"))
    assert [(row.number, row.fault) for row in rows] == [
        (2, "missing cell"),
        (3, ""),
        (4, "more cells than the header"),
    ]


def test_a_cell_of_a_million_characters_is_read(tmp_path):
    (row,) = read(write(tmp_path, "rows.csv", "text1\n" + "山" * 1_000_000 + "\n"))
    assert len(row.cells[0]) == 1_000_000


# ---- Encodings ----


def test_gb18030_is_named_and_then_read(tmp_path):
    path = write(tmp_path, "rows.csv", "text1\n" + "\n".join(LINES) + "\n", "gb18030")
    message = failure(path)
    assert "rows.csv: is not utf-8" in message and "--encoding gb18030" in message
    assert [row.cells[0] for row in read(path, encoding="gb18030")] == LINES


def test_a_file_in_another_encoding_than_was_said_is_explained(tmp_path):
    path = write(tmp_path, "rows.csv", "text1\n山高-水低\n" * 3, "utf-8")
    assert "try --encoding utf-8" in failure(path, encoding="ascii").replace("gb18030", "utf-8")
    assert "--encoding klingon: Python knows no such encoding" in failure(path, encoding="klingon")
    utf16 = write(tmp_path, "rows16.csv", "text1\n山高-水低\n", "utf-16")
    assert "try --encoding utf-16" in failure(utf16)
    assert [row.cells[0] for row in read(utf16, encoding="utf-16")] == ["山高-水低"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "in.txt"])
@pytest.mark.parametrize(
    ("good", "message"),
    [("text1", "is not utf-8 .*try --encoding gb18030"), ("山高-水低", "line 20001: a damaged character")],
)
def test_a_broken_byte_late_in_a_file_is_the_same_message(tmp_path, name, good, message):
    line = json.dumps({"text1": good}, ensure_ascii=False) if name == "rows.jsonl" else good
    header = b"text1\n" if name == "rows.csv" else b""
    content = f"{line}\n".encode() * (20_000 - len(header) // 6) + "春高".encode("gb18030")
    path = write(tmp_path, name, header + content)
    with pytest.raises(UserError, match=message):
        source = Source((str(path),) * 2, ("u", "l"), "utf-8", True) if name == "in.txt" else None
        list(read_rows(source or training_source(DataSettings(train_file=[str(path)]))))


# ---- Files that cannot be used ----


def test_a_missing_column_shows_the_header(tmp_path):
    message = failure(write(tmp_path, "rows.csv", "id,text\n1,山高-水低\n"))
    assert "has no column named 'text1'; its header is: id, text" in message and "--text_column" in message


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_missing_column_names_the_setting_that_chooses_it(tmp_path, name):
    path = write(tmp_path, name, '{"text": 1}\n')
    with pytest.raises(UserError, match=r"Name the right one with --prompt_column$"):
        list(read_rows(Source((str(path),), ("text1",), "utf-8", column_settings=("--prompt_column",))))


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_named_pipe_is_read_once(tmp_path, encoding):
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=("text1\n山高-水低\n".encode(encoding),), daemon=True).start()
    rows = read_rows(Source((str(pipe),), ("text1",), "utf-8"))
    if encoding == "utf-8":
        assert list(rows) == [Row(str(pipe), 2, ("山高-水低",))]
    else:
        with pytest.raises(UserError, match="try --encoding gb18030"):
            list(rows)


def test_two_missing_columns_stand_in_one_message(tmp_path):
    message = failure(write(tmp_path, "rows.csv", "a,b\n1,2\n"), upper_column="u", lower_column="l")
    assert "'u'" in message and "'l'" in message and message.startswith("error: 2 problems")


def test_a_header_that_names_the_column_twice_is_refused(tmp_path):
    assert "has 2 columns named 'text1'" in failure(write(tmp_path, "rows.csv", "text1,text1\na,b\n"))


def test_json_lines_without_the_key_anywhere_show_the_keys(tmp_path):
    message = failure(write(tmp_path, "rows.jsonl", '{"text": "a"}\n{"other": "b"}\n'))
    assert "has no column named 'text1'; its header is: text, other" in message


def test_parquet_without_the_column_or_not_parquet_at_all(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "rows.parquet")
    assert "no column named 'text1'" in failure(tmp_path / "rows.parquet")
    fake = write(tmp_path, "fake.parquet", b"text1\n1234567890")
    assert "fake.parquet: cannot be read as Parquet" in failure(fake)
    cut = write(tmp_path, "cut.parquet", (tmp_path / "rows.parquet").read_bytes()[:100])
    assert "cut.parquet: cannot be read as Parquet" in failure(cut)
    damaged = pa.array(["春-秋".encode("gb18030")], pa.binary()).view(pa.string())  # strings that are not UTF-8
    pq.write_table(pa.table({"text1": damaged}), tmp_path / "damaged.parquet")
    assert "damaged.parquet: cannot be read as Parquet: 'utf-8' codec" in failure(tmp_path / "damaged.parquet")


def test_files_that_are_not_there_directories_and_empty_files_stand_in_one_message(tmp_path, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    write(tmp_path, "empty.csv", "")
    monkeypatch.chdir(tmp_path)
    names = ["nowhere.csv", "folder.csv", "empty.csv"]
    with pytest.raises(UserError) as caught:
        training_source(DataSettings(train_file=names, validation_file=names[:1]))
    assert len(caught.value.problems) == 3  # what is named twice is said once
    message = str(caught.value)
    assert f"nowhere.csv: no such file (looked in {tmp_path})" in message
    assert "folder.csv: is a directory; name a file in it" in message
    assert "empty.csv: is empty" in message


def test_a_pipe_is_not_waited_for_while_settings_are_checked_and_refused_to_several_processes(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "rows.csv")
    assert training_source(DataSettings(train_file=[str(tmp_path / "rows.csv")]))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"rows\.csv: is no ordinary file, and several processes read its rows"):
        training_source(DataSettings(train_file=[str(tmp_path / "rows.csv")]))


def test_an_ending_that_says_nothing_is_refused(tmp_path):
    message = failure(write(tmp_path, "rows.dat", "text1\n"))
    assert "rows.dat: cannot tell the format from its ending; expected one of .csv, .tsv, .jsonl" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no training rows: give --train_file FILE, or --upper_file and --lower_file"),
        ({"upper_file": "{file}"}, "--upper_file and --lower_file must be given together"),
        ({"lower_file": "{file}", "train_file": ["{file}"]}, "--upper_file and --lower_file must be given together"),
        ({"train_file": ["{file}"], "upper_column": "a"}, "--upper_column and --lower_column must be given together"),
        ({"train_file": ["{file}"], "upper_file": "{file}", "lower_file": "{file}"}, "both name training rows"),
        ({"upper_file": "{file}", "lower_file": "{file}", "text_format": "plain"}, "plain has one text in each row"),
        (
            {"train_file": ["{file}"], "upper_column": "a", "lower_column": "b", "text_format": "plain"},
            "plain has one text in each row",
        ),
        ({"train_file": ["{file}"], "separator": ""}, "--separator is empty"),
        ({"train_file": ["{file}", "{file}"]}, "--train_file names .*rows.csv twice"),
        ({"upper_file": "{file}", "lower_file": "{file}"}, "are the same file; every line would answer itself"),
        ({"train_file": ["{file}"], "upper_column": "a", "lower_column": "a"}, "both name 'a'; every line would"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, settings, message):
    file = str(write(tmp_path, "rows.csv", "text1\na-b\n"))
    filled = {
        key: [file] * len(value) if isinstance(value, list) else file if value == "{file}" else value
        for key, value in settings.items()
    }
    with pytest.raises(UserError, match=message):
        training_source(DataSettings(**filled))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = write(tmp_path, "rows.csv", "text1\n山高-水低\n风清-月明\n")
    rows = read_rows(training_source(DataSettings(train_file=[str(path)])))
    next(rows)
    path.write_text("text1\n山高-水低\n风清-月明\n云淡-天高\n", encoding="utf-8")
    with pytest.raises(UserError, match="changed while it was read"):
        list(rows)


def test_a_validation_file_is_read_with_the_same_columns(tmp_path):
    path = str(write(tmp_path, "rows.csv", "u,l\n山高,水低\n"))
    data = DataSettings(train_file=[path], validation_file=[path], upper_column="u", lower_column="l")
    source = validation_source(data)
    assert source is not None and [row.cells for row in read_rows(source)] == [("山高", "水低")]
    assert validation_source(DataSettings(train_file=[path])) is None
