"""A trained model into a local model directory that everybody's tools can load, whole or not at all."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from recipe.errors import UserError
from recipe.files import atomic_directory
from recipe.templating import render

CONFIG_FILE = "training_config.yaml"
_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "evaluate", "sacrebleu")


def check_publish_dir(directory: str | Path) -> list[str]:
    """Return what would keep `directory` from being written at the end of a run, as problems; empty if nothing."""
    path = Path(directory)
    if path.exists() and not path.is_dir():
        return [f"--publish_dir {directory}: is a file; name a directory"]
    if path.is_dir() and any(path.iterdir()) and not (path / "config.json").exists():
        return [f"--publish_dir {directory}: holds other files than a model and would be replaced; name another"]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent):
            pass
    except OSError as error:
        return [f"--publish_dir {directory}: cannot be written ({error.strerror}); name another"]
    return []


def check_hub_login() -> list[str]:
    """Return what would keep a push to the hub from succeeding, as problems; empty if nothing."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        HfApi().whoami()
    except (LocalTokenNotFoundError, HfHubHTTPError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        return [f"--push_to_hub: the hub does not know who you are ({reason}); run `hf auth login`, or leave it off"]
    return []


def publish(
    directory: str | Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    carried: Mapping[str, Any],
    resolved_config: str,
    metrics: Mapping[str, Any],
    data: Mapping[str, tuple[int, str]],
) -> Path:
    """Write model, tokenizer, generation config, card, resolved configuration and metrics; return the directory.

    Args:
        carried: what generation needs to know of the training, into `config.recipe`: text format and separator.
        resolved_config: YAML text of all settings.
        metrics: figures of the held-out set, before and after training.
        data: name of each data file → its bytes and its SHA-256, when it was read.

    Raises:
        UserError: the disk has no room for it.
    """
    target = Path(directory)
    model.config.recipe = dict(carried)
    # The Trainer switches the cache off for training; without it every token of a generation costs the whole prefix.
    model.config.use_cache = True
    try:
        with atomic_directory(target) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            (temporary / CONFIG_FILE).write_text(resolved_config, encoding="utf-8")
            (temporary / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False), encoding="utf-8")
            card = model_card(model, carried, resolved_config, metrics, data)
            (temporary / "README.md").write_text(card, encoding="utf-8")
    except (OSError, SafetensorError) as error:  # safetensors wraps what the system says of a full disk
        raise UserError(
            f"{target}: the model could not be published ({error}); what stood there before still stands. "
            "Free some space, then run the same command with --resume_from_checkpoint auto"
        ) from None
    return target


def model_card(
    model: PreTrainedModel,
    carried: Mapping[str, Any],
    resolved_config: str,
    metrics: Mapping[str, Any],
    data: Mapping[str, tuple[int, str]],
) -> str:
    """Return the README.md of a published model."""
    is_couplet = carried["text_format"] == "couplet"
    usage = _COUPLET_WHAT.format(separator=carried["separator"]) if is_couplet else _PLAIN_WHAT
    return render(
        "model_card.md",
        title="Couplets (对联) by a small Chinese GPT-2" if is_couplet else "Short Chinese texts by a small GPT-2",
        tag="couplet" if is_couplet else "chinese",
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


_COUPLET_WHAT = """It answers an upper line (上联) with a lower line (下联). A prompt is an upper
line and `{separator}`:

    python run_generate.py --model_name_or_path . --prompt 春满神州花似锦

or, with nothing but the library (the tokenizer puts `[CLS]` first and no `[SEP]` last; generation stops by itself):

    from transformers import pipeline
    pipeline("text-generation", ".")("春满神州花似锦{separator}", do_sample=True, top_k=50, top_p=0.95, temperature=0.7)

**Only `run_generate.py` (or its logits processor) holds the form**: equal length, mirrored punctuation and repetition,
no character of the upper line. The plain library call may break every one of these rules.
只有 `run_generate.py`（或其 logits processor）能保证格式；直接调用 transformers 不保证字数相等、标点对应、不重字。"""

_PLAIN_WHAT = """It goes on with a short text:

    from transformers import pipeline
    pipeline("text-generation", ".")("春", do_sample=True, top_k=50, top_p=0.95, temperature=0.7)"""
