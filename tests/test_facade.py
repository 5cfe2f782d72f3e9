"""From Python: the façade answers, scores and evaluates as the commands do; the commands are one set of functions."""

import dataclasses
import subprocess
import sys
import tomllib
import typing

import pytest
from finetune_helpers import ROOT
from tiny_models import LOWER_CHARACTERS, UPPER_CHARACTERS, character_tokenizer, generating_gpt2

import recipe
import run_evaluate
import run_finetune
import run_generate
from recipe import commands
from recipe.couplet.form import form_violations
from recipe.errors import UserError
from recipe.facade import RENAMED, Couplets, Options
from recipe.settings import DecodingSettings

UPPER, UPPERS = "春山花日", ["春山花日", "风云，高", "东来东晨"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A published model of random weights, and couplets in which each upper character has one answer."""
    path = tmp_path_factory.mktemp("facade") / "model"
    tokenizer = character_tokenizer()
    generating_gpt2(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    answers = dict(zip(UPPER_CHARACTERS, LOWER_CHARACTERS, strict=True))
    uppers = [UPPER_CHARACTERS[start : start + 4] for start in range(len(UPPER_CHARACTERS) - 3)]
    rows = [f"{upper}-{''.join(map(answers.get, upper))}" for upper in uppers]
    path.with_name("couplets.csv").write_text("\n".join(["text1", *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def couplets(directory):
    return Couplets(str(directory), device="cpu", parallelism_file=str(directory.with_name("couplets.csv")))


def test_it_answers_under_the_form_and_the_same_seed_says_the_same(couplets):
    answers = couplets.answer(UPPER, n=3, tones="strict", temperature=1.5)
    assert len({answer.text for answer in answers}) == 3
    assert all(form_violations(UPPER, answer.text) == [] and answer.tones == 1 for answer in answers)
    assert couplets.answer(UPPER, n=3, tones="strict", temperature=1.5) == answers
    others = couplets.answer(UPPER, n=3, tones="strict", temperature=1.5, seed=7)
    assert others != answers
    assert [found[0].prompt for found in couplets.answer_many(UPPERS, best_of=4)] == UPPERS
    banned = answers[0].text[0]
    assert all(banned not in answer.text for answer in couplets.answer(UPPER, n=8, banned_words=[banned]))


def test_it_composes_what_was_asked_for(couplets):
    made = couplets.compose("春风", n=2, kind="acrostic", line_length=4, tones="strict", banned_words=["山"], seed=3)
    assert len({couplet.text for couplet in made}) == 2
    assert all((couplet.prompt[0], couplet.text[0]) == ("春", "风") for couplet in made)
    assert all(form_violations(couplet.prompt, couplet.text) == [] for couplet in made)
    assert not any("山" in couplet.prompt + couplet.text for couplet in made)
    again = couplets.compose("春风", n=2, kind="acrostic", line_length=4, tones="strict", banned_words=["山"], seed=3)
    assert again == made
    assert all("春风" in couplet.prompt for couplet in couplets.compose(" 春风 ", n=2, line_length=5))


@pytest.mark.parametrize(
    ("given", "options", "problem"),
    [
        ("春", {"kind": "acrostic"}, "takes two different characters"),
        ("春", {"kind": "heading"}, "kind 'heading': must be compose, acrostic, theme"),
        ("春", {"line_length": 0}, "fewer than --line_length 0"),
        ("春", {"line_length": 10**9}, "the model has room for"),
        ("春", {"continue_freely": True}, "whole couplets need the form"),
        ("\0", {}, "is no word"),
        ("春" * 10_000, {}, "cannot be used|fewer than"),
    ],
)
def test_what_cannot_be_composed_is_one_clear_error(couplets, given, options, problem):
    with pytest.raises(UserError, match=problem):
        couplets.compose(given, **options)


def test_answers_are_those_of_the_command(couplets, directory, capsys):
    words = ["--prompt", *UPPERS, "--num_return_sequences", "2", "--seed", "5", "--output_format", "tsv"]
    words += ["--parallelism_file", str(directory.with_name("couplets.csv"))]
    assert run_generate.main(["--model_name_or_path", str(directory), "--device", "cpu", *words]) == 0
    shown = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()[1:]]
    found = couplets.answer_many([f"{upper}-" for upper in UPPERS], n=2, seed=5)
    assert shown == [[answer.prompt, answer.text] for answers in found for answer in answers]


def test_lines_are_cleaned_as_those_of_the_commands(couplets):
    apart = ["\u3000".join(upper) + "－" for upper in UPPERS] + [f"[CLS]上联：{UPPER}"]
    plain = couplets.answer_many([*UPPERS, UPPER], seed=3)
    assert couplets.answer_many(apart, seed=3) == plain
    assert couplets.score("上联：山 风\u200b花春", " 水月柳秋[SEP]") == couplets.score("山风花春", "水月柳秋")
    with pytest.raises(UserError, match="is no word"):
        couplets.answer(UPPER, banned_words=["\u200b"])


def test_it_scores_what_others_wrote(couplets):
    good, bad = couplets.score("山风花春", "水月柳秋"), couplets.score("山风花春", "月山水")
    assert good.violations == [] and good.parallelism > 1 > bad.parallelism
    assert bad.violations == ["length", "repetition", "shared_character"]
    assert good.log_probability < 0 and couplets.score("山", "龘").log_probability is None


def test_it_evaluates(couplets, directory, tmp_path, capsys):
    file = str(directory.with_name("couplets.csv"))
    results = couplets.evaluate(file, output_dir=str(tmp_path), do_sample=False)
    assert (tmp_path / "report.html").is_file()
    assert results["system"]["name"] == str(directory)
    assert "All hard rules" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tone": "strict"}, "unknown setting tone; did you mean tones?"),
        ({"tones": "strickt"}, "tones takes one of off, prefer, strict; found 'strickt'; did you mean strict?"),
        (
            {"num_return_sequences": 3},
            "unknown setting num_return_sequences; say n, or banned_words as a list of words",
        ),
        ({"top_k": 1.5}, "top_k takes a whole number; found 1.5"),
        ({"n": 0}, "--num_return_sequences 0: must be 1 to 1,000"),
    ],
)
def test_wrong_options_are_one_clear_error(couplets, options, problem):
    with pytest.raises(UserError) as caught:
        couplets.answer(UPPER, **options)
    assert caught.value.problems == [problem]


def test_lines_that_cannot_be_answered_are_all_named(couplets):
    with pytest.raises(UserError) as caught:
        couplets.answer_many(["", UPPER, "山" * 200])
    assert len(caught.value.problems) == 2


def test_the_options_are_those_of_the_settings():
    settings = typing.get_type_hints(DecodingSettings)
    assert typing.get_type_hints(Options) == {name: kind for name, kind in settings.items() if name not in RENAMED}


def test_an_unknown_name_of_the_package_is_an_ordinary_error():
    assert recipe.Couplets is Couplets
    with pytest.raises(AttributeError, match="'recipe' has no attribute 'Couplet'"):
        _ = recipe.Couplet


# ---- The commands ----


def test_installed_commands_and_files_are_the_very_same_functions():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    functions = {name: getattr(commands, target.removeprefix("recipe.commands:")) for name, target in scripts.items()}
    assert functions["couplet-finetune"] is run_finetune.main
    assert functions["couplet-generate"] is run_generate.main
    assert functions["couplet-evaluate"] is run_evaluate.main


def test_the_version_is_said_and_is_that_of_the_package(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == recipe.__version__
    with pytest.raises(SystemExit) as left:
        run_generate.main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"couplet-recipe {recipe.__version__}\n"


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # so that importing it fails
from recipe import commands
commands.{command}({words})
"""


@pytest.mark.parametrize(
    ("command", "words"), [("generate", ["--prompt", "春"]), ("evaluate", ["--test_file", "no.csv"])]
)
def test_that_nothing_is_published_yet_is_said_before_torch_is_loaded(tmp_path, command, words):
    code = WITHOUT_TORCH.format(command=command, words=words)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    first, *rest = result.stderr.splitlines()
    assert first.startswith("models/couplet: nothing is published there yet, so the base that ships answers")
    assert any("torch" in line for line in rest)  # the import that fails is torch's, or of what looks for torch


def test_the_settings_are_read_from_values_of_any_kind():
    settings = recipe.cli.settings_from(DecodingSettings, {"temperature": "0.5", "do_sample": False, "best_of": None})
    assert dataclasses.asdict(settings) == dataclasses.asdict(DecodingSettings(temperature=0.5, do_sample=False))
