"""Flags that there are not: mistyped ones, ones with other dashes, and those of other scripts for the same job."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from recipe.errors import did_you_mean

# Dashes that input methods and text processors put where `--` was typed.
_OTHER_DASHES = re.compile(r"[-‐‑‒–—―－−ー]*[‐‑‒–—―－−ー][-‐‑‒–—―－−ー]*([A-Za-z]\w*)(=.*)?", re.DOTALL)

_BATCHES = {
    "batch_size": "--per_device_train_batch_size (times processes and --gradient_accumulation_steps)",
    **dict.fromkeys(("per_gpu_train_batch_size", "train_batch_size"), "--per_device_train_batch_size"),
    **dict.fromkeys(("per_gpu_eval_batch_size", "eval_batch_size"), "--per_device_eval_batch_size"),
    "gradient_accumulation": "--gradient_accumulation_steps",
}
_LENGTH = "--max_length, in tokens; rows are not joined into blocks"
_MODEL = "--model_name_or_path takes a directory or a hub name"
_DATA = "--train_file takes your files"
_LAUNCHER = "it belongs to the launcher: accelerate launch --num_processes 2 run_finetune.py …, before run_finetune.py"
_FORM = "the form is held by itself: a character is repeated where it is mirrored in the upper line, and nowhere else"
_FIRST = "CUDA_VISIBLE_DEVICES=0 in front of the command chooses the GPU; --use_cpu true takes none"
_NO_CODE = "code of a model is never run here; leave it out"

TRAINING = {
    **_BATCHES,
    "overwrite_output_dir": "a run never overwrites another: choose another --output_dir, or remove the old one",
    "no_cuda": "--use_cpu true",
    "save_safetensors": "weights are always saved as safetensors; leave it out",
    "logging_dir": "logs go into --output_dir; leave it out",
    "log_dir": "logs go into --output_dir; leave it out",
    "warmup_ratio": "--warmup_steps takes a share of all steps too: --warmup_steps 0.1",
    "warmup_proportion": "--warmup_steps takes a share of all steps too: --warmup_steps 0.1",
    "evaluation_strategy": "--eval_strategy",
    "evaluate_during_training": "--eval_strategy steps, which is the default",
    **dict.fromkeys(("num_processes", "nproc_per_node", "nnodes", "multi_gpu", "num_machines"), _LAUNCHER),
    **dict.fromkeys(("tokenizer_name", "tokenizer_path"), f"the tokenizer comes with the model: {_MODEL}"),
    **dict.fromkeys(("vocab_path", "vocab_file"), "--vocabulary_file, with --from_scratch; a loaded model has its own"),
    **dict.fromkeys(("model_path", "model", "pretrained_model", "pretrained_model_path", "init_checkpoint"), _MODEL),
    **dict.fromkeys(("config_name", "model_config"), "--hidden_size, --num_layers and --num_heads shape a new model"),
    **dict.fromkeys(("block_size", "max_seq_length", "max_seq_len", "seq_length", "seq_len", "cutoff_len"), _LENGTH),
    **dict.fromkeys(("data_path", "dataset_name", "dataset", "dataset_dir", "raw_data_path", "train_data_file"), _DATA),
    **dict.fromkeys(("train_data", "corpus_path", "dataset_path"), _DATA),
    **dict.fromkeys(("eval_data_file", "eval_file", "valid_file", "dev_file"), "--validation_file"),
    **dict.fromkeys(("validation_split_percentage", "val_size"), "--validation_size, in rows"),
    **dict.fromkeys(("epochs", "epoch", "num_epochs", "epochs_num"), "--num_train_epochs"),
    **dict.fromkeys(("total_steps", "train_steps", "num_train_steps"), "--max_steps"),
    **dict.fromkeys(("lr", "base_lr"), "--learning_rate"),
    "log_step": "--logging_steps",
    "report_steps": "--logging_steps",
    "save_checkpoint_steps": "--save_steps",
    "weight_decay_rate": "--weight_decay",
    "max_norm": "--max_grad_norm",
    "gradient_clipping": "--max_grad_norm",
    "num_workers": "--dataloader_num_workers; 0, the default, is fastest for rows this short",
    "preprocessing_num_workers": "rows are encoded in seconds by one process; leave it out",
    "resume": "--resume_from_checkpoint, which is auto by itself",
    "device": "--use_cpu true for the CPU; a GPU is taken where there is one",
    **dict.fromkeys(("gpu", "gpus", "n_gpu", "gpu_id", "gpu_ids", "gpu_ranks", "world_size"), _FIRST),
    "use_fast_tokenizer": "the tokenizer is always a fast one; leave it out",
    "use_lora": "all weights are trained; a model this small needs no adapters",
    "lora_rank": "all weights are trained; a model this small needs no adapters",
    "finetuning_type": "all weights are trained; a model this small needs no adapters",
    "trust_remote_code": _NO_CODE,
    "torch_dtype": "--precision",
    "mixed_precision": "--precision",
    "fp16_opt_level": "--precision",
    "stage": "run_finetune.py trains, run_generate.py answers, run_evaluate.py scores; leave it out",
    "overwrite_cache": "the cache knows its data by content; leave it out",
}

ANSWERING = {
    **dict.fromkeys(
        ("max_length", "max_len"),
        "a lower line is as long as its upper line; --max_new_tokens goes with --continue_freely",
    ),
    **dict.fromkeys(("no_repeat_ngram_size", "repetition_penalty"), _FORM),
    "length": "--line_length, with --compose; an answer is as long as its upper line",
    **dict.fromkeys(("nsamples", "num_samples", "num_return"), "--num_return_sequences"),
    **dict.fromkeys(("prefix", "input", "text", "upper", "prompts"), "--prompt"),
    **dict.fromkeys(("input_file", "test_path"), "--prompts_file"),
    **dict.fromkeys(("output", "prediction_path", "save_samples_path"), "--output_file"),
    "topk": "--top_k",
    "topp": "--top_p",
    "beam_size": "--num_beams, with --do_sample false",
    **dict.fromkeys(("model_path", "model", "load_model_path", "tokenizer_path", "tokenizer_name"), _MODEL),
    **dict.fromkeys(("vocab_path", "vocab_file"), f"the vocabulary comes with the model: {_MODEL}"),
    **dict.fromkeys(("use_cpu", "no_cuda"), "--device cpu"),
    **dict.fromkeys(("gpu", "gpus", "gpu_id"), "--device cuda:0"),
    "batch_size": "--generation_batch_size",
    "torch_dtype": "--dtype",
    "fp16": "--dtype fp16",
    "bf16": "--dtype bf16",
    "trust_remote_code": _NO_CODE,
}

SCORING = {
    **ANSWERING,
    **dict.fromkeys(("references", "reference_file", "ref", "test_path"), "--test_file"),
    **dict.fromkeys(("hypotheses", "prediction_file", "hyp", "input_file"), "--predictions"),
    **dict.fromkeys(("output", "output_file"), "--output_dir"),
}

_FOREIGN = {"run_finetune.py": TRAINING, "run_generate.py": ANSWERING, "run_evaluate.py": SCORING}


def with_plain_dashes(argv: Sequence[str], known: AbstractSet[str]) -> tuple[list[str], list[str]]:
    """Return the words with `--` in front of every setting, and a problem for each that had other dashes there."""
    words, problems = [], []
    for word in argv:
        found = _OTHER_DASHES.fullmatch(word)
        if found and found[1] in known:
            problems.append(f"{word!r} begins with another kind of dash; write --{found[1]}")
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
            problems.append(f"{word!r} stands alone; settings are written --name value")
        after_flag = word.startswith("--") or after_flag
    return problems


def _unknown_flag(program: str, word: str, known: AbstractSet[str]) -> str:
    plain = unicodedata.normalize("NFKC", word).replace(":", "=", 1)
    key = word[2:].split("=")[0]
    if plain != word and plain[2:].split("=")[0] in known:
        return f"{word!r} holds full-width characters; write {plain}"
    return unknown_key(program, key, known, prefix="--")


def unknown_key(program: str, key: str, known: AbstractSet[str], prefix: str = "") -> str:
    """Say what does here what a setting of that name does elsewhere, or which name is near."""
    instead = _FOREIGN.get(program, {}).get(key.lstrip("-").replace("-", "_"))
    if instead is not None:
        return f"unknown setting {prefix}{key}: {instead}"
    return f"unknown setting {prefix}{key}{did_you_mean(key, known, prefix)}"
