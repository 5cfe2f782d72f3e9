"""Rating sheets out of an evaluation and ratings back into its report, through the command itself."""

import csv
import json
import re
from pathlib import Path

import pytest
from test_evaluation import folder, run  # noqa: F401  (the tiny model and its test file)

from recipe.errors import run_or_explain
from recipe.rating.keys import read_keys
from run_evaluate import main

POINTS = {"model": "2", "references": "5", "chance": "1"}


@pytest.fixture(scope="module")
def evaluated(folder, tmp_path_factory) -> Path:  # noqa: F811
    """Sheets of an evaluation with a tiny model, one of them filled in: references 5, model 2, chance and checks 1."""
    place = tmp_path_factory.mktemp("rated")
    arguments = ["--model_name_or_path", str(folder / "model"), "--seeds", "1", "--latency_calls", "0"]
    sheets = ["--rating_sheet", str(place / "sheets"), "--rating_items", "12", "--rating_sheets", "2"]
    run(folder, place / "out", *arguments, *sheets)
    for number in (1, 2):
        fill_in(place / f"sheets/sheet-{number}.csv", place / f"rater{number}.csv", read_key(place))
    return place


def read_key(place: Path):
    (key,) = read_keys([place / "sheets/key.json"]).values()
    return key


def fill_in(sheet: Path, filled: Path, key) -> None:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        heading, *rows = csv.reader(file)
    asked = next(column for column, title in enumerate(heading) if title.startswith("overall"))
    code = heading.index("system")
    for row in rows:
        systems = key.answers[row[code]].systems
        row[asked] = POINTS[systems[0]] if systems else "1"
    with filled.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heading, *rows])


def alone(place: Path, *arguments: str) -> list[str]:
    files = [str(place / f"rater{number}.csv") for number in (1, 2)]
    common = ["--output_dir", str(place / "alone"), "--bootstrap_samples", "50"]
    return ["--ratings", *files, "--rating_key", str(place / "sheets/key.json"), *common, *arguments]


def means_of(ratings: dict) -> dict[str, float]:
    return {row["system"]: row["mean"]["value"] for row in ratings["panels"]["person"]["means"]}


def test_sheets_name_no_system(evaluated):
    names = sorted(file.name for file in (evaluated / "sheets").iterdir())
    assert {"key.json", "sheet-1.html", "sheet-1.csv", "sheet-2.html", "sheet-2.csv"} <= set(names)
    key = read_key(evaluated)
    assert {name for answer in key.answers.values() for name in answer.systems} == set(POINTS)
    assert len({answer.item for answer in key.answers.values()}) == 12
    text = (evaluated / "sheets/sheet-1.csv").read_text(encoding="utf-8-sig")
    assert not any(name in text for name in ("model", "references", "chance"))


def test_ratings_alone(evaluated, capsys):
    assert main(alone(evaluated)) == 0
    ratings = json.loads((evaluated / "alone/ratings.json").read_text(encoding="utf-8"))
    means = means_of(ratings)
    assert means["references"] == 5 and means["model"] == 2 and means["chance"] < 2
    (agreement,) = ratings["panels"]["person"]["agreement"]
    assert agreement["ordinal"]["value"] == 1 and agreement["equal"] == 1
    assert all(row["checks"] and not row["failed"] for row in ratings["panels"]["person"]["raters"])
    # The figures that the evaluation left beside the key: the references beat the model, and keep all rules as it does.
    correlation = {row["figure"]: row for row in ratings["correlations"]}
    assert correlation["form"]["answers"] == 36 and correlation["form"]["panel"] == "person"
    printed = capsys.readouterr().out
    assert "overall, References: 5.00 [5.00, 5.00]" in printed and "not compared with automatic figures" not in printed
    html = (evaluated / "alone/ratings.html").read_text(encoding="utf-8")
    assert (
        "Spearman&#39;s correlation with the ratings" in html.replace("'", "&#39;") and 'class="dot references"' in html
    )
    assert "<script" not in html and "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "References" in (evaluated / "alone/ratings.md").read_text(encoding="utf-8")
    assert not (evaluated / "alone/results.json").exists()


