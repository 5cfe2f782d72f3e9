"""The fine-tuning job through its real command line: a pinned run, its files, and every mistake answered in words."""

import itertools
import json
import os
import platform
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml
from finetune_helpers import TINY, finetune_here, flags, invented_couplets, run_command, write_rows
from safetensors.torch import load_file
from transformers import TrainerState

from recipe.errors import UserError
from recipe.run_directory import checkpoints_by_step
from recipe.training.checkpoints import problems_of
from recipe.training.checkup import likely_range
from recipe.training.finetune import _push, before_and_after, metrics_table
from recipe.training.job import planned_evaluations, planned_saves

SETTINGS = TINY | {
    "config": "none",
    "from_scratch": True,
    "dropout": 0.0,
    "learning_rate": 3e-3,
    "max_steps": 24,
    "logging_steps": 4,
    "eval_steps": 12,
    "save_steps": 12,
    "validation_size": 20,
    "generation_eval_size": 8,
    "sample_prompts": ["春云山", "风雪，江明"],
}
# Loss and gradient norm of steps 4, 8, ... 24 of the run below. A change here is a change of what everybody's run
# computes: explain it, or find the mistake.
PINNED_LOSSES = [3.935729, 3.876180, 3.811386, 3.746914, 3.711346, 3.682183]
PINNED_GRAD_NORMS = [0.654148, 0.617839, 0.586549, 0.704802, 0.669938, 0.650230]
PINNED_EVALUATION = {"eval_loss": 3.690111, "eval_perplexity": 40.049287}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rows = invented_couplets(240, seed=11)
    faulty = ["春云秋雨", "春云-秋", rows[3]]
    return write_rows(tmp_path_factory.mktemp("corpus") / "couplets.csv", rows + faulty)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A run from scratch by the real command, in a process of its own, with its progress bar."""
    directory = tmp_path_factory.mktemp("run")
    settings = SETTINGS | {
        "train_file": corpus,
        "output_dir": directory / "out",
        "cache_dir": directory / "cache",
        "publish_dir": directory / "published",
        "disable_tqdm": False,
    }
    result = run_command("run_finetune.py", *flags(**settings))
    assert result.returncode == 0, result.stderr
    result.directory, result.settings = directory, settings
    return result


def log_records(output_dir, key):
    lines = (output_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if key in record]


# ---- The run ----


def test_the_trajectory_is_the_pinned_one(run):
    training = log_records(run.directory / "out", "loss")
    assert [record["step"] for record in training] == [4, 8, 12, 16, 20, 24]
    assert [record["loss"] for record in training] == pytest.approx(PINNED_LOSSES, rel=1e-3)
    assert [record["grad_norm"] for record in training] == pytest.approx(PINNED_GRAD_NORMS, rel=1e-2)
    last = log_records(run.directory / "out", "eval_loss")[-1]
    assert {name: last[name] for name in PINNED_EVALUATION} == pytest.approx(PINNED_EVALUATION, rel=1e-3)


def test_evaluations_come_before_during_and_after_training(run):
    records = log_records(run.directory / "out", "eval_loss")
    assert [record["step"] for record in records] == [0, 12, 24]
    losses = [record["eval_loss"] for record in records]
    assert losses == sorted(losses, reverse=True)
    for record in records:
        names = ("perplexity", "accuracy", "lower_accuracy", "bleu_teacher_forced", "generation_bleu")
        assert all(f"eval_{name}" in record for name in names)


def test_what_was_read_is_said_before_anything_is_trained(run):
    lines = run.stdout.splitlines()
    assert lines[0] == (
        "rows: 243 read = 220 to train on + 20 held out + 3 rejected "
        "(1 no separator; 1 lines of unequal length; 1 duplicate)"
    )
    assert any(line.startswith("tokens of a row: median ") for line in lines)
    assert any("of them [UNK]; padding in batches of 8" in line for line in lines)
    row = next(line for line in lines if line.startswith("a row: ")).removeprefix("a row: ")
    assert f"  decoded: [CLS]{row}[SEP]" in lines
    assert any("effective batch 8 rows = 8 a device × 1 processes × 1 accumulated" in line for line in lines)
    assert any(re.match(r"24 steps; checkpoints need up to \d+ MB of the .* free", line) for line in lines)
    rejected = (run.directory / "out/rejected_rows.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",", 1)[1] for line in rejected[1:]] == [
        "242,no separator,春云秋雨",
        "243,lines of unequal length,春云-秋",
        f"244,duplicate,{invented_couplets(240, seed=11)[3]}",
    ]


def test_the_screen_shows_samples_figures_and_the_table_at_the_end(run):
    samples = [line for line in run.stdout.splitlines() if line.startswith("  春云山-")]
    assert len(samples) == 3 and all(re.fullmatch(r"  春云山-\w{3}", line) for line in samples)
    assert len(re.findall(r"^  风雪，江明-\w\w，\w\w$", run.stdout, re.MULTILINE)) == 3
    assert "step 4/24  loss " in run.stdout and "padded-to-50 " in run.stdout
    assert "held-out rows, before training and after 24 steps" in run.stdout
    assert re.search(r"^  lower_accuracy +0\.\d{4} +0\.\d{4}$", run.stdout, re.MULTILINE)
    assert run.stdout.rstrip().endswith(f"published: {run.directory / 'published'}")


def test_the_page_shows_every_evaluation_with_what_was_written(run):
    out = run.directory / "out"
    page = (out / "training.html").read_text(encoding="utf-8")
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["step"] for one in samples] == [0, 12, 24]
    assert all(f'<td lang="zh">{text}</td>' in page for one in samples for text in one["samples"])
    assert [f"  {one['samples'][0]}" in run.stdout for one in samples] == [True] * 3
    last = log_records(out, "eval_loss")[-1]
    assert f">{last['eval_loss']:.4f}</td>" in page and "The run is complete." in page


def test_nothing_but_the_progress_bar_stands_on_stderr(run):
    noise = [part for part in re.split(r"[\r\n]+", run.stderr) if part.strip() and not part.startswith("training:")]
    assert noise == []
    assert "[transformers]" not in run.stdout and "Warning" not in run.stdout


def test_the_run_directory_holds_whole_checkpoints_and_nothing_half_done(run):
    out = run.directory / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        *("checkpoint-12", "checkpoint-24", "metrics.jsonl", "rejected_rows.csv", "samples.jsonl"),
        *("training.html", "training_config.yaml"),
    ]
    assert problems_of(out / "checkpoint-12") == problems_of(out / "checkpoint-24") == []
    best = load_file(out / "checkpoint-24/model.safetensors")
    published = load_file(run.directory / "published/model.safetensors")
    assert best.keys() == published.keys() and all(torch.equal(best[name], published[name]) for name in best)
    assert sorted(path.name for path in run.directory.iterdir()) == ["cache", "out", "published"]


def test_the_resolved_configuration_gives_the_same_settings_and_the_same_run(run, tmp_path):
    config = run.directory / "out/training_config.yaml"
    cache = {path: path.stat().st_mtime_ns for path in (run.directory / "cache").rglob("*")}
    assert finetune_here(config=config, output_dir=tmp_path / "again", publish_dir="none", disable_tqdm=True) == 0
    first, second = (
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (
            config,
            tmp_path / "again/training_config.yaml",
        )
    )
    assert {key for key in first if first[key] != second[key]} == {"output_dir", "publish_dir", "disable_tqdm"}
    assert first.keys() == second.keys()
    assert first["learning_rate"] == 3e-3 and first["sample_prompts"] == SETTINGS["sample_prompts"]
    # The second start of the same job read, checked and encoded nothing again.
    assert cache == {path: path.stat().st_mtime_ns for path in (run.directory / "cache").rglob("*")}
    one, other = (
        load_file(directory / "checkpoint-24/model.safetensors")
        for directory in (run.directory / "out", tmp_path / "again")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_second_run_does_not_mix_with_the_first_and_a_finished_one_says_so(run, capsys):
    settings = run.settings | {"disable_tqdm": True}
    config = (run.directory / "out/training_config.yaml").read_bytes()
    assert finetune_here(**(settings | {"learning_rate": 5})) == 2
    err = capsys.readouterr().err
    assert "checkpoint-24 belongs to a run with other settings" in err and "learning rate: 0.003" in err
    assert finetune_here(**settings, resume_from_checkpoint="none") == 2
    assert "already holds checkpoint-12, checkpoint-24" in capsys.readouterr().err
    assert (run.directory / "out/training_config.yaml").read_bytes() == config
    before = load_file(run.directory / "published/model.safetensors")
    # What it published says other settings of the screen: published once more, then left alone.
    assert finetune_here(**settings) == 0
    assert "published: " in capsys.readouterr().out
    config = (run.directory / "published/training_config.yaml").stat().st_mtime_ns
    assert finetune_here(**settings) == 0
    out = capsys.readouterr().out
    assert "out is finished: all 24 steps are done" in out and "published: " not in out
    assert (run.directory / "published/training_config.yaml").stat().st_mtime_ns == config
    assert sorted(path.name for path in (run.directory / "out").glob("checkpoint-*")) == [
        "checkpoint-12",
        "checkpoint-24",
    ]
    after = load_file(run.directory / "published/model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(run, tmp_path):
    shutil.copytree(run.directory / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out/checkpoint-24")
    changed = {"output_dir": tmp_path / "out", "publish_dir": "none", "disable_tqdm": True}
    assert finetune_here(**(run.settings | changed)) == 0
    one, other = (
        load_file(directory / "checkpoint-24/model.safetensors")
        for directory in (run.directory / "out", tmp_path / "out")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    losses = [[record["loss"] for record in log_records(path / "out", "loss")] for path in (run.directory, tmp_path)]
    assert losses[0] == losses[1]


def test_other_settings_do_not_resume_by_accident(run, tmp_path, capsys):
    shutil.copytree(run.directory / "out", tmp_path / "out")
    changed = {"output_dir": tmp_path / "out", "publish_dir": "none", "disable_tqdm": True, "seed": 1, "max_length": 20}
    assert finetune_here(**(run.settings | changed), resume_from_checkpoint="auto") == 2
    message = capsys.readouterr().err
    assert "max_length: 80 in the checkpoint, 20 now" in message and "seed: " in message


# ---- Other ways to start ----


@pytest.fixture
def start(corpus, tmp_path):
    """Return a function that runs a few steps in this process; settings that are None are left out."""

    def finetune(**changes):
        settings = SETTINGS | {"max_steps": 2, "eval_steps": 2, "save_steps": 2, "logging_steps": 1}
        settings |= {"train_file": corpus, "output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache"}
        settings |= changes
        return finetune_here(**{name: value for name, value in settings.items() if value is not None})

    return finetune


def pretrained(uer_model, **changes):
    scratch = dict.fromkeys(("from_scratch", "hidden_size", "num_layers", "num_heads", "dropout"))
    return scratch | {"model_name_or_path": uer_model} | changes


def test_the_downloaded_model_trains_from_its_own_weights_or_from_the_tutorials(uer_model, start, tmp_path, capfd):
    state = torch.load(uer_model / "pytorch_model.bin", weights_only=True)
    trained = {f"module.{name}": value + 0.5 if value.is_floating_point() else value for name, value in state.items()}
    torch.save(trained, tmp_path / "best_model.pth")
    for name, extra in (("own", {}), ("tutorial", {"state_dict_file": tmp_path / "best_model.pth"})):
        assert start(**pretrained(uer_model, output_dir=tmp_path / name, learning_rate=1e-20, **extra)) == 0
        wte = load_file(tmp_path / name / "checkpoint-2/model.safetensors")["transformer.wte.weight"]
        expected = state["transformer.wte.weight"] + (0.5 if extra else 0.0)
        torch.testing.assert_close(wte, expected)
    captured = capfd.readouterr()
    assert captured.err == ""  # no warning of old buffers, of end tokens outside the vocabulary, of tied weights
    assert "Warning" not in captured.out and "[transformers]" not in captured.out


def test_the_vocabulary_can_be_extended_from_the_corpus(uer_model, start, tmp_path, capsys):
    rows = [*invented_couplets(40, seed=1), "“春𠮷”-“秋龘”", "春龘-秋𠮷"]
    file = write_rows(tmp_path / "rare.csv", rows)
    assert start(**pretrained(uer_model, train_file=file, validation_size=4)) == 0
    assert re.search(r"[1-9]\d*\.\d+% of them \[UNK\]|0\.[0-9]*[1-9][0-9]*% of them \[UNK\]", capsys.readouterr().out)
    again = pretrained(uer_model, train_file=file, validation_size=4, extend_vocabulary=True)
    assert start(**again, output_dir=tmp_path / "extended", publish_dir=tmp_path / "published") == 0
    assert " 0.000% of them [UNK]" in capsys.readouterr().out
    config = json.loads((tmp_path / "published/config.json").read_text(encoding="utf-8"))
    rows_of_embeddings = load_file(tmp_path / "published/model.safetensors")["transformer.wte.weight"].shape[0]
    assert (
        config["vocab_size"] == rows_of_embeddings > json.loads((uer_model / "config.json").read_text())["vocab_size"]
    )


def test_plain_texts_train_and_publish_without_a_separator(start, tmp_path, capsys):
    file = write_rows(tmp_path / "poems.csv", [row.replace("-", " ") for row in invented_couplets(60, seed=3)])
    published = tmp_path / "published"
    assert start(train_file=file, text_format="plain", publish_dir=published, sample_prompts=["春"]) == 0
    out = capsys.readouterr().out
    _, last = out.split("step 2/2  held out: ")
    figures, writing, *_ = last.splitlines()
    assert "accuracy" in figures and writing.startswith("  BLEU (teacher-forced) ")
    assert "lower line" not in out and "generated" not in out
    assert len(re.findall(r"^  春", out, re.MULTILINE)) >= 2
    config = json.loads((published / "config.json").read_text(encoding="utf-8"))
    assert config["recipe"] == {"text_format": "plain"}


def test_a_corpus_whose_held_out_lines_cannot_be_answered_trains_all_the_same(start, tmp_path, capsys):
    # Upper lines that use up the whole vocabulary: no character is left for their lower lines.
    uppers = ["".join(line) for line in itertools.permutations("山水高低")]
    rows = [f"{upper}-{lower}" for upper in uppers for lower in ("山水高低", "水山低高", "高低山水")]
    file = write_rows(tmp_path / "four_characters.csv", rows)
    settings = {"train_file": file, "validation_size": 6, "sample_prompts": ["山水高低"]}
    assert start(**settings) == 0
    assert "generation" not in capsys.readouterr().out
    assert start(**settings, output_dir=tmp_path / "best", metric_for_best_model="generation_bleu") == 2
    assert "none of the held-out prompts can be answered" in capsys.readouterr().err


def test_a_space_may_separate(start, tmp_path):
    file = write_rows(tmp_path / "spaced.csv", [row.replace("-", " ") for row in invented_couplets(60, seed=3)])
    assert start(train_file=file, separator=" ", publish_dir=tmp_path / "published") == 0
    config = json.loads((tmp_path / "published/config.json").read_text(encoding="utf-8"))
    assert config["recipe"] == {"text_format": "couplet", "separator": "-"}


def test_the_best_by_an_accuracy_is_the_highest_and_by_perplexity_the_lowest(start, tmp_path):
    for metric, choose in (("lower_accuracy", max), ("perplexity", min), ("eval_loss", min)):
        out = tmp_path / metric
        steps = {"max_steps": 12, "eval_steps": 4, "save_steps": 4, "learning_rate": 3e-2}
        assert start(**steps, metric_for_best_model=metric, output_dir=out) == 0
        values = [record[f"eval_{metric.removeprefix('eval_')}"] for record in log_records(out, "eval_loss")]
        state = json.loads((out / "checkpoint-12/trainer_state.json").read_text(encoding="utf-8"))
        assert state["best_metric"] == choose(values[1:])


@pytest.mark.skipif(torch.accelerator.is_available(), reason="trains in bf16 on a CPU where there is nothing else")
def test_bf16_on_a_cpu_is_one_flag_and_learns_the_same(start, tmp_path, capsys):
    losses = {}
    for precision in ("fp32", "bf16"):
        assert start(output_dir=tmp_path / precision, precision=precision) == 0
        losses[precision] = [record["loss"] for record in log_records(tmp_path / precision, "loss")]
    assert "device cpu, bf16 over fp32 weights" in capsys.readouterr().out
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=5e-3)
    assert losses["bf16"] != losses["fp32"]
    assert start(output_dir=tmp_path / "check", precision="bf16", check=True) == 0


def test_a_compiled_model_is_compiled_once_for_all_lengths(corpus, tmp_path):
    settings = SETTINGS | {"train_file": corpus, "output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache"}
    settings |= {"max_steps": 12, "eval_strategy": "no", "eval_on_start": False, "load_best_model_at_end": False}
    compiled = {"torch_compile": True, "torch_compile_backend": "eager"}  # graphs are made, without a compiler
    # The first is what `accelerate launch` always sets; the second has torch say when it makes another graph.
    environment = os.environ | {"ACCELERATE_DYNAMO_USE_DYNAMIC": "False", "TORCH_LOGS": "recompiles,graph_code"}
    result = run_command("run_finetune.py", *flags(**settings, **compiled), environment=environment)
    assert result.returncode == 0, result.stderr
    assert "TRACED GRAPH" in result.stderr
    assert "Recompiling function" not in result.stderr


@pytest.mark.parametrize("wanted", [True, False])
def test_freed_memory_is_kept_where_the_setting_says_so(start, monkeypatch, wanted):
    calls = []
    monkeypatch.setattr("recipe.training.finetune.reuse_freed_memory", lambda: calls.append("kept"))
    assert start(max_steps=1, check=True, reuse_freed_memory=wanted) == 0
    assert calls == ["kept"] * wanted


# Prints by how many bytes the process has grown after a block of 64 MiB was taken, written and freed.
GROWTH = """
import resource, sys
from pathlib import Path
from recipe.training.arguments import reuse_freed_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
if sys.argv[1] == "keep":
    reuse_freed_memory()
