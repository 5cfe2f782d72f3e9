"""The page in a real browser, from typing to the picture on disk: both languages, two widths, the keyboard alone.

Minutes long on a busy machine: `pytest -m slow tests/test_page.py`. Needs Chromium (Debian: apt install chromium).
"""

import re
import shutil
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from urllib.parse import urlsplit

import pytest
from finetune_helpers import ROOT

from recipe.couplet.form import form_violations
from recipe.web.wording import words_of

pytest.importorskip("gradio", reason="needs the extra [web]")
playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra [test]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; on Debian: apt install chromium"),
]

UPPER = "春满神州花似锦"
PATHS = {"zh": "/", "en": "/en/"}
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
PATIENCE = 120_000  # milliseconds, on a machine that does other things too
# WCAG 2.1, 1.4.3: the contrast of text that is not large.
LEAST_CONTRAST = 4.5


@pytest.fixture(scope="module")
def address():
    """Where the real command serves the base that ships, with a second model to compare with."""
    command = [sys.executable, "run_demo.py", "--port", "0", "--device", "cpu"]
    command += ["--model_name_or_path", "recipe/data/base", "--compare_with", str(ROOT / "recipe/data/base")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as server:
        found = None
        for line in server.stdout:
            if found := re.search(r"open http://localhost:(\d+)", line):
                break
        assert found, "the server ended before it served"
        yield f"http://127.0.0.1:{found[1]}"
        server.terminate()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def visit(browser, address):
    """Return a function that opens the page; what the browser then says or asks others for fails the test."""
    contexts, complaints = [], []

    def opened(language="zh", width="desk", query=""):
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        context = browser.new_context(viewport=size, accept_downloads=True)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: complaints.extend(elsewhere(request.url, address)))
        page.goto(address + PATHS[language] + query)
        page.locator("#upper :is(input, textarea)").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def elsewhere(url, address):
    parts = urlsplit(url)
    return [] if parts.scheme in ("data", "blob") or parts.netloc == urlsplit(address).netloc else [f"asked for {url}"]


def ask(page, line):
    box = page.locator("#upper :is(input, textarea)")
    box.fill(line)
    box.press("Enter")
    page.locator(".card").first.wait_for()


def lowers_of(page):
    return page.locator(".card .lines span:nth-child(2)").all_inner_texts()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", PATHS)
def test_from_typing_to_the_picture(visit, tmp_path, language, width):
    page, words = visit(language, width), words_of(language)
    assert page.evaluate("document.documentElement.lang") == {"zh": "zh-CN", "en": "en"}[language]
    assert page.locator("h1").inner_text() == words["headline"]
    ask(page, UPPER)
    lowers = lowers_of(page)
    assert len(lowers) == 6 and all(form_violations(UPPER, lower) == [] for lower in lowers)  # three of each model
    first = page.locator(".card").first
    assert first.locator(".checks li").all_inner_texts()[0].endswith(words["length"])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out

    with page.expect_download() as download:
        first.get_by_role("button", name=words["png"]).click()
    picture = tmp_path / download.value.suggested_filename
    download.value.save_as(picture)
    assert picture.name == f"{UPPER}.png"
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG") and struct.unpack(">II", header[16:])[1] > 1000

    with page.expect_download() as download:
        first.get_by_role("button", name=words["svg"]).click()
    download.value.save_as(tmp_path / "couplet.svg")
    root = ET.fromstring((tmp_path / "couplet.svg").read_text(encoding="utf-8"))
    drawn = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text") if node.get("class") is None]
    assert "".join(drawn) == lowers[0] + UPPER

    first.get_by_role("button", name=words["copy_lines"]).click()
    first.get_by_role("button", name=words["copied_lines"]).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"{UPPER}\n{lowers[0]}"


def test_what_is_typed_before_the_server_answers_stays(visit):
    page = visit()
    page.route("**/queue/join*", lambda route: (time.sleep(1), route.continue_()))
    page.reload()
    box = page.locator("#upper :is(input, textarea)")
    box.fill(UPPER)
    page.wait_for_timeout(2000)
    assert box.input_value() == UPPER


def test_the_keyboard_is_enough(visit):
    page, words = visit(), words_of("zh")
    page.locator("#upper :is(input, textarea)").focus()
    page.keyboard.insert_text(UPPER)
    page.keyboard.press("Enter")
    page.locator(".card").first.wait_for()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText || document.activeElement.type"))
        if reached[-1] == words["svg"]:
            break
    named = {text.split("\n")[0].strip() for text in reached}  # the drawer's button holds an arrow as well
    assert {words["answer"], words["settings"], words["copy_lines"]} <= named, reached
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    with page.expect_download():
        page.keyboard.press("Enter")


