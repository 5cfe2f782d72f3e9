"""Chinese on the screen: nothing is missing in the catalogue, and what users read goes through it."""

from __future__ import annotations

import runpy
import string
from pathlib import Path

import pytest

from recipe.commands import generate
from recipe.language import DIRECTORY, _, asked_language, choose_language, ngettext

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
