"""A trained model into a local model directory that everybody's tools can load, whole or not at all."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from recipe.errors import UserError
from recipe.files import atomic_directory
from recipe.formats.base import TextFormat
from recipe.language import _, enumerated
from recipe.run_directory import CHECKPOINT_PREFIX, CONFIG_FILE
from recipe.templating import render

_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "evaluate", "sacrebleu")


# Everything that publishing writes. What else stands in a directory is somebody's, and is never replaced.
_PUBLISHED = (
    *("README.md", "config.json", "generation_config.json", "metrics.json", CONFIG_FILE),
    *("model.safetensors", "model-*.safetensors", "model.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
_FILES_NAMED = 5


def check_publish_dir(directory: str | Path, kept: Mapping[str, str | Path] | None = None) -> list[str]:
    """Return what would keep `directory` from being written at the end of a run, as problems; empty if nothing.

    Args:
        kept: directories of the run that must outlast the publishing, by their settings.
    """
    path = Path(directory).resolve()  # a link is published to where it leads
    if path.exists() and not path.is_dir():
        return [_("--publish_dir {directory}: is a file; name a directory").format(directory=directory)]
    for name, other in {_("the working directory"): Path.cwd(), **(kept or {})}.items():
        if Path(other).resolve().is_relative_to(path):
            return [
                _("--publish_dir {directory}: would replace {name} {other}; name a directory of its own").format(
                    directory=directory, name=name, other=other
                )
            ]
        if path.parent == Path(other).resolve() and path.name.startswith(CHECKPOINT_PREFIX):
            return [
                _("--publish_dir {directory}: is the name of a checkpoint of this run; name another").format(
                    directory=directory
                )
            ]
    if problem := _foreign_files(path):
        return [_("--publish_dir {directory}: {problem}").format(directory=directory, problem=problem)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent):
            pass
    except OSError as error:
        return [
            _("--publish_dir {directory}: cannot be written ({reason}); name another").format(
                directory=directory, reason=error.strerror
            )
        ]
    return []


def _foreign_files(path: Path) -> str | None:
    """Say what stands in a directory that this recipe did not publish, if anything does."""
    if not path.is_dir() or not (names := sorted(file.name for file in path.iterdir())):
        return None
    foreign = [name for name in names if not any(fnmatch(name, known) for known in _PUBLISHED)]
    if foreign:
        return _("holds other files than a model and would be replaced ({files}); name another").format(
            files=enumerated(foreign[:_FILES_NAMED])
        )
    if CONFIG_FILE not in names:
        return _("holds a model from elsewhere (without a {config}) and would be replaced; name another").format(
            config=CONFIG_FILE
        )
    return None


def check_hub_login() -> list[str]:
    """Return what would keep a push to the hub from succeeding, as problems; empty if nothing."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        HfApi().whoami()
    except (LocalTokenNotFoundError, HfHubHTTPError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        return [
            _(
                "--push_to_hub: the hub does not know who you are ({reason}); run `hf auth login`, or leave it off"
            ).format(reason=reason)
        ]
    return []


def publish(
    directory: str | Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    text_format: TextFormat,
    resolved_config: str,
    metrics: Mapping[str, Any],
    data: Mapping[str, tuple[int, str]],
    weights: dict[str, Any] | None = None,
) -> Path:
    """Write model, tokenizer, generation config, card, resolved configuration and metrics; return the directory.

    Args:
        text_format: what the model was trained on; `config.recipe` carries it, so that it is found again on load.
        resolved_config: YAML text of all settings.
        metrics: figures of the held-out set, before and after training.
        data: name of each data file → its bytes and its SHA-256, when it was read.
        weights: the whole weights by name of a model that holds only a part of them (FSDP2).

    Raises:
        UserError: the disk has no room for it, or files that were not published there have come since the start.
    """
    target = Path(directory).resolve()
    if problem := _foreign_files(target):
        raise UserError(
            _(
                "--publish_dir {directory}: {problem}. The run is whole: --resume_from_checkpoint auto with another "
                "--publish_dir publishes it"
            ).format(directory=directory, problem=problem)
        )
    model.config.recipe = text_format.carried()
    # The Trainer switches the cache off for training; without it every token of a generation costs the whole prefix.
    model.config.use_cache = True
    try:
        with atomic_directory(target) as temporary:
            model.save_pretrained(temporary, state_dict=weights)
            tokenizer.save_pretrained(temporary)
            (temporary / CONFIG_FILE).write_text(resolved_config, encoding="utf-8")
            (temporary / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False), encoding="utf-8")
            card = model_card(model, text_format, resolved_config, metrics, data)
            (temporary / "README.md").write_text(card, encoding="utf-8")
    except (OSError, SafetensorError) as error:  # safetensors wraps what the system says of a full disk
        raise UserError(
            _(
                "{target}: the model could not be published ({error}); what stood there before still stands. Free "
                "some space, then run the same command with --resume_from_checkpoint auto"
            ).format(target=target, error=error)
        ) from None
    return Path(directory)


def model_card(
    model: PreTrainedModel,
    text_format: TextFormat,
    resolved_config: str,
    metrics: Mapping[str, Any],
    data: Mapping[str, tuple[int, str]],
) -> str:
    """Return the README.md of a published model."""
    title, tag, usage = text_format.card
    return render(
        "model_card.md",
        title=title,
        tag=tag,
        usage=Markup(usage),  # the recipe's own Markdown
        parameters=f"{model.num_parameters() / 1e6:.1f}",
        files=[
            {"name": Path(name).name, "size": f"{size:,}", "sha256": digest} for name, (size, digest) in data.items()
        ],
        figures=[(name, _shown(before), _shown(after)) for name, (before, after) in metrics.items()],
        config=resolved_config.strip(),
        versions=", ".join(
            [f"Python {platform.python_version()}", *(f"{package} {version(package)}" for package in _PACKAGES)]
        ),
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
