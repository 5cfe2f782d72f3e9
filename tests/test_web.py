"""What other programs ask over HTTP, and the queue behind it: many at once, one visitor held back, errors in JSON."""

import asyncio
import json
import threading
import time
import xml.etree.ElementTree as ET

import pytest
from tiny_models import character_tokenizer, generating_gpt2

from recipe.couplet.form import form_violations
from recipe.errors import UserError
from recipe.facade import Couplets
from recipe.settings import DecodingSettings
from recipe.web.batching import Batcher, BusyError
from recipe.web.picture import MOST_IN_COLUMN, couplet_svg
from recipe.web.requests import (
    MOST,
    MOST_CHARACTERS,
    ROWS_TOGETHER,
    RefusedError,
    checked_line,
    checked_wish,
)

fastapi = pytest.importorskip("fastapi", reason="needs the extra [web]")
testclient = pytest.importorskip("fastapi.testclient")

from recipe.web import api  # noqa: E402

UPPER = "春山花日"


@pytest.fixture(scope="module")
def couplets(tmp_path_factory):
    path = tmp_path_factory.mktemp("web") / "tiny"
    tokenizer = character_tokenizer()
    generating_gpt2(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return Couplets(str(path), device="cpu")


@pytest.fixture
def batcher(couplets):
    made = Batcher(couplets, most_waiting=256)
    yield made
    made.close()


@pytest.fixture
def client(batcher):
    app = fastapi.FastAPI()
    api.Interface({"tiny": batcher}).add_to(app)
    with testclient.TestClient(app) as made:
        yield made


def error_of(response):
    return response.json()["error"]


# ---- The recipe's own interface ----


def test_a_couplet_with_what_speaks_for_it(client):
    response = client.post("/api/couplet", json={"upper": f" {UPPER}- ", "n": 3, "tones": "strict", "seed": 4})
    body = response.json()
    assert response.status_code == 200
    assert (body["upper"], body["model"], len(body["answers"])) == (UPPER, "tiny", 3)
    for answer in body["answers"]:
        assert form_violations(UPPER, answer["lower"]) == answer["violations"] == []
        assert answer["tones"] == 1 and answer["log_probability"] < 0 and answer["parallelism"] is not None
    again = client.post("/api/couplet", json={"upper": UPPER, "n": 3, "tones": "strict", "seed": 4})
    assert again.json() == body


@pytest.mark.parametrize(
    ("upper", "sentence"),
    [
        ("", "Write an upper line first."),
        ("  ", "Write an upper line first."),
        ("春" * 10_000, f"The upper line has 10,000 characters; at most {MOST_CHARACTERS} are answered."),
        ("春<script>", "The upper line holds HTML; leave only its text."),
        ("春&nbsp;山", "The upper line holds HTML; leave only its text."),
        (
            "春[UNK]",
            "The upper line holds a mark such as [UNK] in the place of a character; type the character itself.",
        ),
        ("春<3", "An upper line holds Chinese characters and punctuation; character 2 is < (U+003C)."),
        ("春😀", "An upper line holds Chinese characters and punctuation; character 2 is 😀 (U+1F600)."),
        ("春\0山", "The upper line holds a line break, control characters or damaged ones."),
        ("春\ud800", "The upper line holds a line break, control characters or damaged ones."),
        ("春山\n花日", "The upper line holds a line break, control characters or damaged ones."),
        ("，。", "The upper line has no Chinese character."),
    ],
)
def test_bad_lines_are_answered_in_a_sentence(client, upper, sentence):
    response = client.post(
        "/api/couplet", content=json.dumps({"upper": upper}), headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, error_of(response)["message"], error_of(response)["code"]) == (400, sentence, 400)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"upper": 3}, 400, "upper takes a text, an upper line; found 3"),
        ({}, 400, "upper takes a text, an upper line; found None"),
        ({"upper": UPPER, "n": "many"}, 400, "n takes a whole number; found 'many'"),
        ({"upper": UPPER, "n": 0}, 400, "--num_return_sequences 0: must be 1 to 1,000"),
        ({"upper": UPPER, "n": 99}, 400, f"n is at most {MOST['n']}; found 99."),
        ({"upper": UPPER, "best_of": 10**400}, 400, f"best_of is at most {MOST['best_of']}"),
        ({"upper": UPPER, "temprature": 1}, 400, "unknown setting temprature; did you mean temperature?"),
        ({"upper": UPPER, "\ud800": 1}, 400, "unknown setting \\ud800"),
        ({"upper": UPPER, "continue_freely": True}, 400, "continue_freely can only be set by whoever runs the server"),
        ({"upper": UPPER, "banned_words": "春"}, 400, "At most 64 banned words"),
        ({"upper": UPPER, "banned_words": ["春"]}, 400, "contains the banned word '春'"),
        ({"upper": UPPER, "model": "gpt-9"}, 404, "no model 'gpt-9' is served; there is tiny"),
        ({"upper": UPPER, "model": {}}, 404, "no model '{}' is served"),
        ([], 400, "the body must be a JSON object; found list"),
        ("{", 400, "the body is no JSON"),
        ('{"upper": NaN}', 400, "NaN is no JSON"),
        ("[" * 60_000, 400, "the body is no JSON"),
        ("1" * 70_000, 413, "a request takes at most 65,536 bytes"),
    ],
)
def test_errors_are_json_with_a_status(client, body, status, message):
    content = body if isinstance(body, str) else json.dumps(body)
    response = client.post("/api/couplet", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (status, status)
    assert message in error_of(response)["message"]


def test_whole_couplets_around_characters(client):
    asked = {"acrostic": " 春风 ", "n": 2, "line_length": 4, "tones": "strict", "banned_words": ["山"], "seed": 4}
    body = client.post("/api/couplet", json=asked).json()
    assert (body["acrostic"], body["model"], len(body["couplets"])) == ("春风", "tiny", 2)
    for one in body["couplets"]:
        assert one["upper"][0] + one["lower"][0] == "春风" and "山" not in one["upper"] + one["lower"]
        assert form_violations(one["upper"], one["lower"]) == one["violations"] == [] and one["tones"] == 1
    assert client.post("/api/couplet", json=asked).json() == body
    found = [client.post("/api/couplet", json={way: "春风", "line_length": 5}).json() for way in ("theme", "compose")]
    assert "春风" in found[0]["couplets"][0]["upper"] and found[1]["couplets"][0]["upper"].startswith("春风")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"acrostic": "春"}, "An acrostic takes two different Chinese characters, one for each line."),
        ({"acrostic": "春春"}, "An acrostic takes two different"),
        ({"acrostic": "春" * 10_000}, "An acrostic takes two different"),
        ({"theme": ""}, "Give 1 to 6 Chinese characters, fewer than a line has."),
        ({"theme": "春\0"}, "Give 1 to 6"),
        ({"theme": "<b>"}, "Give 1 to 6"),
        ({"theme": "😀", "line_length": 4}, "Give 1 to 3"),
        ({"theme": "龘"}, "The model does not know 龘"),
        ({"theme": ["春"]}, "theme takes a text"),
        ({"theme": "春", "line_length": True}, "A line has 3 to 16 characters; found True."),
        ({"theme": "春", "line_length": 10**400}, "A line has 3 to 16 characters"),
        ({"theme": "春", "banned_words": ["春"]}, "contains the banned word '春'"),
        ({"theme": "春", "upper": "春"}, "upper and theme exclude each other"),
        ({"upper": UPPER, "line_length": 5}, "line_length is for whole couplets"),
    ],
)
def test_what_no_couplet_is_made_around_is_answered_in_a_sentence(client, asked, message):
    response = client.post("/api/couplet", content=json.dumps(asked), headers={"Content-Type": "application/json"})
    assert response.status_code == 400 and message in error_of(response)["message"]


