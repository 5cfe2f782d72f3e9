"""Models from every kind of file people hold, in fp32, with end tokens that exist; the wrong files refused in words."""

import json
import shutil

import pytest
import torch
from finetune_helpers import COMPOSED_ROWS
from safetensors.torch import load_file, save_file
from tiny_models import character_tokenizer
from transformers import GPT2LMHeadModel

from recipe.errors import UserError
from recipe.model import placement
from recipe.model.modeling import load_model, new_model
from recipe.model.tokenization import extend_tokenizer, load_tokenizer
from recipe.settings import DeviceSettings, ModelSettings


@pytest.fixture(scope="module")
def tokenizer(uer_model):
    return load_tokenizer(str(uer_model))


@pytest.fixture
def directory(uer_model, tmp_path):
    """A copy to damage."""
    return shutil.copytree(uer_model, tmp_path / "model")


@pytest.fixture(scope="module")
def other_weights(uer_model):
    """A state dict of the same model trained elsewhere."""
    state = torch.load(uer_model / "pytorch_model.bin", weights_only=True)
    return {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}


def first_weight(model):
    return model.transformer.wte.weight.detach()


def refusal(*args, **settings):
    with pytest.raises(UserError) as caught:
        load_model(*map(str, args[:1]), args[1], ModelSettings(**settings))
    return str(caught.value)


# ---- Loading ----


def test_the_downloaded_layout_loads_with_its_weights_and_ends_that_exist(uer_model, tokenizer):
    model = load_model(str(uer_model), tokenizer)
    state = torch.load(uer_model / "pytorch_model.bin", weights_only=True)
    assert torch.equal(first_weight(model), state["transformer.wte.weight"])
    assert model.lm_head.weight is model.transformer.wte.weight
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    for config in (model.config, model.generation_config):
        assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == ids
    assert model.generation_config.max_new_tokens == 128
    assert not model.generation_config.do_sample  # what the file's task_specific_params say is not ours
    assert model.config.use_cache and model.config.n_positions == 1024


def test_safetensors_and_pytorch_model_bin_give_the_same_model(uer_model, tokenizer, tmp_path):
    model = load_model(str(uer_model), tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists() and not (tmp_path / "pytorch_model.bin").exists()
    again = load_model(str(tmp_path), tokenizer)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_become_fp32_masters(directory, tokenizer, dtype):
    state = torch.load(directory / "pytorch_model.bin", weights_only=True)
    halves = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
    torch.save(halves, directory / "pytorch_model.bin")
    fields = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    (directory / "config.json").write_text(json.dumps(fields | {"torch_dtype": str(dtype)[6:]}), encoding="utf-8")
    assert {parameter.dtype for parameter in load_model(str(directory), tokenizer).parameters()} == {torch.float32}


def test_dropout_is_the_models_own_unless_it_is_set(uer_model, tokenizer):
    rates = [
        [
            module.p
            for module in load_model(str(uer_model), tokenizer, ModelSettings(dropout=dropout)).modules()
            if isinstance(module, torch.nn.Dropout)
        ]
        for dropout in (None, 0.0, 0.3)
    ]
    assert [set(found) for found in rates] == [{0.1}, {0.0}, {0.3}]


def test_the_activation_is_the_same_function_in_one_kernel(uer_model, tokenizer):
    model = load_model(str(uer_model), tokenizer).eval()
    library = GPT2LMHeadModel.from_pretrained(uer_model).eval()
    names = (library.config.activation_function, model.config.activation_function)
    assert names == ("gelu_new", "gelu_pytorch_tanh")
    ids = torch.arange(10, 60).unsqueeze(0)
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, library(ids).logits)
    assert new_model(ModelSettings(), tokenizer, max_length=80).config.activation_function == "gelu_pytorch_tanh"


def test_another_activation_of_a_model_stays(directory, tokenizer):
    fields = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    (directory / "config.json").write_text(json.dumps(fields | {"activation_function": "relu"}), encoding="utf-8")
    assert load_model(str(directory), tokenizer).config.activation_function == "relu"


def test_a_new_model_is_what_was_asked_for_and_depends_on_the_seed_alone():
    vocabulary = character_tokenizer()
    settings = ModelSettings(hidden_size=24, num_layers=3, num_heads=4, dropout=0.0)
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(new_model(settings, vocabulary, max_length=80))
    config = models[0].config
    assert (config.n_embd, config.n_layer, config.n_head, config.vocab_size) == (24, 3, 4, len(vocabulary))
    assert config.n_positions == 1024  # prompts of any corpus fit, whatever max_length this one has
    assert config.eos_token_id == vocabulary.eos_token_id and config.resid_pdrop == 0.0
    assert torch.equal(first_weight(models[0]), first_weight(models[1]))
    assert not torch.equal(first_weight(models[0]), first_weight(models[2]))
    assert new_model(settings, vocabulary, max_length=2000).config.n_positions == 2000
    with pytest.raises(UserError, match="--hidden_size 25: must be a multiple of --num_heads 4"):
        new_model(ModelSettings(hidden_size=25, num_heads=4), vocabulary, 80)


