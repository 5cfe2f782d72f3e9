"""A published directory: everybody's tools load it without our code, and it is whole or not there."""

import json
import re
import resource
import shutil

import pytest
import yaml
from finetune_helpers import (
    LOWER_CHARACTERS,
    TINY,
    UPPER_CHARACTERS,
    finetune_here,
    invented_couplets,
    run_command,
    write_rows,
)
from tiny_models import character_tokenizer, tiny_gpt2

from recipe.errors import UserError
from recipe.files import sha256_of
from recipe.formats.couplet import Couplet
from recipe.formats.plain import Plain
from recipe.training.publishing import check_publish_dir, model_card, publish

# What a stranger does with the directory, in a process that knows nothing of the recipe.
STRANGER = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
directory, prompt = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForCausalLM.from_pretrained(directory)
encoded = tokenizer(prompt, return_tensors="pt")
output = model.generate(**encoded, do_sample=False)
first = tokenizer.decode(output[0][encoded.input_ids.shape[1]])
stopped = model.generate(**encoded, do_sample=False, stop_strings=first, tokenizer=tokenizer)
batch = tokenizer([prompt, prompt[-3:]], return_tensors="pt", padding=True)
generator = pipeline("text-generation", directory)
print(json.dumps({
    "recipe": "recipe" in sys.modules,
    "inputs": sorted(encoded),
    "tokens": tokenizer.convert_ids_to_tokens(encoded.input_ids[0].tolist()),
    "output": tokenizer.convert_ids_to_tokens(output[0].tolist()),
    "decoded": tokenizer.decode(output[0], skip_special_tokens=True),
    "piped": generator(prompt, do_sample=False)[0]["generated_text"],
    "sampled": generator(prompt, do_sample=True, top_k=50, top_p=0.95, temperature=0.7)[0]["generated_text"],
    "batch": tokenizer.batch_decode(model.generate(**batch, do_sample=False), skip_special_tokens=True),
    "stopped": tokenizer.decode(stopped[0], skip_special_tokens=True),
    "ids": [
        [owner.bos_token_id, owner.eos_token_id, owner.pad_token_id]
        for owner in (tokenizer, model.config, model.generation_config)
    ],
    "use_cache": model.config.use_cache,
    "carried": model.config.recipe,
    "tokenizer": type(tokenizer).__name__,
    "specials": [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token],
}))
"""
PROMPT = "春云山东红日-"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model that has learnt invented couplets well enough to stop after the lower line."""
    directory = tmp_path_factory.mktemp("published")
    settings = TINY | {
        "config": "none",
        "from_scratch": True,
        "hidden_size": 32,
        "dropout": 0.0,
        "train_file": write_rows(directory / "couplets.csv", invented_couplets(400, seed=6)),
        "cache_dir": directory / "cache",
        "output_dir": directory / "out",
        "publish_dir": directory / "model",
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 16,
        "max_steps": 150,
        "eval_steps": 150,
        "save_steps": 150,
        "validation_size": 20,
        "sample_prompts": "春",
    }
    assert finetune_here(**settings) == 0
    return directory / "model"


