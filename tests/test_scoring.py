"""Scoring with small metrics made here, the registry, and the documentation that is made from it."""

import re
from pathlib import Path

import numpy as np
import pytest

from recipe.evaluating import testset
from recipe.evaluating.evaluation import leaks
from recipe.evaluating.resampling import Bootstrap
from recipe.evaluating.scoring import System, score
from recipe.metrics.__main__ import PAGES, with_tables
from recipe.metrics.base import ANSWERS, PREDICTIONS, REFERENCES, UPPERS, LeftOutError, LineMetric
from recipe.metrics.diversity import DistinctCharacters, TrainingMemory
from recipe.metrics.figure import Better, Figure, Group
from recipe.metrics.material import Material, TrainingFile
from recipe.metrics.registry import METRICS
from recipe.settings import EvaluationSettings

TEST_SET = testset.TestSet(
    uppers=["青山", "白雪", "远水流", "古树，高山"],
    references=[["红日", "乌云"], ["高天"], ["新花落"], ["轻风，起云"]],
    rows=["青山", "白雪", "远水流", "古树，高山"],
    rejected={},
)
SYSTEMS = {
    "model": System("m", [["红日", "红天", "新花", ""], ["乌云", "高天", "新花落", "风"]]),
    "baseline": System("b", [["日", "天", "花", "风"]]),
    "references": System("references", [TEST_SET.first_references]),
    "chance": System("chance", [["高天", "红日", "轻风起", "新花落"]]),
}
TRAINING = TrainingFile(["青山", "东海", "东海"], ["红日", "高天", "轻风"])


def figure(key: str, **flags) -> Figure:
    return Figure(key, key.title(), Group.FORM, f"what {key} is", **flags)


class Characters(LineMetric):
    """Mean characters of a line."""

    inputs = (PREDICTIONS,)
    figures = (figure("characters", is_by_length=True, is_main=True),)

    def line_statistics(self, *, predictions):
        return np.asarray([[len(line), 1.0] for line in predictions])

    def values(self, sums):
        return {"characters": sums[0] / sums[1]}


class Hits(LineMetric):
    """Percentage of lines that are references."""

    inputs = (PREDICTIONS, REFERENCES)
    figures = (figure("hits"),)

    def line_statistics(self, *, predictions, references):
        return np.asarray([[line in known, 1.0] for line, known in zip(predictions, references, strict=True)])

    def values(self, sums):
        return {"hits": 100 * sums[0] / sums[1]}


class Separating(Characters):
    """A metric of pairs that is dropped where it does not tell references from chance."""

    inputs = (PREDICTIONS, UPPERS)
    figures = (figure("separating"),)
    must_separate = is_plotted = True
    pairs = frozenset(zip(TEST_SET.uppers, TEST_SET.first_references, strict=True))

    def line_statistics(self, *, predictions, uppers):
        known = zip(uppers, predictions, strict=True)
        return np.asarray([[(upper, line) in self.pairs, 1.0] for upper, line in known], dtype=float)

    def values(self, sums):
        return {"separating": 100 * sums[0] / sums[1]}


class Blind(Separating):
    """A metric that cannot tell anything."""

    figures = (figure("blind"),)
    is_plotted = False

    def line_statistics(self, *, predictions, uppers):
        return np.ones((len(predictions), 2))

    def values(self, sums):
        return {"blind": sums[0] / sums[1]}


def scored(*metrics, training_file=None, same_shape=(True,) * 4, **changes):
    material = Material(EvaluationSettings(), training_file)
    return score(metrics, material, TEST_SET, SYSTEMS | changes, same_shape, Bootstrap(50, seed=1))


def test_every_system_gets_its_figures_of_all_runs_and_of_each():
    table = scored(Characters)["figures"]["characters"]
    assert set(table) == {"model", "baseline", "references", "chance", "difference"}
    assert table["model"]["value"] == 14 / 8 and table["model"]["runs"] == [6 / 4, 8 / 4]
    assert table["baseline"]["value"] == 1 and "runs" not in table["baseline"]
    assert table["references"]["value"] == 12 / 4
    assert table["difference"]["value"] == 14 / 8 - 1
    assert table["model"]["low"] <= table["model"]["value"] <= table["model"]["high"]


