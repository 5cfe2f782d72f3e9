"""Questions with options as HELM reads them: its scenario `custom_mcqa`, a line an instance. Plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from recipe.files import atomic_open

DIRECTORY, INSTANCES_FILE = "helm", "instances.jsonl"
CORRECT = "correct"


class Option(NamedTuple):
    """An option of a question; HELM takes one tagged `CORRECT` as right, and keeps other tags as they are."""

    text: str
    tags: tuple[str, ...] = ()


def write_instances(directory: Path, questions: Iterable[tuple[str, Sequence[Option]]]) -> Path:
    """Write questions, each a text and its options in their order, below a directory; returns the file."""
    file = directory / DIRECTORY / INSTANCES_FILE
    with atomic_open(file) as handle:
        for number, (text, options) in enumerate(questions):
            references = [{"output": {"text": option.text}, "tags": list(option.tags)} for option in options]
            instance = {"id": f"id{number}", "input": {"text": text}, "references": references, "split": "test"}
            handle.write(json.dumps(instance, ensure_ascii=False) + "\n")
    return file
