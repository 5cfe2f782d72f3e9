"""Batched answers: distinct, in order, scored, ranked, reproducible; and the command around them."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from form_helpers import character_tokenizer, fuzzed_lines, random_model

import run_generate
from recipe.couplet.form import form_violations
from recipe.couplet.parallelism import CharacterAssociation
from recipe.couplet.tones import ToneSystem, choose_system, rhythm_positions, tone_of, tones_opposed
from recipe.errors import UserError, run_or_explain
from recipe.generating.generation import Generator, answer
from recipe.model.tokenization import encode_prompt
from recipe.settings import DecodingSettings

TOKENIZER = character_tokenizer()
MODEL = random_model(TOKENIZER)
UPPERS = fuzzed_lines(21, 40)


def generator(**options):
    banned_words = options.pop("banned", ())
    parallelism = options.pop("parallelism", None)
    return Generator(MODEL, TOKENIZER, DecodingSettings(**options), banned_words, parallelism=parallelism)


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    model = random_model(TOKENIZER)
    model.config.recipe = {"text_format": "couplet", "separator": "-"}
    # As published by somebody who blocks n-grams, which no couplet survives.
    model.generation_config.no_repeat_ngram_size = 1
    model.save_pretrained(directory)
    TOKENIZER.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("options", [{}, {"do_sample": False}, {"do_sample": False, "num_beams": 2}, {"best_of": 4}])
def test_answers_come_in_the_order_of_the_upper_lines(options):
    answers = generator(num_return_sequences=2, temperature=1.5, **options).answer(UPPERS)
    assert [found[0].upper for found in answers] == UPPERS
    for found in answers:
        assert all(form_violations(one.upper, one.lower) == [] for one in found)
        assert len({one.lower for one in found}) == len(found) == 2


def test_batches_hold_prompts_of_one_length_and_no_more_rows_than_asked_for(monkeypatch):
    shapes = []
    one = generator(num_return_sequences=3, generation_batch_size=12)
    original = MODEL.generate
    monkeypatch.setattr(
        MODEL, "generate", lambda prompts, **kw: shapes.append(prompts.shape) or original(prompts, **kw)
    )
    one.answer(UPPERS)
    assert max(rows for rows, _ in shapes) == 4
    lengths = {len(encode_prompt(TOKENIZER, upper, "-")) for upper in UPPERS}
    assert {columns for _, columns in shapes} == lengths


def test_where_fewer_answers_exist_all_of_them_are_returned():
    tokenizer = character_tokenizer("丁七万")
    small = Generator(random_model(tokenizer), tokenizer, DecodingSettings(num_return_sequences=8))
    found = small.answer(["，", "红", "红，日", "红红"])
    assert [len(answers) for answers in found] == [1, 3, 6, 3]
    assert {answer.lower for answer in found[3]} == {"丁丁", "七七", "万万"}


def test_sharp_sampling_still_finds_distinct_answers():
    found = generator(num_return_sequences=12, temperature=0.01).answer(["红日"])[0]
    assert len({answer.lower for answer in found}) == 12


def test_the_score_is_the_mean_log_probability_of_the_line_and_its_end():
    for options in ({}, {"do_sample": False, "num_beams": 3, "num_return_sequences": 2}):
        for found in generator(**options).answer(["丁七万丈", "丁丁七，七"]):
            for one in found:
                prompt = encode_prompt(TOKENIZER, one.upper, "-")
                line = [*TOKENIZER(one.lower, add_special_tokens=False).input_ids, TOKENIZER.eos_token_id]
                with torch.no_grad():
                    logits = MODEL(torch.tensor([prompt + line])).logits[0, len(prompt) - 1 : -1]
                expected = logits.log_softmax(-1)[range(len(line)), line].mean().item()
                assert one.score == pytest.approx(expected, abs=1e-4)


def test_the_share_of_opposed_tones_is_right():
    upper = "红日东升照九州"
    found = generator(tones="strict").answer([upper])[0][0]
    assert found.tones == 1.0
    loose = generator(tones="off", temperature=3.0, top_k=0).answer([upper])[0][0]
    system = choose_system(upper)
    met = [tones_opposed(upper[at], loose.lower[at], system) for at in rhythm_positions(upper)]
    assert loose.tones == sum(met) / len(met)


def test_best_of_returns_the_best_ranked_and_counts_parallelism():
    found = generator(best_of=8, num_return_sequences=8, temperature=2.0).answer(["红日东升"])[0]
    assert [one.rank for one in found] == sorted((one.rank for one in found), reverse=True)
    best = generator(best_of=8, temperature=2.0).answer(["红日东升"])[0]
    assert best == found[:1]
    favourite = found[-1].lower
    swayed = generator(best_of=8, temperature=2.0, parallelism=lambda _, lower: 100.0 * (lower == favourite))
    assert swayed.answer(["红日东升"])[0][0].lower == favourite


def test_the_same_seed_gives_the_same_lines_and_leaves_the_global_generator_alone():
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = answer(MODEL, TOKENIZER, UPPERS, DecodingSettings(seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(456)
    assert answer(MODEL, TOKENIZER, UPPERS, DecodingSettings(seed=1)) == first
    assert answer(MODEL, TOKENIZER, UPPERS, DecodingSettings(seed=2)) != first


def test_a_model_in_training_comes_back_in_training_with_its_own_configuration():
    model = random_model(TOKENIZER).train()
    own = model.generation_config
    answer(model, TOKENIZER, ["红日"], DecodingSettings())
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
    assert generator().unknown_characters("丁😀七，红😀") == ["😀", "红"]


def test_free_continuation_is_not_bound_by_the_form():
    free = generator(continue_freely=True, max_new_tokens=9, temperature=2.0, top_k=0).answer(["红日东升"] * 6)
    assert any(form_violations(one.upper, one.lower) for found in free for one in found)


def test_composed_couplets_begin_with_the_theme_and_end_in_their_tones():
    couplets = generator(num_return_sequences=4, banned=["丁七"]).compose("丁", 5)
    assert len({couplet.upper for couplet in couplets}) == 4
    for couplet in couplets:
        assert couplet.upper.startswith("丁")
        assert len(couplet.upper) == len(set(couplet.upper)) == 5
        assert tone_of(couplet.upper[-1], ToneSystem.MODERN) & 2
        assert form_violations(couplet.upper, couplet.lower) == []
        assert "丁七" not in couplet.upper + couplet.lower
    with pytest.raises(UserError, match="line_length"):
        generator().compose("丁七万", 3)


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
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("丁\n七\n".encode()), encoding="utf-8"))
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
    from recipe.generating.prompts import upper_line

    assert [row["upper"] for row in rows[::2]] == [upper_line(upper, "-") for upper in uppers]
    assert all(form_violations(row["upper"], row["lower"]) == [] for row in rows)
    assert all(float(row["score"]) < 0 and 0 <= float(row["tones"]) <= 1 for row in rows)


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
    options = ("--prompts_file", tmp_path / "prompts.txt", "--output_file", target, "--generation_batch_size", 2)
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
    ],
)
def test_mistakes_get_one_message_and_exit_code_2(model_directory, capsys, arguments, message):
    code, out, err = run(capsys, "--model_name_or_path", model_directory, *arguments)
    assert code == 2
    assert out == ""
    assert message in err


def test_a_missing_default_model_says_how_to_get_one(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "--prompt", "丁")
    assert code == 2
    assert "run_finetune.py" in err


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
    code, _, err = run(capsys, *model, "--prompt", "丁", "--parallelism_file", file)
    assert (code, "--best_of" in err) == (2, True)


def test_conversation(model_directory, capsys, monkeypatch):
    typed = iter(["丁七万", "x" * 200, ""])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    code, out, _ = run(capsys, "--model_name_or_path", model_directory, "--interactive")
    assert code == 0
    assert out.count("下联>") == 1
    assert "the model has room" in out


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
