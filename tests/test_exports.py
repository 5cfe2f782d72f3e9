"""`--export`: what is written in the shapes of AlpacaEval, MT-Bench and HELM is what those, and this command, read."""

import json

import pytest

from recipe.benchmarks.questions import of_helm
from recipe.benchmarks.questions import read_questions as read_choices
from recipe.errors import run_or_explain
from recipe.rating.helm import write_instances
from recipe.rating.questions import ModelAnswers, file_name, own_outputs, read_answers, read_questions
from run_benchmark import main as run_benchmark
from run_evaluate import main

COUPLETS = [("青山白雪", "红日乌云"), ("远水古树", "高天新花"), ("细雨晓月", "轻风明星"), ("晚照翠柳", "朝霞苍松")]
UPPERS = [upper for upper, _ in COUPLETS]
KNOWN = [lower for _, lower in COUPLETS]
OURS = ["乌云红日", "高天新花", "明星轻风", "苍松朝霞"]  # the second is the known one
THEIRS = ["红日乌云", "新花高天", "明星轻风", "苍松朝霞"]  # the first is; the third and fourth are ours too


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A directory with the test file, two systems' lines, and in `out` an evaluation of them, exported thrice."""
    folder = tmp_path_factory.mktemp("exports")
    rows = "".join(f"{upper}-{lower}\n" for upper, lower in COUPLETS)
    (folder / "test.csv").write_text(f"text1\n{rows}", encoding="utf-8")
    for name, lowers in (("ours", OURS), ("theirs", THEIRS)):
        lines = "".join(f"{upper}\t{lower}\n" for upper, lower in zip(UPPERS, lowers, strict=True))
        (folder / f"{name}.tsv").write_text(f"upper\tlower\n{lines}", encoding="utf-8")
    assert evaluate(folder, "--export", "helm", "alpaca", "mt-bench") == 0
    return folder


def evaluate(folder, *arguments, output_dir="out"):
    files = {"--test_file": "test.csv", "--predictions": "ours.tsv", "--baseline": "theirs.tsv"}
    named = [word for flag, name in files.items() for word in (flag, str(folder / name))]
    common = ["--output_dir", str(folder / output_dir), "--bootstrap_samples", "5"]
    return run_or_explain(main, [*named, *common, *arguments])


def lines_of(file):
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def answered(lowers, first=0):
    return {str(number): (lower,) for number, lower in enumerate(lowers, start=first)}


def test_alpaca_eval_comes_back(evaluated, tmp_path):
    directory = evaluated / "out/alpaca"
    rows = json.loads((directory / "model_outputs.json").read_text("utf-8"))
    assert [set(row) for row in rows] == [{"dataset", "instruction", "output", "generator"}] * 4
    assert [UPPERS[n] in row["instruction"] and "$" not in row["instruction"] for n, row in enumerate(rows)] == [
        True
    ] * 4
    asked = read_questions(str(directory / "reference_outputs.json"))
    assert asked.kind == "alpaca_eval" and own_outputs(asked) == ModelAnswers("references", answered(KNOWN))
    ours = read_answers("--answers", str(directory / "model_outputs.json"), asked)
    theirs = read_answers("--answers", str(directory / "baseline_outputs.json"), asked)
    assert (ours.turns, theirs.turns) == (answered(OURS), answered(THEIRS))
    # Through the command too, which writes the very outputs back.
    files = ["--questions", str(directory / "reference_outputs.json"), "--answers"]
    command = [*files, str(directory / "model_outputs.json"), "--output_dir", str(tmp_path)]
    assert run_or_explain(main, command) == 0
    assert json.loads((tmp_path / "model_outputs.json").read_text("utf-8")) == rows


def test_mt_bench_comes_back(evaluated):
    directory = evaluated / "out/mt-bench"
    asked = read_questions(str(directory / "question.jsonl"))
    assert asked.kind == "mt_bench" and [q.references for q in asked.questions] == [(lower,) for lower in KNOWN]
    assert [UPPERS[n] in question.turns[0] for n, question in enumerate(asked.questions)] == [True] * 4
    found = {}
    for file in (directory / "model_answer").iterdir():
        answers = read_answers("--answers", str(file), asked)
        assert file.name == f"{file_name(answers.model)}.jsonl"
        found[answers.model] = answers.turns
    names = [str(evaluated / name) for name in ("ours.tsv", "theirs.tsv")]
    expected = zip((*names, "references"), (OURS, THEIRS, KNOWN), strict=True)
    assert found == {name: answered(lowers, first=1) for name, lowers in expected}


