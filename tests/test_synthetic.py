"""The synthetic corpus that ships: form, tones, distinctness, reproducibility, and its judgement of answers."""

from __future__ import annotations

import csv
import itertools
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import recipe
from recipe.couplet.form import form_violations, mark_positions, split_couplet
from recipe.couplet.tones import Tone, ToneSystem, last_tones_agree, rhythm_tones_opposed, tone_of
from recipe.errors import UserError
from recipe.synthetic import Couplet, capacity, chance_agreement, class_agreement, synthesize
from recipe.synthetic.__main__ import SHIPPED_ROWS, main
from recipe.synthetic.judging import find_pattern
from recipe.synthetic.lexicon import Side, load_lexicon
from recipe.synthetic.patterns import Pattern, load_patterns
from recipe.synthetic.synthesis import _spaces

DATA = Path(recipe.__file__).parent / "data"


def read_couplets(name: str) -> list[Couplet]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        texts = [row["text1"] for row in csv.DictReader(file)]
    halves = [split_couplet(text) for text in texts]
    return [Couplet(*pair) for pair in halves if pair is not None]


@pytest.fixture(scope="module")
def synthetic() -> list[Couplet]:
    return read_couplets("couplets.csv")


@pytest.fixture(scope="module")
def handwritten() -> list[Couplet]:
    return read_couplets("handwritten.csv")


def all_patterns() -> list[Pattern]:
    return [pattern for group in load_patterns() for pattern in group.patterns]


def test_every_shipped_couplet_keeps_the_form_and_ends_in_the_right_tones(synthetic, handwritten):
    made = set(synthetic)
    for upper, lower in synthetic + handwritten:
        assert form_violations(upper, lower) == [], (upper, lower)
        # The synthesizer's lines end rightly by either system; who writes by hand chooses one of them.
        systems = [last_tones_agree(upper, lower, system) for system in ToneSystem]
        assert all(systems) if Couplet(upper, lower) in made else any(systems), (upper, lower)


def test_tones_within_the_lines_are_opposed_about_as_often_as_humans_oppose_them(synthetic):
    opposed = sum(any(rhythm_tones_opposed(*couplet, system) for system in ToneSystem) for couplet in synthetic)
    assert opposed / len(synthetic) > 0.9


def test_shipped_couplets_are_many_distinct_and_small(synthetic, handwritten):
    assert len(synthetic) == SHIPPED_ROWS
    assert len(handwritten) >= 1_500
    assert len({couplet.upper for couplet in handwritten}) == len(handwritten)
    assert len(set(synthetic + handwritten)) == len(synthetic) + len(handwritten)
    # Held-out rows are chosen by upper line: most must be unique, a few with several answers show that answers vary.
    assert 0.85 < len({couplet.upper for couplet in synthetic}) / len(synthetic) < 0.99
    assert sum((DATA / name).stat().st_size for name in ("couplets.csv", "handwritten.csv")) < 2 * 1024**2


def test_shipped_lines_have_many_lengths_and_seven_is_the_commonest(synthetic):
    shares = dict.fromkeys(range(3, 24), 0.0)
    for upper, _ in synthetic:
        shares[len(upper) - len(mark_positions(upper))] += 1 / len(synthetic)
    assert max(shares, key=lambda length: shares[length]) == 7
    assert 0.4 < shares[7] < 0.6
    assert sum(share > 0.005 for share in shares.values()) >= 9
    assert 0.2 < sum(bool(mark_positions(upper)) for upper, _ in synthetic) / len(synthetic) < 0.4


def test_shipped_file_is_what_the_synthesizer_writes_by_default(tmp_path, capsys):
    target = tmp_path / "couplets.csv"
    assert main(["--output_file", str(target)]) == 0
    assert target.read_bytes() == (DATA / "couplets.csv").read_bytes()
    assert f"{SHIPPED_ROWS:,} couplets" in capsys.readouterr().out


