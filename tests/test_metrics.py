"""Each metric against the library that it rests on, and against values worked out by hand."""

import math
from itertools import zip_longest

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from recipe.couplet.parallelism import CharacterAssociation, shipped_association
from recipe.errors import UserError
from recipe.evaluating.resampling import Bootstrap, area_under_curve
from recipe.metrics.accuracy import TokenAccuracy
from recipe.metrics.base import MissingExtraError, import_extra
from recipe.metrics.bleu import CharacterBleu, CharacterBleuWithoutMarks
from recipe.metrics.chrf import CharacterChrf
from recipe.metrics.diversity import DistinctCharacters, SelfBleu, TrainingMemory
from recipe.metrics.form import FormAgreement
from recipe.metrics.likelihood import ReferenceLikelihood
from recipe.metrics.meteor import EmptyWordNet, ExactMeteor, IdentityStemmer
from recipe.metrics.parallelism import LearnedParallelism, PartOfSpeechAgreement
from recipe.metrics.rouge import CharacterRouge, Characters
from recipe.metrics.safety import ListedWords
from recipe.metrics.timing import GenerationTiming

# Lines with and without marks, empty ones, one character, rare and foreign characters, one or several references.
PREDICTIONS = ["松间听细雨，竹下看闲云", "灯火照归人", "", "月", "甲乙丙丁", "𠀀字生僻", "三3A混", "，。"]
REFERENCES = [
    ["松下听微雨，竹间看白云", "石上观流水，林中采落花"],
    ["灯花照远人"],
    ["花开"],
    ["月", "星", "云"],
    ["甲乙丙戊"],
    ["𠀀字难识", "𠀁字生僻"],
    ["三人混迹"],
    ["，。"],
]
FIRST_REFERENCES = [lines[0] for lines in REFERENCES]
STREAMS = [list(stream) for stream in zip_longest(*REFERENCES)]
# One line of four characters, three of them right, the last one wrong.
ONE_WRONG = {"predictions": ["甲乙丙丁"], "references": [["甲乙丙戊"]]}
OVERLAP_METRICS = (
    CharacterBleu,
    CharacterBleuWithoutMarks,
    CharacterChrf,
    CharacterRouge,
    ExactMeteor,
)


def test_bleu_is_sacrebleus():
    ours = CharacterBleu().compute(predictions=PREDICTIONS, references=REFERENCES)
    for order in (1, 2, 3, 4):
        theirs = BLEU(tokenize="zh", max_ngram_order=order)
        assert ours[f"bleu{order}"] == theirs.corpus_score(PREDICTIONS, STREAMS).score
    assert ours["score"] == ours["bleu4"]
    assert ours["signature"] == str(theirs.get_signature())
    assert "nrefs:var" in ours["signature"]


def test_bleu_by_hand():
    result = CharacterBleu().compute(**ONE_WRONG)
    assert [result[f"precision{order}"] for order in (1, 2, 3)] == pytest.approx([75, 200 / 3, 50])
    assert result["bleu2"] == pytest.approx(100 * math.sqrt(3 / 4 * 2 / 3))
    # The only 4-gram is wrong: sacrebleu's smoothing counts it as half of a hit.
    assert result["bleu4"] == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)


def test_bleu_of_a_short_answer_pays_the_brevity_penalty():
    result = CharacterBleu().compute(predictions=["甲乙"], references=["甲乙丙丁"])
    assert result["bleu1"] == pytest.approx(100 * math.exp(1 - 4 / 2))


def test_bleu_without_punctuation_is_that_of_the_bare_lines():
    bare = [line.replace("，", "").replace("。", "") for line in PREDICTIONS]
    bare_references = [[line.replace("，", "").replace("。", "") for line in lines] for lines in REFERENCES]
    ours = CharacterBleuWithoutMarks().compute(predictions=PREDICTIONS, references=REFERENCES)
    theirs = CharacterBleu().compute(predictions=bare, references=bare_references)
    assert ours["score"] == ours["bleu4_without_marks"] == theirs["score"]
    assert [ours[f"bleu{order}_without_marks"] for order in (1, 2, 3)] == [
        theirs[f"bleu{order}"] for order in (1, 2, 3)
    ]