@pytest.fixture(scope="module")
def stranger(published, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    result = run_command(published, PROMPT, launcher=["-c", STRANGER], cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    noise = [line for line in re.split(r"[\r\n]+", result.stderr) if line.strip() and "Loading weights" not in line]
    assert noise == []
    return json.loads(result.stdout)


def test_the_directory_holds_what_it_promises(published):
    assert sorted(path.name for path in published.iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "metrics.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_config.yaml",
    ]
    assert sorted(path.name for path in published.parent.iterdir()) == ["cache", "couplets.csv", "model", "out"]


def test_a_stranger_loads_it_without_our_code(stranger):
    assert stranger["recipe"] is False
    assert stranger["carried"] == {"text_format": "couplet", "separator": "-"}
    assert stranger["use_cache"] is True


def test_a_prompt_gets_no_end_token_and_no_token_types(stranger):
    assert stranger["tokens"] == ["[CLS]", *PROMPT]
    assert stranger["inputs"] == ["attention_mask", "input_ids"]


def test_the_ends_of_a_text_are_named_and_exist(stranger):
    assert stranger["specials"] == ["[CLS]", "[SEP]", "[PAD]", "[UNK]"]
    assert stranger["ids"] == [[2, 3, 0]] * 3


def test_generation_stops_by_itself_after_the_lower_line(stranger):
    assert stranger["output"][-1] == "[SEP]" and stranger["output"].count("[SEP]") == 1
    lower = stranger["decoded"].removeprefix(PROMPT)
    assert stranger["decoded"].startswith(PROMPT) and 3 <= len(lower) <= 12
    assert set(lower) <= set(LOWER_CHARACTERS + UPPER_CHARACTERS + "-")


def test_decoded_text_has_no_spaces_and_no_special_tokens(stranger):
    for text in (stranger["decoded"], stranger["piped"], stranger["sampled"], *stranger["batch"]):
        assert " " not in text and "[" not in text
    assert stranger["piped"] == stranger["decoded"] == stranger["batch"][0]
    assert stranger["batch"][1].startswith(PROMPT[-3:])


def test_generation_stops_at_a_string_that_is_asked_for(stranger):
    assert stranger["stopped"] == stranger["decoded"][: len(PROMPT) + 1]


def test_run_generate_needs_no_flag_but_the_directory(published):
    result = run_command("run_generate.py", "--model_name_or_path", published, "--prompt", PROMPT, "--device", "cpu")
    assert result.returncode == 0, result.stderr
    (couplet,) = result.stdout.splitlines()
    assert re.fullmatch(PROMPT + r"\w{6}", couplet)
    assert "Warning" not in result.stderr and "[transformers]" not in result.stderr


def test_the_card_says_what_the_model_is_made_of(published):
    card = (published / "README.md").read_text(encoding="utf-8")
    _, front_matter, text = card.split("---\n", 2)
    assert yaml.safe_load(front_matter)["pipeline_tag"] == "text-generation"
    data = published.parent / "couplets.csv"
    assert f"| `couplets.csv` | {data.stat().st_size:,} | `{sha256_of(data)}` |" in text
    assert "**Only `run_generate.py` (or its logits processor) holds the form**" in text
    metrics = json.loads((published / "metrics.json").read_text(encoding="utf-8"))
    for name in ("loss", "perplexity", "accuracy", "lower_accuracy", "bleu_teacher_forced", "generation_bleu"):
        before, after = metrics[name]
        assert f"| `{name}` | {before:.4g} | {after:.4g} |" in text
    assert metrics["loss"][1] < 0.8 * metrics["loss"][0]
    settings = (published / "training_config.yaml").read_text(encoding="utf-8")
    assert settings.strip() in text and yaml.safe_load(settings)["max_steps"] == 150
    assert re.search(r"Versions: Python 3\.\d+\.\d+, torch \d", text)


def publish_tiny(directory, data=None, separator="-"):
    tokenizer = character_tokenizer()
    model = tiny_gpt2(tokenizer)
    model.config.use_cache = False  # as the Trainer leaves it
    return publish(directory, model, tokenizer, Couplet(separator), "seed: 1\n", {"loss": (2.0, 1.0)}, data or {})


def test_the_card_shows_the_models_own_separator_and_survives_moved_data():
    model = tiny_gpt2(character_tokenizer())
    card = model_card(model, Couplet("｜"), "", {}, {"gone/rows.csv": (12345, "ab" * 32)})
    assert '("春满神州花似锦｜"' in card and "line and `｜`:" in card
    assert f"| `rows.csv` | 12,345 | `{'ab' * 32}` |" in card
    plain = model_card(model, Plain(), "", {}, {})
    assert "run_generate.py --model_name_or_path" not in plain and '("春", do_sample' in plain


def test_no_text_of_the_data_or_the_settings_leaves_its_place_in_the_card():
    config = "sample_prompts:\n- |-\n  ```\n  # not a headline"
    data = {"rows/a`b|<script>.csv": (1, "ab" * 32)}
    card = model_card(tiny_gpt2(character_tokenizer()), Couplet(), config, {"loss": (2.0, "<b>*n/a*</b>")}, data)
    assert r"| ``a`b\|<script>.csv`` | 1 |" in card  # in a code span nothing acts
    assert r"| `loss` | 2 | &lt;b&gt;\*n/a\*&lt;/b&gt; |" in card
    assert "\n````yaml\n" in card and card.count("\n````") == 2


def test_publishing_replaces_a_model_whole(tmp_path):
    publish_tiny(tmp_path / "model")
    (tmp_path / "model/model-00002-of-00002.safetensors").touch()
    publish_tiny(tmp_path / "model", separator="|")
    config = json.loads((tmp_path / "model/config.json").read_text(encoding="utf-8"))
    assert config["recipe"]["separator"] == "|" and config["use_cache"] is True
    assert not (tmp_path / "model/model-00002-of-00002.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("limit", [100, 10_000])
def test_a_write_that_fails_leaves_the_old_model_as_it_was(tmp_path, limit):
    publish_tiny(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # as a full disk: the configuration, or the weights
        with pytest.raises(UserError) as caught:
            publish_tiny(tmp_path / "model", separator="|")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not be published" in str(caught.value) and "what stood there before still stands" in str(caught.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_directories_that_cannot_be_published_to_are_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    assert "is a file" in check_publish_dir(tmp_path / "file")[0]
    assert "cannot be written" in check_publish_dir(tmp_path / "file/below")[0]
    assert "holds other files than a model" in check_publish_dir(tmp_path / "full")[0]
    (tmp_path / "empty").mkdir()
    for name in ("new", "deep/er/new", "empty"):
        assert check_publish_dir(tmp_path / name) == []
    publish_tiny(tmp_path / "model")
    assert check_publish_dir(tmp_path / "model") == []
    shutil.rmtree(tmp_path / "deep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "model"]  # nothing left behind


def test_what_came_into_the_directory_after_the_start_is_not_replaced(tmp_path):
    publish_tiny(tmp_path / "model")
    (tmp_path / "model/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"notes\.txt.*--resume_from_checkpoint auto"):
        publish_tiny(tmp_path / "model")
    assert (tmp_path / "model/notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_model_of_the_same_files_that_was_not_published_here_stays(tmp_path):
    publish_tiny(tmp_path / "model")
    (tmp_path / "model/training_config.yaml").unlink()
    (problem,) = check_publish_dir(tmp_path / "model")
    assert "holds a model from elsewhere" in problem
