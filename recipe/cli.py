"""Command line and YAML to settings: one schema (the dataclass fields), every problem in one message, no torch.

Precedence: the command line wins over the YAML file, the file over the defaults. Keys that are not the recipe's own
are passed through to `transformers.TrainingArguments` if it has a field of that name, and refused otherwise.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib.util
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from recipe import __version__
from recipe.errors import UserError, did_you_mean
from recipe.files import at_home, find_shipped
from recipe.language import N_, _, asked_language, choose_language, enumerated
from recipe.settings import CONFIG_DIRECTORY, ScreenSettings
from recipe.text_files import where_looked
from recipe.unknown_flags import unknown_flags, unknown_key, with_plain_dashes
from recipe.yaml_files import read_settings

Group = typing.TypeVar("Group")

_CHINESE_QUOTES = "“”‘’＂＇"
_CHINESE_HEADING = re.compile(r"^(\S.*[\u3000-\u9fff].*):$", re.MULTILINE)
_EMPTY = N_("is empty; name a file or directory, or leave it out")
# Fields of the library that name a file or directory, or may.
_TRAINING_PATHS = ("output_dir", "resume_from_checkpoint", "deepspeed", "accelerator_config", "fsdp_config")
_SWITCHES_TOO = ("resume_from_checkpoint",)  # a text to the library, which reads "true" out of it
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass
class Settings:
    """What a command was asked for: an instance of each settings class, and the passed-through training arguments."""

    groups: dict[type, Any]
    training: dict[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()  # names that the command line or a file sets, whatever to

    def __getitem__(self, group: type[Group]) -> Group:
        return typing.cast(Group, self.groups[group])


def training_argument_names() -> frozenset[str]:
    """Names of the fields of `transformers.TrainingArguments`."""
    return frozenset(_training_annotations())


@cache
def _training_annotations() -> Mapping[str, str]:
    """Name and annotation of each field of `transformers.TrainingArguments`, read from its source text.

    Importing the class loads torch, which takes seconds; whoever mistypes a flag should not wait for that.
    """
    package = importlib.util.find_spec("transformers")
    if package is None or package.origin is None:
        raise UserError(_("the package transformers is not installed; run: pip install -c constraints.txt -e ."))
    source = Path(package.origin).with_name("training_args.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments":
            fields = [(ast.unparse(item.target), item) for item in node.body if isinstance(item, ast.AnnAssign)]
            return {name: ast.unparse(item.annotation) for name, item in fields if not name.startswith("_")}
    raise RuntimeError("transformers/training_args.py defines no class TrainingArguments")


def parse_settings(
    program: str,
    description: str,
    groups: Sequence[type],
    argv: Sequence[str],
    passthrough_defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings that `argv` asks for; `--help` and `--version` print and exit.

    Args:
        groups: dataclasses whose fields are declared by `recipe.settings.setting`; one with a field `config` adds
            YAML files.
        passthrough_defaults: the recipe's values for `TrainingArguments`; None refuses training arguments altogether.

    Raises:
        UserError: every unknown key, wrong type and unreadable file at once.
    """
    choose_language(asked_language(argv))
    groups = [*groups, ScreenSettings]
    passthrough = frozenset() if passthrough_defaults is None else training_argument_names()
    own = {item.name: (group, item) for group in groups for item in dataclasses.fields(group)}
    parser = _build_parser(program, description, groups, passthrough - own.keys())
    known = own.keys() | passthrough
    argv, problems = with_plain_dashes(argv, known)
    try:
        given, unknown = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        is_bare = error.message in (_("expected one argument"), _("expected at least one argument"))  # argparse's words
        raise UserError(
            _("{name} needs a value").format(name=error.argument_name)
            if is_bare
            else _("{problem} (see --help)").format(problem=error)
        ) from None
    command_line = {key: value for key, value in vars(given).items() if value is not _UNSET}
    problems += unknown_flags(program, unknown, known)
    values: dict[str, tuple[Any, str]] = {}
    if "config" in own:
        path = command_line.get("config", [own["config"][1].default])[-1]
        for key, value in _read_yaml(path, problems).items():
            if key not in known or key == "config":
                problem = unknown_key(program, str(key), known)
                problems.append(_("{file}: {problem}").format(file=path, problem=problem))
            else:
                values[key] = (value, f"{path}: {key}")
    values |= {key: (value, f"--{key}") for key, value in command_line.items()}
    settings = _convert_all(groups, own, values, passthrough_defaults or {}, problems)
    choose_language(settings[ScreenSettings].language)  # a file may name it too
    return settings