def test_bleu_takes_single_references_and_batches():
    metric = CharacterBleu()
    metric.add_batch(predictions=PREDICTIONS[:3], references=FIRST_REFERENCES[:3])
    metric.add_batch(predictions=PREDICTIONS[3:], references=FIRST_REFERENCES[3:])
    expected = BLEU(tokenize="zh").corpus_score(PREDICTIONS, [FIRST_REFERENCES]).score
    assert metric.compute()["score"] == expected


def test_chrf_is_sacrebleus():
    ours = CharacterChrf().compute(predictions=PREDICTIONS, references=REFERENCES)
    theirs = CHRF(char_order=2)
    assert ours["chrf"] == theirs.corpus_score(PREDICTIONS, STREAMS).score
    assert ours["signature"] == str(theirs.get_signature())


def test_chrf_by_hand():
    # Precision and recall are equal for both orders, so the F-score is their mean whatever beta is.
    assert CharacterChrf().compute(**ONE_WRONG)["chrf"] == pytest.approx(100 * (3 / 4 + 2 / 3) / 2)


def test_rouge_is_rouge_scores():
    scorer = import_extra("rouge_score.rouge_scorer").RougeScorer(
        ["rouge1", "rouge2", "rougeL"], tokenizer=Characters()
    )
    theirs = [scorer.score_multi(lines, line) for lines, line in zip(REFERENCES, PREDICTIONS, strict=True)]
    ours = CharacterRouge().compute(predictions=PREDICTIONS, references=REFERENCES)
    assert ours["rouge1"] == pytest.approx(100 * np.mean([score["rouge1"].fmeasure for score in theirs]))
    assert ours["rougeL"] == pytest.approx(100 * np.mean([score["rougeL"].fmeasure for score in theirs]))
    with_bigram = [
        score["rouge2"].fmeasure for lines, score in zip(REFERENCES, theirs, strict=True) if lines[0] != "月"
    ]
    assert ours["rouge2"] == pytest.approx(100 * np.mean(with_bigram))


def test_rouge_by_hand():
    result = CharacterRouge().compute(**ONE_WRONG)
    assert result == pytest.approx({"rouge1": 75, "rouge2": 200 / 3, "rougeL": 75})


def test_meteor_is_nltks():
    meteor = import_extra("nltk.translate.meteor_score").meteor_score
    options = {"stemmer": IdentityStemmer(), "wordnet": EmptyWordNet()}
    theirs = [
        meteor([list(line) for line in lines], list(prediction), **options)
        for lines, prediction in zip(REFERENCES, PREDICTIONS, strict=True)
    ]
    ours = ExactMeteor().compute(predictions=PREDICTIONS, references=REFERENCES)
    assert ours["meteor"] == pytest.approx(100 * np.mean(theirs))


def test_meteor_by_hand():
    result = ExactMeteor().compute(**ONE_WRONG)
    # Precision = recall = 3/4; three matches in one chunk: penalty 0.5 * (1/3)^3.
    assert result["meteor"] == pytest.approx(100 * 0.75 * (1 - 0.5 / 27))
    assert result["meteor_of_reference"] == pytest.approx(result["meteor"] / (1 - 0.5 / 64))


@pytest.mark.parametrize("make_metric", OVERLAP_METRICS)
def test_references_against_themselves_get_100(make_metric):
    lines = [line for line in FIRST_REFERENCES if line != "，。"]
    result = make_metric().compute(predictions=lines, references=[[line] for line in lines])
    unlike_100 = ("signature", "brevity_penalty", "brevity_penalty_without_marks", "meteor")
    figures = [value for name, value in result.items() if name not in unlike_100]
    assert figures == pytest.approx([100.0] * len(figures))


def test_missing_extra_names_the_installation():
    with pytest.raises(MissingExtraError, match=r"no_such_package is not installed; run: pip install .*\[eval\]"):
        import_extra("no_such_package")


