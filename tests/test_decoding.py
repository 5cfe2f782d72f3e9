"""The logits processor: no violation in any decoding mode, equal to a slow reference, exact about what can be had."""

import itertools

import pytest
import torch
from form_helpers import CHARACTERS, SlowForm, form_tokenizer, fuzzed_lines
from tiny_models import generating_gpt2
from transformers import BertTokenizer, LogitsProcessorList, PreTrainedTokenizerFast

from recipe.couplet.form import form_violations, repetition_pattern
from recipe.couplet.plan import TonePolicy, plan_form
from recipe.couplet.tones import ToneSystem, choose_system, rhythm_positions, tone_of, tones_opposed
from recipe.errors import UserError
from recipe.generating.processor import FormLogitsProcessor
from recipe.generating.tables import FormTables

TOKENIZER = form_tokenizer()
MODEL = generating_gpt2(TOKENIZER)
TABLES = FormTables(TOKENIZER, MODEL.config.vocab_size)
# Random words of two and three of the first characters: short enough to come up all the time.
BANNED_WORDS = ["".join(pair) for pair in itertools.permutations(CHARACTERS[:30:2], 2)][::2] + [
    "".join(three) for three in itertools.permutations(CHARACTERS[30:60:3], 3)
][::3]
MODES = {
    "greedy": {"do_sample": False},
    "beams": {"do_sample": False, "num_beams": 4, "num_return_sequences": 2},
    "hot sampling": {"do_sample": True, "temperature": 1.5, "top_k": 0, "num_return_sequences": 3},
    "cold sampling": {"do_sample": True, "temperature": 0.1, "top_k": 3, "top_p": 0.5},
    "n-gram blocking": {"do_sample": False, "no_repeat_ngram_size": 2},
    "n-gram blocking and sampling": {"do_sample": True, "temperature": 0.5, "no_repeat_ngram_size": 1},
    "n-gram blocking and beams": {"num_beams": 4, "num_return_sequences": 4, "no_repeat_ngram_size": 1},
    "repetition penalty": {"do_sample": False, "repetition_penalty": 5.0},
}


class EveryRowHasAChoice(torch.nn.Module):
    """Checks what the processor before it left; runs before top-k and top-p."""

    def __call__(self, input_ids, scores):
        assert torch.isfinite(scores).any(dim=1).all()
        assert not torch.isnan(scores).any()
        return scores


def refusal(tables, upper, tones):
    return tables.refusal(plan_form(upper, tones), tones)


def encode(uppers):
    return TOKENIZER([upper + "-" for upper in uppers], return_tensors="pt", padding=True)


def generate(processor, uppers, **options):
    processors = LogitsProcessorList([processor, EveryRowHasAChoice()])
    steps = max(map(len, uppers)) + 1
    return MODEL.generate(**encode(uppers), max_new_tokens=steps, logits_processor=processors, **options)


