"""`training.html`: what it shows, what it survives, and that it needs nothing but itself."""

import json
import re
import xml.etree.ElementTree as ET

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from recipe.training.watching import TrainingPage, page_of

HISTORY = [
    {"step": 0, "eval_loss": 5.0, "eval_accuracy": 0.1, "eval_generation_bleu": 0.5},
    {"step": 10, "loss": 4.0, "accuracy": 0.2, "learning_rate": 1e-3},
    {"step": 20, "loss": float("nan"), "accuracy": 0.3, "learning_rate": 5e-4},
    {"step": 20, "eval_loss": 3.5, "eval_accuracy": 0.4, "eval_generation_bleu": 1.5},
]


def state_at(step, max_steps=40, **values):
    history = [record for record in HISTORY if record["step"] <= step]
    return TrainerState(global_step=step, max_steps=max_steps, log_history=history, **values)


def plots_of(page):
    bare = page.replace(' xmlns="http://www.w3.org/2000/svg"', "")
    found = map(ET.fromstring, re.findall(r"<svg.*?</svg>", bare, re.DOTALL))
    return {svg.find("title").text: svg for svg in found}


def test_curves_rows_and_samples_stand_on_the_page():
    samples = {0: ["春云-的的"], 20: ["春云-秋雨"]}
    page = page_of("a model", state_at(20, best_global_step=20), samples, is_over=False)
    plots = plots_of(page)
    assert list(plots) == ["Loss (nats per real token)", "Accuracy (share of real tokens)", "Learning rate"]
    lines = plots["Loss (nats per real token)"].iter("polyline")
    curves = {line.find("title").text: line.get("points") for line in lines}
    # What is not finite is no point: training has one left, held-out rows both.
    assert [len(points.split()) for points in (curves["training"], curves["held out"])] == [1, 2]
    assert page.index("春云-秋雨") < page.index("春云-的的")  # the newest first
    assert "Step 20 of 40." in page and "The best model so far is that of step 20." in page
    assert ">3.5000</td>" in page and ">40.0%</td>" in page


def test_the_page_looks_for_news_while_there_will_be_some():
    assert 'http-equiv="refresh"' in page_of("a", state_at(20), {}, is_over=False)
    stopped, complete = page_of("a", state_at(20), {}, is_over=True), page_of("a", state_at(20, 20), {}, is_over=True)
    assert "refresh" not in stopped and "has stopped and can be resumed" in stopped
    assert "The run is complete." in complete


def test_no_text_acts_in_the_page_and_nothing_comes_from_elsewhere():
    page = page_of("<b>name</b>", state_at(20), {20: ["<script>alert(1)</script>"]}, is_over=True)
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>name" not in page
    addresses = set(re.findall(r"https?://[^\"'\s]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"} and "src=" not in page and "@import" not in page


def test_a_page_of_no_figures_is_a_page():
    page = page_of("a", TrainerState(max_steps=3), {}, is_over=False)
    assert "Step 0 of 3." in page and "<svg" not in page


@pytest.fixture
def arguments(tmp_path):
    return TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")


def run_to(page, arguments, first, *evaluated):
    control = TrainerControl()
    page.on_train_begin(arguments, state_at(first), control)
    for step in evaluated:
        page.on_evaluate(arguments, state_at(step), control)


def test_a_resumed_run_goes_on_with_the_samples_of_its_checkpoint(tmp_path, arguments):
    run_to(TrainingPage(tmp_path, "a", lambda: ["一"]), arguments, 0, 0, 10, 20)
    run_to(TrainingPage(tmp_path, "a", lambda: ["二"]), arguments, 10, 20)
    lines = (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        *({"step": step, "samples": ["一"]} for step in (0, 10)),
        {"step": 20, "samples": ["二"]},
    ]
    run_to(TrainingPage(tmp_path, "a", lambda: ["三"]), arguments, 0, 0)  # another run, from the beginning
    assert (tmp_path / "samples.jsonl").read_text(encoding="utf-8") == '{"step": 0, "samples": ["三"]}\n'


def test_a_full_disk_costs_the_page_not_the_run(tmp_path, arguments, capsys, monkeypatch):
    page = TrainingPage(tmp_path, "a", lambda: ["一"])
    run_to(page, arguments, 0, 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recipe.training.watching.write_text", full)
    page.on_evaluate(arguments, state_at(10), TrainerControl())
    assert "training.html is behind until it can be written again: No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    page.on_train_end(arguments, state_at(20, 20), TrainerControl())
    lines = (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 10]


def test_other_processes_write_nothing(tmp_path, arguments):
    page = TrainingPage(tmp_path, "a", list)
    page.on_evaluate(arguments, state_at(20, is_world_process_zero=False), TrainerControl())
    assert not (tmp_path / "training.html").exists()
