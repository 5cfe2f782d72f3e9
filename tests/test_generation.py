"""Batched answers: distinct, in order, scored, ranked, reproducible; and the command around them."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from form_helpers import form_tokenizer, fuzzed_lines
from tiny_models import generating_gpt2

import run_generate
from recipe.couplet.form import form_violations
from recipe.couplet.parallelism import CharacterAssociation
from recipe.couplet.tones import ToneSystem, choose_system, rhythm_positions, tone_of, tones_opposed
from recipe.errors import UserError, run_or_explain
from recipe.formats.couplet import Couplet
from recipe.generating.composing import Composer, Kind
from recipe.generating.generator import Generator
from recipe.generating.ranking import DEFAULT_BEST_OF
from recipe.generating.variety import are_near_copies, varied
from recipe.model.tokenization import encode_prompt
from recipe.settings import DecodingSettings

TOKENIZER = form_tokenizer()
MODEL = generating_gpt2(TOKENIZER)
UPPERS = fuzzed_lines(21, 40)


def generator(**options):
    banned_words = options.pop("banned", ())
    parallelism = options.pop("parallelism", None)
    return Generator(MODEL, TOKENIZER, DecodingSettings(**options), banned_words, parallelism=parallelism)


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    model = generating_gpt2(TOKENIZER)
    model.config.recipe = {"text_format": "couplet", "separator": "-"}
    # As published by somebody who blocks n-grams, which no couplet survives.
    model.generation_config.no_repeat_ngram_size = 1
    model.save_pretrained(directory)
    TOKENIZER.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("options", [{}, {"do_sample": False}, {"do_sample": False, "num_beams": 2}, {"best_of": 4}])
def test_answers_come_in_the_order_of_the_upper_lines(options):
    answers = generator(num_return_sequences=2, temperature=1.5, **options).answer(UPPERS)
    assert [found[0].prompt for found in answers] == [Couplet().read_prompt(upper).text for upper in UPPERS]
    for found in answers:
        assert all(form_violations(one.prompt, one.text) == [] for one in found)
        assert len({one.text for one in found}) == len(found) == 2


def test_batches_hold_prompts_of_one_length_and_no_more_rows_than_asked_for(monkeypatch):
    shapes = []
    one = generator(num_return_sequences=3, generation_batch_size=12)
    original = MODEL.generate
    monkeypatch.setattr(
        MODEL, "generate", lambda prompts, **kw: shapes.append(prompts.shape) or original(prompts, **kw)
    )
    one.answer(UPPERS)
    assert max(rows for rows, _ in shapes) == 4
    lengths = {len(encode_prompt(TOKENIZER, upper + "-")) for upper in UPPERS}
    assert {columns for _, columns in shapes} == lengths


def test_where_fewer_answers_exist_all_of_them_are_returned():
    tokenizer = form_tokenizer("丁七万")
    small = Generator(generating_gpt2(tokenizer), tokenizer, DecodingSettings(num_return_sequences=8))
    found = small.answer(["，", "红", "红，日", "红红"])
    assert [len(answers) for answers in found] == [1, 3, 6, 3]
    assert {answer.text for answer in found[3]} == {"丁丁", "七七", "万万"}


def test_sharp_sampling_still_finds_distinct_answers():
    found = generator(num_return_sequences=12, temperature=0.01).answer(["红日"])[0]
    assert len({answer.text for answer in found}) == 12


def test_the_score_is_the_mean_log_probability_of_the_line_and_its_end():
    for options in ({}, {"do_sample": False, "num_beams": 3, "num_return_sequences": 2}):
        for found in generator(**options).answer(["丁七万丈", "丁丁七，七"]):
            for one in found:
                prompt = encode_prompt(TOKENIZER, one.prompt + "-")
                line = [*TOKENIZER(one.text, add_special_tokens=False).input_ids, TOKENIZER.eos_token_id]
                with torch.no_grad():
                    logits = MODEL(torch.tensor([prompt + line])).logits[0, len(prompt) - 1 : -1]
                expected = logits.log_softmax(-1)[range(len(line)), line].mean().item()
                assert one.log_probability == pytest.approx(expected, abs=1e-4)


def test_the_share_of_opposed_tones_is_right():
    upper = "红日东升照九州"
    found = generator(tones="strict").answer([upper])[0][0]
    assert found.tones == 1.0
    loose = generator(tones="off", temperature=3.0, top_k=0).answer([upper])[0][0]
    system = choose_system(upper)
    met = [tones_opposed(upper[at], loose.text[at], system) for at in rhythm_positions(upper)]
    assert loose.tones == sum(met) / len(met)


def test_best_of_returns_the_best_ranked_and_counts_parallelism():
    found = generator(best_of=8, num_return_sequences=8, temperature=2.0).answer(["红日东升"])[0]
    assert [one.rank for one in found] == sorted((one.rank for one in found), reverse=True)
    best = generator(best_of=8, temperature=2.0).answer(["红日东升"])[0]
    assert best == found[:1]
    favourite = found[-1].text
    swayed = generator(best_of=8, temperature=2.0, parallelism=lambda _, lower: 100.0 * (lower == favourite))
    assert swayed.answer(["红日东升"])[0][0].text == favourite


def test_the_same_seed_gives_the_same_lines_and_leaves_the_global_generator_alone():
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = generator(seed=1).answer(UPPERS)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(456)
    assert generator(seed=1).answer(UPPERS) == first
    assert generator(seed=2).answer(UPPERS) != first


def test_a_model_in_training_comes_back_in_training_with_its_own_configuration():
    model = generating_gpt2(TOKENIZER).train()
    own = model.generation_config
    Generator(model, TOKENIZER, DecodingSettings()).answer(["红日"])
    assert model.training
    assert model.generation_config is own


def test_refusals_come_before_decoding_and_all_together():
    with pytest.raises(UserError) as caught:
        generator(banned=["丁七"]).answer(["红日", "丁七", "", "红" * 200])
    assert len(caught.value.problems) == 3
    with pytest.raises(UserError) as caught:
        generator(temperature=0.0, top_p=1.5, num_beams=0, best_of=2, num_return_sequences=3, tone_strength=-1.0)
    assert len(caught.value.problems) == 5


def test_unknown_characters_are_said():
    assert generator().prepare(["丁😀七，红😀"])[0].unknown == ["😀", "红"]


def test_free_continuation_is_not_bound_by_the_form():
    free = generator(continue_freely=True, max_new_tokens=9, temperature=2.0, top_k=0).answer(["红日东升"] * 6)
    assert any(form_violations(one.prompt, one.text) for found in free for one in found)


def test_composed_couplets_begin_with_the_theme_and_end_in_their_tones():
    couplets = Composer(generator(num_return_sequences=4, banned=["丁七"]), 5).compose("丁")
    assert len({couplet.prompt for couplet in couplets}) == 4
    for couplet in couplets:
        assert couplet.prompt.startswith("丁")
        assert len(couplet.prompt) == len(set(couplet.prompt)) == 5
        assert tone_of(couplet.prompt[-1], ToneSystem.MODERN) & 2
        assert form_violations(couplet.prompt, couplet.text) == []
        assert "丁七" not in couplet.prompt + couplet.text
    with pytest.raises(UserError, match="line_length"):
        Composer(generator(), 3).compose("丁七万")


@pytest.mark.parametrize("tones", ["prefer", "strict"])
@pytest.mark.parametrize(("kind", "given"), [(Kind.BEGINNING, "丁七"), (Kind.ACROSTIC, "丁七"), (Kind.THEME, "丁七")])
def test_what_is_given_stands_where_it_was_asked_for(kind, given, tones):
    couplets = Composer(generator(num_return_sequences=3, tones=tones, banned=["丈", "三上"]), 5).compose(given, kind)
    assert len({(couplet.prompt, couplet.text) for couplet in couplets}) == 3
    for couplet in couplets:
        upper, lower = couplet.prompt, couplet.text
        stands = {
            Kind.BEGINNING: upper.startswith(given),
            Kind.ACROSTIC: (upper[0], lower[0]) == tuple(given),
            Kind.THEME: given in upper,
        }
        assert stands[kind]
        assert len(upper) == 5 and form_violations(upper, lower) == []
        assert not any(word in line for word in ("丈", "三上") for line in (upper, lower))
        system = choose_system(upper)
        heard = [tones_opposed(upper[place], lower[place], system) for place in rhythm_positions(upper)]
        assert tones != "strict" or all(heard)


def test_a_theme_may_stand_anywhere_and_repeat_a_character():
    couplets = Composer(generator(num_return_sequences=8, temperature=2.0), 5).compose("丁丁", Kind.THEME)
    assert len({couplet.prompt.index("丁丁") for couplet in couplets}) > 1
    assert all(couplet.prompt.count("丁") == 2 for couplet in couplets)
    assert all(form_violations(couplet.prompt, couplet.text) == [] for couplet in couplets)


@pytest.mark.parametrize(("kind", "given"), [(Kind.THEME, "萬丁"), (Kind.ACROSTIC, "丁萬")])
def test_a_theme_in_traditional_characters_is_kept_as_typed(kind, given):
    for couplet in Composer(generator(num_return_sequences=3), 5).compose(given, kind):
        upper, lower = couplet.prompt, couplet.text
        assert given in upper if kind is Kind.THEME else (upper[0], lower[0]) == tuple(given)
        assert "万" not in upper + lower and form_violations(upper, lower) == []
    with pytest.raises(UserError, match="contains the banned word '万'"):
        Composer(generator(banned=["万"]), 5).compose(given, kind)


def test_the_same_seed_composes_the_same():
    composer = Composer(generator(num_return_sequences=2), 5)
    found = []
    for seed in (1, 1, 2):
        with composer.generator.seeded(seed):
            found.append(composer.compose("丁七", Kind.ACROSTIC))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        (Kind.ACROSTIC, "丁", "takes two different characters"),
        (Kind.ACROSTIC, "丁丁", "takes two different characters"),
        (Kind.ACROSTIC, "丁七万", "takes two different characters"),
        (Kind.ACROSTIC, "丁!", "must be Chinese characters"),
        (Kind.ACROSTIC, "丁红", "the model does not know 红"),
        (Kind.THEME, "丁七万丈三", "must be Chinese characters, fewer than --line_length 5"),
        (Kind.THEME, "😀", "must be Chinese characters"),
        (Kind.THEME, "丁\x00", "must be Chinese characters"),
        (Kind.THEME, "<b>", "must be Chinese characters"),
        (Kind.THEME, "", "must be Chinese characters"),
        (Kind.THEME, "上丈", "contains the banned word '丈'"),
    ],
)
def test_what_no_couplet_can_be_made_around_is_refused(kind, given, reason):
    with pytest.raises(UserError, match=re.escape(reason)) as caught:
        Composer(generator(banned=["丈"]), 5).compose(given, kind)
    assert caught.value.problems[0].startswith(f"--{kind} {given}: ")


def test_composing_is_refused_where_tokens_or_characters_run_out():
    # 128 positions; 160 characters, about half of them oblique.
    with pytest.raises(UserError, match="takes 129 tokens; the model has room for 128"):
        Composer(generator(), 63)
    few = form_tokenizer("丁七万丈三上")
    small = Generator(generating_gpt2(few), few, DecodingSettings())
    assert len(Composer(small, 3).compose("丁")) == 1
    with pytest.raises(UserError, match="takes 8 different characters"):
        Composer(small, 4)
    level = Generator(generating_gpt2(few), few, DecodingSettings(), banned_words=["七", "万"])
    with pytest.raises(UserError, match=r"the vocabulary has 4, \d of them oblique"):
        Composer(level, 3)


def run(capsys, *arguments):
    code = run_or_explain(run_generate.main, [str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_prints_whole_couplets(model_directory, capsys):
    code, out, err = run(capsys, "--model_name_or_path", model_directory, "--prompt", "丁七丁七，", "万丈-")
    assert code == 0
    pairs = [line.split("-") for line in out.splitlines()]
    assert [upper for upper, _ in pairs] == ["丁七丁七，", "万丈"]
    assert all(form_violations(*pair) == [] for pair in pairs)
    assert "on cpu, float32" in err


def test_prompts_come_from_text_tables_and_standard_input(model_directory, tmp_path, capsys, monkeypatch):
    model = ("--model_name_or_path", model_directory, "--output_format", "tsv")
    (tmp_path / "lines.txt").write_text("\ufeff丁七\r\n\n 万丈-\n", encoding="utf-8")
    (tmp_path / "couplets.csv").write_text("text1,n\n丁七-万丈,1\n丁一七,2\n", encoding="utf-8")
    (tmp_path / "gb.jsonl").write_text('{"upper": "丁七"}\n', encoding="gb18030")
    type_lines(monkeypatch, "丁\n七\n".encode())
    expected = {
        ("--prompts_file", tmp_path / "lines.txt"): ["丁七", "万丈"],
        ("--prompts_file", tmp_path / "couplets.csv"): ["丁七", "丁一七"],
        ("--prompts_file", tmp_path / "gb.jsonl", "--prompt_column", "upper", "--encoding", "gb18030"): ["丁七"],
        (): ["丁", "七"],
    }
    for arguments, uppers in expected.items():
        code, out, _ = run(capsys, *model, *arguments)
        rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
        assert (code, [row["upper"] for row in rows]) == (0, uppers)


@pytest.mark.parametrize("ending", ["txt", "tsv", "csv", "jsonl"])
def test_output_files_hold_every_answer_in_order(model_directory, tmp_path, capsys, ending):
    prompts = tmp_path / "prompts.txt"
    # Each on its own line: no line breaks or tabs inside.
    uppers = [" ".join(upper.split()) for upper in UPPERS]
    prompts.write_text("\n".join(uppers), encoding="utf-8")
    target = tmp_path / f"answers.{ending}"
    options = ("--prompts_file", prompts, "--output_file", target, "--num_return_sequences", 2)
    assert run(capsys, "--model_name_or_path", model_directory, *options)[0] == 0
    text = target.read_text(encoding="utf-8")
    if ending == "txt":
        assert len(text.splitlines()) == 2 * len(uppers)
        return
    if ending == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = list(csv.DictReader(io.StringIO(text), delimiter="\t" if ending == "tsv" else ","))
    assert [row["upper"] for row in rows[::2]] == [Couplet().read_prompt(upper).text for upper in uppers]
    assert all(form_violations(row["upper"], row["lower"]) == [] for row in rows)
    assert all(float(row["log_probability"]) < 0 and 0 <= float(row["tones"]) <= 1 for row in rows)


def test_an_interrupted_batch_leaves_what_is_finished(model_directory, tmp_path, capsys, monkeypatch):
    original, calls = Generator._answer_batch, []

    def interrupted(self, uppers):
        calls.append(uppers)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, uppers)

    monkeypatch.setattr(Generator, "_answer_batch", interrupted)
    (tmp_path / "prompts.txt").write_text("丁七\n万\n丈三\n上下丌\n一\n", encoding="utf-8")
    target = tmp_path / "answers.tsv"
    options = ("--prompts_file", tmp_path / "prompts.txt", "--output_file", target, "--best_of", 1)
    options += ("--generation_batch_size", 2)
    code, _, err = run(capsys, "--model_name_or_path", model_directory, *options)
    assert code == 130
    assert "4 of 5" in err
    assert not target.exists()
    rows = (tmp_path / "answers.tsv.part").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["丁七", "万", "丈三", "一"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", ""], "no upper line"),
        (["--prompts_file", "missing.txt"], "no such file"),
        (["--prompt", "丁", "--interactive"], "exclude each other"),
        (["--prompt", "丁", "--temperature", "0"], "--temperature"),
        (["--prompt", "丁", "--banned_words", "missing.txt"], "--banned_words"),
        (["--prompt", "丁", "--device", "abacus"], "--device"),
        (["--prompt", "丁", "--output_file", "/proc/no/answers.tsv"], "cannot be written"),
        (["--prompt", "丁", "--tone", "off"], "--tones"),
        (["--compose", "丁a"], "Chinese characters"),
        (["--compose", "丁", "--line_length", "1500"], "takes 3003 tokens"),
        (["--compose", "丁", "--line_length", "5", "--continue_freely"], "whole couplets need the form"),
        (["--acrostic", "丁"], "--acrostic 丁: takes two different characters"),
        (["--theme", "丁七", "--acrostic", "丁七"], "--acrostic, --theme exclude each other"),
        (["--prompt", "丁", "--line_length", "5"], "needs --compose, --acrostic or --theme"),
        (["--prompt", "丁", "--tones", "strict", "--continue_freely"], "--tones strict needs the form"),
        (["--prompt", "丁", "--do_sample", "false", "--temperature", "0.5"], "--temperature: has no effect with"),
        (["--prompt", "丁", "--max_new_tokens", "5"], "--max_new_tokens has no effect"),
        (
            ["--prompt", "丁", "--tones", "off", "--tone_strength", "2"],
            "--tone_strength has no effect with --tones off",
        ),
        (["--prompt", "丁", "--continue_freely", "--tone_strength", "2"], "no effect with --continue_freely"),
        (["--prompt", "丁", "--seed", str(2**64)], "must be 0 to 4,294,967,295"),
        (["--prompts_file", "丁七" * 99], "File name too long"),
        (["--prompt", "丁", "--output_file", "丁七" * 99], "File name too long"),
        (["--prompts_file", "folder"], "--prompts_file folder: is a directory"),
        (["--prompts_file", "empty.txt"], "no upper line to answer in empty.txt"),
        (["--prompts_file", "list.jsonl"], "list.jsonl: row 2: ['丁'] is not a text"),
        (["--prompts_file", "other.csv"], "Name the column: --prompt_column text"),
        (
            ["--prompt", "丁", "--best_of", "2", "--parallelism_file", "other.csv"],
            "Name the column: --parallelism_column text",
        ),
        (["--prompt", "丁", "--best_of", "2", "--parallelism_file", "folder"], "folder: is a directory"),
    ],
)
def test_mistakes_get_one_message_and_exit_code_2(model_directory, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    (tmp_path / "list.jsonl").write_text('{"text1": "丁"}\n{"text1": ["丁"]}\n', encoding="utf-8")
    (tmp_path / "other.csv").write_text("text\n丁-七\n", encoding="utf-8")
    code, out, err = run(capsys, "--model_name_or_path", model_directory, *arguments)
    assert code == 2
    assert out == ""
    assert message in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "folder: is a directory"),
        (".", "is a directory"),
        ("new/", "is a directory"),
        ("", "--output_file is empty"),
        ("answers.xlsx", "end it in .txt, .tsv, .csv or .jsonl, or give --output_format"),
    ],
)
def test_output_that_cannot_be_a_file_is_refused_before_the_model_is_loaded(
    tmp_path, monkeypatch, capsys, name, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    # There is no model here: that would be the next complaint.
    code, _, err = run(capsys, "--prompt", "丁", "--output_file", name)
    assert code == 2
    complaint = err.splitlines()[-1]  # below the line that says which model answers
    assert message in complaint and "model" not in complaint
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_link_stays_and_its_target_is_replaced(model_directory, tmp_path, capsys):
    target, link = tmp_path / "real.txt", tmp_path / "link.txt"
    target.write_text("old", encoding="utf-8")
    link.symlink_to("real.txt")
    assert run(capsys, "--model_name_or_path", model_directory, "--prompt", "丁七", "--output_file", link)[0] == 0
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("丁七-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.txt", "real.txt"]


def test_a_named_pipe_is_written_to(model_directory, tmp_path, capsys):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    assert run(capsys, "--model_name_or_path", model_directory, "--prompt", "丁七", "--output_file", pipe)[0] == 0
    reader.join(10)
    assert pipe.is_fifo() and read[0].startswith("丁七-")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_prompts_come_out_of_a_named_pipe(model_directory, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=("丁七\n".encode(),), daemon=True).start()
    code, out, _ = run(capsys, "--model_name_or_path", model_directory, "--prompts_file", pipe)
    assert code == 0 and out.startswith("丁七-")


def test_all_themes_are_checked_before_anything_is_written(model_directory, tmp_path, capsys):
    options = ("--compose", "丁", "a", "红", "--output_file", tmp_path / "couplets.txt")
    code, out, err = run(capsys, "--model_name_or_path", model_directory, *options)
    assert (code, out) == (2, "")
    assert "--compose a" in err and "--compose 红" in err
    assert list(tmp_path.iterdir()) == []


def test_interrupted_composing_says_where_the_finished_couplets_are(model_directory, tmp_path, capsys, monkeypatch):
    original = Composer.compose

    def interrupted(self, theme, kind):
        if theme == "七":
            raise KeyboardInterrupt
        return original(self, theme, kind)

    monkeypatch.setattr(Composer, "compose", interrupted)
    options = ("--compose", "丁", "七", "--output_file", tmp_path / "couplets.txt")
    code, _, err = run(capsys, "--model_name_or_path", model_directory, *options)
    partial = tmp_path / "couplets.txt.part"
    assert code == 130
    assert f"interrupted after the couplets of 1 of 2 themes; they are in {partial}" in err
    assert partial.read_text(encoding="utf-8").startswith("丁")


@pytest.mark.parametrize("options", [("--interactive",), ("--prompts_file", "-"), ()])
def test_a_closed_standard_input_is_said(model_directory, capsys, monkeypatch, options):
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = run(capsys, "--model_name_or_path", model_directory, *options)
    assert code == 2
    assert "standard input is closed" in err


def test_a_closed_standard_output_is_said(model_directory, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    code, _, err = run(capsys, "--model_name_or_path", model_directory, "--prompt", "丁")
    assert code == 2
    assert "standard output is closed; give --output_file" in err


@pytest.mark.parametrize(
    ("is_terminal", "expected"), [(False, "𠮷-".encode()), (True, b"\\U00020bb7-")], ids=["pipe", "terminal"]
)
def test_an_answer_that_the_terminals_encoding_lacks_is_written(
    model_directory, capsys, monkeypatch, is_terminal, expected
):
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="gbk")
    monkeypatch.setattr(stdout, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    code, _, _ = run(capsys, "--model_name_or_path", model_directory, "--prompt", "𠮷")
    assert code == 0
    assert raw.getvalue().startswith(expected)


def test_before_anything_is_published_the_shipped_base_answers_and_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "--prompt", "春满神州花似锦", "--do_sample", "false")
    upper, lower = out.strip().split("-")
    assert code == 0 and upper == "春满神州花似锦" and not form_violations(upper, lower)
    assert "models/couplet: nothing is published there yet" in err and "run_finetune.py" in err
    assert "recipe/data/base" in err


def test_parallelism_is_learned_from_a_file_and_ranks(model_directory, tmp_path, capsys):
    file = tmp_path / "couplets.csv"
    file.write_text("text1\n" + "丁-万\n七-丈\n" * 50, encoding="utf-8")
    options = ("--prompt", "丁七", "--best_of", 40, "--temperature", 3, "--top_k", 0, "--tones", "off")
    model = ("--model_name_or_path", model_directory)
    plain = run(capsys, *model, *options)[1]
    swayed = run(capsys, *model, *options, "--parallelism_file", file)[1]
    association = CharacterAssociation.learn(["丁", "七"] * 50, ["万", "丈"] * 50)
    upper, lower = swayed.split("  ")[0].split("-")
    assert association.score(upper, lower) >= association.score(*plain.split("  ")[0].split("-"))
    code, _, err = run(capsys, *model, "--prompt", "丁", "--parallelism_file", file, "--best_of", 1)
    assert (code, "--best_of" in err) == (2, True)


def test_drawn_couplets_are_the_best_of_many_unless_one_is_asked_for(model_directory, capsys):
    ask = ("--model_name_or_path", model_directory, "--prompt", "丁七丁", "--temperature", 3, "--top_k", 0)
    best = run(capsys, *ask)[1]
    assert best.strip() == run(capsys, *ask, "--best_of", DEFAULT_BEST_OF)[1].split("  ")[0].strip()
    assert best != run(capsys, *ask, "--best_of", 1)[1]
    likeliest = run(capsys, *ask[:4], "--do_sample", "false")[1]
    assert likeliest == run(capsys, *ask[:4], "--do_sample", "false", "--best_of", 1)[1].split("  ")[0].strip() + "\n"


def test_the_parallelism_file_is_read_as_the_models_training_rows(tmp_path, capsys):
    model = generating_gpt2(TOKENIZER)
    model.config.recipe = {"text_format": "couplet", "separator": "，"}
    for part in (model, TOKENIZER):
        part.save_pretrained(tmp_path / "model")
    file = tmp_path / "couplets.csv"
    file.write_text("n,pair\n1,丁，万\n2,七-丈\n3,\n", encoding="utf-8")
    options = ("--model_name_or_path", tmp_path / "model", "--prompt", "丁", "--best_of", 2, "--parallelism_file", file)
    code, _, err = run(capsys, *options, "--parallelism_column", "pair")
    assert code == 0
    assert "2 rows are left out (1 no separator; 1 empty)" in err
    file.write_text("text1\n丁-万\n", encoding="utf-8")
    code, _, err = run(capsys, *options)
    assert code == 2
    assert "holds no couplet" in err and "'，' between them" in err and "(1 no separator)" in err
    assert run(capsys, *options[:4], "--parallelism_column", "pair")[0] == 2


def test_a_plain_model_has_no_form_and_no_couplets(tmp_path, capsys):
    model = generating_gpt2(TOKENIZER)
    model.config.recipe = {"text_format": "plain"}
    for part in (model, TOKENIZER):
        part.save_pretrained(tmp_path / "model")
    options = ("--model_name_or_path", tmp_path / "model", "--prompt", "丁")
    assert "have no form to hold; add --continue_freely" in run(capsys, *options)[2]
    freely = (*options, "--continue_freely", "--max_new_tokens", 5)
    code, out, _ = run(capsys, *freely, "--output_format", "jsonl")
    assert code == 0
    assert json.loads(out).keys() == {"prompt", "answer", "log_probability", "tones"}
    assert json.loads(out)["tones"] is None
    (tmp_path / "couplets.csv").write_text("text1\n丁-万\n", encoding="utf-8")
    code, _, err = run(capsys, *freely, "--best_of", 2, "--parallelism_file", tmp_path / "couplets.csv")
    assert code == 2
    assert "--parallelism_file ranks couplets" in err


def type_lines(monkeypatch, content, **options):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), **{"encoding": "utf-8", **options}))


def test_conversation(model_directory, capsys, monkeypatch):
    type_lines(monkeypatch, f"丁七万\n{'x' * 200}\n\n".encode())
    code, out, _ = run(capsys, "--model_name_or_path", model_directory, "--interactive")
    assert code == 0
    assert out.count("下联>") == 1
    assert "the model has room" in out


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_typed_line_in_another_encoding_is_asked_for_again(model_directory, capsys, monkeypatch, errors):
    type_lines(monkeypatch, "春\n".encode("gb18030") + "丁七万\n".encode(), errors=errors)
    code, out, _ = run(capsys, "--model_name_or_path", model_directory, "--interactive")
    assert code == 0
    assert "not text in utf-8" in out and "type it again" in out
    assert out.count("下联>") == 1


def test_help_loads_no_torch():
    program = "import sys, run_generate\ntry:\n    run_generate.main(['--help'])\nexcept SystemExit:\n    pass\n"
    checks = "assert not {'torch', 'transformers', 'datasets', 'evaluate'} & set(sys.modules)"
    root = Path(run_generate.__file__).parent
    subprocess.run([sys.executable, "-c", program + checks], cwd=root, check=True, capture_output=True)


def test_answering_loads_neither_datasets_nor_evaluate(model_directory):
    program = f"""
import sys, run_generate
assert run_generate.main(["--model_name_or_path", {str(model_directory)!r}, "--prompt", "丁七"]) == 0
assert not {{"datasets", "evaluate", "sacrebleu"}} & set(sys.modules)
"""
    root = Path(run_generate.__file__).parent
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True, capture_output=True)


def test_near_copies_are_not_shown_beside_each_other_while_there_are_others():
    ranked = ["春来山水绿", "春来山水青", "夏去云风绿", "花开山水绿", "秋去江湖阔", "冬寒日月长"]
    assert varied(ranked, 3, str) == ["春来山水绿", "夏去云风绿", "秋去江湖阔"]
    assert varied(ranked[:3], 3, str) == ranked[:3]  # too few others: near copies fill up, in their order
    assert varied(ranked[:4], 3, str) == ["春来山水绿", "春来山水青", "夏去云风绿"]
    assert varied(ranked, 1, str) == ranked[:1] and varied([], 3, str) == []
    assert are_near_copies("山水，绿", "江月，绿") is False and are_near_copies("山高，水低", "云出，水低")
    assert are_near_copies("山高水低云", "山高水远风") and not are_near_copies("山高水低云", "山高江远风")
