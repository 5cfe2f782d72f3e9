"""The key of blind sheets: which answer stands behind which code, and which answers are attention checks.

A sheet names codes only; the key is a file of its own, to be kept from the raters until they are done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recipe.errors import UserError
from recipe.files import write_text
from recipe.language import _

CHECK_SYSTEM = "attention check"


@dataclass(frozen=True)
class CodedAnswer:
    """What stands behind a code.

    Attributes:
        item: code of the prompt that it answers.
        text: the answer as shown.
        systems: every system that gave this very answer; empty for an attention check.
    """

    item: str
    text: str
    systems: tuple[str, ...] = ()


@dataclass(frozen=True)
class SheetKey:
    """What a set of blind sheets hides.

    Attributes:
        sheet: identity of the set of sheets, in every rating that comes from them.
        kind: "absolute" or "pair".
        items: code of a prompt → the prompt.
        answers: code of an answer → what stands behind it.
        identical: [item code, system, system]: pairs that gave the same answer and were not asked; they are ties.
    """

    sheet: str
    kind: str
    items: dict[str, str]
    answers: dict[str, CodedAnswer]
    identical: list[tuple[str, str, str]] = field(default_factory=list)


def write_key(file: str | Path, key: SheetKey) -> None:
    """Write a key as JSON, whole or not at all."""
    write_text(file, json.dumps(asdict(key), ensure_ascii=False, indent=1) + "\n")


def read_keys(files: Sequence[str | Path]) -> dict[str, SheetKey]:
    """Read key files; returns the keys by their sheet.

    Raises:
        UserError: files that cannot be read or are no keys; all at once.
    """
    keys, problems = {}, []
    for file in files:
        try:
            key = _key_from(json.loads(Path(file).read_text(encoding="utf-8-sig")))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            problems.append(
                _("{file}: cannot be read as the key of rating sheets ({error})").format(file=file, error=error)
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(
                _("{file}: is no key of rating sheets; give the key.json that was written beside them").format(
                    file=file
                )
            )
        else:
            keys[key.sheet] = key
    if problems:
        raise UserError(problems)
    return keys


def _key_from(record: Mapping[str, Any]) -> SheetKey:
    return SheetKey(
        sheet=str(record["sheet"]),
        kind=str(record["kind"]),
        items={str(code): str(prompt) for code, prompt in record["items"].items()},
        answers={
            str(code): CodedAnswer(str(answer["item"]), str(answer["text"]), tuple(answer["systems"]))
            for code, answer in record["answers"].items()
        },
        identical=[(str(item), str(one), str(other)) for item, one, other in record["identical"]],
    )
