"""Muon beside AdamW: which parameters go where, and that a saved state goes on exactly."""

import copy
from functools import partial

import pytest
import torch
from tiny_run import LeaveAfterSave, logged, tiny_trainer, weights_sha256
from torch.optim import AdamW, Muon
from transformers import GPT2Config, GPT2LMHeadModel, TrainingArguments, get_scheduler

from recipe.training.optimizers import MuonWithAdamW, muon_for, schedule_options


def small_model(is_tied=True):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=2)
    config.tie_word_embeddings = is_tied
    model = GPT2LMHeadModel(config)
    model.loss_type = "ForCausalLM"
    return model


def optimizer_of(model, tmp_path):
    factory, kwargs = muon_for(TrainingArguments(output_dir=str(tmp_path), learning_rate=0.01, weight_decay=0.1))
    return factory()(model, **kwargs)


def take_steps(model, optimizer, count, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        ids = torch.randint(20, (4, 6), generator=generator)
        model.eval()(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("is_tied", [True, False])
def test_only_matrices_inside_the_blocks_go_to_muon(tmp_path, is_tied):
    model = small_model(is_tied)
    optimizer = optimizer_of(model, tmp_path)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    muon, tables, vectors = ([names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    assert muon == [
        f"transformer.h.0.{part}.weight" for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    assert tables == ["transformer.wte.weight", "transformer.wpe.weight", *([] if is_tied else ["lm_head.weight"])]
    assert len(muon) + len(tables) + len(vectors) == len(names)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.1, 0.0]


def test_an_update_of_muon_is_orthogonal_and_one_of_adamw_is_not(tmp_path):
    model = small_model()
    optimizer = optimizer_of(model, tmp_path)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    matrix, table = model.transformer.h[0].mlp.c_fc.weight, model.transformer.wte.weight
    before = matrix.detach().clone(), table.detach().clone()
    take_steps(model, optimizer, 1, seed=1)
    values = torch.linalg.svdvals(matrix.detach() - before[0])
    assert values.min() > 0.3 * values.max()  # five iterations leave them between 0.5 and 1.5
    # 0.2 times the root of the longer side times the learning rate, within what five iterations reach.
    assert values.max() == pytest.approx(0.01 * 0.2 * 32**0.5, rel=0.35)
    values = torch.linalg.svdvals(table.detach() - before[1])
    assert values.min() < 0.3 * values.max()


def test_a_loaded_state_goes_on_exactly(tmp_path):
    model = small_model()
    optimizer = optimizer_of(model, tmp_path)
    take_steps(model, optimizer, 3, seed=1)
    other = copy.deepcopy(model)
    loaded = optimizer_of(other, tmp_path)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for group in (*optimizer.param_groups, *loaded.param_groups):
        group["lr"] = 0.003  # a schedule's change must reach both optimizers, also after loading
    for one, its in ((model, optimizer), (other, loaded)):
        take_steps(one, its, 3, seed=2)
    assert isinstance(loaded, MuonWithAdamW)
    for key, weight in model.state_dict().items():
        assert torch.equal(weight, other.state_dict()[key]), key


def test_a_learning_rate_of_nothing_stops_both(tmp_path):
    model = small_model()
    optimizer = optimizer_of(model, tmp_path)
    before = copy.deepcopy(model.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    take_steps(model, optimizer, 1, seed=1)
    assert all(torch.equal(weight, before[key]) for key, weight in model.state_dict().items())


def test_a_step_is_that_of_the_two_optimizers_alone(tmp_path):
    model = small_model()
    alone = copy.deepcopy(model)
    both = optimizer_of(model, tmp_path)
    place = {id(parameter): name for name, parameter in model.named_parameters()}
    parameters = dict(alone.named_parameters())
    matrices, tables, vectors = ([parameters[place[id(p)]] for p in group["params"]] for group in both.param_groups)
    muon = Muon(matrices, lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    decays = [{"params": tables, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    adamw = AdamW(decays, lr=0.01, betas=(0.9, 0.999), eps=1e-8, fused=True)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):  # the second one uses the momentum of the first
        for parameter, its in zip(model.parameters(), alone.parameters(), strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            its.grad = parameter.grad.clone()
        for optimizer in (both, muon, adamw):
            optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, parameters[name]), name


@pytest.mark.parametrize("stop", [4, 12], ids=["first epoch", "second epoch"])
def test_a_resumed_run_with_muon_equals_the_unbroken_one_bit_for_bit(tmp_path, stop):
    trainer_of = partial(tiny_trainer, muon=True)
    finished = trainer_of(tmp_path / "finished")
    finished.train()
    assert isinstance(finished.optimizer.optimizer, MuonWithAdamW)  # inside accelerate's wrapper
    with pytest.raises(SystemExit):
        trainer_of(tmp_path / "run", [LeaveAfterSave(stop)]).train()
    resumed = trainer_of(tmp_path / "run")
    resumed.train("auto")
    assert weights_sha256(resumed) == weights_sha256(finished)
    assert logged(resumed) == logged(finished)


@pytest.mark.parametrize(
    ("given", "decay"),
    [({}, 25), ({"warmup_steps": 0.9}, 10), ({"lr_scheduler_kwargs": {"num_decay_steps": 7}}, 7)],
)
def test_the_learning_rate_is_level_and_falls_over_the_last_quarter(tmp_path, given, decay):
    given = {"warmup_steps": 5, **given}
    arguments = TrainingArguments(output_dir=str(tmp_path), lr_scheduler_type="warmup_stable_decay", **given)
    options = schedule_options(arguments, 100)
    assert options == {"num_decay_steps": decay}
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    warmup = arguments.get_warmup_steps(100)
    rate = get_scheduler("warmup_stable_decay", optimizer, warmup, 100, options).lr_lambdas[0]
    assert rate(warmup) == rate(100 - decay) == 1.0
    assert 0.0 < rate(100 - decay // 2) < 1.0 and rate(100) == 0.0


def test_other_schedules_keep_their_options(tmp_path):
    assert schedule_options(TrainingArguments(output_dir=str(tmp_path)), 100) == {}