def test_tones_come_when_they_are_asked_for(visit):
    page = visit()
    ask(page, UPPER)
    tone = page.locator(".couplet-picture .tone").first
    assert not tone.is_visible()
    page.get_by_label(words_of("zh")["show_tones"]).check()
    assert tone.is_visible() and tone.inner_html() in "平仄中"


def test_settings_are_obeyed(visit):
    page, words = visit(), words_of("zh")
    page.get_by_role("button", name=words["settings"]).click()
    page.get_by_label(words["banned_words"]).fill("的 月 如")
    page.get_by_label(words["heading"]).fill("万象更新")
    page.get_by_label(words["seed"]).fill("5")
    page.get_by_label(words["compare"]).uncheck()
    ask(page, UPPER)
    lowers = lowers_of(page)
    assert len(lowers) == 3 and not set("的月如") & set("".join(lowers))
    assert "万象更新" in page.locator(".couplet-picture title").first.text_content()
    page.get_by_role("button", name=words["answer"], exact=True).click()
    page.wait_for_timeout(3000)
    assert lowers_of(page) == lowers  # the same seed


@pytest.mark.parametrize("language", PATHS)
def test_whole_couplets_say_what_they_are(visit, language):
    page, words = visit(language, query="?upper=春福"), words_of(language)
    page.get_by_label(words["way_acrostic"]).check()
    page.get_by_label(words["given_acrostic"]).wait_for()
    ask(page, "春福")
    assert page.locator(".caption").inner_text() == words["caption_acrostic"].format(given="春福")
    lines = page.locator(".card .lines span").all_inner_texts()
    assert lines and {line[0] for line in lines[::2]} == {"春"} and {line[0] for line in lines[1::2]} == {"福"}
    page.get_by_label(words["way_theme"]).check()
    page.get_by_label(words["given_theme"]).wait_for()
    box = page.locator("#upper :is(input, textarea)")
    box.fill("<b>明月</b>")
    box.press("Enter")
    page.locator(".refused").wait_for()
    box.fill("明月")
    box.press("Enter")
    page.locator(".card").first.wait_for()
    assert all("明月" in line for line in page.locator(".card .lines span:nth-child(1)").all_inner_texts())


def test_examples_and_the_other_language_take_the_line_along(visit):
    page = visit()
    page.get_by_role("button", name="海阔凭鱼跃").click()
    page.locator(".card").first.wait_for()
    page.get_by_role("link", name="English").click()
    page.get_by_role("button", name=words_of("en")["answer"], exact=True).wait_for()
    playwright.expect(page.locator("#upper :is(input, textarea)")).to_have_value("海阔凭鱼跃")


@pytest.mark.parametrize("typed", ["", "春" * 10_000, "<img src=x onerror=alert(1)>", "春😀", "hello"])
def test_bad_lines_get_a_sentence_and_nothing_runs(visit, typed):
    page = visit("en")
    page.on("dialog", lambda dialog: pytest.fail("something ran"))
    box = page.locator("#upper :is(input, textarea)")
    box.fill(typed)
    box.press("Enter")
    refused = page.locator(".refused")
    refused.wait_for()
    assert refused.inner_text().endswith(".") and page.locator(".card").count() == 0
    assert page.locator("img[src=x]").count() == 0


# For every element with text of its own: what is read, and the colours of the text and of what lies behind it.
TEXTS = """() => [...document.querySelectorAll('.gradio-container *')].filter(e =>
  e.checkVisibility({visibilityProperty: true}) && !e.closest('svg') &&
  [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
    let back = e, colour = 'rgba(0, 0, 0, 0)';
    for (; back && /, 0\\)$/.test(colour); back = back.parentElement) colour = getComputedStyle(back).backgroundColor;
    return [e.innerText.slice(0, 20), getComputedStyle(e).color, colour];
  })"""


def luminance(colour):
    """Return the relative luminance of a CSS colour (WCAG 2.1)."""
    channels = [int(float(value)) / 255 for value in re.findall(r"[\d.]+", colour)[:3]]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("language", PATHS)
def test_every_text_can_be_read(visit, language):
    page = visit(language)
    page.get_by_role("button", name=words_of(language)["settings"]).click()
    ask(page, UPPER)
    found = page.evaluate(TEXTS)
    assert len(found) > 40
    pale = []
    for text, *colours in found:
        dark, light = sorted(map(luminance, colours))
        if (light + 0.05) / (dark + 0.05) < LEAST_CONTRAST:
            pale.append((text, *colours))
    assert pale == []
