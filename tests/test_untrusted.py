"""Files of strangers: nothing in them is executed, and each gets one clear message or does no harm."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_helpers import finetune_here
from safetensors.torch import load_file, save_file
from tiny_run import tiny_trainer

from recipe.errors import UserError
from recipe.model.modeling import load_model
from recipe.model.tokenization import load_tokenizer
from recipe.settings import ModelSettings
from recipe.training.checkpoints import MANIFEST_NAME, file_checksum, problems_of


class Harmful:
    """Makes a directory when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What stands there after a test has been executed by a file."""
    return tmp_path / "harmed"


@pytest.fixture(scope="module")
def published(uer_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as the recipe publishes it."""
    directory = tmp_path_factory.mktemp("published")
    tokenizer = load_tokenizer(str(uer_model))
    load_model(str(uer_model), tokenizer).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(params=["downloaded", "published"])
def directory(request: pytest.FixtureRequest, uer_model: Path, published: Path, tmp_path: Path) -> Path:
    """A copy of a model directory, of either layout, to damage."""
    return Path(shutil.copytree(uer_model if request.param == "downloaded" else published, tmp_path / "model"))


def load(directory: Path, **settings: Any) -> None:
    load_model(str(directory), load_tokenizer(str(directory)), ModelSettings(**settings))


def refusal(directory: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(directory, **settings)
    assert len(caught.value.problems) == 1
    return str(caught.value)


# ---- Pickles ----


def test_a_hostile_best_model_pth_is_not_executed(directory: Path, mark: Path, tmp_path: Path) -> None:
    for name, save in {
        "zip.pth": torch.save,
        "old.pth": lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2)),
    }.items():
        save({"transformer.wte.weight": Harmful(mark)}, tmp_path / name)
        assert f"{name}: is not a state dict of tensors" in refusal(directory, state_dict_file=str(tmp_path / name))
    assert not mark.exists()


def test_a_hostile_training_args_bin_beside_a_model_is_not_opened(directory: Path, mark: Path) -> None:
    torch.save(Harmful(mark), directory / "training_args.bin")
    load(directory)
    assert not mark.exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output_dir = tmp_path_factory.mktemp("run")
    tiny_trainer(output_dir, max_steps=4).train()
    return output_dir


def seal(checkpoint: Path, name: str) -> None:
    """Make the manifest say that the file is whole, as an attacker would."""
    path = checkpoint / MANIFEST_NAME
    manifest = json.loads(path.read_text(encoding="utf-8"))
    file = checkpoint / name
    manifest["files"][name] = {"bytes": file.stat().st_size, "xxh3_128": file_checksum(file)}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert problems_of(checkpoint) == []


@pytest.mark.parametrize("name", ["training_args.bin", "pytorch_model.bin"])
def test_a_pickle_beside_a_checkpoint_is_not_opened(run: Path, tmp_path: Path, mark: Path, name: str) -> None:
    checkpoint = Path(shutil.copytree(run / "checkpoint-4", tmp_path / "run/checkpoint-4"))
    torch.save(Harmful(mark), checkpoint / name)
    seal(checkpoint, name)
    tiny_trainer(tmp_path / "run").train("auto")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_hostile_state_in_a_sealed_checkpoint_is_refused(run: Path, tmp_path: Path, mark: Path, name: str) -> None:
    checkpoint = Path(shutil.copytree(run / "checkpoint-4", tmp_path / "run/checkpoint-4"))
    torch.save({"state": Harmful(mark)}, checkpoint / name)
    seal(checkpoint, name)
    with pytest.raises(UserError, match=r"checkpoint-4 cannot be loaded into this run \(UnpicklingError"):
        tiny_trainer(tmp_path / "run").train("auto")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json", "progress_0.json"])
def test_a_foreign_file_in_a_sealed_checkpoint_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    checkpoint = Path(shutil.copytree(run / "checkpoint-4", tmp_path / "run/checkpoint-4"))
    (checkpoint / name).write_text('{"global_step": 4, "unheard_of": 1}', encoding="utf-8")
    seal(checkpoint, name)
    with pytest.raises(UserError, match="checkpoint-4 cannot be loaded into this run"):
        tiny_trainer(tmp_path / "run").train("auto")


# ---- Code ----