# ---- The tutorial's state dict ----


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module.model.", "gpt2."])
def test_a_state_dict_goes_over_the_weights_whatever_wrapper_saved_it(
    uer_model, tokenizer, other_weights, tmp_path, prefix
):
    file = tmp_path / "best_model.pth"
    torch.save({prefix + name: value for name, value in other_weights.items()}, file)
    model = load_model(str(uer_model), tokenizer, ModelSettings(state_dict_file=str(file)))
    state = model.state_dict()
    for name, value in other_weights.items():
        if not name.endswith(("attn.bias", "attn.masked_bias")):
            assert torch.equal(state[name], value), name


def test_a_state_dict_without_the_tied_head_and_the_old_buffers_is_complete(
    uer_model, tokenizer, other_weights, tmp_path
):
    slim = {name: value for name, value in other_weights.items() if name in tiny_names(uer_model, tokenizer)}
    slim.pop("lm_head.weight")
    torch.save(slim, tmp_path / "slim.pth")
    model = load_model(str(uer_model), tokenizer, ModelSettings(state_dict_file=str(tmp_path / "slim.pth")))
    assert torch.equal(model.lm_head.weight, other_weights["transformer.wte.weight"])


def tiny_names(uer_model, tokenizer):
    return load_model(str(uer_model), tokenizer).state_dict().keys()


def test_a_pickled_object_is_never_loaded(uer_model, tokenizer, tmp_path):
    model = load_model(str(uer_model), tokenizer)
    torch.save(model, tmp_path / "whole.pth")
    message = refusal(uer_model, tokenizer, state_dict_file=str(tmp_path / "whole.pth"))
    assert "whole.pth: is not a state dict of tensors" in message and "save model.state_dict() instead" in message
    torch.save({"epoch": 3, "model": model.state_dict()}, tmp_path / "bundle.pth")
    message = refusal(uer_model, tokenizer, state_dict_file=str(tmp_path / "bundle.pth"))
    assert "bundle.pth: is a training checkpoint with 'epoch'" in message and "['model'], 'weights.pth')" in message
    torch.save({"epoch": 3}, tmp_path / "bundle.pth")
    message = refusal(uer_model, tokenizer, state_dict_file=str(tmp_path / "bundle.pth"))
    assert "bundle.pth: holds dict, expected a state dict" in message


def test_a_state_dict_may_be_safetensors(uer_model, tokenizer, other_weights, tmp_path):
    slim = {name: value for name, value in other_weights.items() if name in tiny_names(uer_model, tokenizer)}
    save_file({name: value.clone() for name, value in slim.items()}, tmp_path / "best.safetensors")
    model = load_model(str(uer_model), tokenizer, ModelSettings(state_dict_file=str(tmp_path / "best.safetensors")))
    assert torch.equal(first_weight(model), other_weights["transformer.wte.weight"])


def test_the_librarys_advice_to_load_a_pickle_all_the_same_is_not_passed_on(tokenizer, uer_model, tmp_path):
    (tmp_path / "junk.pth").write_bytes(b"x" * 100)
    message = refusal(uer_model, tokenizer, state_dict_file=str(tmp_path / "junk.pth"))
    assert "is not a state dict of tensors (Weights only load failed)" in message


def test_state_dicts_of_other_models_and_files_that_are_none_are_refused(uer_model, tokenizer, other_weights, tmp_path):
    def refusal_of(name, content):
        torch.save(content, tmp_path / name)
        return refusal(uer_model, tokenizer, state_dict_file=str(tmp_path / name))

    wider = {name: torch.cat([value, value]) for name, value in other_weights.items() if value.dim()}
    assert "of another shape: " in refusal_of("wider.pth", wider)
    shorter = {name: value for name, value in other_weights.items() if ".h.1." not in name}
    assert "(parameters: 12 missing, 0 unknown" in refusal_of("shorter.pth", shorter)
    foreign = other_weights | {"transformer.h.7.mlp.c_fc.weight": torch.zeros(2)}
    assert "1 unknown" in refusal_of("foreign.pth", foreign)
    assert "is not a state dict of this model" in refusal_of("empty.pth", {})
    (tmp_path / "text.pth").write_text("no tensors here", encoding="utf-8")
    assert "is not a state dict of tensors" in refusal(uer_model, tokenizer, state_dict_file=str(tmp_path / "text.pth"))
    missing = str(tmp_path / "missing.pth")
    assert "missing.pth" in refusal(uer_model, tokenizer, state_dict_file=missing)


