"""What the documentation says exists: commands parse; flags, files and anchors are there; translations agree."""

import dataclasses
import io
import re
import shlex
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from recipe.cli import parse_settings, training_argument_names
from recipe.errors import UserError
from recipe.settings import (
    TRAINING_DEFAULTS,
    BenchmarkSettings,
    DataSettings,
    DecodingSettings,
    DemoSettings,
    DeviceSettings,
    EvaluationSettings,
    GenerationSettings,
    JudgeSettings,
    ModelSettings,
    QuestionSettings,
    RatingSettings,
    RunSettings,
    ScreenSettings,
    ServedSettings,
)

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
PAGES += [ROOT / "bench/README.md", *sorted((ROOT / "docs").glob("*.md"))]
TRANSLATIONS = [page for page in PAGES if page.name.endswith(".zh-CN.md")]
INSTALL_AND_RUN = (
    "python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e . "
    "&& accelerate launch run_finetune.py"
)
INSTALL_AND_TEST = (
    "python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e '.[test]' && pytest"
)
GROUPS = {
    "run_finetune.py": (ModelSettings, DataSettings, RunSettings),
    "run_generate.py": (GenerationSettings, DecodingSettings, DeviceSettings),
    "run_evaluate.py": (
        EvaluationSettings,
        RatingSettings,
        JudgeSettings,
        ServedSettings,
        QuestionSettings,
        DecodingSettings,
        DeviceSettings,
    ),
    "run_benchmark.py": (BenchmarkSettings, DeviceSettings),
    "run_demo.py": (DemoSettings, DeviceSettings),
}
# Flags of other programs that the pages name.
FOREIGN_FLAGS = {
    *("--config_file", "--num_processes", "--num_machines", "--machine_rank", "--main_process_ip"),  # accelerate
    *("--cpu", "--nproc_per_node", "--nnodes", "--standalone"),  # accelerate, torchrun
    *("--index-url", "--help", "--version"),  # pip, argparse
    *("--rows", "--seed", "--output_file"),  # python -m recipe.synthetic
    "--shutdown-timeout",  # torchrun
    "--fn_metric",  # AlpacaEval
}
NEVER_RETURNS = re.compile(r"run_demo\.py|tensorboard --|transformers serve|--interactive|^jupyter|docker run")


def bench_flags() -> set[str]:
    """Return the flags that the scripts in bench/ add to their parsers."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("*.py"))
    return set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', sources))


def fenced_blocks(page: Path) -> list[str]:
    """Return the fenced code blocks of a page, without their fences."""
    return re.findall(r"^```[a-z]*\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def without_blocks(page: Path) -> str:
    """Return the text of a page without its fenced code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def inline_commands(page: Path) -> list[str]:
    """Return the code spans of a page's text that begin a program, but for those that leave something out (…)."""
    spans = re.findall(r"`((?:python|accelerate|torchrun) [^`]*)`", without_blocks(page))
    return [re.sub(r"\s+", " ", span) for span in spans if "…" not in span]


def commands(page: Path) -> list[tuple[str, list[str], str]]:
    """Return (program, arguments, what the page shows below the command) of each run_*.py on the page."""
    found = []
    for block in [*fenced_blocks(page), *inline_commands(page)]:
        lines = block.replace("\\\n", " ").splitlines()
        for number, line in enumerate(lines):
            match = re.search(r"(run_(?:finetune|generate|evaluate|benchmark|demo)\.py)(.*)", line)
            if match and re.search(r"(?:^|\s)(?:python|accelerate|torchrun)\s", line[: match.start()]):
                arguments = re.split(r"\s(?:&&|[|>&])\s?", match[2])[0]
                shown = "\n".join(lines[number + 1 :]) if line.startswith("$ ") else ""
                found.append((match[1], shlex.split(arguments), shown))
    return found


def settings_names(program: str) -> set[str]:
    own = {field.name for group in (*GROUPS[program], ScreenSettings) for field in dataclasses.fields(group)}
    return own | (training_argument_names() if program == "run_finetune.py" else set())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for program, arguments, shown in commands(page):
        defaults = TRAINING_DEFAULTS if program == "run_finetune.py" else None
        try:
            parse_settings(program, "", GROUPS[program], arguments, defaults)
        except UserError as error:
            assert str(error) == shown, f"{program} {shlex.join(arguments)}: {error}"
        else:
            assert not shown.startswith("error:"), f"{program} {shlex.join(arguments)} is accepted"


