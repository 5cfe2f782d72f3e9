"""Poems: what is read as one, the rhyme book, and that no way of decoding leaves the form."""

import json
import random

import pytest
from finetune_helpers import TINY, finetune_here, write_rows
from tiny_models import character_tokenizer, generating_gpt2

import run_generate
from recipe.errors import UserError
from recipe.formats.quatrain import NOT_CHINESE, WRONG_SHAPE, PoemForm, Quatrain, poem_lines, poem_violations
from recipe.formats.registry import carried_format
from recipe.formats.rhymes import common_rhymes, rhymes
from recipe.generating.generator import Generator
from recipe.model.tokenization import build_tokenizer, corpus_vocabulary
from recipe.rows.cleaning import RejectedRowError
from recipe.settings import DataSettings, DecodingSettings

# Two rhymes, of which most have several readings or few characters left in so small a vocabulary, and other characters.
EAST, FIRST = "东同中虫终风空公红", "先前千天坚肩贤弦"
OTHERS = "春秋日月山水云雨花柳江湖鸟雪松竹白青高远"
TOKENIZER = character_tokenizer("，。-" + EAST + FIRST + OTHERS)
MODES = {
    "greedy": {"do_sample": False},
    "hot sampling": {"do_sample": True, "temperature": 1.5, "top_k": 0, "top_p": 1.0},
    "several": {"num_return_sequences": 3, "temperature": 1.5},
    "beams": {"do_sample": False, "num_beams": 4, "num_return_sequences": 2},
}


def first_lines(count, seed=0):
    draw = random.Random(seed)
    return ["".join(draw.choices(OTHERS, k=draw.choice((5, 7)))) for _ in range(count)]


def made_up_poems(count, seed):
    """Poems whose even lines rhyme, otherwise drawn at random."""
    draw = random.Random(seed)
    poems = []
    for first in first_lines(count, seed):
        rhymed = draw.sample(draw.choice((EAST, FIRST)), 4)
        lines = [first, *("".join(draw.choices(OTHERS, k=len(first))) for _ in range(draw.choice((3, 7))))]
        lines[1::2] = [line[:-1] + end for line, end in zip(lines[1::2], rhymed, strict=False)]
        poems.append("".join(line + "，。"[place % 2] for place, line in enumerate(lines)))
    return poems


# ---- Reading ----


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("山高山水远，江清江月明。", WRONG_SHAPE),
        ("山高山水远，江清江月明。云开云日出，风静风潮平", WRONG_SHAPE),
        ("山高山水远，江清江月明。云开云日出，风静潮平。", WRONG_SHAPE),
        ("山高山水远。江清江月明，云开云日出，风静风潮平。", WRONG_SHAPE),
        ("山高水远，江清月明。云开日出，风静潮平。", WRONG_SHAPE),
        ("山高山水远，江清江月明。云开□日出，风静风潮平。", NOT_CHINESE),
        ("，，。。", WRONG_SHAPE),
        ("。", WRONG_SHAPE),
        ("", "empty"),
        (None, "empty"),
    ],
)
def test_what_is_no_poem_is_rejected_with_its_reason(cell, reason):
    with pytest.raises(RejectedRowError, match=reason):
        Quatrain().check([cell])


def test_poems_may_have_titles():
    text_format = Quatrain.from_settings(DataSettings(upper_column="title", lower_column="poem"))
    poem = made_up_poems(1, 3)[0]
    text, opening_length, held_out_by, _ = text_format.check(["春 晓", poem])
    assert (text, held_out_by) == (f"春晓-{poem}", "春晓")
    assert text_format.split(text, opening_length) == ("春晓", poem)
    assert carried_format("model", text_format.carried()) == text_format != Quatrain()
    assert (text_format.read_prompt("春 晓－").text, text_format.violations("春晓", poem)) == ("春晓", [])


def test_the_prompt_of_a_whole_poem_is_its_first_line():
    typed = ("山高山水远，江清江月明。", "山高山水远，", "山高", "山 高 山 水 远 , 江")
    assert [Quatrain().read_prompt(line).text for line in typed] == ["山高山水远", "山高山水远", "山高", "山高山水远"]


# ---- The rhyme book ----


def test_the_rhyme_book_has_106_rhymes_and_simplified_characters():
    assert len(rhymes()) == 106
    assert "上平聲一東" in common_rhymes("东红中") & common_rhymes("東紅")
    assert common_rhymes("东先") == common_rhymes("东a") == frozenset()


def test_violations_by_hand():
    lines = ["山高山水远", "江清江月东", "云开云日出", "雨静雨山红"]

    def broken(**changes):
        changed = [changes.get(f"line{place}", line) for place, line in enumerate(lines)]
        return poem_violations("".join(line + "，。"[place % 2] for place, line in enumerate(changed)))

    assert broken() == []
    assert broken(line3="雨静雨山先") == ["rhyme"]
    assert broken(line3="雨静雨山东") == ["repeated_rhyme"]
    assert broken(line2="云开x日出") == ["foreign_character"]
    assert broken(line2="云开日出") == ["shape"]


# ---- Writing ----


@pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())
@pytest.mark.parametrize("text_format", [Quatrain(), Quatrain(has_titles=True)], ids=["first line", "title"])
@pytest.mark.parametrize("banned", [(), ("春秋", "山", "红", "月明", "云雨花", "花花")], ids=["", "banned words"])
def test_no_way_of_decoding_leaves_the_form(text_format, options, banned):
    generator = Generator(generating_gpt2(TOKENIZER), TOKENIZER, DecodingSettings(**options), banned, text_format)
    prompts = [one.prompt for one in generator.prepare(first_lines(60)) if one.refusal is None]
    answers = [answer for found in generator.answer(prompts) for answer in found]
    assert len(answers) >= len(prompts) > 10
    assert [answer for answer in answers if text_format.violations(answer.prompt, answer.text)] == []
    assert [word for word in banned for answer in answers if word in answer.text] == []


def walk(choices, prompt, draw):
    """Write an answer by drawing from what may come next; ends and commas are as likely as everything else together."""
    written = ""
    while True:
        choice = choices.next(prompt, written)
        characters = sorted(choice.characters - choice.but_not)
        assert characters or choice.may_end
        if choice.may_end and (not characters or draw.random() < 0.5):
            return written
        written += "，" if "，" in characters and draw.random() < 0.5 else draw.choice(characters)


def test_all_lengths_of_poems_and_of_lines_come_up_and_keep_the_form():
    characters = frozenset(EAST + FIRST + OTHERS)
    draw = random.Random(0)
    poems = [walk(PoemForm(has_titles=True).over(characters, characters), "春", draw) for _ in range(100)]
    assert [poem for poem in poems if poem_violations(poem)] == []
    lines = [poem_lines(poem) for poem in poems]
    assert {(len(one), len(one[0])) for one in lines} == {(4, 5), (4, 7), (8, 5), (8, 7)}


def test_what_cannot_be_promised_is_refused():
    generator = Generator(generating_gpt2(TOKENIZER), TOKENIZER, DecodingSettings(), ["山山"], Quatrain())
    refusals = [one.refusal for one in generator.prepare(["春日山水", "春日山水x", "春日山山水", "春日云山水"])]
    assert "five or seven" in refusals[0] and "five or seven" in refusals[1] and "山山" in refusals[2]
    assert refusals[3] is None
    # Three characters of each rhyme stay: not enough for the four rhymes of a long poem.
    few = [*EAST[3:], *(f"山{char}" for char in FIRST[3:])]
    poor = Generator(generating_gpt2(TOKENIZER), TOKENIZER, DecodingSettings(), few, Quatrain())
    assert "no rhyme with 4 characters" in poor.prepare(["春日云山水"])[0].refusal
    with pytest.raises(UserError, match="holds one of the marks"):
        Generator(generating_gpt2(TOKENIZER), TOKENIZER, DecodingSettings(), ["明。"], Quatrain())
    with pytest.raises(UserError, match="--tones strict applies to couplets"):
        Generator(generating_gpt2(TOKENIZER), TOKENIZER, DecodingSettings(tones="strict"), (), Quatrain())
    unmarked = build_tokenizer(corpus_vocabulary(EAST + OTHERS), lowercase=False, max_length=128)
    with pytest.raises(UserError, match="no token for ， 。"):
        Generator(generating_gpt2(TOKENIZER), unmarked, DecodingSettings(), (), Quatrain())


def test_a_rhyme_that_is_too_small_is_never_begun():
    characters = frozenset(EAST[:3] + FIRST + OTHERS)
    choices = PoemForm(has_titles=False).over(characters, characters)
    begun = choices.next("春日山水云", "春日山水").characters
    assert "东" not in begun and set(FIRST) <= begun
    after = choices.next("春日山水云", "春日山水先。春日山水云，春日山水")
    assert after.but_not == {"先"} and set(FIRST) <= after.characters


def test_poems_are_trained_published_and_written_by_the_commands(tmp_path, capsys):
    poems = made_up_poems(240, seed=5)
    settings = TINY | {
        "config": "none",
        "from_scratch": True,
        "text_format": "quatrain",
        "train_file": write_rows(tmp_path / "poems.csv", [*poems, "山高，水低。"]),
        "cache_dir": tmp_path / "cache",
        "output_dir": tmp_path / "out",
        "publish_dir": tmp_path / "model",
        "learning_rate": 1e-2,
        "max_steps": 12,
        "eval_steps": 12,
        "save_steps": 12,
        "validation_size": 12,
        "sample_prompts": ["春日云山水"],
    }
    assert finetune_here(**settings) == 0
    out = capsys.readouterr().out
    samples = [line.strip() for line in out.splitlines() if line.startswith("  春日云山水，")]
    assert len(samples) == 2 and all(poem_violations(poem) == [] for poem in samples)
    assert f"1 {WRONG_SHAPE}" in out and "generated" in out
    metrics = json.loads((tmp_path / "model/metrics.json").read_text(encoding="utf-8"))
    assert {"lower_accuracy", "generation_bleu"} <= metrics.keys()
    assert "A prompt is a first line\nand `，`" in (tmp_path / "model/README.md").read_text(encoding="utf-8")
    (tmp_path / "first_lines.txt").write_text("\n".join(first_lines(20)) + "\n", encoding="utf-8")
    words = ("--model_name_or_path", tmp_path / "model", "--prompts_file", tmp_path / "first_lines.txt")
    assert run_generate.main([*map(str, words), "--output_file", str(tmp_path / "poems.txt")]) == 0
    written = (tmp_path / "poems.txt").read_text(encoding="utf-8").splitlines()
    assert [poem.split("，")[0] for poem in written] == first_lines(20)
    assert [poem for poem in written if poem_violations(poem)] == []
