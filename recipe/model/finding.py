"""A model looked at before a library is asked for it: its directory told apart by its files, or the hub asked once.

The libraries answer a directory that lacks something late, in their own terms or not at all: without a vocabulary they
make an empty one, in which every character is unknown; a name that is neither here nor reachable they try for minutes.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from recipe.errors import UserError, notice
from recipe.files import find_stand_in
from recipe.language import _
from recipe.run_directory import checkpoints_by_step
from recipe.text_files import where_looked

# What the libraries raise for files that are missing, truncated or not what their names say: `tokenizers` a bare
# Exception, others whatever the broken value led to.
LOAD_ERRORS = Exception

CONFIG = "config.json"
VOCABULARY = "vocab.txt"
# In the order in which the library looks for them; an index names the files of weights in several parts.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_VOCABULARIES = (VOCABULARY, "tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model")
_ADAPTER = "adapter_config.json"
_WEIGHT_ENDINGS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".pkl")
_FOREIGN_WEIGHTS = {
    **dict.fromkeys((".h5", ".index", ".meta"), "TensorFlow"),
    **{".msgpack": "Flax", ".gguf": "llama.cpp", ".onnx": "ONNX", ".pdparams": "PaddlePaddle", ".mindir": "MindSpore"},
}
_UNFINISHED = (".crdownload", ".part", ".partial", ".download", ".incomplete", ".aria2", ".xltd", ".tmp")
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz")
_GPT2_FIELDS = ("n_embd", "n_layer", "n_head")
_HUB_SECONDS = 10  # for one question; a hub that is slower than that would take hours for the weights
_NAMES_SHOWN = 8
# The flag that takes weights over those of the model that another flag names.
STATE_DICT_FLAGS = {"--model_name_or_path": "--state_dict_file", "--baseline": "--baseline_state_dict_file"}


def find_model(name_or_path: str, flag: str = "--model_name_or_path") -> str:
    """Return the place that a library can load a model from: a directory that looks like one, or a hub's name.

    Args:
        flag: the setting that names the model, for advice on what to type instead.

    Raises:
        UserError: a file in the place of a directory, a directory without what a GPT-2 needs, or a name that is neither
            a directory here nor a model of the hub.
    """
    source = find_source(name_or_path, flag)
    if Path(source).is_dir() and (problems := _directory_problems(source, flag)):
        raise UserError(problems)
    return source


def find_source(name_or_path: str, flag: str) -> str:
    """Return an existing directory, or the name of a model on the hub that can be asked; of any kind of model.

    Raises:
        UserError: a file, or a name that is neither a directory here nor a model of the hub.
    """
    if os.path.isfile(name_or_path):  # noqa: PTH113 - pathlib raises for a text too long to be a name
        raise UserError(_file_problem(Path(name_or_path), flag))
    return name_or_path if os.path.isdir(name_or_path) else _find_on_hub(name_or_path)  # noqa: PTH112


def is_weights_file(name: str) -> bool:
    """Whether a name is that of a file of weights, such as `best_model.pth`, to go by its ending."""
    return Path(name).suffix in (*_WEIGHT_ENDINGS, *_FOREIGN_WEIGHTS)


def is_gpt2_without_type(fields: dict[str, Any]) -> bool:
    """Whether a configuration is that of a GPT-2 from before configurations named their type (transformers 2)."""
    return "model_type" not in fields and fields.keys() >= {*_GPT2_FIELDS}


def has_only_vocabulary_txt(directory: str) -> bool:
    """Whether a BERT vocabulary is all that a directory has of a tokenizer, as models of GPT2-Chinese and UER have."""
    return [name for name in _VOCABULARIES if (Path(directory) / name).is_file()] == [VOCABULARY]


# ---- A file in the place of a directory ----


def _file_problem(file: Path, flag: str) -> str:
    if stand_in := find_stand_in(file):
        return f"{file}: {stand_in}"
    is_part = file.name in (CONFIG, *_WEIGHTS, *_VOCABULARIES) and (file.parent / CONFIG).is_file()
    if is_part:
        return f"{file}: is one file of a model; name its directory: {flag} {file.parent}"
    if file.suffix in _FOREIGN_WEIGHTS:
        return f"{file}: holds weights for {_FOREIGN_WEIGHTS[file.suffix]}, which are not read here; {_OTHER_WEIGHTS}"
    if file.suffix in _WEIGHT_ENDINGS and flag in STATE_DICT_FLAGS:
        directory = file.parent if (file.parent / CONFIG).is_file() else "DIR"
        return (
            f"{file}: holds weights alone, no model directory. Name the directory of the model that they were trained "
            f"from, and them beside it: {flag} {directory} {STATE_DICT_FLAGS[flag]} {file}"
        )
    if file.suffix in _PACKED:
        return f"{file}: is packed; unpack it and name the directory that holds {CONFIG}"
    return f"{file}: is a file; a model is a directory with {CONFIG}, weights and a vocabulary"


# ---- A directory, told apart by its files ----

_OTHER_WEIGHTS = f"look where it comes from for its {_WEIGHTS[0]} or {_WEIGHTS[2]}"


def _directory_problems(name: str, flag: str) -> list[str]:
    """Say what a directory is, if it is no model, or else everything that it lacks."""
    directory = Path(name)
    files = sorted(entry.name for entry in directory.iterdir() if entry.is_file())
    weights = next((file for file in _WEIGHTS if file in files), None)
    vocabularies = [file for file in _VOCABULARIES if file in files]
    if weights is None:
        if _ADAPTER in files:
            return [_adapter_problem(name)]
        if sharded := _sharded_checkpoint(directory):
            return [
                _(
                    "{checkpoint}: holds a model in shards, the state of a run; the command of that run with "
                    "--publish_dir DIR and --resume_from_checkpoint auto makes a model directory of it"
                ).format(checkpoint=sharded)
            ]
        if inner := _models_inside(directory):
            return [_inner_problem(name, inner, flag)]
        if CONFIG not in files and not vocabularies:
            found = f"it holds {_listed(files)}" if files else "there is no file in it"
            return [f"{name}: is no model: no {CONFIG}, no weights that are read here, no vocabulary; {found}"]
    problems = [_weights_problem(name, files)] if weights is None else _missing_parts(name, weights)
    problems += _config_problems(name, files)
    if not vocabularies:
        problems.append(_vocabulary_problem(name, files))
    for file in filter(None, (CONFIG if CONFIG in files else None, weights, *vocabularies)):
        if stand_in := find_stand_in(directory / file):
            problems.append(f"{name}: {file} {stand_in}")
    return problems


def _adapter_problem(name: str) -> str:
    base = _read_json(Path(name) / _ADAPTER).get("base_model_name_or_path") or "its base model"
    return (
        f"{name}: is a LoRA adapter, a change to {base} and no model by itself. Merge them where peft is installed: "
        f"AutoPeftModelForCausalLM.from_pretrained({name!r}).merge_and_unload().save_pretrained('merged'); put the "
        "base model's vocabulary there too, and name that directory"
    )


def _models_inside(directory: Path) -> list[Path]:
    """Return the models one step below, the newest checkpoint of a run first; `snapshots` is the hub's cache."""
    below = [entry for pattern in ("*", "snapshots/*") for entry in sorted(directory.glob(pattern)) if entry.is_dir()]
    checkpoints = [*checkpoints_by_step(directory).values()][::-1]
    ordered = [*checkpoints, *(entry for entry in below if entry not in checkpoints)]
    return [entry for entry in ordered if any((entry / file).is_file() for file in _WEIGHTS)]