before = resident()
block = bytearray(b"1") * (64 << 20)
del block
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is about glibc's malloc")
def test_kept_memory_stays_with_the_process():
    kept, given_back = (int(run_command("-c", GROWTH, how).stdout) for how in ("keep", "leave"))
    assert given_back < 8 << 20 < 60 << 20 < kept


def test_a_run_without_evaluations_still_publishes(start, tmp_path, capsys):
    quiet = {"eval_strategy": "no", "eval_on_start": False, "load_best_model_at_end": False}
    assert start(**quiet, publish_dir=tmp_path / "published") == 0
    assert (tmp_path / "published/model.safetensors").exists()


def test_the_likely_range_is_wide_where_the_times_are_and_never_below_a_tenth_either_way():
    assert likely_range([2.0]) == likely_range([2.0, 2.0]) == (1.8, 2.2)
    assert likely_range([1.0, 3.0]) == (0.0, 4.0)


def test_the_check_trains_nothing_and_says_what_the_run_will_cost(start, tmp_path, capsys):
    assert start(check=True, max_steps=600, publish_dir=tmp_path / "published", generation_eval_size=2) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"check passed: \d+ training steps, an evaluation of 20 rows, a checkpoint saved and reloaded", out
    )
    assert re.search(r"the full run: \d+:\d\d to \d+:\d\d, for 600 steps of \d+\.\d\d to \d+\.\d\d s ", out)
    assert " and 301 evaluations of about " in out
    assert "春云山-" in out
    assert not list((tmp_path / "out").glob("checkpoint-*")) and not list((tmp_path / "out").glob(".check-*"))
    assert not (tmp_path / "published").exists() and not (tmp_path / "out/training_config.yaml").exists()
    assert start(max_steps=2) == 0  # the directory is free for the real run