def test_readme_shows_commands_of_all_programs():
    assert {program for program, _, _ in commands(ROOT / "README.md")} == GROUPS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_the_text_exist(page):
    known = set().union(*map(settings_names, GROUPS))
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", prose))
    assert flags
    assert {flag for flag in flags - FOREIGN_FLAGS - bench_flags() if flag.removeprefix("--") not in known} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_anchors_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/.-])(?:recipe|docs|tests|bench)/[\w./-]*\w", text)
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"", text)
    links = [target for pair in targets for target in pair if target and "://" not in target]
    assert [name for name in named if not (ROOT / name).exists()] == []
    for link in links:
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def heading_levels(page: Path) -> list[int]:
    """Return the level of each heading of a page, in their order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", without_blocks(page), flags=re.MULTILINE)]


def table_shapes(page: Path) -> list[tuple[int, int]]:
    """Return (rows, columns) of each table of a page, its header and rule among the rows."""
    tables = re.findall(r"(?:^\|.*\n)+", without_blocks(page), flags=re.MULTILINE)
    return [(table.count("\n"), len(re.findall(r"(?<!\\)\|", table.splitlines()[0])) - 1) for table in tables]


def code_cells(page: Path) -> list[str]:
    """Return the cells of a page's tables that hold code alone: commands, keys of figures, names of files.

    None of the page that quotes messages, each in its own language.
    """
    if page.name.startswith("troubleshooting"):
        return []
    return re.findall(r"(?<=\| )`[^`|]+`(?= \|)", page.read_text(encoding="utf-8"))


def quoted_messages(page: Path) -> list[str]:
    """Return what the first column of a page's tables quotes of more than one word, commands left out."""
    cells = re.findall(r"^\| (.*?) (?<!\\)\|", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    quotes = [quote.strip("`") for cell in cells for quote in re.findall("`[^`]+`", cell)]
    return [quote for quote in quotes if re.search("[ \u4e00-\u9fff]", quote) and not re.match("-|accelerate", quote)]


def named_settings(page: Path) -> set[str]:
    """Return the flags that a page names, in its text and in its commands."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", page.read_text(encoding="utf-8")))


def linked_pages(page: Path) -> list[str]:
    """Return where the links of a page lead, in any order, whichever language they are in; anchors left out."""
    links = re.findall(r"\]\(([^)#\s]*)[^)\s]*\)|(?:href|src)=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
    return sorted(link.replace(".zh-CN", "") for pair in links for link in pair if link)


# Messages of other programs.
OF_OTHERS = {"ensurepip is not available", "No module named 'torch'"}
# What stands in the places of a message, or between two of them.
FILLED_IN = "|".join(
    [
        r"…|gb18030|checkpoint-|cpu|\d+|[()（）：:“”]|SIG\w+|'\w+'|utf-8|UTF-8|nan|\w+/couplet|TensorFlow|\S+\.\w+",
        r"\[PAD\]|No space left on device",
    ]
)


@pytest.mark.parametrize("name", ["troubleshooting.md", "troubleshooting.zh-CN.md"])
def test_quoted_messages_are_those_of_the_commands(name):
    catalogue = read_po(io.BytesIO((ROOT / "recipe/locale/zh/LC_MESSAGES/recipe.po").read_bytes()), locale="zh")
    pairs = [(message.id, message.string) for message in catalogue if message.id]
    known = [pair["zh-CN" in name] for pair in pairs]
    texts = [text for one in known for text in ([one] if isinstance(one, str) else one)]
    said = " ".join(re.sub(r"\{[^}]*\}", "…", text) for text in texts)
    for quote in set(quoted_messages(ROOT / "docs" / name)) - OF_OTHERS:
        for part in re.split(FILLED_IN, quote):
            words = part.strip(" ,;、，；")
            assert words in said or not re.search(r"[a-z] [a-z]|[\u4e00-\u9fff]{2}", words), quote


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.name)
def test_translations_say_the_same(page):
    original = page.with_name(page.name.replace(".zh-CN", ""))
    assert fenced_blocks(page) == fenced_blocks(original)
    assert heading_levels(page) == heading_levels(original)
    assert table_shapes(page) == table_shapes(original)
    assert code_cells(page) == code_cells(original)
    assert named_settings(page) == named_settings(original)
    assert linked_pages(page) == linked_pages(original)


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.name)
def test_pages_lead_to_pages_of_their_language(page):
    """A Chinese page links to the Chinese of another page where there is one, and both name each other at the top."""
    original = page.with_name(page.name.replace(".zh-CN", ""))
    for link in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
        translated = page.parent / link.replace(".md", ".zh-CN.md")
        assert link == original.name or link.endswith(".zh-CN.md") or not translated.exists(), link
    assert f"]({page.name})" in original.read_text(encoding="utf-8")[:300]
    assert f"]({original.name})" in page.read_text(encoding="utf-8")[:300]


def test_every_page_for_users_is_translated():
    english_only = {"architecture.md"}  # for those who read the code, which is in English too
    pages = {page.name for page in (ROOT / "docs").glob("*.md") if not page.name.endswith(".zh-CN.md")}
    translated = {page.name.replace(".zh-CN", "") for page in TRANSLATIONS} - {"README.md"}
    assert pages - english_only == translated


def test_readme_installs_and_runs_in_one_line_each():
    blocks = [block.strip() for block in fenced_blocks(ROOT / "README.md")]
    assert INSTALL_AND_RUN in blocks
    assert INSTALL_AND_TEST in blocks


def test_every_measurement_is_listed():
    text = (ROOT / "bench/README.md").read_text(encoding="utf-8")
    scripts = {f"bench/{path.name}" for path in (ROOT / "bench").glob("*.py")}
    assert scripts == set(re.findall(r"`(bench/\w+\.py)`", text))


def test_readme_stays_short():
    for page in ("README.md", "README.zh-CN.md"):
        assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_never_return_end_their_block(page):
    for block in fenced_blocks(page):
        for line in block.strip().splitlines()[:-1]:
            assert not NEVER_RETURNS.search(line) or line.endswith("&"), line


@pytest.mark.parametrize("name", ["README.md", "docs/data.md", "docs/training.md"])
def test_that_a_model_is_replaced_stands_above_the_commands_that_do_it(name):
    for page, warning in ((name, "replac"), (name.replace(".md", ".zh-CN.md"), "替换")):
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = [block for block in fenced_blocks(ROOT / page) if "run_finetune.py" in block]
        assert warning in text[: text.index(blocks[0])], page


def test_every_change_is_checked_by_the_readmes_test_command():
    assert INSTALL_AND_TEST in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_pinned_torch_is_the_one_that_the_pages_install():
    pinned = re.search(r"^torch==([\d.]+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    installed = re.findall(r"pip install torch==([\d.]+)", (ROOT / "docs/install.md").read_text(encoding="utf-8"))
    assert pinned and set(installed) == {pinned[1]}
