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
from recipe.language import _, enumerated
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
        return _("{file}: {problem}").format(file=file, problem=stand_in)
    is_part = file.name in (CONFIG, *_WEIGHTS, *_VOCABULARIES) and (file.parent / CONFIG).is_file()
    if is_part:
        return _("{file}: is one file of a model; name its directory: {flag} {directory}").format(
            file=file, flag=flag, directory=file.parent
        )
    if file.suffix in _FOREIGN_WEIGHTS:
        return _(
            "{file}: holds weights for {program}, which cannot be read here; look where it comes from for a "
            "{safetensors} or {bin}"
        ).format(file=file, program=_FOREIGN_WEIGHTS[file.suffix], safetensors=_WEIGHTS[0], bin=_WEIGHTS[2])
    if file.suffix in _WEIGHT_ENDINGS and flag in STATE_DICT_FLAGS:
        directory = file.parent if (file.parent / CONFIG).is_file() else "DIR"
        return _(
            "{file}: holds weights only and is not a model directory. Name the directory of the model that they were "
            "trained from, and the weights as well: {flag} {directory} {weights_flag} {file}"
        ).format(file=file, flag=flag, directory=directory, weights_flag=STATE_DICT_FLAGS[flag])
    if file.suffix in _PACKED:
        return _("{file}: is packed; unpack it and name the directory that holds {config}").format(
            file=file, config=CONFIG
        )
    return _("{file}: is a file; a model is a directory with {config}, weights and a vocabulary").format(
        file=file, config=CONFIG
    )


# ---- A directory, told apart by its files ----


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
            return [_no_model(name, files)]
    problems = [_weights_problem(name, files)] if weights is None else _missing_parts(name, weights)
    problems += _config_problems(name, files)
    if not vocabularies:
        problems.append(_vocabulary_problem(name, files))
    for file in filter(None, (CONFIG if CONFIG in files else None, weights, *vocabularies)):
        if stand_in := find_stand_in(directory / file):
            problems.append(_("{name}: {file} {problem}").format(name=name, file=file, problem=stand_in))
    return problems


def _no_model(name: str, files: list[str]) -> str:
    message = (
        _(
            "{name}: is not a model; it has no {config}, no weights that can be read here and no vocabulary, only "
            "{files}"
        )
        if files
        else _("{name}: is not a model; there is no file in this directory")
    )
    return message.format(name=name, config=CONFIG, files=_listed(files))


def _adapter_problem(name: str) -> str:
    base = _read_json(Path(name) / _ADAPTER).get("base_model_name_or_path") or _("its base model")
    return _(
        "{name}: is a LoRA adapter, which changes {base} and is not a model by itself. Merge the two where peft is "
        "installed: AutoPeftModelForCausalLM.from_pretrained({name!r}).merge_and_unload().save_pretrained('merged'); "
        "put the base model's vocabulary there too, and name that directory"
    ).format(name=name, base=base)


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
        return _(
            "{name}: is the directory of a run; its newest checkpoint is {flag} {checkpoint} (the best one is in the "
            "--publish_dir of the run, if it had one)"
        ).format(name=name, flag=flag, checkpoint=inner[0])
    return _("{name}: is not a model, but these directories in it are: {flag} {directories}").format(
        name=name, flag=flag, directories=_listed(map(str, inner))
    )


def _weights_problem(name: str, files: list[str]) -> str:
    # A TensorFlow checkpoint is three files, of which the last ends in anything.
    if foreign := [file for file in files if Path(file).suffix in _FOREIGN_WEIGHTS]:
        return _(
            "{name}: holds weights for {program}, which cannot be read here ({files}); look where it comes from for a "
            "{safetensors} or {bin}"
        ).format(
            name=name,
            program=_FOREIGN_WEIGHTS[Path(foreign[0]).suffix],
            files=_listed(foreign),
            safetensors=_WEIGHTS[0],
            bin=_WEIGHTS[2],
        )
    if unfinished := [file for file in files if file.endswith(_UNFINISHED)]:
        return _("{name}: the download of its weights is not finished ({files}); finish it, or start it again").format(
            name=name, files=_listed(unfinished)
        )
    if named := [file for file in files if file.endswith(_WEIGHT_ENDINGS) and file != "training_args.bin"]:
        return _(
            "{name}: holds weights under another name, {files}; if they are the state dict of the model, rename the "
            "file to {bin} (a .safetensors to {safetensors})"
        ).format(name=name, files=_listed(named), bin=_WEIGHTS[2], safetensors=_WEIGHTS[0])
    return _("{name}: holds no weights; {safetensors} or {bin} is missing").format(
        name=name, safetensors=_WEIGHTS[0], bin=_WEIGHTS[2]
    )


