"""Chinese on the screen: nothing is missing in the catalogue, and what users read goes through it."""

from __future__ import annotations

import ast
import re
import runpy
import string
from pathlib import Path

import pytest

from recipe.commands import generate
from recipe.language import DIRECTORY, _, asked_language, choose_language, enumerated, ngettext
from recipe.training.values import values_out_of_range

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool():
    pytest.importorskip("babel")
    return runpy.run_path(str(ROOT / "bench/make_catalogue.py"))


@pytest.fixture(scope="module")
def catalogue(tool):
    return tool["current"]()


@pytest.fixture
def in_chinese(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "en")  # so that the environment is restored at the end
    choose_language("zh")
    yield
    monkeypatch.undo()
    choose_language(None)


def fields(text):
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name is not None}


def test_nothing_is_missing(tool, catalogue):
    assert tool["untranslated"](catalogue) == []


def test_the_files_are_those_of_the_code(tool, catalogue):
    assert tool["PO_FILE"].read_bytes() == tool["as_po"](catalogue), "run: python bench/make_catalogue.py"
    assert tool["MO_FILE"].read_bytes() == tool["as_mo"](catalogue), "run: python bench/make_catalogue.py"


def test_translations_name_the_same_places(catalogue):
    for message in catalogue:
        if message.id:
            ids = [message.id] if isinstance(message.id, str) else message.id
            strings = [message.string] if isinstance(message.string, str) else message.string
            # Help pages hold braces that are no places, in JSON.
            if '{"' not in ids[0]:
                assert all(fields(one) <= fields(ids[-1]) for one in strings), message.id
                assert all(fields(one) >= fields(ids[-1]) for one in strings), message.id


def test_the_language_is_that_of_the_flag_or_of_the_locale(monkeypatch):
    assert asked_language(["--prompt", "春", "--language", "zh"]) == "zh"
    assert asked_language(["--language=en"]) == "en"
    assert asked_language(["--language", "fr"]) is None and asked_language([]) is None
    for value, expected in (("zh_CN.UTF-8", "选项"), ("en_US.UTF-8", "options")):
        monkeypatch.setenv("LANGUAGE", value)
        choose_language(None)
        assert _("options") == expected
    monkeypatch.undo()
    choose_language(None)


def test_help_and_mistakes_are_chinese(in_chinese, capsys):
    with pytest.raises(SystemExit):
        generate(["--help"])
    page = capsys.readouterr().out
    assert "上联" in page and "show this help" not in page
    assert (DIRECTORY / "zh/LC_MESSAGES/recipe.mo").exists()
    assert ngettext("{count} row", "{count} rows", 2).format(count=2) in ("2 rows", "2 行")


@pytest.mark.parametrize(("language", "words"), [("en", "--prompt needs a value"), ("zh", "--prompt 后面要有值")])
@pytest.mark.parametrize("flag", ["--prompt", "--output_file"])
def test_a_flag_without_its_value_is_said_alike_in_both_languages(monkeypatch, capsys, language, words, flag):
    monkeypatch.setenv("LANGUAGE", "en")  # so that the environment is restored at the end
    assert generate(["--language", language, flag]) == 2
    assert words.replace("--prompt", flag) in capsys.readouterr().err
    choose_language("en")


def test_lists_and_clauses_are_joined_as_the_language_does(in_chinese):
    assert enumerated(["甲", "乙"]) == "甲、乙"
    choose_language("en")
    assert enumerated(["a", "b"]) == "a, b"


def test_wrong_values_of_a_run_are_all_said_in_chinese(in_chinese):
    wrong = {"dropout": 2.0, "max_steps": 0, "learning_rate": 0, "seed": -1, "num_threads": 10**6, "fsdp_config": "{"}
    problems = values_out_of_range(wrong | {"eval_steps": 2.5, "torch_compile_backend": "x"})
    assert sorted(problem.split()[0] for problem in problems) == sorted(
        f"--{name}" for name in (*wrong, "eval_steps", "torch_compile_backend")
    )
    assert all(re.search("须为|至少|最多|可选", problem) for problem in problems)


def test_headings_of_a_chinese_help_page_end_in_a_chinese_colon(in_chinese, capsys):
    with pytest.raises(SystemExit):
        generate(["--help"])
    headings = [line for line in capsys.readouterr().out.splitlines() if re.match(r"[^\s-].*[:：]$", line)]
    assert len(headings) > 3 and all(line.endswith("：") for line in headings)


# ---- What users read passes through the catalogue ----