def test_references_are_compared_with_each_other_and_it_is_said_on_how_many():
    table = scored(Hits)["figures"]["hits"]
    # Only 青山 has two lower lines, and the first is not the second.
    assert table["references"]["upper_lines"] == 1 and table["references"]["value"] == 0
    assert table["model"]["value"] == 100 * 4 / 8 and "upper_lines" not in table["model"]


def test_lengths_count_marks_and_hold_their_own_lines_only():
    rows = scored(Characters, Hits)["by_length"]
    assert [row["upper_lines"] for row in rows] == [3, 1, 0, 0, 0, 0]
    assert [row["figures"] for row in rows[:3]] == [{"characters": 13 / 6}, {"characters": 1 / 2}, {}]


def test_unseen_lines_are_those_that_the_training_file_lacks():
    table = scored(Characters, training_file=TRAINING)["figures"]["characters"]
    assert table["unseen"]["value"] == (14 - 4) / 6
    everything = TrainingFile(TEST_SET.uppers, TEST_SET.uppers)
    found = scored(Characters, training_file=everything)
    assert "unseen" not in found["figures"]["characters"] and "none is unseen" in found["notes"][0]


def test_scores_that_do_not_separate_are_dropped_and_said():
    found = scored(Separating, Blind)
    assert [(row["figure"], row["auc"], row["kept"]) for row in found["separation"]] == [
        ("separating", 1.0, True),
        ("blind", 0.5, False),
    ]
    assert found["separation"][0]["references"] == 100 and found["separation"][0]["chance"] == 0
    assert "separating" in found["figures"] and "blind" not in found["figures"]
    assert {description["key"] for description in found["descriptions"]} == {"separating", "blind"}
    assert found["histogram"]["figure"] == "separating"
    assert [sum(shares) for shares in found["histogram"]["shares"].values()] == pytest.approx([1] * 4)
    nothing = scored(Separating, same_shape=(False,) * 4)
    assert nothing["figures"] == {} and "no chance line has the shape" in nothing["notes"][0]


def test_only_chance_lines_of_the_right_shape_take_part_in_the_separation():
    chance = System("chance", [["红日", "红日", "轻风起", "新花落"]])  # the first is the reference itself
    assert scored(Separating, chance=chance)["separation"][0]["auc"] < 1
    assert scored(Separating, chance=chance, same_shape=(False, True, True, True))["separation"][0]["auc"] == 1


def test_a_value_that_nobody_defines_is_an_error():
    class Undeclared(Characters):
        """A metric that declares less than it computes."""

        def values(self, sums):
            return super().values(sums) | {"extra": 1.0}

    with pytest.raises(LookupError, match="Undeclared computes 'extra' but declares no figure of that name"):
        scored(Undeclared)


def test_what_a_metric_lacks_is_said_and_the_others_go_on():
    class Lacking(Characters):
        """A metric that needs something."""

        figures = (figure("lacking"),)

        @classmethod
        def made_of(cls, material):
            raise LeftOutError("needs a thing")

    class Unasked(Lacking):
        """A metric that nobody asked for."""

        @classmethod
        def made_of(cls, material):
            return None

    found = scored(Lacking, Unasked, Characters)
    assert list(found["figures"]) == ["characters"] and found["notes"] == ["needs a thing"]


def test_chance_lines_are_not_looked_up_where_they_come_from():
    found = scored(TrainingMemory, training_file=TRAINING)["figures"]
    assert set(found["memorised_lines"]) == {"model", "baseline", "references", "difference", "unseen"}
    assert found["memorised_lines"]["references"]["value"] == 100 * 2 / 4
    assert found["memorised_pairs"]["references"]["value"] == 100 * 1 / 4
    assert scored(TrainingMemory)["figures"] == {}


def test_figures_of_whole_corpora_are_means_over_runs():
    cell = scored(DistinctCharacters)["figures"]["distinct1"]["model"]
    # 红日 红天 新花: five different characters of six. 乌云 高天 新花落 风: all eight differ.
    runs = [100 * 5 / 6, 100.0]
    assert cell == {"value": pytest.approx(np.mean(runs))}


