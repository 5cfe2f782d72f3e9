"""The sheet for raters in a real browser: hostile couplets run nothing, and what the keyboard gave is read back."""

import shutil

import pytest
from test_rating_sheets import HOSTILE, sheets

from recipe.rating.ratings import read_ratings
from recipe.rating.sheet_files import page

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra [test]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; on Debian: apt install chromium"),
]


@pytest.mark.parametrize(("kind", "keys"), [("absolute", "345"), ("pair", "abt")])
def test_hostile_couplets_are_rated_by_keyboard_and_run_nothing(tmp_path, kind, keys):
    made = sheets(kind=kind)
    file = tmp_path / "sheet.html"
    file.write_text(page(made, 1, "en"), encoding="utf-8")
    said, asked = [], []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        tab.fill("#rater", "li")
        tab.keyboard.press("Enter")
        seen = ""
        for number in range(len(made.sheets[0])):
            seen += tab.inner_text("body")
            tab.keyboard.press(keys[number % len(keys)])
        with tab.expect_download() as saved:
            tab.get_by_role("button", name="Save").first.click()
        saved.value.save_as(tmp_path / "li.jsonl")
        elements = {tag: tab.locator(tag).count() for tag in ("script", "img")}
        browser.close()
    assert said == [] and asked == [file.as_uri()]
    assert elements == {"script": 2, "img": 0}
    assert all(text in seen for text in HOSTILE)  # shown as it stands, to the letter
    read = read_ratings([tmp_path / "li.jsonl"])
    assert len(read.ratings) == len(made.sheets[0])
