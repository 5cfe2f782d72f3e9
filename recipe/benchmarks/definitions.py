"""lm-eval's task definitions read as text, without importing it: which data each one needs, and whether it is here.

A mirror is a directory that holds data sets under the names they have on the hub: MIRROR/ceval/ceval-exam, as the `hf`
command downloads them. `datasets` takes a directory `./owner/name` for the data set of that name.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from recipe.benchmarks.names import Benchmark, Part
from recipe.errors import UserError
from recipe.language import N_, _

EXTRA = N_('the benchmarks need the extra [bench]: pip install -c constraints.txt -e ".[bench]"')
_DATA_ENDINGS = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".arrow", ".gz", ".zip")


class Definition(NamedTuple):
    """A task of lm-eval; `config` is the data set's part that it reads, None where it has no parts."""

    task: str
    repository: str
    config: str | None


def task_directory() -> Path | None:
    """Return the directory of lm-eval's task definitions, or None where it is not installed."""
    package = importlib.util.find_spec("lm_eval")
    return None if package is None or package.origin is None else Path(package.origin).parent / "tasks"


def definitions_of(part: Part) -> list[Definition]:
    """Return the task definitions that a part consists of, in alphabetical order; of what is ours none.

    Raises:
        UserError: lm-eval is not installed.
    """
    root = task_directory()
    if root is None:
        raise UserError(_(EXTRA))
    if not part.tasks:
        return []
    found = {}
    for file in sorted((root / part.directory).rglob("*.yaml")):
        fields = read_definition(file)
        task = fields.get("task")
        if isinstance(task, str) and any(fnmatch(task, pattern) for pattern in part.tasks):
            found[task] = Definition(task, fields["dataset_path"], fields.get("dataset_name"))
    return list(found.values())


def repositories(benchmark: Benchmark) -> list[str]:
    """Return the data sets of a benchmark by their names on the hub."""
    return list(dict.fromkeys(needed.repository for part in benchmark.parts for needed in definitions_of(part)))


@cache
def read_definition(file: Path) -> dict[str, Any]:
    """Return the fields of a definition and of those that it includes; functions stay names."""
    fields = yaml.load(file.read_text(encoding="utf-8"), Loader=_NamesOfFunctions)
    included = fields.get("include")
    return {**(read_definition(file.parent / included) if included else {}), **fields}


class _NamesOfFunctions(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads `!function utils.name` as the text `utils.name`."""


_NamesOfFunctions.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def is_here(data_dir: str, needed: Definition) -> bool:
    """Whether a mirror has the data of a definition: each file pattern that its card names for this part."""
    directory = Path(data_dir) / needed.repository
    if not directory.is_dir():
        return False
    if needed.config is None:
        return any(_data_files(directory))
    patterns = _card_patterns(directory).get(needed.config)
    if patterns is None:
        return False
    return all(any(directory.glob(pattern)) for pattern in patterns)


def download_line(data_dir: str, repository: str) -> str:
    """Return the command that puts a data set where a mirror has it."""
    return f"hf download --repo-type dataset {repository} --local-dir {Path(data_dir) / repository}"


def _data_files(directory: Path) -> Iterator[Path]:
    return (file for file in directory.rglob("*") if file.name.endswith(_DATA_ENDINGS) and ".cache" not in file.parts)


def _card_patterns(directory: Path) -> dict[str, list[str]]:
    """Return the file patterns of each part that the data set's card (README.md) names."""
    card = directory / "README.md"
    if not card.is_file():
        return {}
    header = re.match(r"---\s*\n(.*?)\n---", card.read_text(encoding="utf-8-sig", errors="replace"), re.S)
    try:
        fields = yaml.safe_load(header[1]) if header else None
    except yaml.YAMLError:
        return {}
    configs = fields.get("configs") if isinstance(fields, dict) else None
    found = {}
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict) and "config_name" in config:
            prefix = f"{config['data_dir']}/" if "data_dir" in config else ""
            named = config.get("data_files", [f"{prefix}**"])
            found[str(config["config_name"])] = [
                prefix * ("data_files" in config) + pattern for pattern in _flat(named)
            ]
    return found


def _flat(named: Any) -> list[str]:
    """Return the patterns of a card's `data_files`: a text, a list of texts, or of mappings with a `path`."""
    if isinstance(named, dict):
        named = named.get("path", list(named.values()))
    return [str(named)] if isinstance(named, str) else [text for item in named for text in _flat(item)]
