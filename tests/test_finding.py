"""What is said of a name that is no directory here: the hub is asked once, and its cached copy does without it."""

import json

import httpx2
import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from recipe.errors import UserError
from recipe.model import finding
from recipe.model.finding import find_model, has_only_vocabulary_txt, is_gpt2_without_type

RESPONSE = httpx2.Response(404, request=httpx2.Request("GET", "https://huggingface.co/api/models/some/model"))


@pytest.fixture
def hub(monkeypatch):
    """Let the hub give an answer, and count how often it is asked."""
    asked = []

    def answer_with(error):
        def model_info(self, name, timeout):
            asked.append((name, timeout))
            if error is not None:
                raise error

        monkeypatch.setattr(HfApi, "model_info", model_info)
        return asked

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    finding._find_on_hub.cache_clear()
    yield answer_with
    finding._find_on_hub.cache_clear()


def refusal(name):
    with pytest.raises(UserError) as caught:
        find_model(name)
    (problem,) = caught.value.problems
    return problem


def test_without_a_network_the_hub_is_asked_once_and_a_mirror_is_named(hub):
    asked = hub(httpx2.ConnectError("Name or service not known"))
    said = refusal("uer/gpt2-chinese-cluecorpussmall")
    assert "neither a directory here nor reachable on https://huggingface.co (Name or service not known)" in said
    assert "HF_ENDPOINT" in said
    assert asked == [("uer/gpt2-chinese-cluecorpussmall", 10)]


def test_a_directory_of_the_recipes_own_kind_is_taken_for_mistyped(hub):
    hub(httpx2.ConnectError("no route"))
    assert "HF_ENDPOINT" not in refusal("models/coupelt")


def test_a_name_that_the_hub_does_not_know_is_said_to_be_none(hub):
    hub(RepositoryNotFoundError("404", response=RESPONSE))
    assert "some/model: neither a directory here nor a model of https://huggingface.co" in refusal("some/model")


@pytest.mark.parametrize("error", [None, HfHubHTTPError("429", response=RESPONSE)])
def test_a_name_that_the_hub_knows_goes_to_the_library_and_is_asked_for_once(hub, error):
    asked = hub(error)
    assert [find_model("some/model"), find_model("some/model")] == ["some/model"] * 2
    assert len(asked) == 1


def test_what_was_downloaded_before_is_used_where_the_hub_cannot_be_reached(hub, monkeypatch, uer_model, capsys):
    hub(httpx2.ConnectTimeout("timed out"))
    monkeypatch.setattr(finding, "try_to_load_from_cache", lambda name, file: str(uer_model / file))
    assert find_model("some/model") == str(uer_model)
    assert "some/model: https://huggingface.co cannot be reached; the copy" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["./m", "/no/where", "a/b/c", "m/", "模型", "C:\\models\\m", "x" * 5000])
def test_a_text_that_cannot_be_a_hubs_name_is_a_directory_that_is_not_there(hub, name):
    asked = hub(AssertionError("the hub is asked for it"))
    assert "no such directory" in refusal(name)
    assert not asked


def test_the_oldest_directories_are_known_by_their_fields_and_files(uer_model, tmp_path):
    fields = json.loads((uer_model / "config.json").read_text(encoding="utf-8"))
    assert not is_gpt2_without_type(fields)
    assert is_gpt2_without_type({name: value for name, value in fields.items() if name != "model_type"})
    assert not is_gpt2_without_type({"hidden_size": 768, "num_hidden_layers": 12})
    assert has_only_vocabulary_txt(str(uer_model))
    assert not has_only_vocabulary_txt(str(tmp_path))
