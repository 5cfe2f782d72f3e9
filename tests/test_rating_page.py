"""The sheet for raters in a real browser, from disk and on the page: no couplet acts, and ratings are read back."""

import shutil
import socket
import threading

import pytest
from test_rating_sheets import HOSTILE, sheets

from recipe.rating.desk import Desk
from recipe.rating.ratings import read_ratings
from recipe.rating.sheet_files import page, write_sheets
from recipe.web.wording import words_of
from run_evaluate import main

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


@pytest.fixture
def served(tmp_path):
    """The page with its tab of sheets at an address, without a model, and the directory of the sheets."""
    pytest.importorskip("gradio", reason="needs the extra [web]")
    import uvicorn

    from recipe.web.serve import make_app

    write_sheets(tmp_path / "sheets", sheets(sheets=2))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app({}, Desk(tmp_path / "sheets")), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", tmp_path / "sheets"
    server.should_exit = True
    thread.join(30)


@pytest.mark.parametrize(("language", "path", "width"), [("zh", "/", 1280), ("en", "/en/", 390)])
def test_visitors_rate_on_the_page_and_go_on_after_a_reload(served, tmp_path, language, path, width, capsys):
    address, place = served
    complaints = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for number, name in enumerate(["李甲", "../../x"], start=1):
            context = browser.new_context(viewport={"width": width, "height": 844})
            context.set_default_timeout(60_000)
            tab = context.new_page()
            tab.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda request: complaints.extend([] if is_near(request.url, address) else [request.url]))
            tab.goto(address + path)
            sheet = tab.frame_locator("#sheet")
            open_sheet(tab, sheet, language)
            sheet.locator("#rater").fill(name)
            tab.keyboard.press("Enter")
            sheet.locator(".point").first.wait_for()
            for key in "345":
                tab.keyboard.press(key)
            stored = place / f"ratings-{'李甲' if number == 1 else '_x'}-{number}.jsonl"
            wait_for(tab, lambda stored=stored: stored.exists() and len(stored.read_bytes().splitlines()) == 3)
            tab.reload()
            open_sheet(tab, sheet, language)
            playwright.expect(sheet.locator("#count")).to_have_text(f"3 / {len(sheets().sheets[0])}")
            playwright.expect(sheet.locator("#rater")).to_have_value(name)
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert sheet.locator("html").evaluate("page => page.scrollWidth <= innerWidth")
            sheet.locator("button.main").click()
            tab.keyboard.press("2")
            wait_for(tab, lambda stored=stored: len(stored.read_bytes().splitlines()) == 4)
            context.close()
        browser.close()
    assert complaints == []
    files = sorted(map(str, place.glob("ratings-*.jsonl")))
    assert (
        main(["--ratings", *files, "--rating_key", str(place / "key.json"), "--output_dir", str(tmp_path / "o")]) == 0
    )
    assert "(2):" in capsys.readouterr().out  # raters
    assert [rating.value for rating in read_ratings(files[:1]).ratings] == [3, 4, 5, 2]


def open_sheet(tab, sheet, language):
    tab.get_by_role("tab", name=words_of(language)["tab_rate"]).click()
    sheet.locator("#rater").wait_for()


def is_near(url, address):
    return url.startswith((f"{address}/", "data:", "blob:"))


def wait_for(tab, is_true):
    for _ in range(100):
        if is_true():
            return
        tab.wait_for_timeout(100)
    raise AssertionError("nothing was stored")
