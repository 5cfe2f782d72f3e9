"""The bug report: what a maintainer needs of a run, and nothing that its owner would not show."""

import json
import os

import pytest
import yaml
from finetune_helpers import run_command

from recipe.errors import UserError
from recipe.report_bug import main, report, without_private
from recipe.settings import TRAINING_DEFAULTS


@pytest.fixture
def anna(tmp_path, monkeypatch):
    """A user with a home, a machine with a name, a token in the environment, and two runs below `outputs`."""
    home = tmp_path / "home" / "anna"
    work = home / "my work"
    for name in ("earlier", "latest"):
        (work / "outputs" / name).mkdir(parents=True)
    monkeypatch.setattr("pathlib.Path.home", lambda: home)
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    monkeypatch.setattr("socket.gethostname", lambda: "annas-laptop")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    monkeypatch.chdir(work)
    settings = dict(TRAINING_DEFAULTS) | {
        "output_dir": str(work / "outputs" / "latest"),
        "train_file": [str(work / "love letters.csv"), "couplets-of-anna.csv"],
        "learning_rate": 0.5,
        "hub_token": "hf_qrstuvwxyzabcdef",
        "hub_model_id": "anna1987/letters",
        "sample_prompts": ["亲爱的"],
    }
    for age, name in enumerate(("latest", "earlier")):
        run = work / "outputs" / name
        (run / "training_config.yaml").write_text(yaml.safe_dump(settings | {"seed": age}), encoding="utf-8")
        os.utime(run / "training_config.yaml", (1000 - age, 1000 - age))
        records = [{"step": step, "loss": step / 8} for step in range(1, 9)]
        (run / "metrics.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
        (run / "checkpoint-8").mkdir()
    return work


def test_the_report_holds_versions_machine_settings_and_the_end_of_the_log(anna):
    text = report()
    for part in ("Python 3.", "torch 2.", "transformers 5.", "cores", "memory ", "GPUs: ", "learning_rate: 0.5"):
        assert part in text
    assert "seed: 0" in text  # of the run that began last
    assert "weight_decay" not in text  # as by default
    assert '{"step": 8, "loss": 1.0}' in text and '"step": 3,' not in text
    assert "checkpoints of steps: 8" in text
    assert "seed: 1" in report(anna / "outputs" / "earlier")


def test_the_report_holds_nothing_private(anna):
    text = report()
    for private in ("anna", "laptop", "home", "my work", "hf_", "亲爱的", str(anna), "HF_TOKEN"):
        assert private not in text
    assert "…/latest" in text and "…/love letters.csv" in text and "couplets-of-user.csv" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/rows/couplets.csv: no such file", "…/couplets.csv: no such file"),
        ("file: '/data/rows.csv', 3/4 done", "file: '…/rows.csv', 3/4 done"),
        ("train_file: recipe/data/couplets.csv", "train_file: recipe/data/couplets.csv"),
        ("https://huggingface.co/x", "https://huggingface.co/x"),
        ("disk:/mnt/x/y is full; skipped_steps 3", "disk:…/y is full; skipped_steps 3"),
        ("token hf_abcdefghijklmnop given", "token (hidden) given"),
    ],
)
def test_only_the_last_part_of_an_absolute_path_and_no_token_is_shown(text, expected):
    assert without_private(text) == expected


def test_a_directory_without_a_run_is_named(anna, capsys):
    with pytest.raises(UserError, match=r"--output_dir outputs: holds no training_config\.yaml"):
        report("outputs")


def test_a_damaged_run_is_reported_all_the_same(anna):
    run = anna / "outputs" / "latest"
    (run / "training_config.yaml").write_text("a: [", encoding="utf-8")
    (run / "metrics.jsonl").unlink()
    text = report(run)
    assert "training_config.yaml cannot be read: ParserError" in text
    assert "metrics.jsonl cannot be read: FileNotFoundError; checkpoints of steps: 8" in text


def test_without_a_run_it_says_what_the_machine_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "### Versions" in out and "### Machine" in out and "### Settings" not in out


def test_it_is_started_as_a_module():
    result = run_command("-m", "recipe.report_bug", "--help")
    assert result.returncode == 0 and "--output_dir" in result.stdout
