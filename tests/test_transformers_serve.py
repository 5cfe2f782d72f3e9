"""A local server that people really run, `transformers serve`, as judge and as system, with a tiny chat model."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from test_evaluation import folder, run  # noqa: F401  (a test file of made-up couplets)
from tiny_models import character_tokenizer, tiny_gpt2

pytest.importorskip("openai")
pytest.importorskip("uvicorn", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytestmark = pytest.mark.slow
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of the server, and the name of its model."""
    place = tmp_path_factory.mktemp("chat")
    tokenizer = character_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tiny_gpt2(tokenizer, n_positions=2048).save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (place / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [*command, str(place / "model"), *options], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, place / "log")
            yield f"http://127.0.0.1:{port}/v1", str(place / "model")
        finally:
            server.terminate()
            server.wait(timeout=60)


def _wait_for(url, server, log):
    for _ in range(300):
        assert server.poll() is None, log.read_text(encoding="utf-8")[-2000:]
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(1)
    raise AssertionError(log.read_text(encoding="utf-8")[-2000:])


def test_as_judge_and_as_system(folder, served, tmp_path):  # noqa: F811
    url, model = served
    calls = ["--call_cache_dir", str(tmp_path / "cache"), "--call_concurrency", "1", "--max_upper_lines", "3"]
    system = ["--endpoint", url, "--endpoint_model", model, "--seeds", "1", "--endpoint_tries", "2"]
    judge = ["--judge_endpoint", url, "--judge_model", model, "--judge_max_tokens", "16", "--rating_items", "2"]
    results = run(folder, tmp_path / "out", *system, "--endpoint_max_tokens", "16", *judge, *calls)
    found = results["system"]["served"]
    # Random weights keep no form and give no verdict; but every question was answered, and each failure is counted.
    assert found["answers"] == 3 and found["refused"] == 0 and found["paid"] == 3 + 3 - found["kept_first"]
    (report,) = results["ratings"]["judges"]
    assert report["unreadable"] == report["asked"] and report["malformed"] == 3 * report["asked"]
    assert any("got no readable answer after three tries" in note for note in results["ratings"]["notes"])
    again = run(folder, tmp_path / "again", *system, "--endpoint_max_tokens", "16", *judge, *calls)
    assert again["system"]["served"]["paid"] == again["ratings"]["judges"][0]["paid"] == 0
    assert json.dumps(again["figures"]) == json.dumps(results["figures"])