# Which arguments of a call are sentences for the catalogue: as in bench/make_catalogue.py.
MARKERS = {"_": (0,), "N_": (0,), "ngettext": (0, 1), "setting": (1,)}
ENGLISH_WORD = re.compile(r"(?<!\S)[A-Za-z][a-z']*[,;:.]?(?!\S)")
# Texts of three English words and more that are for no reader of the screen, by file: how they begin, and why.
EXCEPTIONS = {
    "recipe/__init__.py": (["module "], "what Python says of a name that is not there"),
    "recipe/benchmarks/arithmetic.py": (["a number is too long", "is no arithmetic"], "caught where it is raised"),
    "recipe/benchmarks/code_execution.py": (["Pass@"], "for programmers"),
    "recipe/benchmarks/definitions.py": (["hf download"], "a command"),
    "recipe/benchmarks/limited_process.py": (["root without seccomp"], "from one process to another"),
    "recipe/benchmarks/programs.py": (["prompts of "], "a version, stored in results.json"),
    "recipe/cli.py": (["transformers/training_args.py"], "a defect, with its traceback"),
    "recipe/evaluating/report.py": (["figures without definition"], "for programmers"),
    "recipe/generating/form_holding.py": (["a form that goes step by step"], "for programmers"),
    "recipe/generating/processor.py": (["the form was planned", "the lines have", "a line holds"], "for programmers"),
    "recipe/generating/stepping.py": (["an answer holds token"], "for programmers"),
    "recipe/metrics/__main__.py": (["<!-- ", "{}: needs the two lines"], "marks in the documentation, for programmers"),
    "recipe/metrics/accuracy.py": (["flat token ids", "as many token ids"], "described to evaluate.Metric"),
    "recipe/metrics/base.py": ([""], "described to evaluate.Metric, for programmers"),
    "recipe/metrics/bleu.py": (["Matt Post"], "a citation"),
    "recipe/metrics/chrf.py": (["Maja Popović"], "a citation"),
    "recipe/metrics/diversity.py": (["Jiwei Li", "Yaoming Zhu"], "citations"),
    "recipe/metrics/meteor.py": (["Alon Lavie"], "a citation"),
    "recipe/metrics/model_based.py": (["Tianyi Zhang", "Thibault Sellam"], "citations"),
    "recipe/metrics/rouge.py": (["Chin-Yew Lin"], "a citation"),
    "recipe/metrics/timing.py": (["how "], "described to evaluate.Metric"),
    "recipe/rating/agreement.py": (["level is", "weighting is"], "for programmers"),
    "recipe/rating/chat.py": (["the last variant"], "for programmers"),
    "recipe/rating/strengths.py": (["some systems never lost"], "for programmers"),
    "recipe/report_bug.py": ([""], "the report is for whoever mends the defect, in English"),
    "recipe/synthetic/lexicon.py": ([""], "faults of the lexicon that ships, for programmers"),
    "recipe/synthetic/patterns.py": (["{}, line {}: there is"], "a fault of the patterns that ship, for programmers"),
    "recipe/synthetic/synthesis.py": (["{} couplets were asked for"], "for programmers"),
    "recipe/text_files.py": (["unexpected end of data"], "Python's own words, compared"),
    "recipe/training/checkpointed_trainer.py": (["{}, each with a part"], "stored in checkpoints and compared"),
    "recipe/training/validation_metrics.py": (["{} rows of labels"], "for programmers"),
    "recipe/verse/writing.py": (["# Verse of", "{} files, SHA-256"], "the data's card, in English whoever makes them"),
    "recipe/web/api.py": ([""], "answers for programs, in English whoever runs the server"),
    "recipe/web/picture.py": (["'Xingkai SC'", ".tone {"], "fonts, styles"),
}


def text_of(node):
    """Return a string of the source, with `{}` for what an f-string puts in; nothing for other constants."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node.value, str) else ""


def unmarked_sentences(source):
    """Return the strings of three English words and more that no marker holds and that are no docstrings."""
    nodes = list(ast.walk(ast.parse(source)))
    fine = set()
    for node in nodes:
        if isinstance(node, ast.Expr):
            fine.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            fine.update(part for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKERS:
            held = [node.args[place] for place in MARKERS[node.func.id] if place < len(node.args)]
            fine.update(argument for argument in held if isinstance(argument, ast.Constant))
    texts = [text_of(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr) and node not in fine]
    return [text for text in texts if len(ENGLISH_WORD.findall(text)) >= 3]


@pytest.mark.parametrize(
    "source",
    [
        'raise UserError("this is a sentence")',
        'raise UserError([f"{file}: this is a sentence"])',
        'print("this is", "a plain sentence")',
        'notice(f"{count} rows were left out")',
        'parser.add_argument("--rows", help="how many rows there are")',
        'argparse.ArgumentParser(description="Writes rows of text")',
        'problems.append("this is no number" if wrong else "")',
        '_(f"{file}: this is never found in the catalogue")',
        'WHY = "nothing can be read"',
    ],
)
def test_a_plain_sentence_is_found(source):
    assert len(unmarked_sentences(source)) == 1


def test_marked_sentences_docstrings_and_single_words_are_fine():
    source = '''
def f():
    """Return what is read of it."""
    print(_("{file}: this is a sentence").format(file=file), f"{file}: {_('this is a sentence')}", "two words")
    return ngettext("there is one row", "there are {count} rows", count), N_("this is a sentence")
'''
    assert unmarked_sentences(source) == []


def test_what_users_read_is_in_the_catalogue():
    found = {}
    for file in sorted((ROOT / "recipe").rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        texts = unmarked_sentences(file.read_text(encoding="utf-8"))
        found |= {name: texts} if texts else {}
    plain = {
        name: left
        for name, texts in found.items()
        if (left := [text for text in texts if not text.startswith(tuple(EXCEPTIONS.get(name, ([], ""))[0]))])
    }
    assert plain == {}, "put it into _(), N_() or ngettext(), or say in EXCEPTIONS why not"
    unused = {
        (name, beginning)
        for name, (beginnings, _reason) in EXCEPTIONS.items()
        for beginning in beginnings
        if not any(text.startswith(beginning) for text in found.get(name, []))
    }
    assert unused == set()