def test_command_line_writes_the_rows_asked_for(tmp_path):
    target = tmp_path / "few.csv"
    command = [sys.executable, "-m", "recipe.synthetic", "--rows", "12", "--seed", "3", "--output_file", str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    expected = [f"{upper}-{lower}" for upper, lower in synthesize(12, seed=3)]
    assert target.read_text(encoding="utf-8").splitlines() == ["text1", *expected]


@pytest.mark.parametrize("rows", ["0", "-1", str(10**18)])
def test_numbers_of_rows_that_cannot_be_synthetic_are_refused(rows, tmp_path):
    with pytest.raises(UserError, match="--rows"):
        main(["--rows", rows, "--output_file", str(tmp_path / "none.csv")])
    assert not list(tmp_path.iterdir())


def test_help_and_messages_are_chinese_where_that_is_asked_for(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--help", "--language", "zh"])
    page = capsys.readouterr().out
    assert "写多少副对联（默认：5000）" in page and "default" not in page
    assert main(["--language=zh", "--rows", "2", "--output_file", str(tmp_path / "a.csv")]) == 0
    assert capsys.readouterr().out.startswith("已将 2 副对联写入")
    with pytest.raises(SystemExit):
        main(["--language", "zh", "--rows", "many"])
    assert "值 'many' 不是合法的 int" in capsys.readouterr().err


def test_same_seed_same_couplets_and_longer_streams_begin_with_shorter_ones():
    assert list(synthesize(500, seed=1)) == list(itertools.islice(synthesize(9_000, seed=1), 500))
    assert list(synthesize(500, seed=1)) != list(synthesize(500, seed=2))


def test_patterns_hold_more_couplets_than_the_largest_run_needs():
    assert capacity() >= 20_000_000
    with pytest.raises(ValueError, match="certain to hold"):
        synthesize(capacity() + 1, seed=0)


def test_a_hundred_thousand_couplets_are_distinct_and_quick():
    start = time.process_time()
    couplets = list(synthesize(100_000, seed=11))
    seconds = time.process_time() - start
    assert len(set(couplets)) == 100_000
    assert seconds < 10  # 0.5 s on an idle core: ten million rows take about a minute


def test_a_walk_through_a_small_pattern_gives_each_of_its_couplets_once():
    space = min((space for space, _ in _spaces()), key=lambda space: space.size)
    walked = list(space.walk(random.Random(5)))
    assert len(walked) == len(set(walked))
    assert set(walked) == {space.couplet(number) for number in range(space.size)} - {None}


def spells_same_line(first: Pattern, second: Pattern) -> bool:
    """Whether some line fits both patterns: walk both at once, with what one is ahead of the other as the state.

    Repeated words are taken as free, so this may only say yes too often.
    """

    def words(pattern: Pattern) -> list[set[str]]:
        by_slot = [{word for side in slot.sides for word in slot.word_class.sides[side]} for slot in pattern.slots]
        return [{item} if isinstance(item, str) else by_slot[item] for item in pattern.layout]

    rows = words(first), words(second)
    states = {(0, 0, "", 0)}  # words used of each pattern, the text that one of them is ahead, and which one
    while states:
        reached = set()
        for used_first, used_second, ahead, leader in states:
            used = [used_first, used_second]
            follower = 1 - leader
            if used[follower] == len(rows[follower]):
                if not ahead and used[leader] == len(rows[leader]):
                    return True
                continue
            used[follower] += 1
            for word in rows[follower][used[follower] - 1]:
                if word.startswith(ahead):
                    reached.add((*used, word[len(ahead) :], follower))
                elif ahead.startswith(word):
                    reached.add((*used, ahead[len(word) :], leader))
        states = reached
    return False


def test_no_line_can_come_from_two_patterns():
    """What makes synthetic couplets distinct without remembering them, and the judge's segmentation unique."""
    by_shape = itertools.groupby(sorted(all_patterns(), key=lambda pattern: pattern.shape), key=lambda p: p.shape)
    for _, group in by_shape:
        for first, second in itertools.combinations(list(group), 2):
            assert not spells_same_line(first, second), (
                first.layout,
                [slot.word_class.name for slot in first.slots],
                [slot.word_class.name for slot in second.slots],
            )


def test_words_have_the_tone_of_their_side():
    for word_class in load_lexicon().values():
        for side, tone in ((Side.OBLIQUE, Tone.OBLIQUE), (Side.LEVEL, Tone.LEVEL)):
            for word in word_class.sides[side]:
                fits = [bool(tone_of(word[-1], system) & tone) for system in ToneSystem]
                assert any(fits), word
                assert all(fits) or word not in word_class.closing[side], word


def test_every_word_class_is_used_and_small_enough_to_be_learnt():
    used = {slot.word_class.name for pattern in all_patterns() for slot in pattern.slots}
    assert used == set(load_lexicon())
    assert max(len(words) for word_class in load_lexicon().values() for words in word_class.sides.values()) <= 12


def test_synthetic_answers_agree_in_every_word_and_others_hardly_ever(synthetic):
    judged = [class_agreement(*couplet) for couplet in synthetic]
    assert all(words == agreeing > 0 for words, agreeing in judged)
    assert chance_agreement(synthetic) < 0.25


def test_class_agreement_counts_words():
    upper = "春风陌上催红杏"
    pattern = find_pattern(upper)
    assert pattern is not None
    assert [upper[start:end] for _, start, end in pattern.spans()] == ["春风", "陌上", "催", "红杏"]
    assert class_agreement(upper, "细雨庭前润桃花") == (4, 4)
    assert class_agreement(upper, "细雨庭前润杏花") == (4, 3)  # 杏花 is no word of the lexicon
    assert class_agreement(upper, "清风庭前润桃花") == (4, 3)  # 清风 has the tone of 春风: it answers others
    assert class_agreement(upper, "") == (4, 0)
    assert class_agreement("这一行不是作出来的", "那两句原从别处抄来") == (0, 0)
