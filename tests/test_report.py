"""The reports: what they say, and that no text of the data can act in them."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from recipe.evaluating.figures import CATALOGUE, GROUPS
from recipe.evaluating.report import escape_markdown, format_value, html_report, markdown_report, summary

HOSTILE = "<script>alert('天')</script>|`*_[x](javascript:y)"


def make_results(**changes) -> dict:
    def cell(value):
        return {"value": value, "low": value - 1, "high": value + 1}

    results = {
        "system": {
            "name": HOSTILE,
            "runs": 2,
            "seeds": [42, 43],
            "decoding": {"do_sample": True, "temperature": 0.7},
            "efficiency": {},
        },
        "baseline": None,
        "data": {
            "test_files": [f"{HOSTILE}.csv"],
            "rows": 10,
            "upper_lines": 8,
            "references_mean": 1.25,
            "references_most": 3,
            "train_files": ["train.csv"],
            "train_couplets": 1000,
            "leaks": {"upper_lines": 2, "lower_lines": 3, "couplets": 1},
        },
        "figures": {
            "bleu4": {"model": cell(1.5) | {"runs": [1.4, 1.6]}, "chance": cell(0.1), "unseen": cell(1.2)},
            "form": {"model": cell(99.0), "human": cell(98.5), "chance": cell(60.0)},
            "parallelism": {"model": cell(1.0), "human": cell(1.25), "chance": cell(-0.8)},
            "distinct2": {"model": {"value": 80.0}, "human": {"value": 79.0}},
            "perplexity": {"model": {"value": None, "low": None, "high": None}},
            "label_<b>": {"model": cell(5.0)},
        },
        "separation": [{"figure": "parallelism", "human": 1.25, "chance": -0.8, "auc": 0.98, "kept": True}],
        "by_length": [
            {"shortest": 1, "longest": 4, "upper_lines": 0},
            {"shortest": 5, "longest": 5, "upper_lines": 8, "form": 99.0, "parallelism": -0.2},
        ],
        "histogram": {"edges": [-1.0, 0.0, 1.0], "shares": {"model": [0.5, 0.5], "human": [0.0, 1.0]}},
        "signatures": {"bleu4": "nrefs:var|tok:zh"},
        "samples": [{"upper": HOSTILE, "model": "红日", "human": "乌云", "chance": ""}],
        "notes": [f"note {HOSTILE}"],
        "settings": {"test_file": [HOSTILE], "bootstrap_samples": 1000},
    }
    return results | changes


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("href", "src", "srcset", "action")]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.text.append(data)


def test_page_is_self_contained_and_runs_nothing():
    html = html_report(make_results())
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "b", "object"} & set(page.tags)
    assert page.addresses == []
    assert "@import" not in html and "url(" not in html
    assert page.tags.count("svg") >= 3


def test_page_shows_every_figure_with_its_definition_interval_and_runs():
    text = " ".join(Page(html_report(make_results())).text)
    for figure in CATALOGUE:
        if figure.key in make_results()["figures"]:
            assert figure.definition in text
    for part in (
        HOSTILE,
        "[0.50, 2.50]",
        "seeds 1.40 to 1.60",
        "2 test upper lines and 1 test couplets",
        "nrefs:var|tok:zh",
    ):
        assert part in text


def test_markdown_escapes_every_cell():
    markdown = markdown_report(make_results())
    assert "<script>" not in markdown
    assert escape_markdown(HOSTILE) in markdown
    assert "BLEU-4" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| BLEU")]
    assert all(row.replace("\\|", "").count("|") == 8 for row in rows)


@pytest.mark.parametrize("hostile", ["a|b", "<i>", "`x`", "a\nb", "*x*", "[t](u)", "&amp;"])
def test_escaped_markdown_holds_no_active_character(hostile):
    escaped = escape_markdown(hostile)
    assert "\n" not in escaped and "<" not in escaped
    assert all(escaped[place - 1] == "\\" for place, char in enumerate(escaped) if char in "|`*[]")


def test_reports_do_without_what_was_not_measured():
    bare = make_results(separation=[], by_length=[], histogram={}, signatures={}, notes=[])
    bare["system"] = {"name": "file", "runs": 1, "seeds": [], "decoding": None, "efficiency": {}}
    bare["data"] = bare["data"] | {"train_files": []}
    assert "from a file" in markdown_report(bare)
    assert "Training file" not in " ".join(Page(html_report(bare)).text)


def test_efficiency_is_told_of_each_system():
    measured = {
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "batch_size": 64,
        "load_seconds": 0.5,
        "couplets_per_second": 250.0,
        "tokens_per_second": 2000.0,
        "latency_p50_ms": 40.0,
        "latency_p95_ms": 60.0,
        "peak_memory_mib": 600.0,
        "parameters": 3_600_000,
        "weights_mib": 14.0,
    }
    results = make_results(baseline={"name": "other", "runs": 1, "seeds": [], "decoding": None, "efficiency": measured})
    for text in (markdown_report(results), " ".join(Page(html_report(results)).text)):
        assert "Efficiency of other" in text
        assert "3,600,000" in text
        assert f"Efficiency of {HOSTILE}" not in text


def test_summary_shows_main_figures_only():
    lines = summary(make_results()).splitlines()
    assert lines[0].split() == ["Model", "Human", "Chance", "Model,", "unseen"]
    assert any(line.startswith("BLEU-4") and "1.50 [0.50, 2.50]" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "unit", "shown"), [(9.994, "", "9.99"), (12.34, "%", "12.3%"), (-0.5, "nats", "-0.50"), (None, "", "–")]
)
def test_values_are_short(value, unit, shown):
    assert format_value(value, unit) == shown


def test_catalogue_is_consistent():
    assert {figure.group for figure in CATALOGUE} == set(GROUPS)
    assert len({figure.key for figure in CATALOGUE}) == len(CATALOGUE)
    assert all(figure.definition for figure in CATALOGUE)


def test_documentation_defines_every_figure():
    text = (Path(__file__).parents[1] / "docs/evaluation.md").read_text(encoding="utf-8")
    for figure in CATALOGUE:
        assert f"| {figure.label} | `{figure.key}` |" in text
        assert f"| {figure.better} | {figure.definition} |" in text