@pytest.mark.parametrize(
    ("settings", "saves", "evaluations"),
    [
        ({"max_steps": 10, "save_steps": 0.3, "eval_steps": 0.15}, [3, 6, 9, 10], [0, 2, 4, 6, 8, 10]),
        ({"max_steps": 10, "save_steps": 6, "eval_steps": 3}, [6, 10], [0, 3, 6, 9, 10]),
        ({"num_train_epochs": 2, "save_strategy": "epoch", "eval_strategy": "epoch"}, [7, 14], [0, 7, 14]),
        ({"max_steps": 3, "save_strategy": "no", "eval_strategy": "no"}, [], [0]),
    ],
)
def test_the_planned_saves_and_evaluations_are_those_of_the_run(
    start, tmp_path, monkeypatch, settings, saves, evaluations
):
    jobs = []
    monkeypatch.setattr("recipe.training.finetune._check_disk", lambda job, trainer: jobs.append(job))
    strategy = {"max_steps": -1, "load_best_model_at_end": False, "save_total_limit": 99}
    assert start(**(strategy | settings), per_device_train_batch_size=32) == 0
    assert list(checkpoints_by_step(tmp_path / "out")) == saves
    assert [record["step"] for record in log_records(tmp_path / "out", "eval_loss")] == evaluations
    assert planned_saves(jobs[0]) == max(1, len(saves))  # an interruption saves in any case
    assert planned_evaluations(jobs[0]) == len(evaluations)