def test_accuracy_adds_hits_and_counts():
    metric = TokenAccuracy()
    metric.add_batch(predictions=np.array([5, 6, 7]), references=np.array([5, -100, 8]))
    metric.add_batch(predictions=[9], references=[9])
    assert metric.compute() == {"accuracy": 2 / 3, "hits": 2, "count": 3}
    assert metric.compute(predictions=[1], references=[-100]) == {"accuracy": 0.0, "hits": 0, "count": 0}


def test_likelihood_weighs_characters():
    result = ReferenceLikelihood().compute(losses=[1.0, 8.0], characters=[1, 2])
    assert result == pytest.approx({"loss_per_character": 3.0, "perplexity": math.exp(3.0)})


def test_form_rules():
    uppers = ["年年风雨过，处处", "春风", "春风", "春风", "春"]
    lowers = ["岁岁雪霜来，家家", "秋雨落", "春雨", "[UNK]", "秋"]
    result = FormAgreement().compute(predictions=lowers, uppers=uppers)
    assert result["form"] == pytest.approx(40)
    assert result["form_length"] == pytest.approx(60)
    assert result["form_shared_character"] == pytest.approx(80)
    assert result["form_foreign_character"] == pytest.approx(80)
    assert result["seven_lines"] == 0
    assert "seven_tones_either" not in result


def test_form_tones_of_seven_characters():
    # 仄仄平平平仄仄 answered by 平平仄仄仄平平 in both systems: positions 2, 4, 6, 7 are opposed.
    upper, lower = "万里江山如画境", "千年岁月似诗篇"
    result = FormAgreement().compute(predictions=[lower, upper], uppers=[upper, lower])
    assert result["seven_lines"] == 2
    assert result["seven_tones_modern"] == result["seven_tones_ancient"] == 100
    assert result["last_tone_modern"] == result["last_tone_either"] == 50


def test_distinct_by_hand():
    result = DistinctCharacters().compute(predictions=["甲乙，甲", "甲乙"])
    assert result == pytest.approx({"distinct1": 100 * 2 / 5, "distinct2": 100 * 2 / 3})


def test_self_bleu():
    metric = SelfBleu()
    assert metric.compute(answers=[["甲乙丙", "甲乙丙"], ["丁"]])["self_bleu"] == pytest.approx(100)
    assert metric.compute(answers=[["甲乙丙", "丁戊己"]])["self_bleu"] == pytest.approx(0)


def test_memory_tells_lines_from_pairs():
    metric = TrainingMemory({"秋雨"}, {("春风", "秋雨")})
    result = metric.compute(predictions=["秋雨", "秋雨", "冬雪", "夏日"], uppers=["春风", "东山", "春风", "南江"])
    assert result == {"memorised_lines": 50, "memorised_pairs": 25}


def test_listed_words_are_found_across_marks():
    result = ListedWords(["坏话"]).compute(predictions=["不说坏话", "坏，话", "好话"])
    assert result["listed_words"] == pytest.approx(200 / 3)


def test_timing_by_hand():
    result = GenerationTiming().compute(seconds=[1.0, 3.0], couplets=[10, 30], tokens=[80, 240])
    assert result["couplets_per_second"] == 10
    assert result["tokens_per_second"] == 80
    assert result["latency_p50_ms"] == 2000
    assert result["latency_p95_ms"] == pytest.approx(2900)


@pytest.fixture
def association() -> CharacterAssociation:
    return CharacterAssociation.learn(["天，"] * 5 + ["山，"] * 5 + ["不等"], ["地，"] * 5 + ["水，"] * 5 + ["不"])


def test_association_by_hand(association):
    # Five of ten positions are 天-地: seen 5 times, expected 5 * 5 / 10; never 天-水.
    assert association.score("天", "地") == pytest.approx(math.log(5.5 / 3))
    assert association.score("天", "水") == pytest.approx(math.log(0.5 / 3))
    assert association.score("天，山", "地，水") == pytest.approx(math.log(5.5 / 3))
    assert association.score("生", "僻") == 0
    assert association.score("天山", "地") == pytest.approx(math.log(5.5 / 3) / 2)
    assert association.score("，", "，") == association.score("", "") == 0


def test_association_needs_a_couplet():
    with pytest.raises(UserError, match="holds no couplet of equal lines"):
        CharacterAssociation.learn(["不等"], ["不"])