def _convert_all(
    groups: Sequence[type],
    own: Mapping[str, tuple[type, dataclasses.Field]],
    values: Mapping[str, tuple[Any, str]],
    passthrough_defaults: Mapping[str, Any],
    problems: list[str],
) -> Settings:
    """Turn raw values into typed ones, group by group; raise all problems together."""
    collected: dict[type, dict[str, Any]] = {group: {} for group in groups}
    training = dict(passthrough_defaults)
    for key, (value, origin) in values.items():
        if key not in own:
            value = value[0] if isinstance(value, list) and len(value) == 1 else value
            if key in _TRAINING_PATHS and isinstance(value, str) and (problem := _name_problem(value)):
                problems.append(f"{origin} {problem}")
            training[key] = at_home(value) if key in _TRAINING_PATHS and isinstance(value, str) else value
            continue
        group, item = own[key]
        hint = typing.get_type_hints(group)[key]
        try:
            converted = convert(value, hint, item.metadata["choices"])
            collected[group][key] = _located(converted, item)
        except ValueError as error:
            problems.append(f"{origin} {error}")
    if problems:
        raise UserError(problems)
    return Settings({group: group(**fields) for group, fields in collected.items()}, training, frozenset(values))


def settings_from(group: type[Group], values: Mapping[str, Any]) -> Group:
    """Return one group of settings from values by name, of Python or of JSON, checked as those of the command line.

    Raises:
        UserError: every unknown name and wrong type at once.
    """
    own = {item.name: (group, item) for item in dataclasses.fields(group)}  # type: ignore[arg-type]
    problems = [unknown_key("", name, own.keys()) for name in values if name not in own]
    known = {name: (value, name) for name, value in values.items() if name in own}
    return _convert_all([group], own, known, {}, problems)[group]


def convert(value: Any, hint: Any, choices: Sequence[str] = ()) -> Any:
    """Convert a command-line string or a YAML value to the type of a field.

    Raises:
        ValueError: what is expected and what was found.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(option for option in options if option is not type(None))
    if typing.get_origin(kind) is list:
        items = value if isinstance(value, list) else [value]
        if items in (["none"], [None]):
            return []
        return [convert(item, typing.get_args(kind)[0], choices) for item in items]
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError(_("takes one value, found {count}: {value}").format(count=len(value), value=value))
        value = value[0]
    if type(None) in options and (value is None or value in ("none", "None", "null")):
        return None
    result = _convert_scalar(value, kind)
    if choices and result not in choices:
        raise ValueError(
            _("takes one of {choices}; found {value!r}{hint}").format(
                choices=enumerated(choices), value=value, hint=did_you_mean(str(value), choices)
            )
        )
    return result


def _convert_scalar(value: Any, kind: type) -> Any:
    text = str(value).strip() if kind is not str else value
    if kind is bool and text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    if kind in (int, float) and not isinstance(value, bool):
        try:
            return kind(text.replace("_", ""))
        except ValueError:
            pass
    names = {bool: _("true or false"), int: _("a whole number"), float: _("a number"), str: _("a text")}
    raise ValueError(_("takes {kind}; found {value!r}").format(kind=names[kind], value=value))


_UNSET: Any = argparse.SUPPRESS


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def format_help(self) -> str:
        """Return the page; behind the heading of a group argparse writes a half-width colon in Chinese too."""
        return _CHINESE_HEADING.sub(r"\1：", super().format_help())


def _build_parser(
    program: str, description: str, groups: Sequence[type], passthrough: frozenset[str]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        usage="%(prog)s [--setting value ...]",
        description=_(inspect.cleandoc(description)),
        allow_abbrev=False,
        # By itself argparse prints the whole usage (hundreds of flags here) above its message, which is easy to miss.
        exit_on_error=False,
        argument_default=_UNSET,
        formatter_class=lambda prog: _HelpFormatter(prog, max_help_position=32, width=110),
    )
    version = f"couplet-recipe {__version__}"
    parser.add_argument("--version", action="version", version=version, help=_("show the version and exit"))
    for group in groups:
        section = parser.add_argument_group(_(inspect.cleandoc(group.__doc__ or "").rstrip(".")))
        hints = typing.get_type_hints(group)
        for item in dataclasses.fields(group):
            _add_flag(section, item, hints[item.name])
    if passthrough:
        section = parser.add_argument_group(
            _("Training: every field of transformers.TrainingArguments, by its own name"),
            _("for example --learning_rate 3e-4 --num_train_epochs 1 --per_device_train_batch_size 64"),
        )
        for name in sorted(passthrough):
            # "str | bool" and "bool | None" are switches too; "dict[str, bool]" is none.
            is_switch = name in _SWITCHES_TOO or "bool" in _training_annotations()[name].split(" | ")
            nargs = "*" if is_switch else "+"
            section.add_argument(f"--{name}", nargs=nargs, action=_Collect, help=argparse.SUPPRESS)
    return parser


class _Collect(argparse.Action):
    """Keep what was written: nothing is a bare switch (other flags need a value), several values or repeats a list."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        # argparse takes `--` out of the values of a flag: `--separator=--` arrives without any.
        found = [values] if isinstance(values, str) else values or ["--" if self.nargs is None else "true"]
        earlier = getattr(namespace, self.dest, [])
        setattr(namespace, self.dest, [*earlier, *found])