def test_steps_given_as_shares_of_the_run_are_checked_and_counted(start, capsys):
    shares = {"save_steps": 0.5, "eval_steps": 0.5, "max_steps": 600, "save_total_limit": 9}
    assert start(check=True, **shares) == 0
    out = capsys.readouterr().out
    assert " and 3 evaluations of about " in out
    needed = [float(size) for size in re.findall(r"disk (\d+) MB", out)]
    assert start(check=True, **(shares | {"save_steps": 300, "eval_steps": 300})) == 0
    assert needed == [float(size) for size in re.findall(r"disk (\d+) MB", capsys.readouterr().out)]
    assert start(**(shares | {"save_steps": 0.25, "eval_steps": 0.25, "max_steps": 4})) == 0
    assert "checkpoints need up to 68 MB" in capsys.readouterr().out  # four of 17 MB


def test_the_shipped_corpus_trains_from_every_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scratch = {"from_scratch": True, "model_name_or_path": "none"}
    assert finetune_here(check=True, max_rows=400, generation_eval_size=2, validation_size=20, **scratch, **TINY) == 0
    assert "rows: 400 read" in capsys.readouterr().out
    assert finetune_here(check=True, train_file="mine.csv") == 2
    assert f"mine.csv: no such file (looked in {tmp_path})" in capsys.readouterr().err