def test_figures_that_are_not_there_are_said_and_damaged_ones_refused(evaluated, tmp_path, capsys):
    (tmp_path / "key.json").write_bytes((evaluated / "sheets/key.json").read_bytes())
    named = ["--rating_key", str(tmp_path / "key.json"), "--output_dir", str(tmp_path / "out")]
    arguments = [*alone(evaluated)[:3], *named, "--bootstrap_samples", "50"]
    assert main(arguments) == 0
    assert "not compared with automatic figures: no figures.json lies beside the key" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/ratings.json").read_text(encoding="utf-8"))["correlations"] == []
    for content in ("", "[]", '{"descriptions": [{"key": "x"}], "lines": []}', '{"descriptions": [], "lines": [3]}'):
        (tmp_path / "figures.json").write_text(content, encoding="utf-8")
        assert run_or_explain(main, arguments) == 2
        assert "figures.json: cannot be read as the automatic figures" in capsys.readouterr().err


def test_ratings_in_the_report(folder, evaluated, tmp_path):  # noqa: F811
    predictions = str(evaluated / "out/predictions.jsonl")
    results = run(folder, tmp_path, "--predictions", predictions, *alone(evaluated)[:5])
    assert means_of(results["ratings"])["references"] == 5
    for report in ("report.md", "report.html"):
        assert "Krippendorff" in (tmp_path / report).read_text(encoding="utf-8")


def test_a_wrong_row_is_named_and_the_others_count(evaluated, tmp_path, capsys):
    rows = (evaluated / "rater1.csv").read_text(encoding="utf-8").splitlines()
    rows[2] = rows[2].replace(",5,,", ",9,,").replace(",2,,", ",9,,").replace(",1,,", ",9,,")
    damaged = tmp_path / "damaged.csv"
    damaged.write_text("\n".join(rows) + "\n", encoding="utf-8")
    arguments = ["--ratings", str(damaged), "--rating_key", str(evaluated / "sheets/key.json")]
    assert main([*arguments, "--output_dir", str(tmp_path / "out"), "--bootstrap_samples", "20"]) == 0
    assert f"{damaged}: 1 row holds no rating and was left out (row 3:" in capsys.readouterr().out


