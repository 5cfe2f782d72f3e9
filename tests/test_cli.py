"""Settings: precedence, types, every problem at once, and answers without waiting for torch."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from finetune_helpers import ROOT, run_command

from recipe.cli import Settings, convert, parse_settings, to_yaml, training_argument_names
from recipe.errors import UserError, run_or_explain
from recipe.formats.registry import FORMATS
from recipe.settings import (
    SHIPPED_MODEL,
    TRAINING_DEFAULTS,
    DataSettings,
    DecodingSettings,
    ModelSettings,
    RunSettings,
)
from recipe.unknown_flags import unknown_key

GROUPS = [ModelSettings, DataSettings, RunSettings]


def parse(*argv):
    return parse_settings("run_finetune.py", "description", GROUPS, argv, TRAINING_DEFAULTS)


def problems_of(*argv):
    with pytest.raises(UserError) as caught:
        parse(*argv)
    return caught.value.problems


def write_config(tmp_path, text, **options):
    path = tmp_path / "job.yaml"
    path.write_text(text, **{"encoding": "utf-8", **options})
    return str(path)


def test_defaults_are_those_of_the_dataclasses():
    settings = parse("--config", "none")
    assert settings[ModelSettings] == ModelSettings()
    assert settings[DataSettings] == DataSettings()
    assert settings[RunSettings] == RunSettings(config=None)
    assert settings.training == TRAINING_DEFAULTS


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path):
    config = write_config(tmp_path, "hidden_size: 64\nnum_layers: 2\nlearning_rate: 1.0e-3\nweight_decay: 0.5\n")
    settings = parse("--config", config, "--num_layers", "3", "--weight_decay", "0.1")
    model = settings[ModelSettings]
    assert (model.hidden_size, model.num_layers, model.num_heads) == (64, 3, ModelSettings().num_heads)
    assert settings.training["learning_rate"] == 1e-3
    assert settings.training["weight_decay"] == "0.1"  # typed by the library's own parser, once torch is there
    assert settings.training["seed"] == TRAINING_DEFAULTS["seed"]


def test_no_arguments_are_the_quickstart():
    settings = parse()
    model = settings[ModelSettings]
    assert not model.from_scratch and Path(str(model.model_name_or_path)).resolve() == ROOT / SHIPPED_MODEL
    assert settings.training["output_dir"] == "outputs/quickstart"


@pytest.mark.parametrize(
    ("argv", "field", "expected"),
    [
        (["--train_file", "a.csv", "b.csv"], "train_file", ["a.csv", "b.csv"]),
        (["--train_file", "a.csv", "--train_file", "b.csv"], "train_file", ["a.csv", "b.csv"]),
        (["--train_file=a.csv"], "train_file", ["a.csv"]),
        (["--separator", "-"], "separator", "-"),
        (["--separator", " "], "separator", " "),
        (["--separator", "|"], "separator", "|"),
        (["--separator=--"], "separator", "--"),
        (["--max_rows", "10_000"], "max_rows", 10_000),
        (["--max_rows", "none"], "max_rows", None),
        (["--text_format", "plain"], "text_format", "plain"),
    ],
)
def test_words_of_the_command_line_become_typed_settings(argv, field, expected):
    assert getattr(parse("--config", "none", *argv)[DataSettings], field) == expected


@pytest.mark.parametrize(("word", "expected"), [("true", True), ("No", False), ("on", True), ("0", False)])
def test_switches_take_a_value_or_none(word, expected):
    assert parse("--check", word)[RunSettings].check is expected
    assert parse("--check")[RunSettings].check is True
    assert parse("--check", "--group_by_length", "false")[RunSettings].group_by_length is False


@pytest.mark.parametrize("flag", ["--train_file", "--text_column", "--max_rows", "--run_name", "--report_to"])
def test_only_switches_stand_without_a_value(flag):
    assert problems_of(flag) == problems_of(flag, "--check") == [f"{flag} needs a value"]
    assert parse("--bf16", "--check").training["bf16"] == "true"


def test_a_value_for_help_is_refused_in_one_line():
    (problem,) = problems_of("--help=all")
    assert "ignored explicit argument" in problem and "\n" not in problem


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("1.5", int, "takes a whole number; found '1.5'"),
        (True, int, "takes a whole number; found True"),
        (None, int, "takes a whole number; found None"),
        ("fast", float | None, "takes a number; found 'fast'"),
        ("maybe", bool, "takes true or false; found 'maybe'"),
        ({"a": 1}, str, "takes a text; found {'a': 1}"),
        (["a", "b"], str, "takes one value, found 2: ['a', 'b']"),
        ([{"a": 1}], list[str], "takes a text; found {'a': 1}"),
    ],
)
def test_a_wrong_type_says_what_is_expected_and_what_was_found(value, hint, message):
    with pytest.raises(ValueError) as caught:
        convert(value, hint)
    assert message in str(caught.value)


def test_every_problem_stands_in_one_message_with_a_suggestion(tmp_path):
    config = write_config(tmp_path, "hiden_size: 3\nnum_layers: many\nconfig: other.yaml\nlerning_rate: 1\n")
    argv = [
        "--config",
        config,
        "--trian_file",
        "x.csv",
        "--text_format",
        "plan",
        "--max_length",
        "long",
        "--zzzzz",
        "1",
    ]
    problems = problems_of(*argv)
    text = "\n".join(problems)
    for expected in (
        "unknown setting --trian_file; did you mean --train_file?",
        "unknown setting --zzzzz",
        "unknown setting hiden_size; did you mean hidden_size?",
        "unknown setting lerning_rate; did you mean learning_rate?",
        "num_layers takes a whole number; found 'many'",
        f"--text_format takes one of {', '.join(FORMATS)}; found 'plan'; did you mean plain?",
        "--max_length takes a whole number; found 'long'",
        "unknown setting config",
    ):
        assert expected in text
    assert len(problems) == 8
    assert f"\n{config}: unknown" in f"\n{text}"  # a problem of the file names the file


@pytest.mark.parametrize(
    ("program", "key", "said"),
    [
        ("run_generate.py", "lenght", "unknown setting --lenght: an answer is as long as its upper line"),
        ("couplet-generate", "length", "unknown setting --length: an answer is as long as its upper line"),
        ("run_demo.py", "lenght", "unknown setting --lenght; did you mean --line_length?"),
        ("run_generate.py", "topk", "unknown setting --topk; use --top_k"),
        ("run_generate.py", "line_lenght", "unknown setting --line_lenght; did you mean --line_length?"),
        ("run_generate.py", "fil", "unknown setting --fil"),  # parts of several names say nothing
        ("run_benchmark.py", "num_fewshot", "unknown setting --num_fewshot; use --shots"),
    ],
)
def test_unknown_settings_are_led_to_the_one_that_was_meant(program, key, said):
    known = frozenset({"line_length", "top_k", "prompts_file", "output_file", "shots"})
    found = unknown_key(program, key, known, prefix="--")
    assert found.startswith(said) and (found == said or not said.endswith(key))


def test_a_word_that_belongs_to_no_flag_is_named():
    assert problems_of("couplets.csv") == ["'couplets.csv' stands alone; settings are written --name value"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_size: [1, 2", "cannot be read as YAML: line 1: "),
        ("- hidden_size", "expected lines of `key: value`, found list"),
        ("just words", "expected lines of `key: value`, found str"),
        ("hidden_size:", "hidden_size takes a whole number; found None"),
        ("separator: yes", "separator takes a text; found True"),
        ("3: 4", "unknown setting 3"),
    ],
)
def test_a_damaged_file_is_explained(tmp_path, text, message):
    (problem,) = problems_of("--config", write_config(tmp_path, text))
    assert message in problem


def test_a_file_that_is_not_there_is_named_beside_the_shipped_ones(tmp_path):
    (problem,) = problems_of("--config", str(tmp_path / "no.yaml"))
    assert "no.yaml: no such file; shipped ones: couplet-600k, couplet-600k-gpu, " in problem
    assert "cannot be read" in problems_of("--config", str(tmp_path))[0]


def test_shipped_configurations_and_their_files_are_found_from_every_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse()[DataSettings].train_file == parse("--config", "quickstart")[DataSettings].train_file
    for name in ("quickstart", "recipe/configs/quickstart.yaml"):
        files = parse("--config", name)[DataSettings].train_file
        assert [Path(file).name for file in files] == ["couplets.csv", "handwritten.csv"]
        assert all(Path(file).is_file() for file in files)
    assert parse("--config", "couplet-600k")[ModelSettings].model_name_or_path
    upper = parse("--config", "none", "--upper_file", "recipe/data/couplets.csv")[DataSettings].upper_file
    assert upper == str(ROOT / "recipe/data/couplets.csv")
    (problem,) = problems_of("--config", "quikstart")
    assert problem.startswith(f"--config quikstart: no such file (looked in {tmp_path}); shipped ones: ")
    assert problem.endswith("; did you mean quickstart?")


def test_files_where_one_stands_come_before_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("hidden_size: 8\n", encoding="utf-8")
    assert parse("--config", "quickstart")[ModelSettings].hidden_size == 8
    (tmp_path / "recipe/data").mkdir(parents=True)
    (tmp_path / "recipe/data/couplets.csv").write_text("text1\n", encoding="utf-8")
    settings = parse("--config", "none", "--train_file", "recipe/data/couplets.csv", "recipe/data/mine.csv")
    assert settings[DataSettings].train_file == ["recipe/data/couplets.csv", "recipe/data/mine.csv"]
    monkeypatch.chdir(ROOT)  # here, names stay as they are written
    assert parse()[DataSettings].train_file == ["recipe/data/couplets.csv", "recipe/data/handwritten.csv"]


def test_an_empty_file_and_one_with_a_byte_order_mark_are_fine(tmp_path):
    assert parse("--config", write_config(tmp_path, ""))[ModelSettings] == ModelSettings()
    config = write_config(tmp_path, "hidden_size: 8\n", encoding="utf-8-sig")
    assert parse("--config", config)[ModelSettings].hidden_size == 8


def test_settings_written_as_yaml_are_the_same_settings_again(tmp_path):
    argv = ["--config", "none", "--train_file", "甲.csv", "--separator", " ", "--dropout", "0.25", "--max_rows", "7"]
    argv += ["--sample_prompts", "春", "1e5", "--learning_rate", "3e-4", "--from_scratch"]
    settings = parse(*argv)
    settings.training["learning_rate"] = 3e-4
    text = to_yaml(settings)
    assert "甲.csv" in text
    again = parse("--config", write_config(tmp_path, text))
    for group in GROUPS:
        expected = dataclasses.asdict(settings[group]) | ({"config": None} if group is RunSettings else {})
        found = dataclasses.asdict(again[group]) | ({"config": None} if group is RunSettings else {})
        assert found == expected
    assert again.training == settings.training


def test_training_arguments_are_known_without_the_library():
    names = training_argument_names()
    assert {"learning_rate", "per_device_train_batch_size", "warmup_steps", "report_to"} <= names
    assert "overwrite_output_dir" not in names and not any(name.startswith("_") for name in names)


def test_training_arguments_are_refused_where_there_is_no_training():
    with pytest.raises(UserError, match="unknown setting --learning_rate"):
        parse_settings("run_generate.py", "", [DecodingSettings], ["--learning_rate", "1"])


def test_every_setting_explains_itself_and_the_defaults_are_readable_as_yaml():
    for group in GROUPS:
        assert all(item.metadata["help"] for item in dataclasses.fields(group))
    loaded = yaml.safe_load(to_yaml(Settings({group: group() for group in GROUPS}, dict(TRAINING_DEFAULTS))))
    assert loaded["text_column"] == "text1" and loaded["seed"] == 42


def test_errors_read_as_one_sentence_or_as_a_list(capsys):
    def fail(problems):
        raise UserError(problems)

    assert run_or_explain(lambda argv: fail("one"), []) == 2
    assert capsys.readouterr().err == "error: one\n"
    assert run_or_explain(lambda argv: fail(["one", "two"]), []) == 2
    assert capsys.readouterr().err == "error: 2 problems\n  1. one\n  2. two\n"
    with pytest.raises(ZeroDivisionError):
        run_or_explain(lambda argv: 1 // 0, [])


# ---- The real command ----

# Runs a command as `python COMMAND ...` would and says at the end whether torch was loaded on the way.
WATCH_IMPORTS = """
import atexit, runpy, sys
atexit.register(lambda: print("heavy:", sorted({"torch", "transformers", "datasets", "evaluate"} & sys.modules.keys())))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_mistyped_flag_is_answered_at_once_and_without_torch():
    started = time.perf_counter()
    result = run_command("run_finetune.py", "--trian_file", "x.csv", launcher=["-c", WATCH_IMPORTS])
    seconds = time.perf_counter() - started
    assert result.returncode == 2
    assert result.stderr == "error: unknown setting --trian_file; did you mean --train_file?\n"
    assert result.stdout == "heavy: []\n"
    assert seconds < 3  # 0.1 on an idle machine; importing torch alone takes longer than this on a busy one


@pytest.mark.parametrize("command", ["run_finetune.py", "run_generate.py", "run_evaluate.py", "run_benchmark.py"])
def test_help_names_every_setting_without_torch(command):
    result = run_command(command, "--help", launcher=["-c", WATCH_IMPORTS])
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.endswith("heavy: []\n")
    assert command in result.stdout
    if command == "run_finetune.py":
        for group in GROUPS:
            assert all(f"--{item.name} " in result.stdout for item in dataclasses.fields(group))
        assert "TrainingArguments" in result.stdout
        assert "%%" not in result.stdout


def test_importing_the_package_loads_nothing_heavy():
    code = "import recipe, recipe.settings, recipe.cli, recipe.couplet.form, sys; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout == "False\n"
