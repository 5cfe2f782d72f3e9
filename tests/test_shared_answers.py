"""Answers that outlast an interruption, and that several processes share: the same as those of one unbroken run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from distributed_helpers import free_port
from finetune_helpers import ROOT
from form_helpers import form_tokenizer
from tiny_models import generating_gpt2

import run_generate
from recipe.errors import UserError, run_or_explain
from recipe.generating.generate import _check_job
from recipe.generating.generator import Generator
from recipe.generating.processes import Processes
from recipe.settings import DecodingSettings, GenerationSettings

CHARACTERS = "一丁七万丈三上下丌不与丐丑专且丕世丘丙业丛东丝丞丢两严丧个丫中丰串临丸丹为主丽举"
# Lines of two to six characters, in an order in which those of one length never stand together.
UPPERS = [CHARACTERS[at : at + 2 + at % 5] for at in range(30)]
# Sampled, and hot: a draw more or less anywhere would show.
SETTINGS = ("--temperature", "2", "--generation_batch_size", "4", "--num_return_sequences", "2")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shared")
    tokenizer = form_tokenizer()
    model = generating_gpt2(tokenizer)
    model.config.recipe = {"text_format": "couplet", "separator": "-"}
    for part in (model, tokenizer):
        part.save_pretrained(directory / "model")
    (directory / "prompts.txt").write_text("".join(f"{upper}\n" for upper in UPPERS), encoding="utf-8")
    (directory / "test.csv").write_text("text1\n" + "".join(f"{u}-{u[::-1]}\n" for u in UPPERS), encoding="utf-8")
    return directory


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight prompts are answered before any is written."""
    monkeypatch.setattr("recipe.generating.generate._BATCHES_PER_CHUNK", 2)


def words(directory: Path, target: Path, *more: object) -> list[str]:
    given = ("--model_name_or_path", directory / "model", "--prompts_file", directory / "prompts.txt")
    return [str(word) for word in (*given, "--output_file", target, *SETTINGS, *more)]


def start(directory: Path, target: Path, *more: object) -> int:
    return run_or_explain(run_generate.main, words(directory, target, *more))


class Answered(list[str]):
    """The prompts that the model has answered; Ctrl-C comes when they are so many."""

    stop_at: int | None = None


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Answered:
    original, prompts = Generator._answer_batch, Answered()

    def answer_batch(self, batch):
        if prompts.stop_at is not None and len(prompts) >= prompts.stop_at:
            raise KeyboardInterrupt
        prompts.extend(one.prompt for one in batch)
        return original(self, batch)

    monkeypatch.setattr(Generator, "_answer_batch", answer_batch)
    return prompts


def interrupt(directory: Path, target: Path, answered: Answered) -> None:
    answered.clear()
    answered.stop_at = 13
    assert start(directory, target) == 130
    answered.stop_at = None


@pytest.mark.parametrize("ending", ["tsv", "jsonl"])
def test_a_second_start_goes_on_and_ends_as_an_unbroken_run(
    directory, tmp_path, small_chunks, answered, capsys, ending
):
    whole, broken = tmp_path / f"whole.{ending}", tmp_path / f"broken.{ending}"
    assert start(directory, whole) == 0
    interrupt(directory, broken, answered)
    partial = tmp_path / f"broken.{ending}.part"
    said = capsys.readouterr().err
    assert f"of 30 prompts; they are in {partial}, and the same command resumes from there" in said
    assert not broken.exists() and len(partial.read_text(encoding="utf-8").splitlines()) >= 2 * len(answered)
    assert start(directory, broken) == 0
    assert "resuming after 8 of 30 prompts" in capsys.readouterr().err
    assert sorted(answered) == sorted(UPPERS)  # none was answered twice
    assert broken.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [broken.name, whole.name]


def test_what_is_of_another_job_is_laid_aside_and_said(directory, tmp_path, small_chunks, answered, capsys):
    target, fresh = tmp_path / "a.txt", tmp_path / "fresh.txt"
    interrupt(directory, target, answered)
    left = (tmp_path / "a.txt.part").read_bytes()
    assert start(directory, target, "--seed", 7) == 0
    assert "other settings: it was renamed" in capsys.readouterr().err
    assert (tmp_path / "a.txt.part.old").read_bytes() == left
    assert start(directory, fresh, "--seed", 7) == 0
    assert target.read_bytes() == fresh.read_bytes()


def test_a_partial_file_that_lost_its_end_is_begun_again(directory, tmp_path, small_chunks, answered):
    target, whole, partial = (tmp_path / name for name in ("a.txt", "whole.txt", "a.txt.part"))
    interrupt(directory, target, answered)
    os.truncate(partial, 20)
    assert start(directory, target) == 0
    assert start(directory, whole) == 0
    assert target.read_bytes() == whole.read_bytes()


def torchrun(*command: str) -> None:
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    done = subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # One of them speaks.
    assert (done.stdout + done.stderr).count("parameters on cpu") <= 1


def test_two_processes_answer_as_one_does_in_the_same_order(directory, tmp_path):
    assert start(directory, tmp_path / "one.tsv") == 0
    torchrun("run_generate.py", *words(directory, tmp_path / "two.tsv"))
    assert (tmp_path / "two.tsv").read_bytes() == (tmp_path / "one.tsv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tsv", "two.tsv"]


@pytest.mark.slow
def test_two_processes_evaluate_as_one_does(directory, tmp_path):
    from run_evaluate import main

    given = ["--test_file", str(directory / "test.csv"), "--model_name_or_path", str(directory / "model")]
    given += ["--seeds", "2", "--latency_calls", "2", "--bootstrap_samples", "20", "--generation_batch_size", "4"]
    assert run_or_explain(main, [*given, "--output_dir", str(tmp_path / "one")]) == 0
    torchrun("run_evaluate.py", *given, "--output_dir", str(tmp_path / "two"))
    one, two = (json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8")) for name in ("one", "two"))
    assert one["figures"] == two["figures"]
    assert (one["system"]["efficiency"]["processes"], two["system"]["efficiency"]["processes"]) == (1, 2)
    assert not (tmp_path / "two/unfinished").exists()


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ({"interactive": True}, "--interactive"),
        ({"compose": ["春"]}, "--compose"),
        ({"prompts_file": "-"}, "standard input"),
        ({}, "standard input"),
    ],
)
def test_what_only_one_process_can_do_is_said(job, name):
    with pytest.raises(UserError, match=f"{name} is for one process, and the launcher started 2"):
        _check_job(GenerationSettings(**job), DecodingSettings(), Processes(0, 2))
    _check_job(GenerationSettings(**job), DecodingSettings(), Processes())


def test_processes_share_everything_and_nothing_twice():
    items = list(range(11))
    shares = [Processes(index, 3).share(items) for index in range(3)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
