"""Settings in YAML files: read strictly, with the line and the cause where something is not YAML."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from recipe.language import _

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
        raise ValueError(_("is not UTF-8 ({error}); save it as UTF-8").format(error=error)) from None
    try:
        loaded = yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_explained(text, error)) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(_("cannot be read as YAML: {reason}").format(reason=reason)) from None
    if loaded is None or isinstance(loaded, dict):
        return loaded or {}
    raise ValueError(
        _faulty_colon(text) or _("expected lines of `key: value`, found {kind}").format(kind=type(loaded).__name__)
    )


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Any, int] = {}
        for key_node, _value in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if isinstance(key, str) and key in first:
                problem = _("{key} is set twice, in line {first} and in line {second}").format(
                    key=key, first=first[key], second=line
                )
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
        return _("line {number} begins with a tab; YAML takes spaces").format(number=tabs[0])
    if fault := _faulty_colon(text):
        return fault
    mark = error.problem_mark or error.context_mark
    reason = " ".join(filter(None, (error.context, error.problem)))
    if mark is None:
        return _("cannot be read as YAML: {reason}; settings are lines of `key: value`").format(reason=reason)
    return _("cannot be read as YAML: line {number}: {reason}; settings are lines of `key: value`").format(
        number=mark.line + 1, reason=reason
    )


def _faulty_colon(text: str) -> str | None:
    """Name the first line whose colon is none to YAML: a full-width one, or one without a space behind it."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _COLON.fullmatch(line):
            if found[2] == "：":
                fault = _("line {number} has a full-width colon (：); write `{correct}`")
            else:
                fault = _("line {number} has no space after its colon; write `{correct}`")
            return fault.format(number=number, correct=f"{found[1].strip()}: {found[3].strip()}")
    return None
