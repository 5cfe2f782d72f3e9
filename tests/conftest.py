"""The whole suite runs without a network, on one thread, and leaves no process-wide state that a test depends on."""

import os
import signal
import sys
from pathlib import Path

_OFFLINE = str(Path(__file__).parent / "offline")
# Before anything imports the libraries, which read these once; the commands that the tests start inherit them.
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_OFFLINE, os.environ.get("PYTHONPATH")]))
os.environ["LANGUAGE"] = "en"  # what the tests expect commands to say
# Models of a few thousand weights are slower on two threads, many times so where other work shares the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, _OFFLINE)
# A shell or nohup that starts the suite in the background lets it ignore these, which a run then rightly ignores too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

import network_block  # noqa: E402, F401
import pytest  # noqa: E402
from finetune_helpers import COMPOSED_ROWS, uer_directory, write_rows  # noqa: E402

from recipe.language import choose_language  # noqa: E402


@pytest.fixture(autouse=True)
def _speaking_english():
    """Speak English again where a test chose another language, by a command line with `--language zh` for one."""
    yield
    if os.environ.get("LANGUAGE") != "en":
        choose_language("en")


@pytest.fixture(scope="session")
def uer_model(tmp_path_factory):
    """A directory of the very layout of uer/gpt2-chinese-cluecorpussmall, in miniature, with random weights."""
    return uer_directory(tmp_path_factory.mktemp("uer") / "gpt2-chinese-cluecorpussmall")


@pytest.fixture(scope="session")
def composed_csv(tmp_path_factory):
    """A CSV of composed couplets."""
    return write_rows(tmp_path_factory.mktemp("composed") / "couplets.csv", COMPOSED_ROWS)
