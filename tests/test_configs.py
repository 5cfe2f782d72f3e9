"""Every shipped configuration parses, says how it is used, and passes its own check on tiny data with a tiny model."""

import dataclasses
import re
import shlex

import pytest
import yaml
from finetune_helpers import ROOT, finetune_here

from recipe.cli import parse_settings, training_argument_names
from recipe.settings import (
    PUBLISHED_MODEL,
    QUICKSTART_CONFIG,
    TRAINING_DEFAULTS,
    DataSettings,
    ModelSettings,
    RunSettings,
)
from recipe.training.arguments import make_training_arguments, typed_training_settings

GROUPS = [ModelSettings, DataSettings, RunSettings]
OWN_SETTINGS = {item.name for group in GROUPS for item in dataclasses.fields(group)}
CONFIGS = sorted((ROOT / "recipe/configs").glob("*.yaml"))
each_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def header(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.lstrip("#").strip() for line in lines[: lines.index("")] if line.startswith("#")]


def parse(*argv):
    return parse_settings("run_finetune.py", "", GROUPS, argv, TRAINING_DEFAULTS)


def test_the_default_is_one_of_them():
    assert ROOT / QUICKSTART_CONFIG in CONFIGS
    assert {"quickstart", "couplet-600k", "couplet-small-cpu"} <= {path.stem for path in CONFIGS}


@each_config
def test_it_parses_and_the_library_takes_its_values(path, tmp_path):
    settings = parse("--config", str(path), "--output_dir", str(tmp_path), "--precision", "fp32")
    typed, problems = typed_training_settings(settings)
    assert problems == []
    arguments = make_training_arguments(typed)
    for name, value in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if name in training_argument_names() and name != "output_dir":
            assert getattr(getattr(arguments, name), "value", getattr(arguments, name)) == value, name
    assert arguments.save_steps % arguments.eval_steps == 0  # what the best checkpoint rests on
    # Where run_generate.py looks for the last model of couplets; a model of other texts must not take its place.
    is_couplet = settings[DataSettings].text_format == "couplet"
    assert str(settings[RunSettings].publish_dir).startswith("models/")
    assert (settings[RunSettings].publish_dir == PUBLISHED_MODEL) == is_couplet


@each_config
def test_its_header_says_what_it_is_for_and_how_it_is_started(path):
    text = " ".join(header(path))
    assert "Needs:" in text and "Worth knowing:" in text
    (command,) = re.findall(r"^accelerate launch .*run_finetune\.py.*$", "\n".join(header(path)), re.MULTILINE)
    words = shlex.split(command)
    words = words[words.index("run_finetune.py") + 1 :]
    assert words[:2] == ["--config", str(path.relative_to(ROOT))]
    parse(*words)


@each_config
def test_every_setting_that_its_header_names_exists(path):
    named = set(re.findall(r"--(\w+)", "\n".join(header(path))))
    of_launcher = {"config_file", "num_processes", "mixed_precision"}
    assert named - of_launcher <= OWN_SETTINGS | training_argument_names()


@each_config
def test_the_files_it_ships_with_are_there(path):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for file in values["train_file"]:
        # The user's own, or made by `python -m recipe.verse`.
        assert file == "couplets.csv" or file.startswith("data/verse/") or (ROOT / file).is_file()


@each_config
def test_it_passes_its_check_on_tiny_data_with_a_tiny_model(path, uer_model, composed_csv, tmp_path, capfd):
    settings = parse("--config", str(path))
    tiny = {"model_name_or_path": uer_model}
    if settings[ModelSettings].from_scratch:
        tiny = {"hidden_size": 16, "num_layers": 1, "num_heads": 2}
    if settings.training.get("dataloader_num_workers"):
        tiny["dataloader_num_workers"] = 1
    if settings[DataSettings].validation_file:
        tiny["validation_file"] = "none"
    if settings[ModelSettings].vocabulary_file:
        tiny["vocabulary_file"] = "none"
    places = {"output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache", "publish_dir": tmp_path / "model"}
    check = {"check": True, "num_threads": 1, "disable_tqdm": True, "generation_eval_size": 4}
    # A batch of this many rows is a matter of the machine; the check is of everything else.
    small = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 8}
    assert finetune_here(config=path, train_file=composed_csv, **tiny, **places, **check, **small) == 0
    captured = capfd.readouterr()
    assert "check passed: " in captured.out and "the full run: " in captured.out
    assert "Warning" not in captured.err and "[transformers]" not in captured.err
    assert [file.name for file in tmp_path.iterdir() if file.name == "model"] == []
