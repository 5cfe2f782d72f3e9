"""The Dockerfile's steps are those that the documentation shows; building it needs a network."""

import re

from test_readme import ROOT, fenced_blocks

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_every_step_is_one_that_the_pages_show():
    shown = {
        line
        for page in ("docs/install.md", "docs/web.md")
        for block in fenced_blocks(ROOT / page)
        for line in block.split("\n")
    }
    cpu = DOCKERFILE.replace("${TORCH}", re.search(r"^ARG TORCH=(\w+)$", DOCKERFILE, re.MULTILINE)[1])
    steps = re.findall(r"^RUN (.*)$", cpu, re.MULTILINE)
    assert len(steps) == 2 and set(steps) <= shown
    (command,) = re.findall(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    assert "python run_demo.py" in shown and command.startswith('"python", "run_demo.py"')
