"""Sheets handed out by a server: who gets which, what is kept of what visitors send, and what is refused."""

import json

import pytest
from test_rating_sheets import ANSWERS, sheets

from recipe.errors import UserError
from recipe.files import append_lines
from recipe.rating import desk as desks
from recipe.rating.desk import Desk, TakenError, entry_name
from recipe.rating.evidence import gather
from recipe.rating.keys import read_keys
from recipe.rating.ratings import read_ratings
from recipe.rating.sheet_files import read_page, write_sheets

fastapi = pytest.importorskip("fastapi", reason="needs the extra [web]")
testclient = pytest.importorskip("fastapi.testclient")

from recipe.web.rating import RatingPage  # noqa: E402


@pytest.fixture
def place(tmp_path):
    write_sheets(tmp_path, sheets(sheets=2, dimensions=("overall", "imagery")))
    return tmp_path


@pytest.fixture
def client(place):
    app = fastapi.FastAPI()
    RatingPage(Desk(place)).add_to(app)
    with testclient.TestClient(app) as made:
        yield made


def begin(client, name, **more):
    response = client.post("/rate/begin", json={"rater": name, **more})
    assert response.status_code == 200, response.text
    return response.json()


def save(client, seat, answers, **more):
    body = {"rater": seat["rater"], "token": seat["token"], "answers": answers, **more}
    return client.post("/rate/save", json=body)


def answer_to(entry, value=4, **more):
    return {"system": entry["system"], "other": entry["other"], "values": {"overall": value, "imagery": 2}, **more}


@pytest.mark.parametrize("kind", ["absolute", "pair"])
def test_a_page_is_read_as_it_was_written(tmp_path, kind):
    made = sheets(kind=kind, points=7)
    write_sheets(tmp_path, made)
    written = read_page(tmp_path / "sheet-1.html")
    assert (written.sheet, written.number, written.entries) == (made.key.sheet, 1, made.sheets[0])
    assert (written.options.kind, written.options.points) == (kind, 7) and written.options.labels == made.options.labels


def test_ratings_are_stored_as_they_come_and_read_back(client, place):
    first, second, third = (begin(client, name) for name in ("li", "王 五", "赵"))
    assert [seat["number"] for seat in (first, second, third)] == [1, 2, 1]  # those nobody began come first
    assert first["entries"] != second["entries"] and first["answers"] == {}
    keys = read_keys([place / "key.json"])
    answers = keys[sheets(sheets=2).key.sheet].answers
    entries = [entry for entry in second["entries"] if answers[entry["system"]].systems]  # no attention checks
    assert save(client, second, [answer_to(entries[0], comment="工"), answer_to(entries[1], 1)]).json() == {"saved": 5}
    assert save(client, second, [answer_to(entries[0], comment="工")]).json() == {"saved": 0}  # nothing new
    assert save(client, second, [answer_to(entries[0], 5, comment=" ")]).json() == {"saved": 2}  # changed, withdrawn
    file = place / "ratings-王_五-2.jsonl"
    assert len(file.read_text(encoding="utf-8").splitlines()) == 7
    read = read_ratings([file])
    assert (len(read.ratings), read.faults, read.replaced) == (4, [], 2)
    people = gather(read.ratings, keys)["person"]
    assert people.raters() == ["王 五"] and not people.comments
    assert sorted((score.dimension, score.value) for score in people.scores) == [
        ("imagery", 2), ("imagery", 2), ("overall", 1), ("overall", 5),
    ]  # fmt: skip
    again = begin(client, "王 五", token=second["token"])
    name = entries[0]["system"]
    assert again["number"] == 2 and again["answers"][name] == {"values": {"overall": 5, "imagery": 2}, "comment": ""}


def test_a_rater_goes_on_after_the_server_ended(client, place):
    seat = begin(client, "li")
    save(client, seat, [answer_to(seat["entries"][0])])
    with (place / "ratings-li-1.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "absol')  # as a power cut may leave it
    desk = Desk(place)
    with pytest.raises(TakenError):
        desk.begin("LI")  # one file on some systems
    taken_up = desk.begin("li", seat["token"])
    assert len(taken_up.answers) == 1
    assert desk.save("li", seat["token"], [answer_to(seat["entries"][1])]) == 2
    read = read_ratings([place / "ratings-li-1.jsonl"])
    assert len(read.ratings) == 4 and len(read.faults) == 1


def test_nobody_rates_under_the_name_of_another(client, place):
    (place / "ratings-ann-1.jsonl").write_text("", encoding="utf-8")  # of a page that was opened from disk
    seat = begin(client, "li")
    for name, token in (("li", ""), ("LI", "x"), ("li", "\ud800"), ("ann", "")):
        body = json.dumps({"rater": name, "token": token, "language": "zh"})
        refused = client.post("/rate/begin", content=body, headers={"Content-Type": "application/json"})
        assert refused.status_code == 409 and "请换一个" in refused.json()["error"]["message"]
    assert save(client, seat | {"token": "x"}, [answer_to(seat["entries"][0])]).status_code == 409
    assert save(client, seat | {"rater": "nobody"}, []).status_code == 409
    assert not (place / "ratings-li-1.jsonl").exists()


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a\\b", "..", "c:d", "x\u0000y".replace("\0", " "), "字" * 40]
)
def test_no_name_becomes_a_path(client, place, name):
    seat = begin(client, name)
    assert save(client, seat, [answer_to(seat["entries"][0])]).json() == {"saved": 2}
    written = [file for file in place.rglob("*") if file.name.startswith("ratings-")]
    assert [file.parent for file in written] == [place] and not set("/\\.:") & set(written[0].stem)
    assert {rating.rater for rating in read_ratings(written).ratings} == {name}
    assert not list(place.parent.glob("x*"))


