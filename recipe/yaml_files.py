"""Settings in YAML files: read strictly, with the line and the cause where something is not YAML."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

_COLON = re.compile(r"(\s*-*\s*[A-Za-z_]\w*)\s*(：|:(?=\S))\s*(.*)")  # full-width, or with nothing behind it
_TAB = re.compile(r"^ *\t")


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: what is wrong with it, in words for its reader.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeError as error:
        raise ValueError(f"is not UTF-8 ({error}); save it as UTF-8") from None
    try:
        loaded = yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_explained(text, error)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"cannot be read as YAML: {' '.join(str(error).split())}") from None
    if loaded is None or isinstance(loaded, dict):
        return loaded or {}
    raise ValueError(_faulty_colon(text) or f"expected lines of `key: value`, found {type(loaded).__name__}")


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Any, int] = {}
        for key_node, _ in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if isinstance(key, str) and key in first:
                problem = f"{key} is set twice, in line {first[key]} and in line {line}"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if isinstance(key, str):
                first[key] = line
        return super().construct_mapping(node, deep)


def _explained(text: str, error: yaml.MarkedYAMLError) -> str:
    """Return the cause of an error that people make most, or else the parser's own words, with the line."""
    if isinstance(error, yaml.constructor.ConstructorError):
        return str(error.problem)
    lines = text.splitlines()
    if tabs := [number for number, line in enumerate(lines, 1) if _TAB.match(line)]:
        return f"line {tabs[0]} begins with a tab; YAML takes spaces"
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}: " if mark else ""
    words = " ".join(filter(None, (error.context, error.problem)))
    return _faulty_colon(text) or f"cannot be read as YAML: {place}{words}; settings are lines of `key: value`"


def _faulty_colon(text: str) -> str | None:
    """Name the first line whose colon is none to YAML: a full-width one, or one without a space behind it."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _COLON.fullmatch(line):
            fault = "a full-width colon (：)" if found[2] == "：" else "no space behind its colon"
            return f"line {number} has {fault}; write `{found[1].strip()}: {found[3].strip()}`"
    return None