def test_code_that_comes_with_a_model_is_not_run(directory: Path, mark: Path) -> None:
    (directory / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Evil: pass\n", encoding="utf-8")
    names = {
        "AutoConfig": "evil.Evil",
        "AutoModelForCausalLM": "evil.Evil",
        "AutoTokenizer": ["evil.Evil", "evil.Evil"],
    }
    for file in ("config.json", "tokenizer_config.json"):
        content = json.loads((directory / file).read_text(encoding="utf-8")) if (directory / file).exists() else {}
        (directory / file).write_text(json.dumps(content | {"auto_map": names}), encoding="utf-8")
    load(directory)
    assert not mark.exists()
    change_config(directory, model_type="evil")
    assert str(directory) in refusal(directory)
    assert not mark.exists()


# ---- Text that acts on a terminal ----


def test_messages_spell_out_what_a_terminal_would_obey(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("\x1b]0;owned\x07\u202etext\n春来-秋去\n", encoding="utf-8")
    assert finetune_here(train_file=file, output_dir=tmp_path / "out", cache_dir=tmp_path / "cache") == 2
    said = capfd.readouterr()
    assert "its header is: \\u001b]0;owned\\u0007\\u202etext" in said.err
    assert "\x1b" not in said.err + said.out and "\u202e" not in said.err + said.out


# ---- Configurations that lie ----


def change_config(directory: Path, **fields: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_layer": 3}, "12 missing, 0 unknown"),
        ({"n_layer": 1}, "0 missing, 11 unknown|0 missing, 12 unknown"),
        ({"n_layer": 10**6}, "describes 3,072,042,208 weights, but its files have only"),
        ({"vocab_size": 10**9}, "weights, but its files have only"),
        ({"n_positions": 10**8}, "weights, but its files have only"),
        ({"n_positions": 7}, "1 of another shape: transformer.wpe.weight"),
        ({"n_head": 0}, "division or modulo by zero"),
        ({"n_head": 3}, "divisible by num_heads"),
        ({"vocab_size": "many"}, "expected int, got str"),
        ({"resid_pdrop": 7}, "between 0 and 1"),
        ({"activation_function": "none such"}, "none such"),
        ({"model_type": "llama"}, "is a model of type llama; the recipe is for GPT-2"),
        ({"model_type": "bert"}, "is a model of type bert; the recipe is for GPT-2"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "bitsandbytes"),
    ],
)
def test_a_configuration_that_lies_is_found_out(directory: Path, fields: dict[str, Any], message: str) -> None:
    change_config(directory, **fields)
    said = refusal(directory)
    assert str(directory) in said and any(part in said for part in message.split("|"))


def test_a_head_that_should_be_its_own_but_is_missing_is_not_drawn_at_random(published: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(published, tmp_path / "model"))
    change_config(directory, tie_word_embeddings=False)
    assert "1 missing, 0 unknown, 0 of another shape: lm_head.weight" in refusal(directory)


def test_ends_of_text_outside_the_vocabulary_are_put_right(directory: Path) -> None:
    change_config(directory, eos_token_id=10**9, bos_token_id=-3, pad_token_id=None)
    tokenizer = load_tokenizer(str(directory))
    assert load_model(str(directory), tokenizer).config.eos_token_id == tokenizer.eos_token_id


# ---- Files that are missing, cut, swapped or random ----


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def flip(content: bytes, draw: random.Random) -> bytes:
    flipped = bytearray(content)
    for _ in range(30):
        flipped[draw.randrange(min(len(flipped), 2000))] ^= 1 << draw.randrange(8)
    return bytes(flipped)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        lambda content, draw: draw.randbytes(300),
        lambda content, draw: b"",
        lambda content, draw: 2 * content,
    ],
)
def test_a_damaged_file_is_refused_or_does_not_matter(directory: Path, damage: Callable[..., bytes]) -> None:
    draw = random.Random(1)
    for path in sorted(directory.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(damage(whole, draw))
        try:
            load(directory)
        except UserError as error:
            assert str(directory) in str(error) and "Traceback" not in str(error)
        path.write_bytes(whole)
    load(directory)


def test_a_missing_file_or_a_directory_in_its_place_is_refused_or_does_not_matter(directory: Path) -> None:
    for path in sorted(directory.iterdir()):
        whole = path.read_bytes()
        path.unlink()
        for _ in range(2):
            try:
                load(directory)
            except UserError as error:
                assert str(directory) in str(error)
            path.mkdir(exist_ok=True)
        path.rmdir()
        path.write_bytes(whole)


def test_an_index_that_points_elsewhere_is_refused(published: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(published, tmp_path / "model"))
    state = load_file(directory / "model.safetensors")
    save_file(state, tmp_path / "elsewhere.safetensors")
    (directory / "model.safetensors").unlink()
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(state, "/nowhere/at/all.safetensors")}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert str(directory) in refusal(directory)


def test_a_header_that_claims_more_than_there_is_is_refused(published: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(published, tmp_path / "model"))
    weights = directory / "model.safetensors"
    weights.write_bytes((1 << 62).to_bytes(8, "little") + weights.read_bytes()[8:])
    assert "the model in this directory cannot be loaded" in refusal(directory)
