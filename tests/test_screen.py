"""Output that may lose its reader: what is said is lost, what is done is not."""

import os
import sys

import pytest

from recipe.errors import UNREAD_EXIT_CODE, run_or_explain
from recipe.screen import outliving_its_reader


def unread():
    """Return a stream into a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


def test_the_block_goes_on_and_the_screen_comes_back(monkeypatch):
    screen = unread()
    monkeypatch.setattr(sys, "stdout", screen)
    with outliving_its_reader():
        for number in range(100_000):  # more than a stream buffers
            print("step", number)
    assert sys.stdout is screen
    screen.close()  # what was buffered is written now, and must not fail


def test_a_full_disk_behind_the_screen_is_no_reason_to_stop(monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        with outliving_its_reader():
            print("lost", flush=True)


def test_another_fault_of_the_screen_is_raised(monkeypatch):
    class Broken:
        def write(self, text):
            raise OSError(22, "invalid")

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(OSError, match="invalid"), outliving_its_reader():
        print("x")


def test_a_command_whose_words_went_to_nobody_says_so(monkeypatch):
    monkeypatch.setattr(sys, "stdout", unread())

    def main(argv):
        print("answer", flush=True)
        return 0

    assert run_or_explain(main, []) == UNREAD_EXIT_CODE