# ---- Damaged and foreign directories ----


def test_a_truncated_safetensors_file_is_explained(uer_model, tokenizer, tmp_path):
    load_model(str(uer_model), tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    message = refusal(tmp_path, tokenizer)
    assert "the model in this directory cannot be loaded" in message and str(tmp_path) in message


def test_a_truncated_pickle_and_an_empty_one_are_explained(directory, tokenizer):
    weights = directory / "pytorch_model.bin"
    weights.write_bytes(weights.read_bytes()[:3000])
    assert "but its files have only 3,000 bytes" in refusal(directory, tokenizer)
    weights.write_bytes(b"")
    assert "pytorch_model.bin is empty" in refusal(directory, tokenizer)


def test_a_pickle_with_code_in_it_is_not_run(directory, tokenizer, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harmed"), "w"))

    padding = torch.zeros(100_000)  # a file too small for the model would not be opened at all
    torch.save({"transformer.wte.weight": Harmful(), "padding": padding}, directory / "pytorch_model.bin")
    assert "the model in this directory cannot be loaded" in refusal(directory, tokenizer)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"model_type": "gpt9"}', "{}"])
def test_a_damaged_configuration_is_explained(directory, content):
    (directory / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json is empty|the model in this directory cannot be loaded"):
        load_tokenizer(str(directory))


def test_missing_weights_are_explained(directory, tokenizer):
    (directory / "pytorch_model.bin").unlink()
    assert "model: holds no weights; model.safetensors or pytorch_model.bin is missing" in refusal(directory, tokenizer)
    assert "no_such_dir: neither a directory here nor downloaded before" in refusal("no_such_dir", tokenizer)


def test_weights_that_do_not_fill_the_configuration_are_refused(uer_model, directory, tokenizer):
    load_model(str(uer_model), tokenizer).save_pretrained(directory)
    (directory / "pytorch_model.bin").unlink()
    state = load_file(directory / "model.safetensors")
    partial = {name: value for name, value in state.items() if ".h.1.mlp" not in name}
    save_file(partial, directory / "model.safetensors", metadata={"format": "pt"})
    assert "(4 missing, 0 unknown, 0 of another shape: transformer.h.1.mlp.c_fc.bias" in refusal(directory, tokenizer)
    shrunk = state | {"transformer.wpe.weight": state["transformer.wpe.weight"][:10].clone()}
    save_file(shrunk, directory / "model.safetensors", metadata={"format": "pt"})
    assert "of another shape: transformer.wpe.weight" in refusal(directory, tokenizer)


def test_a_tokenizer_larger_than_the_embeddings_is_refused_or_extends_them(uer_model, tokenizer):
    extended = extend_tokenizer(tokenizer, "“”…")
    message = refusal(uer_model, extended)
    assert f"has {len(extended):,} tokens, but the embeddings have only {len(tokenizer):,} rows" in message
    torch.manual_seed(0)
    model = load_model(str(uer_model), extended, ModelSettings(extend_vocabulary=True))
    old = load_model(str(uer_model), tokenizer)
    assert first_weight(model).shape[0] == len(extended) == model.config.vocab_size
    assert torch.equal(first_weight(model)[: len(tokenizer)], first_weight(old))
    assert model.lm_head.weight is model.transformer.wte.weight
    ids = torch.tensor([tokenizer(COMPOSED_ROWS[0]).input_ids])
    with torch.inference_mode():
        grown, plain = model.eval()(ids).logits, old.eval()(ids).logits
    torch.testing.assert_close(grown[..., : len(tokenizer)], plain)
    assert isinstance(model, GPT2LMHeadModel)


@pytest.mark.parametrize(
    ("amx", "avx512", "unit"), [(True, True, "amx_bf16"), (False, True, "avx512_bf16"), (False, False, None)]
)
def test_bf16_on_a_cpu_is_decided_by_the_processor_and_the_width(monkeypatch, amx, avx512, unit):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert placement.cpu_bf16_unit() == unit
    assert [placement.bf16_trains_faster(width) for width in (64, 128)] == [False, unit is not None]
    dtypes = [placement.chosen_dtype(DeviceSettings(), torch.device("cpu"), width) for width in (256, 768)]
    assert dtypes == [torch.float32, torch.float32 if unit is None else torch.bfloat16]
    assert placement.chosen_dtype(DeviceSettings(dtype="fp32"), torch.device("cpu"), 768) is torch.float32