def _sharded_checkpoint(directory: Path) -> Path | None:
    """Return the directory, or the newest checkpoint in it, if it holds the shards of a model (FSDP)."""
    newest = [*checkpoints_by_step(directory).values()][-1:]
    return next((entry for entry in (directory, *newest) if any(entry.glob("shard-*.safetensors"))), None)


def _inner_problem(name: str, inner: list[Path], flag: str) -> str:
    if inner[0] in checkpoints_by_step(name).values():
        return (
            f"{name}: is the directory of a run; its newest checkpoint is {flag} {inner[0]} (the best one went to the "
            "run's --publish_dir, if it had one)"
        )
    return f"{name}: holds no model itself, but directories that do: {flag} {_listed([str(path) for path in inner])}"


def _weights_problem(name: str, files: list[str]) -> str:
    # A TensorFlow checkpoint is three files, of which the last ends in anything.
    if foreign := [file for file in files if Path(file).suffix in _FOREIGN_WEIGHTS]:
        kind = _FOREIGN_WEIGHTS[Path(foreign[0]).suffix]
        return f"{name}: holds weights for {kind}, which are not read here ({_listed(foreign)}); {_OTHER_WEIGHTS}"
    if unfinished := [file for file in files if file.endswith(_UNFINISHED)]:
        return f"{name}: the download of its weights is not finished ({_listed(unfinished)}); finish it, or start again"
    if named := [file for file in files if file.endswith(_WEIGHT_ENDINGS) and file != "training_args.bin"]:
        return (
            f"{name}: holds weights under another name, {_listed(named)}; if they are the model's state dict, call the "
            f"file {_WEIGHTS[2]} (a .safetensors: {_WEIGHTS[0]})"
        )
    return f"{name}: holds no weights; {_WEIGHTS[0]} or {_WEIGHTS[2]} belongs there"