def lower_lines(uppers, tables=TABLES, tones=TonePolicy.PREFER, **options):
    form = FormLogitsProcessor.answering(tables, uppers, encode(uppers).input_ids.shape[1], tones)
    torch.manual_seed(1)
    lowers = form.answers(generate(form, uppers, **options))
    copies = len(lowers) // len(uppers)
    return [(uppers[row // copies], lower) for row, lower in enumerate(lowers)]


@pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())
@pytest.mark.parametrize("tones", TonePolicy)
def test_no_mode_of_decoding_leaves_the_form(options, tones):
    uppers = [line for line in fuzzed_lines(3, 120) if refusal(TABLES, line, tones) is None]
    assert len(uppers) > 80
    pairs = lower_lines(uppers, tones=tones, **options)
    assert [pair for pair in pairs if form_violations(*pair)] == []


@pytest.mark.parametrize("tones", TonePolicy)
@pytest.mark.parametrize("banned_words", [(), BANNED_WORDS], ids=["", "banned words"])
def test_greedy_decoding_equals_the_slow_reference_token_for_token(tones, banned_words):
    tables = FormTables(TOKENIZER, MODEL.config.vocab_size, banned_words)
    uppers = [line for line in fuzzed_lines(5, 60) if refusal(tables, line, tones) is None][:24]
    assert len(uppers) == 24
    prompt_length = encode(uppers).input_ids.shape[1]
    fast = generate(FormLogitsProcessor.answering(tables, uppers, prompt_length, tones), uppers, do_sample=False)
    slow = generate(
        SlowForm(TOKENIZER, uppers, prompt_length, tones, banned_words=banned_words), uppers, do_sample=False
    )
    assert fast.tolist() == slow.tolist()


@pytest.mark.parametrize("upper", ["𠮷龘𠮷", "𠮷，龘", "𠮷龘𠮷龘", "𠮷𠮷", "，𠮷 。"])
@pytest.mark.parametrize(
    "words", [(), ("丁",), ("丁万",), ("丁万", "万丁", "七丁"), ("丁丁", "丁，"), ("，丁", "七丁万")]
)
def test_the_answers_are_exactly_those_that_the_rules_allow(upper, words):
    characters = "丁七万丈三上下丌"
    tokenizer = form_tokenizer(characters)
    model = generating_gpt2(tokenizer)
    tables = FormTables(tokenizer, model.config.vocab_size, words)
    free = [at for at, source in enumerate(repetition_pattern(upper)) if at == source and upper[at] in "𠮷龘"]
    expected = set()
    for chosen in itertools.permutations(characters, len(free)):
        by_source = dict(zip(free, chosen, strict=True))
        lower = "".join(by_source.get(source, upper[source]) for source in repetition_pattern(upper))
        if not any(word in lower for word in words):
            expected.add(lower)
    prompt = tokenizer(upper + "-", return_tensors="pt")
    form = FormLogitsProcessor.answering(tables, [upper], prompt.input_ids.shape[1], TonePolicy.OFF)
    options = {"num_beams": 60, "num_return_sequences": 60, "do_sample": False}
    found = model.generate(**prompt, max_new_tokens=form.steps, logits_processor=[form], **options)
    assert set(form.answers(found)) == expected
    assert len(expected) > 1


def test_strict_tones_are_opposed_in_one_system():
    tables = FormTables(TOKENIZER, MODEL.config.vocab_size)
    uppers = [line for line in fuzzed_lines(7, 100, length=9) if refusal(tables, line, TonePolicy.STRICT) is None]
    systems = set()
    for upper, lower in lower_lines(uppers, tones=TonePolicy.STRICT, do_sample=True, temperature=2.0, top_k=0):
        system = choose_system(upper)
        systems.add(system)
        assert all(tones_opposed(upper[at], lower[at], system) for at in rhythm_positions(upper))
    assert systems == set(ToneSystem)


def test_preferred_tones_are_met_more_often_with_more_strength():
    uppers = fuzzed_lines(8, 60, length=7)

    def share(strength):
        length = encode(uppers).input_ids.shape[1]
        form = FormLogitsProcessor.answering(TABLES, uppers, length, TonePolicy.PREFER, strength)
        lowers = form.answers(generate(form, uppers, do_sample=False))
        met = [
            tones_opposed(upper[at], lower[at], choose_system(upper))
            for upper, lower in zip(uppers, lowers, strict=True)
            for at in rhythm_positions(upper)
        ]
        return sum(met) / len(met)

    assert share(0.0) < share(2.0) < share(50.0)
    assert share(50.0) > 0.97


def test_prompts_of_unequal_length_may_be_padded_on_the_left():
    uppers = fuzzed_lines(9, 1, length=3) + fuzzed_lines(10, 1, length=12)
    together = dict(lower_lines(uppers, do_sample=False))
    assert all(form_violations(*pair) == [] for pair in together.items())
    assert together == {upper: lower_lines([upper], do_sample=False)[0][1] for upper in uppers}


def test_what_cannot_be_answered_is_refused_with_all_reasons():
    tables = FormTables(TOKENIZER, MODEL.config.vocab_size, ["丁七", "丂"])
    with pytest.raises(UserError) as caught:
        FormLogitsProcessor.answering(tables, ["一丁七三", "丈丂", "丈三", ""], 6)
    reasons = caught.value.problems
    assert len(reasons) == 3
    assert "丁七" in reasons[0]
    assert "丂" in reasons[1]
    assert "empty" in reasons[2]


@pytest.mark.parametrize(("characters", "is_refused"), [("丁七万", True), ("丁七万丈", False)])
def test_a_vocabulary_too_small_for_a_line_is_found_before_decoding(characters, is_refused):
    tokenizer = form_tokenizer(characters)
    tables = FormTables(tokenizer, len(tokenizer))
    assert (refusal(tables, "𠮷龘𠀀𠀁", TonePolicy.OFF) is not None) is is_refused


def test_strict_tones_that_no_character_has_are_refused():
    level = "".join(char for char in CHARACTERS if tone_of(char, ToneSystem.MODERN) == 1)
    tokenizer = form_tokenizer(level)
    tables = FormTables(tokenizer, len(tokenizer))
    assert refusal(tables, "红日青", TonePolicy.OFF) is None
    assert "strict" in refusal(tables, "日天天", TonePolicy.STRICT)


def test_a_tokenizer_of_words_is_named_as_the_reason(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    core = Tokenizer(models.WordLevel({"[UNK]": 0, "[SEP]": 1, "我": 2, "们": 3}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", eos_token="[SEP]")
    with pytest.raises(UserError, match="one Chinese character is one token"):
        FormTables(tokenizer, 4)


def test_a_plain_bert_tokenizer_will_do(tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *CHARACTERS, "，", "-", "20", "##4", "##丁"]
    vocabulary.write_text("\n".join(tokens), encoding="utf-8")
    tokenizer = BertTokenizer(str(vocabulary))
    upper = "204一 二，é一"
    prompt = tokenizer(upper + "-", return_tensors="pt", add_special_tokens=False, return_token_type_ids=False)
    tables = FormTables(tokenizer, MODEL.config.vocab_size)
    form = FormLogitsProcessor.answering(tables, [upper], prompt.input_ids.shape[1])
    options = {"eos_token_id": tokenizer.sep_token_id, "pad_token_id": 0, "do_sample": False}
    output = MODEL.generate(**prompt, max_new_tokens=form.steps, logits_processor=[form], **options)
    assert form_violations(upper, form.answers(output)[0]) == []
    assert output[0, -1] == tokenizer.sep_token_id


def test_compatibility_forms_count_as_the_character_they_stand_for():
    tokenizer = form_tokenizer("不丁")
    upper = "\uf967"  # 不 under another code point
    for seed in range(5):
        model = generating_gpt2(tokenizer, seed)
        tables = FormTables(tokenizer, model.config.vocab_size)
        prompt = tokenizer(upper + "-", return_tensors="pt")
        form = FormLogitsProcessor.answering(tables, [upper], prompt.input_ids.shape[1], TonePolicy.OFF)
        output = model.generate(**prompt, max_new_tokens=form.steps, logits_processor=[form], do_sample=False)
        assert form.answers(output) == ["丁"]


def test_sampling_among_beams_is_an_error_where_it_takes_what_is_forbidden():
    options = {"do_sample": True, "num_beams": 4, "num_return_sequences": 4, "temperature": 0.01}
    with pytest.raises(ValueError, match="do not sample beams"):
        for upper in fuzzed_lines(12, 40, length=3):
            lower_lines([upper], **options)


def test_scores_in_half_precision_are_taken():
    form = FormLogitsProcessor.answering(TABLES, ["一丁一", "七万三"], 5)
    ids = torch.tensor([[2, 5, 6, 5, 9, 40, 41], [2, 7, 8, 9, 9, 42, 43]])
    scores = form(ids, torch.randn(2, TABLES.size, dtype=torch.float16))
    assert torch.isfinite(scores).sum(dim=1).tolist()[0] == 1  # the first line repeats its first character
    assert torch.isfinite(scores).sum(dim=1).tolist()[1] > 1


def test_logits_of_another_vocabulary_are_an_error():
    form = FormLogitsProcessor.answering(TABLES, ["一"], 3)
    with pytest.raises(ValueError, match="vocabulary"):
        form(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 7))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_form_holds_on_a_gpu():
    uppers = fuzzed_lines(11, 40)
    model = generating_gpt2(TOKENIZER).cuda()
    prompts = encode(uppers).to("cuda")
    form = FormLogitsProcessor.answering(TABLES, uppers, prompts.input_ids.shape[1])
    output = model.generate(**prompts, max_new_tokens=form.steps, logits_processor=[form], do_sample=True)
    assert all(form_violations(*pair) == [] for pair in zip(uppers, form.answers(output), strict=True))
