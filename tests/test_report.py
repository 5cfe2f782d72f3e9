"""The reports: what they say, and that no text of the data can act in them."""

from html.parser import HTMLParser

import pytest

from recipe.evaluating.report import format_value, html_report, markdown_report, summary
from recipe.evaluating.results import Cell, Efficiency, Results, SystemDescription, no_scores, put
from recipe.metrics.figure import Figure, Group
from recipe.metrics.registry import METRICS
from recipe.templating import code_block, code_span, escape_markdown

HOSTILE = "<script>alert('天')</script>|`*_[x](javascript:y)&lt;b&gt;"
DECLARED = {figure.key: figure for metric in METRICS for figure in metric.figures}
MEASURED = Efficiency(
    device="cpu",
    dtype="float32",
    threads=2,
    batch_size=64,
    processes=1,
    load_seconds=0.5,
    couplets_per_second=250.0,
    tokens_per_second=2000.0,
    latency_p50_ms=40.0,
    latency_p95_ms=60.0,
    latency_calls=50,
    peak_memory_mib=600.0,
    parameters=3_600_000,
    weights_mib=14.0,
)


def described(name: str, **changes) -> SystemDescription:
    given = {"runs": 1, "seeds": [], "decoding": None, "efficiency": None, "outside_vocabulary": None}
    return SystemDescription(name=name, **given | changes)


def make_results(**changes) -> Results:
    def cell(value) -> Cell:
        return Cell(value=value, low=value - 1, high=value + 1)

    scores = no_scores()
    for key, row in {
        "bleu4": {"model": cell(1.5) | {"runs": [1.4, 1.6]}, "chance": cell(0.1), "unseen": cell(1.2)},
        "precision1": {"model": cell(33.0)},
        "form": {"model": cell(99.0), "references": cell(98.5), "chance": cell(60.0)},
        "perplexity": {"model": {"value": None, "low": None, "high": None}},
        "parallelism": {"model": cell(1.0), "references": cell(1.25), "chance": cell(-0.8)},
        "distinct2": {"model": {"value": 80.0}, "references": {"value": 79.0}},
        "label": {"model": cell(5.0)},
    }.items():
        figure = DECLARED.get(key) or Figure("label", HOSTILE, Group.SAFETY, f"label {HOSTILE}", "%")
        for column, found in row.items():
            put(scores, figure, column, found)
    results = Results(
        **scores,
        system=described(
            HOSTILE,
            runs=2,
            seeds=[42, 43],
            decoding={"do_sample": True, "temperature": 0.7},
            outside_vocabulary={"upper_lines": 6, "lower_lines": 4, "characters": 13},
        ),
        baseline=None,
        data={
            "test_files": [f"{HOSTILE}.csv"],
            "test_sha256": ["ab" * 32],
            "rows": 10,
            "rejected_rows": {},
            "upper_lines": 8,
            "references_mean": 1.25,
            "references_most": 3,
            "train_files": ["train.csv"],
            "train_couplets": 1000,
            "leaks": {"upper_lines": 2, "lower_lines": 3, "couplets": 1},
        },
        samples=[{"upper": HOSTILE, "model": "红日", "references": "乌云", "chance": ""}],
        settings={"test_file": [HOSTILE], "bootstrap_samples": 1000},
        timings={},
    )
    results["separation"] = [{"figure": "parallelism", "references": 1.25, "chance": -0.8, "auc": 0.98, "kept": True}]
    results["by_length"] = [
        {"shortest": 1, "longest": 4, "upper_lines": 0, "figures": {}},
        {"shortest": 5, "longest": 5, "upper_lines": 8, "figures": {"form": 99.0, "parallelism": -0.2}},
    ]
    shares = {"model": [0.5, 0.5], "references": [0.0, 1.0]}
    results["histogram"] = {"figure": "parallelism", "edges": [-1.0, 0.0, 1.0], "shares": shares}
    results["signatures"] = {"bleu4": "nrefs:var|tok:zh"}
    results["notes"] = [f"note {HOSTILE}"]
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


def test_page_shows_text_as_it_was_given():
    """A stranger's text reaches the name, a file, a label, a definition, a line, a note, a setting."""
    text = Page(html_report(make_results())).text
    assert sum(HOSTILE in part for part in text) >= 7
    assert [part for part in text if part.strip() == f"note {HOSTILE}"]