def _missing_parts(name: str, weights: str) -> list[str]:
    """Name the files that an index of weights in several parts lists and that are not there."""
    listed = _read_json(Path(name) / weights).get("weight_map") if weights.endswith(".index.json") else None
    parts = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    missing = [part for part in parts if not (Path(name) / part).is_file()]
    return [f"{name}: {weights} names parts that are not there: {_listed(missing)}; fetch them"] if missing else []


def _config_problems(name: str, files: list[str]) -> list[str]:
    directory = Path(name)
    if CONFIG not in files:
        others = [file for file in files if file.endswith(".json") and _describes_gpt2(directory / file)]
        hint = f"; {others[0]} looks like it: call it {CONFIG}" if others else " of the model, which says its size"
        return [f"{name}: holds no {CONFIG}{hint}"]
    fields = _read_json(directory / CONFIG)
    if {"heads_num", "layers_num"} <= fields.keys():
        return [
            f"{name}: its {CONFIG} is one of UER-py; convert the model with UER-py's own "
            "scripts/convert_gpt2_from_uer_to_huggingface.py and name the directory that it goes to"
        ]
    if fields and "model_type" not in fields and not is_gpt2_without_type(fields):
        return [
            f"{name}: its {CONFIG} names no model_type, and has no {', '.join(_GPT2_FIELDS)} by which a GPT-2 is known"
        ]
    return []


def _describes_gpt2(file: Path) -> bool:
    return _read_json(file).keys() >= {*_GPT2_FIELDS}


def _vocabulary_problem(name: str, files: list[str]) -> str:
    """Without a vocabulary nobody can say which character a row of the embeddings stands for."""
    named = [file for file in files if "vocab" in file and file.endswith(".txt")]
    hint = f"; {named[0]} looks like one: call it {VOCABULARY}" if named else ""
    return (
        f"{name}: holds no vocabulary, neither {VOCABULARY} nor tokenizer.json{hint}. Put the one there that the model "
        "was trained with: by another, every character would be taken for another"
    )


def _read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; nothing where it holds none, which the library explains."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _listed(names: Iterable[str]) -> str:
    shown = [*names]
    more = f" and {len(shown) - _NAMES_SHOWN:,} more" if len(shown) > _NAMES_SHOWN else ""
    return ", ".join(shown[:_NAMES_SHOWN]) + more


# ---- A name of the hub ----


@cache
def _find_on_hub(name: str) -> str:
    """Ask the hub for a name, once and without retries; where it cannot be reached, its cached copy will do.

    The library asks for every file of a model by itself, and five times each, which takes half a minute a file where
    there is no network.
    """
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UserError(f"{name}: no such directory{where_looked(Path(name))}{_similar_directory(name)}") from None
    cached = try_to_load_from_cache(name, CONFIG)
    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
    except RepositoryNotFoundError:
        raise UserError(
            f"{name}: neither a directory here nor a model of {constants.ENDPOINT}{_similar_directory(name)}. "
            "A private model needs `hf auth login`"
        ) from None
    except HfHubHTTPError:
        return name  # a gated model, a limit of requests: the library says it better
    except LOAD_ERRORS as error:
        if not isinstance(cached, str):
            raise UserError(_unreachable(name, error)) from None
        if not constants.is_offline_mode():
            notice(f"{name}: {constants.ENDPOINT} cannot be reached; the copy that was downloaded before is used")
        return str(Path(cached).parent)
    return name


def _unreachable(name: str, error: Exception) -> str:
    if constants.is_offline_mode():
        where, reason = "nor downloaded before", "HF_HUB_OFFLINE is set"
    else:
        where, reason = f"nor reachable on {constants.ENDPOINT}", " ".join(str(error).split())[:100]
    similar = _similar_directory(name)
    is_mistyped = bool(similar) or constants.is_offline_mode() or Path(name).parts[0] in ("models", "outputs")
    mirror = "; where the hub cannot be reached, HF_ENDPOINT names a mirror (docs/install.md)"
    return f"{name}: neither a directory here {where} ({reason}){similar}{'' if is_mistyped else mirror}"


def _similar_directory(name: str) -> str:
    """Return the suggestion of a directory that stands beside the one that was named, if one is called alike."""
    path = Path(name)
    try:
        beside = {str(entry): entry.name for entry in path.parent.iterdir() if entry.is_dir()}
    except OSError:
        return ""
    alike = difflib.get_close_matches(path.name, beside.values(), n=1)
    return "".join(f"; did you mean {found}?" for found, called in beside.items() if called in alike)
