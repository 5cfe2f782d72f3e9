"""A served model as the evaluated system: what is read out of its answers, its tries, and what it costs."""

import json

import pytest
from judge_server import JudgeServer
from test_evaluation import folder, run  # noqa: F401  (a test file of made-up couplets)

from recipe.couplet.form import form_violations
from recipe.errors import run_or_explain
from recipe.evaluating.served import endpoint_problems, line_in
from recipe.settings import EvaluationSettings, ServedSettings
from run_evaluate import main

pytest.importorskip("openai")
UPPER = "春满神州花似锦"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("福归故里桂如茵", "福归故里桂如茵"),
        ("下联：福归故里桂如茵。", "福归故里桂如茵"),
        ("好的，这是下联。\n\n**下联：**「福归故里桂如茵」", "福归故里桂如茵"),
        ("<think>下联：试一试</think>\n福归 故里 桂如茵", "福归故里桂如茵"),
        (f"{UPPER}-福归故里桂如茵", "福归故里桂如茵"),
        (f"上联：{UPPER}\n下联：福归故里桂如茵", "福归故里桂如茵"),
        (f"{UPPER}\n福归故里桂如茵", "福归故里桂如茵"),
        ("```\n福归故里桂如茵\n```", "福归故里桂如茵"),
        ("<script>alert(1)</script>", "<script>alert(1)</script"),
        ("", ""),
        ("。", ""),
        (UPPER, ""),
    ],
)
def test_the_line_of_an_answer(answer, expected):
    assert line_in(answer, UPPER) == expected


def test_an_end_mark_stays_where_the_upper_line_has_one():
    assert line_in("一帘细雨，几点红梅。", "半夜清风，数声鹤唳。") == "一帘细雨，几点红梅。"


def swapped(upper):
    """A lower line in the form of an upper line: each character by another one."""
    others = dict(zip(dict.fromkeys(upper), "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳", strict=False))
    return "".join(char if char == "，" else others[char] for char in upper)


class Poet:
    """Keeps the form at the first draw for a third of the upper lines, at the second for another third, never for the
    rest; as judge it likes its own lines."""

    def __init__(self):
        self.asked = {}

    def __call__(self, prompt):
        if "winner" in prompt:
            first, second = (json.loads(prompt.split(f"下联 {side}：")[1].splitlines()[0]) for side in "AB")
            return json.dumps({"winner": "A" if "甲" in first else "B" if "甲" in second else "tie"})
        upper = prompt.split("上联：")[1].splitlines()[0]
        number = self.asked[upper] = self.asked.get(upper, 0) + 1
        kind = list(self.asked).index(upper) % 3
        return f"下联：{swapped(upper)}。" if number > kind and kind < 2 else "不会对"


def test_a_served_model_with_tries_that_also_judges(folder, tmp_path, capsys):  # noqa: F811
    server_settings = [
        "--endpoint_model",
        "poet",
        "--call_cache_dir",
        str(tmp_path / "cache"),
        "--call_concurrency",
        "1",
    ]
    with JudgeServer(Poet()) as server:
        served = ["--endpoint", server.url, *server_settings, "--seeds", "1", "--endpoint_tries", "2"]
        judge = ["--judge_endpoint", server.url, "--judge_model", "poet", "--rating_kind", "pair"]
        judge += ["--rating_items", "9"]
        results = run(folder, tmp_path / "a", *served, *judge)
        paid = server.paid.total()
        again = run(folder, tmp_path / "b", *served, *judge)
        assert server.paid.total() == paid and set(server.paid.values()) <= {1, 2}
    found = results["system"]["served"]
    assert (found["answers"], found["kept_first"], found["kept"], found["paid"]) == (30, 10, 20, 50)
    assert results["figures"]["form"]["model"]["value"] == pytest.approx(100 * 20 / 30)
    assert again["figures"] == results["figures"] and again["system"]["served"]["paid"] == 0
    rows = [json.loads(line) for line in (tmp_path / "a/predictions.jsonl").read_text("utf-8").splitlines()]
    assert sum(not form_violations(row["upper"], row["lower"]) for row in rows) == 20
    markdown = (tmp_path / "a/report.md").read_text(encoding="utf-8")
    assert "33.3% of 30 answers at the first try, 66.7% within 2 tries" in markdown
    assert "poet: 30 calls" in capsys.readouterr().out
    (own,) = results["ratings"]["biases"]["own"]
    assert (own["judge"], own["system"], own["others"]) == ("poet", "model", None) and own["own"]["value"] > 0.5


def test_at_temperature_0_there_is_one_run_and_one_try(folder, tmp_path):  # noqa: F811
    template = tmp_path / "t.txt"
    template.write_text("对：上联：$upper\n$100", encoding="utf-8")
    with JudgeServer(lambda prompt: prompt[-4:]) as server:
        served = ["--endpoint", server.url, "--endpoint_model", "m", "--endpoint_temperature", "0"]
        served += ["--call_cache_dir", str(tmp_path / "cache"), "--endpoint_template", str(template)]
        results = run(folder, tmp_path / "out", *served, "--max_upper_lines", "4")
        assert server.paid.total() == 4 and server.seen[0][0]["temperature"] == 0
    assert (results["system"]["runs"], results["system"]["served"]["tries"]) == (1, 1)
    assert results["figures"]["form"]["model"]["value"] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no $upper"),
        ("请对$$upper，$Upper，{upper}".encode(), "holds no $upper"),
        ("请对$upper".encode("gb18030"), "is not UTF-8"),
        ("请对$upper".encode("utf-16"), "is not UTF-8"),
        (None, "no such file"),
    ],
)
def test_templates_that_cannot_be_used(tmp_path, content, said):
    template = tmp_path / "t.txt"
    if content is not None:
        template.write_bytes(content)
    served = ServedSettings(endpoint="http://127.0.0.1:1/v1", endpoint_model="m", endpoint_template=str(template))
    (problem,) = endpoint_problems(EvaluationSettings(), served)
    assert "t.txt" in problem and said in problem


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--endpoint", "http://h/v1"], "--endpoint_model NAME"),
        (["--endpoint_model", "m"], "have no effect without --endpoint URL"),
        (["--endpoint", "h", "--endpoint_model", "m"], "is no address of a server"),
        (["--endpoint", "http://h/v1", "--endpoint_model", "m", "--endpoint_tries", "0"], "must be at least 1"),
        (["--endpoint", "http://h/v1", "--endpoint_model", "m", "--endpoint_temperature", "nan"], "must be 0 to 2"),
        (["--endpoint", "http://h/v1", "--endpoint_model", "m", "--endpoint_template", "TEST"], "holds no $upper"),
        (["--endpoint", "http://h/v1", "--endpoint_model", "m", "--model_name_or_path", "x"], "give one of them"),
        (
            ["--endpoint", "http://h/v1", "--endpoint_model", "m", "--temperature", "1"],
            "decoding settings have no effect",
        ),
        (["--predictions", "TEST", "--call_timeout", "3"], "settings of calls have no effect"),
    ],
)
def test_what_is_refused(folder, tmp_path, capsys, arguments, said):  # noqa: F811
    named = [argument.replace("TEST", str(folder / "test.csv")) for argument in arguments]
    common = ["--test_file", str(folder / "test.csv"), "--output_dir", str(tmp_path / "out")]
    assert run_or_explain(main, [*common, *named]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
