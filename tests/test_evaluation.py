"""The evaluation command on made-up couplets, with a tiny model and with lines from files, and on bad input."""

import json
import random
from pathlib import Path

import pytest
import torch
from finetune_helpers import ROOT, write_rows
from tiny_models import character_tokenizer

from recipe.couplet.form import form_violations
from recipe.errors import run_or_explain
from recipe.evaluating.likelihood import line_losses
from recipe.evaluating.testset import chance_lines, read_predictions, read_test_set, read_training_file, shape_of
from recipe.files import write_text
from recipe.generating.generator import Answer, Generator
from recipe.generating.kept_answers import Batch, KeptAnswers, fingerprint
from recipe.generating.loading import load_ready_model
from recipe.generating.processes import Processes
from recipe.model.modeling import new_model
from recipe.model.tokenization import encode_prompt
from recipe.settings import DecodingSettings, DeviceSettings, EvaluationSettings, ModelSettings
from run_evaluate import main

# Words whose second characters answer each other; the lines made of them mean nothing, and that is enough.
UPPER_WORDS = ("青山", "白雪", "远水", "古树", "细雨", "晓月", "晚照", "翠柳")
LOWER_WORDS = ("红日", "乌云", "高天", "新花", "轻风", "明星", "朝霞", "苍松")