def test_several_answers_are_all_runs_of_a_machine_and_all_references():
    taken = {}

    class Count(Characters):
        """How many answers there are."""

        inputs = (ANSWERS,)

        def line_statistics(self, *, answers):
            taken[len(taken)] = answers
            return np.ones((len(answers), 2))

    assert set(scored(Count)["figures"]["characters"]) == {"model", "references"}
    assert taken == {0: [["红日", "乌云"], ["红天", "高天"], ["新花", "新花落"], ["", "风"]], 1: TEST_SET.references}


def test_leaks_by_hand():
    # 青山 stands there with 红日, one of its two lower lines; 高天 stands there as the answer to another upper line.
    assert leaks(TEST_SET, TRAINING) == {"upper_lines": 1, "lower_lines": 2, "couplets": 1}
    # The second known lower line of an upper line leaks as the first does.
    second = TrainingFile(["青山"], ["乌云"])
    assert leaks(TEST_SET, second) == {"upper_lines": 1, "lower_lines": 1, "couplets": 1}


def test_chance_takes_training_lines_of_the_shape_that_are_no_known_answer():
    lines, same_shape = testset.chance_lines(TEST_SET, TRAINING, seed=0)
    assert set(lines[:2]) <= {"红日", "高天", "轻风"} and lines[0] != "红日" and lines[1] != "高天"
    assert same_shape == [True, True, False, False]
    assert testset.shape_of("青山，") != testset.shape_of("青，山")


# --- the registry -----------------------------------------------------------------------------------------------------


def declared() -> list[Figure]:
    return [figure for metric in METRICS for figure in metric.figures]


def test_every_figure_is_declared_once_and_completely():
    figures = declared()
    assert len({figure.key for figure in figures}) == len(figures)
    assert all(figure.label and figure.definition for figure in figures)
    assert {figure.group for figure in figures} == set(Group)
    assert all(metric.figures and metric.inputs and metric.__doc__ for metric in METRICS)
    assert {figure.key for figure in figures if figure.better is Better.NEITHER} == {"seven_lines"}


def test_the_headline_and_the_table_of_lengths_are_these():
    assert [figure.key for figure in declared() if figure.is_main] == [
        "bleu4",
        "bleu1_without_marks",
        "bleu2_without_marks",
        "bleu4_without_marks",
        "form",
        "last_tone_either",
        "seven_tones_either",
        "loss_per_character",
        "perplexity",
        "parallelism",
        "distinct2",
        "memorised_lines",
    ]
    by_length = [figure.key for figure in declared() if figure.is_by_length]
    assert by_length == ["bleu2", "form", "loss_per_character", "parallelism"]


@pytest.mark.parametrize("metric_class", METRICS, ids=lambda metric: metric.__name__)
def test_every_metric_describes_itself_to_the_library(metric_class, monkeypatch):
    monkeypatch.setattr(metric_class, "__init__", lambda self: None)
    info = metric_class()._info()
    features = info.features if isinstance(info.features, list) else [info.features]
    assert all(list(each) == [given.name for given in metric_class.inputs] for each in features)
    assert info.description and info.inputs_description


@pytest.mark.parametrize(("language", "better"), [("en", "higher"), ("zh", "越高越好")])
def test_the_documentation_is_what_the_metrics_say(language, better):
    page = PAGES[language].read_text(encoding="utf-8")
    assert with_tables(page, language) == page, "run: python -m recipe.metrics"
    assert f"| BLEU-4 | `bleu4` | – | {better} |" in page and page.count("\n### ") >= len(Group)


def test_the_documented_metric_works():
    page = (Path(__file__).parents[1] / "docs/evaluation.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "class FirstCharacter" in block]
    names: dict = {}
    exec(code, names)
    table = scored(names["FirstCharacter"])["figures"]["first_character"]
    assert table["model"]["runs"] == [100 * 2 / 4, 100 * 3 / 4]
    # In use by itself, too.
    assert names["FirstCharacter"]().compute(predictions=["红"], references=["红日"]) == {"first_character": 100.0}