def test_problems_come_first_and_together(folder, evaluated, tmp_path, capsys):  # noqa: F811
    arguments = ["--test_file", str(folder / "test.csv"), "--output_dir", str(tmp_path / "out")]
    arguments += ["--rating_sheet", str(evaluated / "sheets"), "--ratings", str(tmp_path / "none.jsonl")]
    assert run_or_explain(main, [*arguments, "--rating_points", "6"]) == 2
    said = capsys.readouterr().err
    assert "the directory is in use" in said and "none.jsonl" in said and "5 or 7" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rating_key", "KEY"], "have no effect without --ratings"),
        (["--rating_items", "3"], "have no effect without --rating_sheet"),
        (["--rating_sheet", "NEW", "--rating_kind", "pair", "--rating_points", "7"], "pairs are judged as a whole"),
        (["--ratings", "RATER"], "give the key.json"),
        (["--ratings", "RATER", "--rating_key", "KEY", "--predictions", "RATER"], "no test file"),
    ],
)
def test_what_is_refused(evaluated, tmp_path, capsys, arguments, said):
    files = {"KEY": str(evaluated / "sheets/key.json"), "RATER": str(evaluated / "rater1.csv")}
    named = [files.get(argument, argument) for argument in arguments]
    assert run_or_explain(main, [*named, "--output_dir", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def compared(folder, evaluated, tmp_path_factory) -> Path:  # noqa: F811
    """Sheets of pairs, filled in by three: in a workbook, on the page, and by one who does not look."""
    openpyxl = pytest.importorskip("openpyxl")
    place = tmp_path_factory.mktemp("compared")
    sheets = ["--rating_sheet", str(place / "sheets"), "--rating_kind", "pair", "--rating_items", "12"]
    run(folder, place / "out", "--predictions", str(evaluated / "out/predictions.jsonl"), *sheets)
    key = read_key(place)
    book = openpyxl.load_workbook(place / "sheets/sheet-1.xlsx")
    titles = [cell.value.split()[0] for cell in book.active[1]]
    for number, row in enumerate(book.active.iter_rows(min_row=2), start=2):
        codes = [row[titles.index(name)].value for name in ("system", "other")]
        book.active.cell(number, titles.index("choice") + 1).value = better(key, *codes)
        if number == 2:
            book.active.cell(number, titles.index("comment") + 1).value = COMMENT
    book.save(place / "li.xlsx")
    for rater, chooses in (("wu", better), ("careless", lambda *codes: better(*codes, turned=True))):
        (place / f"{rater}.jsonl").write_text(saved_by_the_page(place / "sheets/sheet-2.html", rater, key, chooses))
    return place


COMMENT = "上联 <script>alert(1)</script> | 好"


def better(key, first, second, turned=False):
    """The references, then the model, then chance; what is broken comes last."""
    order = {"references": 0, "model": 1, "chance": 2}
    places = [min((order[name] for name in key.answers[code].systems), default=9) for code in (first, second)]
    return "tie" if places[0] == places[1] else "AB"[(places[0] > places[1]) != turned]


def saved_by_the_page(page: Path, rater: str, key, chooses) -> str:
    """What the page saves: its own data with the answers of a rater."""
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    data = json.loads(found[1])
    rows = [
        {
            "kind": "pair",
            "item": entry["item"],
            "system": entry["system"],
            "other": entry["other"],
            "rater": rater,
            "dimension": "overall",
            "value": chooses(key, entry["system"], entry["other"]),
            "sheet": data["sheet"],
        }
        for entry in data["entries"]
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def pairs_of(compared: Path, *arguments: str) -> dict:
    files = [str(compared / name) for name in ("li.xlsx", "wu.jsonl", "careless.jsonl")]
    common = ["--rating_key", str(compared / "sheets/key.json"), "--output_dir", str(compared / "alone")]
    assert main(["--ratings", *files, *common, "--bootstrap_samples", "50", *arguments]) == 0
    return json.loads((compared / "alone/ratings.json").read_text(encoding="utf-8"))


def test_pairs_from_a_workbook_and_a_page_are_read_and_the_careless_left_out(compared, capsys):
    panel = pairs_of(compared)["panels"]["person"]
    assert {row["rater"]: row["failed"] for row in panel["raters"]} == {"careless": True, "li": False, "wu": False}
    printed = capsys.readouterr().out
    assert "failed the attention checks and still counted: careless" in printed
    panel = pairs_of(compared, "--leave_out_failed_raters")["panels"]["person"]
    assert panel["left_out"] == ["careless"]
    ratings = json.loads((compared / "alone/ratings.json").read_text(encoding="utf-8"))
    choices = {row["figure"]: row["share"]["value"] for row in ratings["choices"]}
    # All lines keep the rules here, and equal figures count half.
    assert ratings["correlations"] == [] and "bleu1" in choices and choices["form"] == 0.5
    rates = {(row["first"], row["second"]): row["rate"]["value"] for row in panel["wins"]}
    assert rates["model", "references"] == 0 and rates["chance", "references"] == 0
    strongest = max(panel["strengths"], key=lambda row: row["strength"]["value"])
    assert strongest["system"] == "references"
    markdown = (compared / "alone/ratings.md").read_text(encoding="utf-8")
    assert "#### overall, in pairs" in markdown and "Share of the higher figure" in markdown
    wins = next(line for line in markdown.splitlines() if line.startswith("| Chance / References"))
    assert re.search(r"\| pairs \| 0 \| \d+ \| 0 \| 0 \|", wins), wins  # counts are whole numbers


def test_comments_and_plots_stand_in_the_report_and_run_nothing(folder, compared, evaluated, tmp_path):  # noqa: F811
    files = ["--ratings", str(compared / "li.xlsx"), str(compared / "wu.jsonl")]
    keys = ["--rating_key", str(compared / "sheets/key.json")]
    run(folder, tmp_path, "--predictions", str(evaluated / "out/predictions.jsonl"), *files, *keys)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "<script" not in html
    assert "share that the first wins" in html and 'class="whisker chance"' in html
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| 好" in markdown