def made_up_couplets(count: int, seed: int) -> list[tuple[str, str]]:
    generator = random.Random(seed)
    couplets = []
    for _ in range(count):
        words = generator.sample(range(len(UPPER_WORDS)), generator.choice([2, 3, 4]))
        mark = generator.choice(["", "，"])
        upper = UPPER_WORDS[words[0]] + mark + "".join(UPPER_WORDS[word] for word in words[1:])
        lower = LOWER_WORDS[words[0]] + mark + "".join(LOWER_WORDS[word] for word in words[1:])
        couplets.append((upper, lower))
    return couplets


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A test file of 30 different upper lines, 10 of which stand in the training file of 200; a tiny model."""
    folder = tmp_path_factory.mktemp("evaluation")
    couplets = ["-".join(couplet) for couplet in dict(made_up_couplets(400, seed=0)).items()]
    write_rows(folder / "test.csv", couplets[:30])
    write_rows(folder / "train.csv", couplets[20:220])
    characters = "".join(UPPER_WORDS + LOWER_WORDS) + "，-春夏秋冬东西南北"
    tokenizer = character_tokenizer(characters)
    torch.manual_seed(0)
    model = new_model(ModelSettings(hidden_size=16, num_layers=1, num_heads=2), tokenizer, 64)
    model.config.recipe = {"text_format": "couplet", "separator": "-"}
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder


def settings_for(folder: Path, **changes) -> EvaluationSettings:
    return EvaluationSettings(test_file=[str(folder / "test.csv")], train_file=[str(folder / "train.csv")], **changes)


def run(folder: Path, output: Path, *arguments: str) -> dict:
    common = ["--test_file", str(folder / "test.csv"), "--output_dir", str(output), "--bootstrap_samples", "50"]
    assert main([*common, *arguments]) == 0
    return json.loads((output / "results.json").read_text(encoding="utf-8"))


def test_model_end_to_end(folder, tmp_path, capsys):
    arguments = ["--model_name_or_path", str(folder / "model"), "--seeds", "2", "--latency_calls", "3"]
    results = run(folder, tmp_path, *arguments, "--train_file", str(folder / "train.csv"))
    figures = results["figures"]
    assert results["data"]["upper_lines"] == 30
    assert results["data"]["leaks"] == {"upper_lines": 10, "lower_lines": 10, "couplets": 10}
    assert figures["form"]["model"]["value"] == 100
    assert figures["memorised_pairs"]["references"]["value"] == pytest.approx(100 / 3)
    assert len(figures["bleu4"]["model"]["runs"]) == 2
    assert set(figures["bleu4"]) == {"model", "chance", "unseen"}
    assert {"model", "chance"} <= set(figures["loss_per_character"])
    assert figures["parallelism"]["references"]["value"] > figures["parallelism"]["chance"]["value"]
    assert {row["figure"]: row["kept"] for row in results["separation"]}["parallelism"]
    assert results["system"]["efficiency"]["couplets_per_second"] > 0
    assert results["system"]["seeds"] == [42, 43]
    assert results["_evaluate_version"]
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 60
    assert not any(form_violations(row["upper"], row["lower"]) for row in rows)
    assert "All hard rules" in capsys.readouterr().out
    for report in ("report.md", "report.html"):
        text = (tmp_path / report).read_text(encoding="utf-8")
        assert all(row["upper"] in text for row in results["samples"])


def test_same_seed_same_results(folder, tmp_path):
    arguments = ["--model_name_or_path", str(folder / "model"), "--seeds", "1", "--latency_calls", "0"]
    first, second = (run(folder, tmp_path / name, *arguments) for name in ("a", "b"))
    assert first["figures"] == second["figures"]
    assert first["system"]["efficiency"] is None
    assert (tmp_path / "a/predictions.jsonl").read_bytes() == (tmp_path / "b/predictions.jsonl").read_bytes()


def test_references_as_predictions_get_everything(folder, tmp_path):
    test_set = read_test_set(settings_for(folder))
    answers = zip(test_set.uppers, test_set.first_references, strict=True)
    rows = [{"upper": upper, "lower": lower} for upper, lower in answers]
    file = tmp_path / "perfect.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    results = run(folder, tmp_path / "out", "--predictions", str(file), "--baseline", str(folder / "model"))
    for figure in ("bleu4", "bleu2_without_marks", "chrf", "rouge1", "rouge2", "rougeL", "meteor_of_reference", "form"):
        assert results["figures"][figure]["model"]["value"] == pytest.approx(100)
    difference = results["figures"]["bleu4"]["difference"]
    baseline = results["figures"]["bleu4"]["baseline"]["value"]
    assert difference["value"] == pytest.approx(100 - baseline)
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert results["system"]["efficiency"] is None


def test_scored_again_from_its_own_predictions_file(folder, tmp_path):
    arguments = ["--model_name_or_path", str(folder / "model"), "--seeds", "2", "--latency_calls", "0"]
    first = run(folder, tmp_path / "model", *arguments)
    second = run(folder, tmp_path / "file", "--predictions", str(tmp_path / "model/predictions.jsonl"))
    assert second["system"]["runs"] == 2
    for figure in ("bleu4", "chrf", "form", "self_bleu", "distinct2"):
        assert second["figures"][figure]["model"] == first["figures"][figure]["model"]


@pytest.mark.parametrize("form", ["pair", "tsv", "tsv with header", "csv", "lower lines"])
def test_predictions_in_every_form_are_the_same(folder, tmp_path, form):
    settings = settings_for(folder)
    test_set = read_test_set(settings)
    pairs = [(upper, "东" * len(upper)) for upper in test_set.uppers]
    shuffled = random.Random(0).sample(pairs, len(pairs))
    file, second = tmp_path / "predictions.tsv", tmp_path / "lower.txt"
    files = [str(file)]
    if form == "pair":
        file = tmp_path / "upper.txt"
        file.write_text("".join(" ".join(upper) + "\n" for upper, _ in shuffled), encoding="utf-8")
        second.write_text("".join(" ".join(lower) + "\n" for _, lower in shuffled), encoding="utf-8")
        files = [str(file), str(second)]
    elif form == "lower lines":
        second.write_text("".join(lower + "\n" for _, lower in pairs), encoding="utf-8")
        files = [str(second)]
    elif form == "csv":
        file = tmp_path / "predictions.csv"
        file.write_text("lower,upper\n" + "".join(f"{lower},{upper}\n" for upper, lower in shuffled), encoding="utf-8")
        files = [str(file)]
    else:
        header = "upper\tlower\n" if form == "tsv with header" else ""
        file.write_text(header + "".join(f"{upper}\t{lower}\n" for upper, lower in shuffled), encoding="utf-8")
    assert read_predictions("--predictions", files, test_set, settings).runs == [[lower for _, lower in pairs]]


def test_several_known_lower_lines_are_all_references(folder, tmp_path):
    write_rows(tmp_path / "test.csv", ["青山-红日", "青山-乌云", "白雪-高天", "青山-红日"])
    test_set = read_test_set(EvaluationSettings(test_file=[str(tmp_path / "test.csv")]))
    assert test_set.uppers == ["青山", "白雪"]
    assert test_set.references == [["红日", "乌云"], ["高天"]]
    (tmp_path / "lower.txt").write_text("乌云\n乌云\n高天\n乌云\n", encoding="utf-8")
    results = run(tmp_path, tmp_path / "out", "--predictions", str(tmp_path / "lower.txt"))
    assert results["figures"]["bleu1"]["model"]["value"] == pytest.approx(100)
    # The references against each other: of the one upper line with two lower lines, the first against the second.
    assert results["figures"]["bleu1"]["references"]["upper_lines"] == 1
    assert results["data"]["references_most"] == 2


def test_chance_lines_have_the_shape_and_no_known_answer(folder):
    settings = settings_for(folder)
    test_set, training_file = read_test_set(settings), read_training_file(settings)
    lines, same_shape = chance_lines(test_set, training_file, seed=1)
    assert all(same_shape)
    assert [shape_of(line) for line in lines] == [shape_of(upper) for upper in test_set.uppers]
    assert not any(line in known for line, known in zip(lines, test_set.references, strict=True))
    assert lines == chance_lines(test_set, training_file, seed=1)[0] != chance_lines(test_set, training_file, seed=2)[0]


def test_losses_are_those_of_a_plain_forward_pass(folder):
    loaded = load_ready_model(str(folder / "model"), DeviceSettings())
    # 雾 is unknown to the vocabulary: not counted. The others differ in length, so that batches mix nothing.
    couplets = [("青山", "红日"), ("白雪远水", "乌云高天"), ("古树", "新雾")]
    lines = zip(*couplets, strict=True)
    losses, characters = line_losses(loaded.model, loaded.tokenizer, *lines, loaded.text_format, Processes())
    assert characters == [2, 4, 1]
    for (upper, lower), loss in zip(couplets, losses, strict=True):
        ids = encode_prompt(loaded.tokenizer, upper + "-" + lower)
        probabilities = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        start = len(upper) + 2
        expected = -sum(
            probabilities[place - 1, ids[place]].item()
            for place in range(start, len(ids))
            if ids[place] != loaded.tokenizer.unk_token_id
        )
        assert loss == pytest.approx(expected, abs=1e-4)


def failure(capsys, *arguments: str) -> str:
    assert run_or_explain(main, list(arguments)) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_bad_input_gets_one_clear_message(folder, tmp_path, capsys):
    test_file = str(folder / "test.csv")
    assert "no test file: give --test_file" in failure(capsys)
    assert "no such file" in failure(capsys, "--test_file", "nowhere.csv", "--predictions", "p.txt")
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert "empty.txt: is empty" in failure(capsys, "--test_file", test_file, "--predictions", str(empty))
    short = tmp_path / "short.txt"
    short.write_text("东西\n南北\n", encoding="utf-8")
    message = failure(capsys, "--test_file", test_file, "--predictions", str(short))
    assert "has 2 lines, the test file 30 couplets" in message
    assert "the other file goes on; the two must answer each other" in failure(
        capsys, "--test_file", test_file, "--predictions", str(short), str(folder / "test.csv")
    )
    assert "has no column named 'wrong'" in failure(
        capsys, "--test_file", test_file, "--text_column", "wrong", "--predictions", str(short)
    )
    no_couplets = tmp_path / "no_couplets.csv"
    no_couplets.write_text("text1\n没有分隔\n", encoding="utf-8")
    message = failure(capsys, "--test_file", str(no_couplets), "--predictions", str(short))
    assert "holds no couplet to compare with (1 no separator)" in message
    wrong = ["--seeds", "0", "--encoding", "klingon", "--separator", ""]
    message = failure(capsys, "--test_file", test_file, "--model_name_or_path", str(folder / "model"), *wrong)
    assert all(part in message for part in ("3 problems", "--seeds 0", "--encoding klingon", "--separator"))
    message = failure(capsys, "--test_file", test_file, "--predictions", str(short), "--temperature", "0.9")
    assert "decoding settings have no effect" in message
    message = failure(capsys, "--test_file", test_file, "--num_return_sequences", "2")
    assert "for several answers raise --seeds" in message
    message = failure(capsys, "--test_file", test_file, "--model_name_or_path", str(tmp_path))
    assert "is not a model; it has no config.json" in message
    partial = tmp_path / "partial.tsv"
    partial.write_text("青山\t红日\n", encoding="utf-8")
    assert "of 30 upper lines of the test file have no lower line" in failure(
        capsys, "--test_file", test_file, "--predictions", str(partial)
    )
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text('{"upper": "青山", "lower": "\\ud800日"}\n', encoding="utf-8")
    assert "row 1: a cell is not text, or damaged" in failure(
        capsys, "--test_file", test_file, "--predictions", str(damaged)
    )
    (tmp_path / "wide.tsv").write_text("青山\t红日\t1\n", encoding="utf-8")
    assert "has 3 columns; expected two" in failure(
        capsys, "--test_file", test_file, "--predictions", str(tmp_path / "wide.tsv")
    )


@pytest.fixture
def no_model_loaded(monkeypatch):
    """Fail the test where a model is loaded: problems are to be found before."""

    def fail(*_):
        pytest.fail("a model was loaded before the problems were said")

    monkeypatch.setattr("recipe.generating.loading.load_model", fail)


def test_all_problems_come_at_once_and_before_any_model(folder, tmp_path, capsys, no_model_loaded):
    message = failure(
        capsys,
        *["--test_file", "nowhere_test.csv", "--train_file", "nowhere_train.csv", str(folder / "train.csv")],
        *["--model_name_or_path", str(folder / "model"), "--baseline", str(tmp_path)],
        *["--temperature", "0", "--listed_words", str(tmp_path / "nowhere.txt"), "--bootstrap_samples", "0"],
    )
    expected = ("nowhere_test.csv", "nowhere_train.csv", f"{tmp_path}: ", "--temperature 0", "--listed_words", "--boot")
    assert "6 problems" in message and all(part in message for part in expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--train_file", "{wrong_column}"], "has no column named 'text1'"),
        (["--train_file", "{no_couplets}"], "holds no couplet; is it the training file?"),
        (["--baseline", "{short}"], "has 2 lines, the test file 30 couplets"),
        (["--banned_words", "nowhere.txt"], "--banned_words nowhere.txt: no such file"),
        (["--top_k", "5", "--do_sample", "false"], "--top_k: has no effect with --do_sample false"),
        (["--top_p", "2"], "--top_p 2.0: must be above 0 and at most 1"),
        (["--baseline", "{short}", "--train_file", "{no_couplets}"], "2 problems"),
    ],
)
def test_contents_are_read_before_anything_is_generated(folder, tmp_path, capsys, no_model_loaded, arguments, expected):
    files = {"wrong_column": "x.csv", "no_couplets": "y.csv", "short": "z.txt"}
    contents = {"wrong_column": "text\n青山-红日\n", "no_couplets": "text1\n没有分隔\n", "short": "东西\n南北\n"}
    for name, file in files.items():
        (tmp_path / file).write_text(contents[name], encoding="utf-8")
    given = [argument.format(**{name: tmp_path / file for name, file in files.items()}) for argument in arguments]
    model = ["--model_name_or_path", str(folder / "model")]
    assert expected in failure(capsys, "--test_file", str(folder / "test.csv"), *model, *given)


def test_a_baseline_that_is_not_there_is_found_before_anything_is_generated(folder, monkeypatch, capsys):
    monkeypatch.setattr("recipe.evaluating.predictions.answer_all", lambda *_: pytest.fail("lines were generated"))
    model = ["--model_name_or_path", str(folder / "model")]
    message = failure(capsys, "--test_file", str(folder / "test.csv"), *model, "--baseline", str(folder / "modle"))
    assert "modle" in message


SAMPLED = ["--seeds", "2", "--latency_calls", "2", "--generation_batch_size", "8", "--temperature", "2"]


def answering(monkeypatch, interrupted_after: int | None = None) -> list[int]:
    """Return a list of the sizes of the batches that are answered, as it goes, until Ctrl-C."""
    original, sizes = Generator._answer_batch, []

    def answer_batch(self, prompts):
        if len(sizes) == interrupted_after:
            raise KeyboardInterrupt
        sizes.append(len(prompts))
        return original(self, prompts)

    monkeypatch.setattr(Generator, "_answer_batch", answer_batch)
    return sizes


def start(folder, output, *arguments) -> int:
    common = ["--test_file", str(folder / "test.csv"), "--output_dir", str(output), "--bootstrap_samples", "50"]
    return run_or_explain(main, [*common, "--model_name_or_path", str(folder / "model"), *SAMPLED, *arguments])


def test_an_interrupted_evaluation_goes_on_and_ends_as_an_unbroken_one(folder, tmp_path, monkeypatch, capsys):
    assert start(folder, tmp_path / "whole") == 0
    with monkeypatch.context() as patched:
        first = answering(patched, interrupted_after=3)
        assert start(folder, tmp_path / "broken") == 130
    assert f"{sum(first)} of 30 answers are kept; the same command resumes from there" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        second = answering(patched)
        assert start(folder, tmp_path / "broken") == 0
    assert f"{sum(first)} of 30 upper lines were answered before an interruption; resuming" in capsys.readouterr().err
    assert sum(first) + sum(second) == 2 * 30 + 2
    whole, broken = (tmp_path / name / "predictions.jsonl" for name in ("whole", "broken"))
    assert broken.read_bytes() == whole.read_bytes()
    results = json.loads((tmp_path / "broken/results.json").read_text(encoding="utf-8"))
    assert f"{sum(first)} of 60 lower lines were made before an interruption" in " ".join(results["notes"])
    assert results["system"]["efficiency"]["couplets_per_second"] > 0
    assert not (tmp_path / "broken/unfinished").exists()


def test_what_processes_keep_is_taken_up_by_any_number_of_them_without_a_cut_line(tmp_path):
    file = tmp_path / "kept.jsonl"
    batch = Batch([[Answer("山", "水", -1.5, None)], [Answer("日", "月", -0.25, 0.5, 0.1)]], 2.5)
    for index in (0, 1):
        kept = KeptAnswers(file, Processes(index, 1))
        if index:  # as the second of two: its own file, beside that of the main one
            write_text(file.with_name("kept.jsonl.1"), '{"job": "a"}\n')
            kept._handle = file.with_name("kept.jsonl.1").open("a", encoding="utf-8")
        else:
            kept.open({"job": "a"})
        kept.add(10 * index, batch)
        kept._handle.write('{"place": 99, "answ')
        kept._close()
    again = KeptAnswers(file, Processes())
    again.open({"job": "a"})
    assert again.batches == {0: batch, 10: batch} and again.taken_up == 4
    assert [path.name for path in tmp_path.iterdir()] == ["kept.jsonl"]
    again.open({"job": "b"})
    assert again.batches == {}
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_kept_answers_are_those_of_the_very_same_model_settings_and_lines(folder):
    loaded = load_ready_model(str(folder / "model"), DeviceSettings(device="cpu"))
    model, tokenizer = loaded.model, loaded.tokenizer

    def job(*lines, words=(), weight=0.0, **settings):
        with torch.no_grad():
            model.transformer.h[0].ln_1.bias[0] = weight
        return fingerprint(Generator(model, tokenizer, DecodingSettings(**settings), words), *lines)

    jobs = [job("山"), job("水"), job("山", top_k=3), job("山", weight=0.5), job("山", words=("东西",))]
    assert len(set(jobs)) == 5
    # The file of the words may be called anything, and each run has a seed of its own.
    assert job("山", seed=7, banned_words="words.txt") == jobs[0]


def test_characters_outside_the_vocabulary_are_counted(folder, tmp_path):
    write_rows(tmp_path / "test.csv", ["青山-红日", "雾山-霜日", "白雪-霞天", "雾雪-新花"])
    arguments = ["--model_name_or_path", str(folder / "model"), "--do_sample", "false", "--latency_calls", "0"]
    results = run(tmp_path, tmp_path / "out", *arguments)
    found = results["system"]["outside_vocabulary"]
    assert found == {"upper_lines": 2, "lower_lines": 1, "characters": 2}
    assert "2 (50%) upper lines hold characters" in (tmp_path / "out/report.md").read_text(encoding="utf-8")


def test_missing_extras_are_said_and_the_core_goes_on(folder, tmp_path, monkeypatch):
    import importlib

    real = importlib.import_module

    def without_extras(name, *arguments):
        if name.split(".")[0] in ("rouge_score", "nltk", "jieba"):
            raise ModuleNotFoundError(name=name.split(".")[0])
        return real(name, *arguments)

    monkeypatch.setattr("recipe.metrics.base.importlib.import_module", without_extras)
    (tmp_path / "lower.txt").write_text("东西\n" * 30, encoding="utf-8")
    results = run(folder, tmp_path / "out", "--predictions", str(tmp_path / "lower.txt"))
    assert "bleu4" in results["figures"] and "chrf" in results["figures"]
    assert "rouge1" not in results["figures"]
    notes = " ".join(results["notes"])
    assert all(f"the package {name} is not installed; run: pip install" in notes for name in ("rouge_score", "nltk"))


def test_lines_written_by_hand_keep_every_rule_and_swapped_ones_do_not():
    from recipe.metrics.form import FormAgreement

    test_set = read_test_set(EvaluationSettings(test_file=[str(ROOT / "recipe/data/handwritten.csv")]))
    assert len(test_set.uppers) == len(test_set.rows) == 1865 and not test_set.rejected
    result = FormAgreement().compute(predictions=test_set.first_references, uppers=test_set.uppers)
    rules = ("form", "form_length", "form_punctuation", "form_repetition", "form_shared_character", "last_tone_either")
    assert [result[rule] for rule in rules] == [100.0] * len(rules)
    assert result["seven_tones_either"] == pytest.approx(100 * 1247 / 1388)
    swapped = FormAgreement().compute(predictions=test_set.uppers, uppers=test_set.first_references)
    assert swapped["form"] == 100.0 and swapped["last_tone_either"] < 20