def _add_flag(section: Any, item: dataclasses.Field, hint: Any) -> None:
    factory = item.default_factory
    default = item.default if factory is dataclasses.MISSING else factory()
    shown = " ".join(map(str, default)) if isinstance(default, list) else default
    has_default = default not in (None, [], False)
    suffix = _(" (default: {value})").format(value=shown).replace("%", "%%") if has_default else ""
    is_switch = bool in (hint, *typing.get_args(hint))
    section.add_argument(
        f"--{item.name}",
        nargs="+" if typing.get_origin(hint) is list else "?" if is_switch else None,
        action=_Collect,
        metavar="|".join(item.metadata["choices"]) or ("true|false" if is_switch else _placeholder(hint)),
        help=_(item.metadata["help"]) + suffix,
    )


def _placeholder(hint: Any) -> str:
    kinds = [hint, *typing.get_args(hint)]
    return next((name for kind, name in ((int, "N"), (float, "X")) if kind in kinds), "TEXT")


def _name_problem(name: str) -> str | None:
    """Why a text cannot be meant as the name of a file or directory."""
    if not name:
        return _(_EMPTY)
    if name[0] in _CHINESE_QUOTES and name[-1] in _CHINESE_QUOTES:
        return _("{name} stands in Chinese quotation marks, which would be part of the name; take them away").format(
            name=name
        )
    return None


def _located(value: Any, item: dataclasses.Field) -> Any:
    """Return names of files, one, several or none, below the home that a `~` means, and shipped ones where they are."""
    if isinstance(value, list):
        return [_located(name, item) for name in value]
    if value is None or not (item.metadata["is_file"] or item.metadata["is_written"]):
        return value
    if problem := _name_problem(value):
        raise ValueError(problem)
    return find_shipped(at_home(value)) if item.metadata["is_file"] else at_home(value)


def _config_file(name: str) -> Path:
    """Return the file that `--config` names: by its path, or a shipped one by its name alone."""
    name = at_home(name)
    shipped = Path(find_shipped(f"{CONFIG_DIRECTORY}/{name}.yaml"))
    return shipped if shipped.is_file() and not Path(name).is_file() else Path(find_shipped(name))


def _read_yaml(path: str | None, problems: list[str]) -> dict[str, Any]:
    if path is None or path == "none":
        return {}
    try:
        return read_settings(_config_file(path))
    except FileNotFoundError:
        shipped = sorted(file.stem for file in Path(find_shipped(CONFIG_DIRECTORY)).glob("*.yaml"))
        hint = did_you_mean(Path(path).stem, shipped)
        problems.append(
            _("--config {path}: no such file{where}; shipped ones: {shipped}{hint}").format(
                path=path, where=where_looked(Path(path)), shipped=enumerated(shipped), hint=hint
            )
        )
    except OSError as error:
        problems.append(
            _("--config {path}: cannot be read ({reason}); it takes a file of lines `key: value`").format(
                path=path, reason=error.strerror
            )
        )
    except ValueError as error:
        problems.append(_("--config {path}: {problem}").format(path=path, problem=error))
    return {}


def to_yaml(settings: Settings) -> str:
    """Write settings as a YAML text that can be fed back as `--config`."""
    flat: dict[str, Any] = {}
    for group in settings.groups.values():
        flat |= dataclasses.asdict(group)
    for name in ("config", "language"):  # of the command, not of the run
        flat.pop(name, None)
    return yaml.safe_dump(flat | settings.training, allow_unicode=True, sort_keys=False, width=120)
