"""Flags that there are not: mistyped ones, ones with other dashes, and those of other scripts for the same job."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from recipe.errors import did_you_mean, nearest
from recipe.language import N_, _

# Dashes that input methods and text processors put where `--` was typed.
_OTHER_DASHES = re.compile(r"[-‐‑‒–—―－−ー]*[‐‑‒–—―－−ー][-‐‑‒–—―－−ー]*([A-Za-z]\w*)(=.*)?", re.DOTALL)

_NEAR_FOREIGN = 0.8  # of 1, by difflib: what is said of a foreign flag is no guess, so its name should be none either

# What settings of other scripts are called here. A text that begins with `--` is the name; any other is a sentence,
# where a name alone would mislead.
_LENGTH = N_("use --max_length, in tokens; rows are not joined into blocks")
_MODEL = "--model_name_or_path"
_TOKENIZER = N_("the tokenizer is loaded from the model's directory, which --model_name_or_path names")
_LAUNCHER = N_(
    "this one belongs to the launcher and stands before run_finetune.py: accelerate launch --num_processes 2 "
    "run_finetune.py …"
)
_FORM = N_("the form decides where characters repeat: in the places where the upper line repeats one, and nowhere else")
_FIRST = N_("put CUDA_VISIBLE_DEVICES=0 in front of the command to choose a GPU, or use none with --use_cpu true")
_NO_CODE = N_("code that comes with a model is never run here; leave it out")
_LOGS = N_("logs are written to --output_dir; leave it out")
_WARMUP = N_("use --warmup_steps, which takes a share of all steps too: --warmup_steps 0.1")
_ALL_WEIGHTS = N_("all weights are trained, since a model this small needs no adapters; leave it out")

_TRAINING = {
    "batch_size": N_("use --per_device_train_batch_size; the processes and --gradient_accumulation_steps multiply it"),
    **dict.fromkeys(("per_gpu_train_batch_size", "train_batch_size"), "--per_device_train_batch_size"),
    **dict.fromkeys(("per_gpu_eval_batch_size", "eval_batch_size"), "--per_device_eval_batch_size"),
    "gradient_accumulation": "--gradient_accumulation_steps",
    "overwrite_output_dir": N_("a run never overwrites another: choose another --output_dir, or remove the old one"),
    "no_cuda": "--use_cpu true",
    "save_safetensors": N_("weights are always saved as safetensors; leave it out"),
    **dict.fromkeys(("logging_dir", "log_dir"), _LOGS),
    **dict.fromkeys(("warmup_ratio", "warmup_proportion"), _WARMUP),
    "evaluation_strategy": "--eval_strategy",
    "evaluate_during_training": N_("use --eval_strategy; its default, steps, evaluates during training"),
    **dict.fromkeys(("num_processes", "nproc_per_node", "nnodes", "multi_gpu", "num_machines"), _LAUNCHER),
    **dict.fromkeys(("tokenizer_name", "tokenizer_path"), _TOKENIZER),
    **dict.fromkeys(
        ("vocab_path", "vocab_file"),
        N_("use --vocabulary_file, together with --from_scratch; a model that is loaded has its own vocabulary"),
    ),
    **dict.fromkeys(("model_path", "model", "pretrained_model", "pretrained_model_path", "init_checkpoint"), _MODEL),
    **dict.fromkeys(
        ("config_name", "model_config"), N_("use --hidden_size, --num_layers and --num_heads to shape a new model")
    ),
    **dict.fromkeys(("block_size", "max_seq_length", "max_seq_len", "seq_length", "seq_len", "cutoff_len"), _LENGTH),
    **dict.fromkeys(("data_path", "dataset_name", "dataset", "dataset_dir", "raw_data_path"), "--train_file"),
    **dict.fromkeys(("train_data_file", "train_data", "corpus_path", "dataset_path"), "--train_file"),
    **dict.fromkeys(("eval_data_file", "eval_file", "valid_file", "dev_file"), "--validation_file"),
    **dict.fromkeys(
        ("validation_split_percentage", "val_size"), N_("use --validation_size, which is a number of rows")
    ),
    **dict.fromkeys(("epochs", "epoch", "num_epochs", "epochs_num"), "--num_train_epochs"),
    **dict.fromkeys(("total_steps", "train_steps", "num_train_steps"), "--max_steps"),
    **dict.fromkeys(("lr", "base_lr"), "--learning_rate"),
    **dict.fromkeys(("log_step", "report_steps"), "--logging_steps"),
    "save_checkpoint_steps": "--save_steps",
    "weight_decay_rate": "--weight_decay",
    **dict.fromkeys(("max_norm", "gradient_clipping"), "--max_grad_norm"),
    "num_workers": N_("use --dataloader_num_workers; its default, 0, is fastest for rows this short"),
    "preprocessing_num_workers": N_("one process encodes the rows in seconds; leave it out"),
    "resume": N_("use --resume_from_checkpoint; its default, auto, goes on from the newest checkpoint"),
    "device": N_("use --use_cpu true for the CPU; without it a GPU is used if there is one"),
    **dict.fromkeys(("gpu", "gpus", "n_gpu", "gpu_id", "gpu_ids", "gpu_ranks", "world_size"), _FIRST),
    "use_fast_tokenizer": N_("the tokenizer is always a fast one; leave it out"),
    **dict.fromkeys(("use_lora", "lora_rank", "finetuning_type"), _ALL_WEIGHTS),
    "trust_remote_code": _NO_CODE,
    **dict.fromkeys(("torch_dtype", "mixed_precision", "fp16_opt_level"), "--precision"),
    "stage": N_("run_finetune.py trains, run_generate.py answers and run_evaluate.py scores; leave it out"),
    "overwrite_cache": N_("the cache notices by itself when the data have changed; leave it out"),
}

_LOADED = {
    **dict.fromkeys(("model_path", "model", "load_model_path"), _MODEL),
    **dict.fromkeys(("tokenizer_path", "tokenizer_name"), _TOKENIZER),
    **dict.fromkeys(
        ("vocab_path", "vocab_file"),
        N_("the vocabulary is loaded from the model's directory, which --model_name_or_path names"),
    ),
    **dict.fromkeys(("use_cpu", "no_cuda"), "--device cpu"),
    **dict.fromkeys(("gpu", "gpus", "gpu_id"), "--device cuda:0"),
    "torch_dtype": "--dtype",
    "fp16": "--dtype fp16",
    "bf16": "--dtype bf16",
    "trust_remote_code": _NO_CODE,
}

_ANSWERING = {
    **_LOADED,
    **dict.fromkeys(
        ("max_length", "max_len"),
        N_("a lower line is as long as its upper line; with --continue_freely, --max_new_tokens limits the text"),
    ),
    **dict.fromkeys(("no_repeat_ngram_size", "repetition_penalty"), _FORM),
    "length": N_("an answer is as long as its upper line; for --compose, use --line_length"),
    **dict.fromkeys(("nsamples", "num_samples", "num_return"), "--num_return_sequences"),
    **dict.fromkeys(("prefix", "input", "text", "upper", "prompts"), "--prompt"),
    **dict.fromkeys(("input_file", "test_path"), "--prompts_file"),
    **dict.fromkeys(("output", "prediction_path", "save_samples_path"), "--output_file"),
    "topk": "--top_k",
    "topp": "--top_p",
    "beam_size": N_("use --num_beams, together with --do_sample false"),
    "batch_size": "--generation_batch_size",
}

_SCORING = {
    **_ANSWERING,
    **dict.fromkeys(("references", "reference_file", "ref", "test_path"), "--test_file"),
    **dict.fromkeys(("hypotheses", "prediction_file", "hyp", "input_file"), "--predictions"),
    **dict.fromkeys(("output", "output_file"), "--output_dir"),
}

_BENCHMARKING = {
    **_LOADED,
    "model_args": _MODEL,
    "num_fewshot": "--shots",
    **dict.fromkeys(("output", "output_path"), "--output_dir"),
    "confirm_run_unsafe_code": "--allow_code_execution",
}

_SERVING = {**_LOADED, "server_name": "--host", "server_port": "--port"}

# By the name of the command, run_NAME.py or couplet-NAME.
_FOREIGN = {
    "finetune": _TRAINING,
    "generate": _ANSWERING,
    "evaluate": _SCORING,
    "benchmark": _BENCHMARKING,
    "demo": _SERVING,
}


def with_plain_dashes(argv: Sequence[str], known: AbstractSet[str]) -> tuple[list[str], list[str]]:
    """Return the words with `--` in front of every setting, and a problem for each that had other dashes there."""
    words, problems = [], []
    for word in argv:
        found = _OTHER_DASHES.fullmatch(word)
        if found and found[1] in known:
            problems.append(
                _("{word!r} begins with another kind of dash; write --{name}").format(word=word, name=found[1])
            )
            word = f"--{found[1]}{found[2] or ''}"
        words.append(word)
    return words, problems


def unknown_flags(program: str, words: Sequence[str], known: AbstractSet[str]) -> list[str]:
    """Name the flags among the words that no setting took, and words that belong to no flag at all."""
    problems = []
    after_flag = False
    for word in words:
        if word.startswith("--"):
            problems.append(_unknown_flag(program, word, known))
        elif not after_flag:
            problems.append(_("{word!r} stands alone; settings are written --name value").format(word=word))
        after_flag = word.startswith("--") or after_flag
    return problems


def _unknown_flag(program: str, word: str, known: AbstractSet[str]) -> str:
    plain = unicodedata.normalize("NFKC", word).replace(":", "=", 1)
    key = word[2:].split("=")[0]
    if plain != word and plain[2:].split("=")[0] in known:
        return _("{word!r} holds full-width characters; write {plain}").format(word=word, plain=plain)
    return unknown_key(program, key, known, prefix="--")


def unknown_key(program: str, key: str, known: AbstractSet[str], prefix: str = "") -> str:
    """Say what does here what a setting of that name, or of one near to it, does elsewhere, or which name is near."""
    foreign = _FOREIGN.get(program.removeprefix("run_").removeprefix("couplet-").removesuffix(".py"), {})
    name = key.lstrip("-").replace("-", "_")
    if name not in foreign:
        name = nearest(name, {*known, *difflib.get_close_matches(name, foreign, n=1, cutoff=_NEAR_FOREIGN)}) or name
    setting = prefix + key
    if name in known or name not in foreign:
        return _("unknown setting {setting}{hint}").format(setting=setting, hint=did_you_mean(name, known, prefix))
    instead = foreign[name]
    if instead.startswith("--"):
        return _("unknown setting {setting}; use {instead}").format(setting=setting, instead=instead)
    return _("unknown setting {setting}: {advice}").format(setting=setting, advice=_(instead))