def test_only_json_that_is_posted_is_read(client):
    assert client.get("/api/couplet").status_code == 405
    # What a form on another site could send without being asked.
    plain = client.post("/api/couplet", content=b'{"upper": "x"}', headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415 and "Content-Type" in error_of(plain)["message"]


def test_a_defect_is_told_from_a_mistake(client, batcher, monkeypatch, capsys):
    monkeypatch.setattr(batcher.couplets, "generator", lambda *_: 1 // 0)
    response = client.post("/api/couplet", json={"upper": UPPER})
    assert response.status_code == 500 and error_of(response)["type"] == "server_error"
    assert "ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.undo()
    assert client.post("/api/couplet", json={"upper": UPPER}).status_code == 200  # and the thread lives on


# ---- OpenAI's interfaces, by OpenAI's client ----


@pytest.fixture
def openai_client(client):
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=_Bridge(client), max_retries=0)


class _Bridge:
    """OpenAI's client talks to any httpx client; the test client is one of another package's classes."""

    def __new__(cls, client):
        import httpx

        def answer(request):
            path, content = request.url.raw_path.decode(), request.read()
            got = client.request(request.method, path, content=content, headers=dict(request.headers))
            return httpx.Response(
                got.status_code, content=got.content, headers={"content-type": got.headers["content-type"]}
            )

        return httpx.Client(transport=httpx.MockTransport(answer))


def test_openais_client_completes_and_chats(openai_client):
    assert [model.id for model in openai_client.models.list()] == ["tiny"]
    done = openai_client.completions.create(
        model="tiny", prompt=[f"{UPPER}-", "风云高"], n=2, max_tokens=5, stop=["\n"]
    )
    assert [choice.index for choice in done.choices] == [0, 1, 2, 3]
    assert all(form_violations(UPPER, choice.text) == [] for choice in done.choices[:2])
    assert all(form_violations("风云高", choice.text) == [] for choice in done.choices[2:])
    assert done.usage.completion_tokens == 2 * (4 + 1) + 2 * (3 + 1)
    messages = [{"role": "system", "content": "对对联"}, {"role": "user", "content": UPPER}]
    chats = [openai_client.chat.completions.create(model="tiny", messages=messages, temperature=0) for _ in "ab"]
    assert chats[0].choices[0].message.content == chats[1].choices[0].message.content
    assert form_violations(UPPER, chats[0].choices[0].message.content) == []
    parts = [{"role": "user", "content": [{"type": "text", "text": UPPER}]}]
    streamed = openai_client.chat.completions.create(
        model="tiny", messages=parts, stream=True, temperature=0, extra_body={"tones": "strict"}
    )
    (chunk,) = list(streamed)
    assert form_violations(UPPER, chunk.choices[0].delta.content) == []


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("completions", {"prompt": []}, "prompt takes 1 to 64 upper lines; found 0"),
        ("completions", {"prompt": [[1, 2]]}, "prompt takes a text, an upper line; found [1, 2]"),
        ("completions", {"prompt": UPPER, "echo": True}, "echo is not supported; leave it out"),
        ("completions", {"prompt": UPPER, "temprature": 1}, "unknown parameter temprature; did you mean temperature?"),
        ("chat/completions", {"messages": "春"}, "messages takes a list of {role, content}"),
        ("chat/completions", {"messages": [{"role": "system", "content": "春"}]}, "messages holds none of the user"),
        ("chat/completions", {"messages": [{"role": "user", "content": "hello"}]}, "character 1 is h"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(client, path, body, message):
    response = client.post(f"/v1/{path}", json=body)
    assert response.status_code == 400 and message in error_of(response)["message"]


def test_neutral_values_of_what_is_not_supported_are_fine(client):
    body = {"prompt": UPPER, "presence_penalty": 0, "echo": False, "logit_bias": {}, "logprobs": None, "user": "x"}
    assert client.post("/v1/completions", json=body).status_code == 200


def test_models_are_served_by_the_names_of_their_directories():
    assert api.served_names(["/home/somebody/models/couplet", "models/old/"]) == ["couplet", "old"]
    assert api.served_names(["a/couplet", "b/couplet"]) == ["couplet-1", "couplet-2"]


# ---- The queue ----


def test_two_hundred_at_once_are_answered_together_and_none_is_lost(couplets, batcher, monkeypatch):
    batches = []
    generator = couplets.generator(checked_wish({"best_of": 4}).settings)
    answer_each = generator.answer_each
    monkeypatch.setattr(generator, "answer_each", lambda prompts: batches.append(len(prompts)) or answer_each(prompts))
    app = fastapi.FastAPI()
    api.Interface({"tiny": batcher}).add_to(app)
    httpx = pytest.importorskip("httpx")
    uppers = ["春山花日"[place % 4 :] + "风云高来"[: place % 4 + 1] for place in range(200)]

    async def ask_all():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as asking:
            return await asyncio.gather(
                *(asking.post("/api/couplet", json={"upper": upper, "best_of": 4}, timeout=60) for upper in uppers)
            )

    responses = asyncio.run(ask_all())
    assert [response.json()["upper"] for response in responses] == uppers
    assert all(form_violations(upper, response.json()["answers"][0]["lower"]) == []
               for upper, response in zip(uppers, responses, strict=True))  # fmt: skip
    # Four lines are drawn for each, so that a batch holds 64; the first ones hold what has come.
    assert sum(batches) == 200 and max(batches) == 64 and len(batches) < 20


class Held:
    """Holds a batcher's thread, so that requests wait until it is let go."""

    def __init__(self, couplets, monkeypatch):
        self.go, self.asked = threading.Event(), []
        generator = couplets.generator(DecodingSettings())
        answer_each = generator.answer_each

        def held(prompts):
            self.asked.append([prompt.prompt for prompt in prompts])
            self.go.wait(30)
            return answer_each(prompts)

        monkeypatch.setattr(generator, "answer_each", held)

    def wait_until_asked(self):
        while not self.asked:
            time.sleep(0.001)


def test_a_full_queue_asks_to_come_again(couplets, monkeypatch):
    batcher, held = Batcher(couplets, most_waiting=2), Held(couplets, monkeypatch)
    first = batcher.submit(UPPER, DecodingSettings())
    held.wait_until_asked()
    waiting = [batcher.submit(UPPER, DecodingSettings()) for _ in "ab"]
    with pytest.raises(BusyError):
        batcher.submit(UPPER, DecodingSettings())
    app = fastapi.FastAPI()
    api.Interface({"tiny": batcher}).add_to(app)
    with testclient.TestClient(app) as client:
        response = client.post("/api/couplet", json={"upper": UPPER})
    assert response.status_code == 429 and response.headers["Retry-After"] == "5"
    held.go.set()
    assert all(len(future.result(30)) == 1 for future in (first, *waiting))
    batcher.close()


def test_visitors_take_turns_and_what_differs_is_answered_apart(couplets, monkeypatch):
    batcher, held = Batcher(couplets, most_waiting=100), Held(couplets, monkeypatch)
    small = DecodingSettings(generation_batch_size=3, best_of=1)
    futures = [batcher.submit(UPPER, DecodingSettings(), visitor="first")]
    held.wait_until_asked()
    kept = couplets.generator(DecodingSettings())
    monkeypatch.setattr(couplets, "generator", lambda *_: kept)
    futures += [batcher.submit("春山花", small, visitor="greedy") for _ in range(4)]
    futures += [batcher.submit("风云高", small, visitor="modest")]
    futures += [batcher.submit("东来东", small, seed=5, visitor="modest")]
    held.go.set()
    assert all(future.result(30) for future in futures)
    assert held.asked[1] == ["春山花", "风云高", "春山花"]  # the modest one comes second, not fifth
    assert ["东来东"] in held.asked  # by itself, since it has a seed
    batcher.close()


def test_whoever_leaves_is_not_answered_and_closing_leaves_nobody_waiting(couplets, monkeypatch):
    batcher, held = Batcher(couplets, most_waiting=100), Held(couplets, monkeypatch)
    first = batcher.submit(UPPER, DecodingSettings())
    held.wait_until_asked()
    gone, waiting = (batcher.submit(upper, DecodingSettings()) for upper in ("春山花", "风云高"))
    gone.cancel()
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while not waiting.cancelled():
        time.sleep(0.001)
    held.go.set()
    closing.join(30)
    assert first.result(0) and held.asked == [[UPPER]]


# ---- What is asked for, and what is shown ----


def test_every_refusal_is_a_whole_sentence_in_both_languages(couplets):
    with pytest.raises(RefusedError) as caught:
        checked_line("春😀", couplets.ready.text_format)
    assert caught.value.sentences == {
        "zh": "上联只能用汉字和标点，第 2 个字符是 😀 (U+1F600)。",
        "en": "An upper line holds Chinese characters and punctuation; character 2 is 😀 (U+1F600).",
    }


def test_a_wish_is_settings_without_their_seed(couplets):
    wish = checked_wish({"n": 2, "temperature": None, "seed": 7, "banned_words": ["春", ""]})
    assert wish.settings == DecodingSettings(num_return_sequences=2, generation_batch_size=ROWS_TOGETHER)
    assert (wish.banned_words, wish.seed) == (("春",), 7)
    with pytest.raises(UserError):
        checked_wish({"seed": "x"})


def texts_of(svg, kind=None):
    root = ET.fromstring(svg)
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text") if node.get("class") == kind]


def test_the_picture_hangs_the_upper_line_on_the_right():
    svg = couplet_svg("春山，花", "水月，柳", "风云")
    root = ET.fromstring(svg)
    places = {node.text: float(node.get("x")) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert places["春"] > places["水"] and places["风"] > places["云"]  # the heading is read from the right too
    assert "".join(texts_of(svg)) == "风云水月，柳春山，花"
    assert texts_of(svg, "tone") == ["仄", "仄", "仄", "平", "平", "平"]
    assert couplet_svg("春山，花", "水月，柳", "风云") == svg and "http" not in svg.replace(
        "http://www.w3.org/2000/svg", ""
    )


def test_long_lines_hang_in_columns_of_which_none_begins_with_a_mark():
    line = "春" * MOST_IN_COLUMN + "，" + "山" * 6
    root = ET.fromstring(couplet_svg(line, line))
    marks = [node for node in root.iter("{http://www.w3.org/2000/svg}text") if node.text == "，"]
    tops = [float(node.get("y")) for node in root.iter("{http://www.w3.org/2000/svg}text") if node.text == "春"]
    assert all(float(mark.get("y")) > min(tops) + 40 for mark in marks)