def test_helm_asks_for_the_known_line(evaluated):
    instances = lines_of(evaluated / "out/helm/instances.jsonl")
    assert len(instances) == 4
    for number, instance in enumerate(instances):
        # The fields of helm.benchmark.scenarios.scenario.Instance that its scenario custom_mcqa reads.
        assert set(instance) == {"id", "input", "references", "split"} and instance["split"] == "test"
        assert set(instance["input"]) == {"text"} and UPPERS[number] in instance["input"]["text"]
        options = {option["output"]["text"]: set(option["tags"]) for option in instance["references"]}
        right = [text for text, tags in options.items() if "correct" in tags]
        assert right == [KNOWN[number]] and len(options) == len(instance["references"])
        by_system = {"model": OURS[number], "baseline": THEIRS[number]}
        for system, line in by_system.items():  # a known line is nobody's wrong option
            assert [text for text, tags in options.items() if system in tags] == ([line] if line not in right else [])
        assert any("chance" in tags for tags in options.values())
    places = [[option["tags"][0] for option in instance["references"]].index("correct") for instance in instances]
    assert len(set(places)) > 1
    before = (evaluated / "out/helm/instances.jsonl").read_bytes()
    assert evaluate(evaluated, "--export", "helm", output_dir="again") == 0
    assert (evaluated / "again/helm/instances.jsonl").read_bytes() == before
    assert not (evaluated / "again/alpaca").exists() and not (evaluated / "again/mt-bench").exists()


def test_lines_that_all_are_known_leave_nothing_to_choose(evaluated, tmp_path, capsys):
    (tmp_path / "test.csv").write_text("text1\n青山-红日\n", encoding="utf-8")
    (tmp_path / "l.txt").write_text("红日\n", encoding="utf-8")
    files = ["--test_file", str(tmp_path / "test.csv"), "--predictions", str(tmp_path / "l.txt")]
    assert run_or_explain(main, [*files, "--output_dir", str(tmp_path / "out"), "--export", "helm"]) == 0
    assert "1 upper line is left out" in capsys.readouterr().err
    assert not (tmp_path / "out/helm").exists() and (tmp_path / "out/results.json").is_file()