# ---- Mistakes ----

MISTAKES = {
    "no model": ({"from_scratch": None}, "no model: give --model_name_or_path"),
    "two models": ({"model_name_or_path": "uer"}, "--from_scratch and --model_name_or_path uer are both set"),
    "no model there": (
        {"from_scratch": None, "model_name_or_path": "no/such-model"},
        "error: no/such-model: neither a directory here nor downloaded before",
    ),
    "no state dict there": (
        {"from_scratch": None, "model_name_or_path": "uer", "state_dict_file": "no.pth"},
        "--state_dict_file no.pth: no such file",
    ),
    "characters of a model that has its own": (
        {"from_scratch": None, "model_name_or_path": "uer", "vocabulary_file": "characters.txt"},
        "--vocabulary_file needs --from_scratch",
    ),
    "no characters there": ({"vocabulary_file": "no.txt"}, "--vocabulary_file no.txt: no such file"),
    "no rows": ({"train_file": None}, "no training rows: give --train_file FILE"),
    "no file": ({"train_file": "no.csv"}, "no.csv: no such file"),
    "no column": ({"text_column": "text"}, "has no column named 'text'; its header is: text1"),
    "another encoding": ({"encoding": "ascii"}, "is not ascii"),
    "heads": ({"num_heads": 3}, "--hidden_size 16: must be a multiple of --num_heads 3"),
    "too long": ({"max_length": 3}, "--max_length 3: takes 4 or more"),
    "nothing held out": ({"validation_size": 0}, "no rows are held out: --validation_size is 0"),
    "not a number": ({"learning_rate": "nan"}, "--learning_rate nan: takes a number above 0"),
    "steps": ({"save_steps": -5}, "--save_steps -5: takes a number above 0"),
    "no batch": ({"per_device_train_batch_size": 0}, "--per_device_train_batch_size 0: takes 1 or more"),
    "dropout": ({"dropout": 1.5}, "--dropout 1.5: takes a number from 0 to below 1"),
    "threads": ({"num_threads": -1}, "--num_threads -1: takes 1 or more"),
    "library type": ({"learning_rate": "fast"}, "invalid float value: 'fast'"),
    "library choice": ({"lr_scheduler_type": "cosin"}, "invalid choice: 'cosin'"),
    "library contradiction": ({"save_steps": 3}, "--save_steps 3 must be a multiple of --eval_steps 2"),
    "library field of ours": ({"train_sampling_strategy": "random"}, "use --group_by_length true or false"),
    "removed field": ({"overwrite_output_dir": True}, "unknown setting --overwrite_output_dir"),
    "best by what": ({"metric_for_best_model": "lower_acuracy"}, "did you mean lower_accuracy?"),
    "tracker": ({"report_to": "nosuch"}, "--report_to nosuch: is not installed or not known"),
    "more workers than the machine can hold": (
        {"dataloader_num_workers": 4 * os.cpu_count() + 1},  # harmless if it were to start
        "or less on this machine",
    ),
    "precision": ({"precision": "fp16", "fp16": True}, "--precision contradicts --bf16 or --fp16"),
    "sharding one process": ({"fsdp": "full_shard"}, "--fsdp shards a model over several processes"),
    "push to where": ({"push_to_hub": True}, "it also needs --publish_dir, --hub_model_id"),
    "resume from what": ({"resume_from_checkpoint": "nowhere"}, "'nowhere': there is no such directory"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_in_words_with_exit_code_2(start, tmp_path, capsys, name):
    changes, message = MISTAKES[name]
    assert start(**changes) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err and captured.err.startswith("error: ")
    assert not list(tmp_path.glob("out/checkpoint-*"))


def test_all_mistakes_stand_in_one_message(start, capsys):
    wrong = {"train_file": "no.csv", "dropout": 7, "learning_rate": "fast", "weight_decay": "x", "hub_strategy": "end"}
    assert start(**wrong, metric_for_best_model="beauty", num_threads=0) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: 6 problems") or err.startswith("error: 7 problems")
    for part in ("no.csv: no such file", "--dropout 7", "'fast'", "weight_decay", "--hub_strategy", "--num_threads 0"):
        assert part in err


def test_a_separator_that_the_vocabulary_lacks_is_refused(uer_model, start, tmp_path, capsys):
    file = write_rows(tmp_path / "rows.csv", [row.replace("-", "※") for row in invented_couplets(40, seed=1)])
    assert start(**pretrained(uer_model, train_file=file, separator="※", validation_size=4)) == 2
    assert "its vocabulary has no token for the separator '※'" in capsys.readouterr().err
    extended = pretrained(uer_model, train_file=file, separator="※", validation_size=4, extend_vocabulary=True)
    assert start(**extended, output_dir=tmp_path / "extended") == 0


def test_a_batch_too_large_for_the_gpu_is_one_message(start, monkeypatch, capsys):
    def overflow(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.46 GiB.\nIf reserved memory is large, …")

    monkeypatch.setattr("recipe.training.trainer.CoupletTrainer.compute_loss", overflow)
    assert start(eval_on_start=False) == 2
    error = capsys.readouterr().err
    assert "Tried to allocate 3.46 GiB" in error and "--gradient_accumulation_steps" in error
    assert "Traceback" not in error and "reserved memory" not in error


@pytest.mark.parametrize("setting", ["output_dir", "cache_dir", "publish_dir"])
def test_directories_that_cannot_be_made_are_refused_at_the_start(start, tmp_path, corpus, capsys, setting):
    assert start(**{setting: corpus / "below_a_file"}) == 2
    assert f"--{setting} {corpus / 'below_a_file'}: cannot be " in capsys.readouterr().err
    assert start(**{setting: corpus}) == 2


def test_a_publish_directory_with_other_files_is_not_replaced(start, tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work", encoding="utf-8")
    assert start(publish_dir=tmp_path / "thesis") == 2
    assert "holds other files than a model and would be replaced" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis", "chapter.txt"] or (
        tmp_path / "thesis/chapter.txt"
    ).exists()


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_push_without_network_or_login_is_refused_at_the_start(corpus, tmp_path, offline):
    environment = os.environ | {"HF_HUB_OFFLINE": offline, "HF_HOME": str(tmp_path / "hf")}
    environment.pop("HF_TOKEN", None)
    settings = SETTINGS | {"train_file": corpus, "output_dir": tmp_path / "out", "publish_dir": tmp_path / "published"}
    push = flags(push_to_hub=True, hub_model_id="somebody/couplets")
    result = run_command("run_finetune.py", *flags(**settings), *push, environment=environment)
    assert result.returncode == 2
    assert "--push_to_hub: the hub does not know who you are" in result.stderr and "`hf auth login`" in result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""


def test_a_push_that_fails_at_the_end_says_where_the_model_is(tmp_path):
    with pytest.raises(UserError, match=r"is published, but could not be pushed .*; later: hf upload somebody/c"):
        _push(tmp_path, "somebody/couplets")


def test_a_disk_that_cannot_hold_the_checkpoints_is_refused_before_training(start, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("recipe.disk.free_bytes", lambda directory: 1_000_000)
    assert start() == 2
    assert "has 1 MB free, but the checkpoints of this run take up to" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("checkpoint-*"))


@pytest.mark.parametrize(("is_saved", "kept", "loss"), [(False, 30, 2.5), (True, 20, 2.0)])
def test_the_figures_at_the_end_are_those_of_the_weights_that_are_kept(is_saved, kept, loss):
    # The library notes the best evaluated step, saved or not; only a saved one can be loaded again.
    best = "checkpoint-20" if is_saved else None
    state = TrainerState(global_step=30, best_global_step=20, best_model_checkpoint=best)
    state.log_history = [{"step": step, "eval_loss": value} for step, value in ((0, 5.0), (20, 2.0), (30, 2.5))]
    trainer = SimpleNamespace(state=state)
    metrics = before_and_after(trainer)
    assert metrics == {"loss": (5.0, loss)}
    assert f"after {kept} steps" in metrics_table(metrics, trainer)
