"""Tiny corpora, a tiny model in the layout that people download, and the fine-tuning command."""

import json
import random
import subprocess
import sys
from pathlib import Path

import torch
from tiny_models import LOWER_CHARACTERS, UPPER_CHARACTERS, tiny_gpt2

import run_finetune
from recipe.errors import run_or_explain

ROOT = Path(__file__).parents[1]
COMPOSED_ROWS = (ROOT / "recipe/data/couplets.csv").read_text(encoding="utf-8").splitlines()[1:241]
TINY = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "per_device_train_batch_size": 8,
    "num_threads": 1,
    "reuse_freed_memory": False,  # a setting of the whole process, here that of the tests
    "disable_tqdm": True,
}


def invented_couplets(count, seed, lengths=(4, 5, 6, 7, 8, 9)):
    """Rows of `upper-lower` of several lengths that depend on nothing but the arguments."""
    rng = random.Random(seed)
    answer = dict(zip(UPPER_CHARACTERS, LOWER_CHARACTERS, strict=True))
    rows = {}
    while len(rows) < count:
        upper = "".join(rng.sample(UPPER_CHARACTERS, rng.choice(lengths)))
        rows[upper + "-" + "".join(answer[char] for char in upper)] = None
    return list(rows)


def write_rows(path, rows, header="text1", encoding="utf-8"):
    """Write a file of one line a row below a header and return its path."""
    path.write_text("".join(f"{line}\n" for line in [header, *rows]), encoding=encoding)
    return path


def uer_vocabulary():
    """BERT's special tokens and layout in small: ASCII in lower case, Chinese characters, `##` pieces of everything."""
    characters = dict.fromkeys([*UPPER_CHARACTERS, *LOWER_CHARACTERS, *"".join(COMPOSED_ROWS)])
    ascii_characters = [*"!\"#$%&'()*+,-./:;<=>?@[]^_`|~", *"0123456789abcdefghijklmnopqrstuvwxyz"]
    chinese = [char for char in dict.fromkeys([*"，。、；？！·《》", *characters]) if char not in ascii_characters]
    specials = ["[PAD]", *(f"[unused{number}]" for number in range(1, 10)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = ["20", "202", "the", *(f"##{char}" for char in [*ascii_characters[-36:], *chinese])]
    return [*specials, *ascii_characters, *chinese, *pieces]


def uer_directory(directory):
    """Write a miniature of uer/gpt2-chinese-cluecorpussmall: the same files and fields, other sizes, random weights."""
    directory.mkdir(parents=True)
    vocabulary = uer_vocabulary()
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    fields = {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "gradient_checkpointing": False,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 1024,
        "n_embd": 16,
        "n_head": 2,
        "n_inner": None,
        "n_layer": 2,
        "n_positions": 1024,
        "output_past": True,
        "resid_pdrop": 0.1,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 320}},
        "tokenizer_class": "BertTokenizer",
        "vocab_size": len(vocabulary),
    }
    (directory / "config.json").write_text(json.dumps(fields, indent=2), encoding="utf-8")
    state = tiny_gpt2(len(vocabulary), seed=3, n_layer=2, n_positions=1024).state_dict()
    for layer in range(2):  # buffers that old versions of the library saved
        state[f"transformer.h.{layer}.attn.bias"] = torch.tril(torch.ones(1, 1, 1024, 1024, dtype=torch.uint8))
        state[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(state, directory / "pytorch_model.bin")
    return directory


def flags(**settings):
    """Settings as words of a command line; a list takes several words."""
    words = []
    for name, value in settings.items():
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words


def finetune_here(*words, **settings):
    """Run the fine-tuning command in this process and return its exit code: 2 for a user's mistake.

    Anything that the command does not explain itself is raised, as it would end the real command with a traceback.
    """
    return run_or_explain(run_finetune.main, [*map(str, words), *flags(**settings)])


def run_command(*words, launcher=(), environment=None, timeout=240, cwd=ROOT):
    """Run a command of the project in a process of its own."""
    command = [sys.executable, *launcher, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=cwd, env=environment, timeout=timeout
    )