def _missing_parts(name: str, weights: str) -> list[str]:
    """Name the files that an index of weights in several parts lists and that are not there."""
    listed = _read_json(Path(name) / weights).get("weight_map") if weights.endswith(".index.json") else None
    parts = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    missing = [part for part in parts if not (Path(name) / part).is_file()]
    if not missing:
        return []
    return [
        _("{name}: {index} lists parts that are not there: {files}; fetch them").format(
            name=name, index=weights, files=_listed(missing)
        )
    ]


def _config_problems(name: str, files: list[str]) -> list[str]:
    directory = Path(name)
    if CONFIG not in files:
        others = [file for file in files if file.endswith(".json") and _describes_gpt2(directory / file)]
        message = (
            _("{name}: holds no {config}; {other} looks like it: rename it to {config}")
            if others
            else _("{name}: holds no {config}, which describes the size of the model; fetch the one of this model")
        )
        return [message.format(name=name, config=CONFIG, other="".join(others[:1]))]
    fields = _read_json(directory / CONFIG)
    if {"heads_num", "layers_num"} <= fields.keys():
        return [
            _(
                "{name}: its {config} is one of UER-py; convert the model with UER-py's own "
                "scripts/convert_gpt2_from_uer_to_huggingface.py and name the directory of the result"
            ).format(name=name, config=CONFIG)
        ]
    if fields and "model_type" not in fields and not is_gpt2_without_type(fields):
        return [
            _("{name}: its {config} has no model_type, nor the fields of a GPT-2 ({fields})").format(
                name=name, config=CONFIG, fields=enumerated(_GPT2_FIELDS)
            )
        ]
    return []


def _describes_gpt2(file: Path) -> bool:
    return _read_json(file).keys() >= {*_GPT2_FIELDS}


def _vocabulary_problem(name: str, files: list[str]) -> str:
    """Without a vocabulary nobody can say which character a row of the embeddings stands for."""
    named = [file for file in files if "vocab" in file and file.endswith(".txt")]
    message = (
        _(
            "{name}: holds no vocabulary, neither {vocabulary} nor tokenizer.json; {other} looks like one: rename it "
            "to {vocabulary}. It must be the one that the model was trained with: with another one every character "
            "would be mistaken for another"
        )
        if named
        else _(
            "{name}: holds no vocabulary, neither {vocabulary} nor tokenizer.json. Put the one there that the model "
            "was trained with: with another one every character would be mistaken for another"
        )
    )
    return message.format(name=name, vocabulary=VOCABULARY, other="".join(named[:1]))


def _read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; nothing where it holds none, which the library explains."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _listed(names: Iterable[str]) -> str:
    shown = [*names]
    names = enumerated(shown[:_NAMES_SHOWN])
    if len(shown) <= _NAMES_SHOWN:
        return names
    return _("{names} and {count:,} more").format(names=names, count=len(shown) - _NAMES_SHOWN)


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
        raise UserError(
            _("{name}: no such directory{where}{hint}").format(
                name=name, where=where_looked(Path(name)), hint=_similar_directory(name)
            )
        ) from None
    cached = try_to_load_from_cache(name, CONFIG)
    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
    except RepositoryNotFoundError:
        raise UserError(
            _(
                "{name}: neither a directory here nor a model of {hub}; for a private model run `hf auth login` "
                "first{hint}"
            ).format(name=name, hub=constants.ENDPOINT, hint=_similar_directory(name))
        ) from None
    except HfHubHTTPError:
        return name  # a gated model, a limit of requests: the library says it better
    except LOAD_ERRORS as error:
        if not isinstance(cached, str):
            raise UserError(_unreachable(name, error)) from None
        if not constants.is_offline_mode():
            notice(
                _("{name}: {hub} cannot be reached; the copy that was downloaded before is used").format(
                    name=name, hub=constants.ENDPOINT
                )
            )
        return str(Path(cached).parent)
    return name


def _unreachable(name: str, error: Exception) -> str:
    similar = _similar_directory(name)
    if constants.is_offline_mode():
        message = _("{name}: neither a directory here nor downloaded before (HF_HUB_OFFLINE is set){hint}")
    elif similar or Path(name).parts[0] in ("models", "outputs"):  # mistyped
        message = _("{name}: neither a directory here nor reachable on {hub} ({reason}){hint}")
    else:
        message = _(
            "{name}: neither a directory here nor reachable on {hub} ({reason}); if the hub cannot be reached from "
            "here, let HF_ENDPOINT name a mirror (docs/install.md)"
        )
    reason = " ".join(str(error).split())[:100]
    return message.format(name=name, hub=constants.ENDPOINT, reason=reason, hint=similar)


def _similar_directory(name: str) -> str:
    """Return the suggestion of a directory that stands beside the one that was named, if one is called alike."""
    path = Path(name)
    try:
        beside = {str(entry): entry.name for entry in path.parent.iterdir() if entry.is_dir()}
    except OSError:
        return ""
    alike = difflib.get_close_matches(path.name, beside.values(), n=1)
    found = [entry for entry, called in beside.items() if called in alike]
    return _("; did you mean {suggestion}?").format(suggestion=found[0]) if found else ""