def write_list(file, rows):
    file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return str(file)


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_questions_change_their_shape(tmp_path):
    rows = [{"dataset": "d", "instruction": f"问{n}", "output": "短", "generator": "a/b"} for n in range(3)]
    mine = [row | {"output": f"长{n}", "generator": "a_b"} for n, row in enumerate(rows)]
    files = ["--questions", write_list(tmp_path / "q.json", rows), "--answers", write_list(tmp_path / "m.json", mine)]
    common = ["--output_dir", str(tmp_path / "out"), "--max_questions", "2"]
    assert run_or_explain(main, [*files, *common, "--export", "mt-bench", "alpaca"]) == 0
    directory = tmp_path / "out/mt-bench"
    asked = read_questions(str(directory / "question.jsonl"))
    assert [(q.name, q.category, q.turns) for q in asked.questions] == [("1", "d", ("问0",)), ("2", "d", ("问1",))]
    # Both names become a_b as names of files; the second gets a number.
    ours = read_answers("--answers", str(directory / "model_answer/a_b.jsonl"), asked)
    assert ours == ModelAnswers("a_b", {"1": ("长0",), "2": ("长1",)})
    theirs = read_answers("--answers", str(directory / "model_answer/a_b-2.jsonl"), asked)
    assert theirs == ModelAnswers("a/b-2", {"1": ("短",), "2": ("短",)})
    outputs = json.loads((tmp_path / "out/alpaca/model_outputs.json").read_text("utf-8"))
    assert outputs == mine[:2]
    # And back: MT-Bench's single turns are AlpacaEval's instructions.
    files = ["--questions", str(directory / "question.jsonl"), "--answers", str(directory / "model_answer/a_b.jsonl")]
    assert run_or_explain(main, [*files, "--output_dir", str(tmp_path / "back"), "--export", "alpaca"]) == 0
    assert json.loads((tmp_path / "back/alpaca/model_outputs.json").read_text("utf-8")) == mine[:2]
    assert not (tmp_path / "back/alpaca/reference_outputs.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--test_file", "T", "--predictions", "P", "--export", "alpca"], ["--export", "alpaca, mt-bench, helm"]),
        (["--test_file", "IN", "--predictions", "P", "--export", "alpaca"], ["stands where the export is written"]),
        (
            ["--questions", "Q", "--answers", "A", "--export", "helm"],
            ["--export helm takes questions with options"],
        ),
        (["--questions", "Q", "--answers", "A", "--export", "mt-bench", "alpaca"], ["question 7 has several"]),
        (["--questions", "Q", "--answers", "IN", "--export", "alpaca"], ["stands where the export is written"]),
        (["--dialogues", "Q", "--rating_sheet", "S", "--export", "alpaca"], ["with --dialogues nothing is generated"]),
        (["--ratings", "R", "--export", "alpaca"], ["no test file"]),
        (["--export", "alpaca"], ["no test file"]),
    ],
)
def test_what_cannot_be_exported_is_said_first(evaluated, tmp_path, capsys, arguments, said):
    question = {"question_id": 7, "category": "", "turns": ["一", "二"]}
    answer = {"question_id": 7, "model_id": "m", "choices": [{"turns": ["三", "四"]}]}
    inside = tmp_path / "out/alpaca/model_outputs.json"
    inside.parent.mkdir(parents=True)
    inside.write_bytes((evaluated / "test.csv").read_bytes())
    names = {
        "T": str(evaluated / "test.csv"),
        "P": str(evaluated / "ours.tsv"),
        "Q": write_lines(tmp_path / "q.jsonl", [question]),
        "A": write_lines(tmp_path / "a.jsonl", [answer]),
        "IN": str(inside),
    }
    named = [names.get(word, str(tmp_path / word) if len(word) == 1 else word) for word in arguments]
    assert run_or_explain(main, [*named, "--output_dir", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr().err
    assert all(words in shown for words in said), shown
    assert [file.name for file in (tmp_path / "out").rglob("*") if file.is_file()] == ["model_outputs.json"]
    assert inside.read_bytes() == (evaluated / "test.csv").read_bytes()


@pytest.mark.parametrize(
    ("kind", "file"), [("alpaca", "alpaca"), ("helm", "helm"), ("mt-bench", "mt-bench/model_answer")]
)
def test_a_file_in_the_place_of_a_directory_is_said_first(evaluated, capsys, kind, file):
    place = evaluated / f"taken-{kind}" / file
    place.parent.mkdir(parents=True)
    place.write_text("mine", encoding="utf-8")
    assert evaluate(evaluated, "--export", kind, output_dir=f"taken-{kind}") == 2
    assert f"--output_dir {place}: nothing can be written into {place}" in capsys.readouterr().err
    assert place.read_text("utf-8") == "mine" and not (evaluated / f"taken-{kind}/results.json").exists()


def test_own_choices_become_instances(tmp_path):
    rows = [
        {"question": "问1", "choices": ["甲", "乙", "丙"], "answer": "B"},
        {"question": "问2", "A": "子", "B": "丑", "answer": 0},
    ]
    questions = read_choices(write_lines(tmp_path / "q.jsonl", rows))
    instances = lines_of(write_instances(tmp_path, of_helm(questions)))
    right = [[o["output"]["text"] for o in i["references"] if o["tags"] == ["correct"]] for i in instances]
    assert right == [["乙"], ["子"]] and [len(i["references"]) for i in instances] == [3, 2]
    assert [instance["input"] for instance in instances] == [{"text": "问1"}, {"text": "问2"}]
    assert [instance["id"] for instance in instances] == ["id0", "id1"]


def test_helm_wants_a_file_of_questions_and_a_directory(tmp_path, capsys):
    pytest.importorskip("lm_eval")
    (tmp_path / "helm").write_text("mine", encoding="utf-8")
    assert run_or_explain(run_benchmark, ["--tasks", "ceval", "--export", "helm", "--output_dir", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "--export helm writes the questions of --mcq_file FILE" in shown
    assert f"nothing can be written into {tmp_path / 'helm'}" in shown


def test_long_names_fit_a_file_system():
    names = ["模" * 300, "模" * 301, "x" * 150]
    assert all(len(file_name(name).encode()) <= 200 for name in names)
    assert len({file_name(name) for name in names}) == 3 and file_name(names[2]) == names[2]