@pytest.mark.parametrize("name", ["", "  ", "字" * 41, "a\u202eb", "a\0b", "\ud800", 3, None, ["li"]])
def test_what_is_no_name_gets_a_sentence(client, place, name):
    content = json.dumps({"rater": name})
    refused = client.post("/rate/begin", content=content, headers={"Content-Type": "application/json"})
    assert refused.status_code == 400 and refused.json()["error"]["message"].endswith(".")
    assert not (place / "raters.json").exists()


def test_wrong_answers_get_a_sentence_and_nothing_is_kept(client, place):
    seat = begin(client, "li")
    good = answer_to(seat["entries"][0])
    wrong = [
        "x",
        [3],
        [good | {"system": "ffffffffffff"}],
        [good | {"system": ["a"]}],
        [good | {"other": "b"}],
        [good | {"values": {"tones": 3}}],
        [good | {"values": {"overall": 6}}],
        [good | {"values": {"overall": True}}],
        [good | {"values": [4]}],
        [good | {"comment": "x" * 2001}],
        [good | {"comment": {}}],
    ]
    for answers in wrong:
        refused = save(client, seat, [good, *answers] if isinstance(answers, list) else answers)
        assert refused.status_code == 400 and refused.json()["error"]["message"], answers
    headers = {"Content-Type": "application/json"}
    assert client.post("/rate/save", content="{", headers=headers).status_code == 400
    assert client.post("/rate/save", content="[]", headers=headers).status_code == 400
    assert client.post("/rate/save", content=b"x" * 70_000, headers=headers).status_code == 413
    assert client.post("/rate/save", content="rater=li").status_code == 415  # a form of another site
    assert client.get("/rate/save").status_code == client.put("/rate/begin").status_code == 405
    for path in ("key.json", "raters.json", "sheet-1.html", "../key.json", "%2e%2e/key.json"):
        assert client.get(f"/rate/{path}").status_code == 404
    assert not list(place.glob("ratings-*"))


def test_there_is_an_end_to_raters_and_to_changes(client, place, monkeypatch):
    seat = begin(client, "li")
    monkeypatch.setattr(desks, "MOST_BYTES", 100)
    save(client, seat, [answer_to(seat["entries"][0])])
    assert save(client, seat, [answer_to(seat["entries"][1])]).status_code == 429
    monkeypatch.setattr(desks, "MOST_RATERS", 1)
    assert client.post("/rate/begin", json={"rater": "wu"}).status_code == 429


def test_a_full_disk_leaves_whole_lines(client, place, monkeypatch):
    seat = begin(client, "li")
    save(client, seat, [answer_to(seat["entries"][0])])
    before = (place / "ratings-li-1.jsonl").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    refused = save(client, seat, [answer_to(seat["entries"][1])])
    assert refused.status_code == 507 and "No space left on device" in refused.json()["error"]["message"]
    assert (place / "ratings-li-1.jsonl").read_bytes() == before
    monkeypatch.undo()
    assert save(client, seat, [answer_to(seat["entries"][1])]).json() == {"saved": 2}  # not taken for kept


def test_appending_ends_a_line_that_was_cut(tmp_path):
    file = tmp_path / "lines"
    append_lines(file, "一\n")
    assert file.read_bytes() == "一\n".encode()
    file.write_bytes(b"cut")
    append_lines(file, "b\n")
    assert file.read_bytes() == b"cut\nb\n"


def test_pairs_keep_the_order_in_which_they_were_shown(tmp_path):
    write_sheets(tmp_path, sheets(kind="pair"))
    desk = Desk(tmp_path)
    seat = desk.begin("li")
    entry = seat.sheet.entries[0]
    said = {"system": entry.system, "other": entry.other, "values": {"overall": "B"}}
    assert desk.save("li", seat.token, [said]) == 1
    assert desk.begin("li", seat.token).answers == {entry_name(entry): {"values": {"overall": "B"}, "comment": ""}}
    with pytest.raises(UserError, match="takes A, B, tie, both_bad"):
        desk.save("li", seat.token, [said | {"values": {"overall": 3}}])


def test_directories_without_sheets_are_refused(tmp_path, place):
    (tmp_path / "empty").mkdir()
    for name, said in (("none", "is no directory"), ("empty", "holds no sheet-1.html")):
        with pytest.raises(UserError, match=said):
            Desk(tmp_path / name)
    (place / "sheet-2.html").write_text("<html>", encoding="utf-8")
    (place / "sheet-3.html").write_bytes(b"\xff")
    with pytest.raises(UserError) as caught:
        Desk(place)
    assert len(caught.value.problems) == 2 and "is no rating sheet" in caught.value.problems[0]


def test_other_sheets_and_damaged_lists_of_raters_are_refused(place, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write_sheets(other, sheets(seed=5))
    (place / "raters.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"raters\.json: cannot be read as the list of raters"):
        Desk(place)
    (place / "sheet-2.html").write_bytes((other / "sheet-1.html").read_bytes().replace(b'"number": 1', b'"number": 2'))
    with pytest.raises(UserError, match="holds sheets of several sets"):
        Desk(place)


def test_the_served_page_holds_no_answer_and_asks_its_server_alone(client):
    response = client.get("/rate/?language=en")
    assert "frame-ancestors 'self'" in response.headers["content-security-policy"]
    assert "connect-src 'self'" in response.text and "http" not in response.text.split("<script>")[1]
    assert not any(text in response.text for lines in ANSWERS.values() for text in lines[:3])
    assert '"language": "en"' in response.text and client.get("/rate/?language=<b>").text.count('"language": "zh"') == 1