def test_a_table_of_parallelism_is_read_back_as_it_was_written(association, tmp_path):
    (tmp_path / "table.safetensors").write_bytes(association.to_bytes())
    read = CharacterAssociation.load(tmp_path / "table.safetensors")
    for name, values in vars(association).items():
        assert getattr(read, name).tolist() == values.tolist() and getattr(read, name).dtype == values.dtype
    uneven = CharacterAssociation.learn(["春", "春", "山"], ["秋", "秋", "水"])
    assert uneven.common(2).pair_counts.tolist() == [2]
    assert uneven.common(2).score("春", "秋") == uneven.score("春", "秋") > uneven.common(2).score("山", "水")


def test_the_table_that_ships_knows_what_answers_what():
    table = shipped_association()
    for upper, answer, other in [("春", "秋", "不"), ("山", "水", "又"), ("红", "绿", "谁"), ("千", "万", "人")]:
        assert table.score(upper, answer) > 0.5 > table.score(upper, other)


def test_learned_parallelism_is_the_mean_over_lines(association):
    result = LearnedParallelism(association).compute(predictions=["地", "水"], uppers=["天", "天"])
    assert result["parallelism"] == pytest.approx((math.log(5.5 / 3) + math.log(0.5 / 3)) / 2)


def test_part_of_speech_counts_the_upper_lines_characters():
    metric = PartOfSpeechAgreement()
    # 山 and 水 are nouns, 走 is a verb; the missing fourth position agrees with nothing.
    assert metric.compute(predictions=["水，走"], uppers=["山，山山"])["pos_character"] == pytest.approx(100 / 3)
    assert metric.compute(predictions=["水，水"], uppers=["山，山"])["pos_character"] == 100


def test_intervals_contain_the_figure_and_pairing_cancels_what_is_common():
    generator = np.random.default_rng(0)
    hits = (generator.random(400) < 0.3).astype(float)
    statistics = np.stack([hits, np.ones(400)], axis=1)

    def figures(sums):
        return {"share": sums[0] / sums[1]}

    bootstrap = Bootstrap(500, seed=1)
    interval = bootstrap.intervals(figures, statistics)["share"]
    assert interval == bootstrap.intervals(figures, statistics)["share"]
    # The normal approximation of a share of 0.3 on 400 lines is 1.96 * 0.023 wide on either side.
    assert interval.low == pytest.approx(interval.value - 0.045, abs=0.01)
    assert interval.high == pytest.approx(interval.value + 0.045, abs=0.01)
    shifted = statistics + np.array([0.1, 0.0])
    difference = bootstrap.differences(figures, shifted, statistics)["share"]
    assert difference == pytest.approx((0.1, 0.1, 0.1))


def test_intervals_are_percentiles_of_draws_with_replacement():
    """Of two lines, 0 and 1, a draw has mean 0, 1/2 or 1 with probability 1/4, 1/2, 1/4: the 95% interval is all."""
    statistics = np.array([[0.0, 1.0], [1.0, 1.0]])
    interval = Bootstrap(2000, seed=3).intervals(lambda sums: {"mean": sums[0] / sums[1]}, statistics)["mean"]
    assert interval == (0.5, 0.0, 1.0)
    # 100 ones among 200 lines: a draw's share has a standard deviation of 0.0354, so 95% lie within 0.069.
    many = np.repeat(statistics, 100, axis=0)
    share = Bootstrap(2000, seed=3).intervals(lambda sums: {"mean": sums[0] / sums[1]}, many)["mean"]
    assert (share.low, share.high) == pytest.approx((0.5 - 0.0693, 0.5 + 0.0693), abs=0.006)


def test_a_figure_that_a_draw_misses_takes_the_other_draws():
    statistics = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    values = Bootstrap(50, seed=0).intervals(lambda sums: {"x": 7.0} if sums[1] else {}, statistics)
    assert values["x"] == (7.0, 7.0, 7.0)


def test_area_under_curve_by_hand():
    # Of the six pairs three are won, one is a tie.
    assert area_under_curve(np.array([1.0, 2.0]), np.array([0.0, 1.0, 3.0])) == pytest.approx((1 + 0.5 + 2) / 6)
