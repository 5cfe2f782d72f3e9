"""Print what a bug report needs: `python -m recipe.report_bug`; `--output_dir DIR` names another run than the last.

Versions, the machine, the settings of the run that differ from the defaults, and the end of its log. Nothing is sent
anywhere, and nothing private is printed: of absolute paths only their last part, no user and no host name, no tokens,
no environment variables, no rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import os
import platform
import re
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from recipe import disk
from recipe.errors import UserError, printable, run_or_explain
from recipe.files import at_home
from recipe.language import N_, _, choose_language
from recipe.run_directory import CONFIG_FILE, METRICS_FILE, checkpoints_by_step
from recipe.settings import TRAINING_DEFAULTS, DataSettings, ModelSettings, RunSettings

_DESCRIPTION = N_(
    "Print what a bug report needs: versions, the machine, the settings of the run that differ from the defaults, and "
    "the end of its log. Nothing is sent anywhere, and nothing private is printed: no names, tokens or rows, and of "
    "absolute paths only the last part."
)
_PACKAGES = ("couplet-recipe", "torch", "transformers", "datasets", "accelerate", "evaluate", "sacrebleu", "tokenizers")
_RUNS = "outputs"
_LOG_LINES = 5
# Texts that somebody wrote, and what names an account.
_PRIVATE_SETTINGS = re.compile("token|password|secret|hub_model_id|run_name|project|sample_prompts")
_SECRET = re.compile(r"\b(?:hf_|sk-|ghp_)[-\w]{8,}")
_PART = r"[^/\s'\",:;()\[\]]"
_ABSOLUTE_PATH = re.compile(rf"(?<![\w.~…/])(?!//)(?:~|/{_PART}+)?(?:/{_PART}+)*/({_PART}*)")
_HIDDEN = "(hidden)"


def report(output_dir: str | Path | None = None) -> str:
    """Return the report as Markdown; of the run in `output_dir`, or of the last one below `outputs/`.

    Raises:
        UserError: `output_dir` is given and holds no run.
    """
    run = _last_run() if output_dir is None else Path(output_dir)
    if output_dir is not None and not (run and (run / CONFIG_FILE).is_file()):
        raise UserError(
            _("--output_dir {directory}: holds no {file}, so no run has begun there; name its directory").format(
                directory=output_dir, file=CONFIG_FILE
            )
        )
    parts = {"Versions": _versions(), "Machine": _machine()}
    if run is not None:
        parts |= {"Settings that differ from the defaults": _settings(run), "End of the log": _log(run)}
    blocks = [f"### {title}\n\n```\n{body}\n```\n" for title, body in parts.items()]
    return printable(without_private("\n".join(blocks)))


def without_private(text: str) -> str:
    """Return `text` without user and host name, tokens, and all of an absolute path but its last part."""
    text = _SECRET.sub(_HIDDEN, text.replace(str(Path.home()), "~"))
    text = _ABSOLUTE_PATH.sub(r"…/\1", text)
    for name, stand_in in ((_user_name(), "user"), (socket.gethostname(), "host")):
        if len(name) > 1:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", stand_in, text)
    return text


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run a number that has no name
        return ""


def _last_run() -> Path | None:
    runs = sorted(Path(_RUNS).glob(f"*/{CONFIG_FILE}"), key=lambda file: file.stat().st_mtime)
    return runs[-1].parent if runs else None


def _versions() -> str:
    lines = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join(lines)


def _machine() -> str:
    import torch  # here, so that the rest of the report needs none

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return "\n".join(
        [
            f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores",
            f"memory {disk.readable(memory)}, free disk {disk.readable(disk.free_bytes('.'))}",
            f"GPUs: {', '.join(cards) or 'none'}; CUDA of torch {torch.version.cuda}",
        ]
    )


def _settings(run: Path) -> str:
    try:
        written = yaml.safe_load((run / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        return f"{CONFIG_FILE} cannot be read: {type(error).__name__}"
    defaults: dict[str, Any] = dict(TRAINING_DEFAULTS)
    for group in (ModelSettings, DataSettings, RunSettings):
        defaults |= dataclasses.asdict(group())
    changed = {key: value for key, value in written.items() if key not in defaults or value != defaults[key]}
    return yaml.safe_dump(_shown(changed), allow_unicode=True, sort_keys=False, width=120).strip()


def _shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without texts and accounts, and of paths their last part: a path may hold white space."""

    def shortened(value: Any) -> Any:
        if isinstance(value, list):
            return [shortened(item) for item in value]
        is_absolute = isinstance(value, str) and Path(value).expanduser().is_absolute()
        return f"…/{Path(value).name}" if is_absolute else value

    return {key: _HIDDEN if _PRIVATE_SETTINGS.search(key) else shortened(value) for key, value in settings.items()}


def _log(run: Path) -> str:
    saved = ", ".join(map(str, checkpoints_by_step(run))) or "none"
    try:
        with (run / METRICS_FILE).open(encoding="utf-8") as file:
            lines = deque(file, _LOG_LINES)
    except (OSError, UnicodeError) as error:
        return f"{METRICS_FILE} cannot be read: {type(error).__name__}; checkpoints of steps: {saved}"
    return "\n".join([*(line.strip() for line in lines), f"checkpoints of steps: {saved}"])


def main(argv: Sequence[str]) -> int:
    choose_language(None)
    parser = argparse.ArgumentParser(prog="python -m recipe.report_bug", description=_(_DESCRIPTION))
    parser.add_argument(
        "--output_dir", type=at_home, help=_("directory of the run; default: the last one below outputs/")
    )
    print(report(parser.parse_args(argv).output_dir))
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