def test_page_shows_every_figure_with_its_definition_interval_and_runs():
    results = make_results()
    text = " ".join(Page(html_report(results)).text)
    for figure in results["descriptions"]:
        assert (figure["definition"] in text) == figure["is_shown"]
    for part in ("[0.50, 2.50]", "seeds 1.40 to 1.60", "2 test upper lines and 1 test couplets", "nrefs:var|tok:zh"):
        assert part in text


def test_a_figure_without_definition_is_an_error_and_never_left_out():
    results = make_results()
    results["figures"]["rhyme"] = {"model": Cell(value=3.0)}
    for show in (summary, markdown_report, html_report):
        with pytest.raises(LookupError, match="figures without definition: rhyme"):
            show(results)


def test_no_table_has_an_empty_header():
    results = make_results(baseline=described("other", efficiency=MEASURED))
    html = html_report(results)
    assert "<th></th>" not in html and "<thead><tr></tr></thead>" not in html
    for line in markdown_report(results).splitlines():
        assert line.replace(" ", "") not in ("||", "|||")


def test_markdown_escapes_every_cell():
    markdown = markdown_report(make_results())
    assert "<script>" not in markdown and HOSTILE not in markdown
    assert escape_markdown(HOSTILE) in markdown
    rows = [line.replace("\\|", "") for line in markdown.splitlines() if line.startswith("| BLEU")]
    header = next(line for line in markdown.splitlines() if line.startswith("| Figure"))
    assert len(rows) == 1 and rows[0].count("|") == header.count("|") == 8


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<i>", "&lt;i&gt;"),
        ("`x`", r"\`x\`"),
        ("a\nb", "a b"),
        ("*x*", r"\*x\*"),
        ("[t](u)", r"\[t\](u)"),
        ("&amp;", "&amp;amp;"),
        ("$x$ ~y~ #1 _a_", r"\$x\$ \~y\~ \#1 \_a\_"),
        ("--listed_words", "--listed_words"),
        ("\\", "\\\\"),
    ],
)
def test_escaped_markdown_shows_the_text_itself(text, shown):
    assert escape_markdown(text) == shown


def test_code_in_markdown_cannot_be_left():
    assert code_span("rows.csv") == "`rows.csv`"
    assert code_span("a`b|c") == r"``a`b\|c``"
    assert code_span("`") == "`` ` ``"
    assert code_block("a: 1", "yaml") == "```yaml\na: 1\n```"
    assert code_block("```\n# out", "").startswith("````\n```\n")


def test_reports_do_without_what_was_not_measured():
    bare = make_results(separation=[], by_length=[], histogram=None, signatures={}, notes=[])
    bare["system"] = described("file")
    del bare["data"]["leaks"]
    assert "from a file" in markdown_report(bare)
    text = " ".join(Page(html_report(bare)).text)
    assert "Training file" not in text and "vocabulary" not in text and "None" not in text
    assert "Efficiency" not in text and "Efficiency" not in markdown_report(bare)


def test_efficiency_is_told_of_each_system():
    results = make_results(baseline=described("other", efficiency=MEASURED))
    for text in (markdown_report(results), " ".join(Page(html_report(results)).text)):
        assert "Efficiency of other" in text
        assert "3,600,000" in text
        assert f"Efficiency of {HOSTILE}" not in text


def test_characters_outside_the_vocabulary_are_counted():
    for text in (markdown_report(make_results()), " ".join(Page(html_report(make_results())).text)):
        assert "6 (75%) upper lines hold characters that the model does not see" in text
        assert "4 (50%) first references" in text and "13 different characters" in text


def test_summary_shows_main_figures_only():
    lines = summary(make_results()).splitlines()
    assert lines[0].split() == ["Model", "References", "Chance", "Model,", "unseen"]
    assert any(line.startswith("BLEU-4") and "1.50 [0.50, 2.50]" in line for line in lines)
    assert lines.pop().startswith("characters outside the model's vocabulary: 6 (75%) upper lines")
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "BLEU-4",
        "All hard rules",
        "Perplexity",
        "Learned parallelism",
        "distinct-2",
    ]


@pytest.mark.parametrize(
    ("value", "unit", "shown"), [(9.994, "", "9.99"), (12.34, "%", "12.3%"), (-0.5, "nats", "-0.50"), (None, "", "–")]
)
def test_values_are_short(value, unit, shown):
    assert format_value(value, unit) == shown
