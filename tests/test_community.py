"""The files beside the code say what the code says: one version, one set of linters, commands that exist."""

import re
import tomllib

import pytest
import yaml
from finetune_helpers import ROOT

FORMS = [ROOT / ".github/ISSUE_TEMPLATE" / f"{name}.yml" for name in ("bug", "wish")]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_hooks_are_the_linters_that_decide():
    commands = text(".ci/run").split("pytest\n")[1].split("\n")
    hooks = [
        hook for repository in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"] for hook in repository["hooks"]
    ]
    assert [hook["entry"] for hook in hooks] == [command for command in commands if command]
    # From the virtual environment, whose versions constraints.txt pins, over the same files.
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks)


def test_every_change_is_checked_on_both_systems_by_the_oldest_and_the_newest_python():
    job = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["check"]
    assert job["strategy"]["matrix"] == {"os": ["ubuntu-latest", "macos-latest"], "python": ["3.11", "3.13"]}
    assert job["steps"][-1] == {"run": ".ci/run"}
    project = tomllib.loads(text("pyproject.toml"))
    assert project["project"]["requires-python"] == ">=3.11"
    assert "mypy" in text(".ci/run") and {"recipe", "run_finetune.py", "run_generate.py", "run_evaluate.py"} <= set(
        project["tool"]["mypy"]["files"]
    )


def test_the_version_is_one():
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == version and citation["cff-version"] == "1.2.0"
    assert re.search(r"^## (\S+),", text("CHANGELOG.md"), re.MULTILINE)[1] == version


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_ask_something(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert form["name"] and form["description"] and any(field["validations"]["required"] for field in fields[:1])
    assert len({field["id"] for field in fields}) == len(fields)


def test_a_bug_is_reported_with_the_report_that_is_made_for_it():
    fields = {field.get("id"): field for field in yaml.safe_load(text(".github/ISSUE_TEMPLATE/bug.yml"))["body"]}
    assert "`python -m recipe.report_bug`" in fields["report"]["attributes"]["label"]
    assert fields["report"]["validations"]["required"]
    assert (ROOT / "recipe/report_bug.py").is_file()
