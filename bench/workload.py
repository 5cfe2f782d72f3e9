"""What the benches of training share: the model of the tutorial's shape, the ceiling, the meter of tokens and seconds.

The pretrained weights of `uer/gpt2-chinese-cluecorpussmall` are nothing that a bench can download; `write_model` makes
a directory of the same layout and size with random weights. Speed and memory are the same, losses are not.
"""

from __future__ import annotations

import json
import platform
import statistics
import string
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedConfig, PreTrainedModel, TrainerCallback

from recipe.cli import Settings, parse_settings
from recipe.settings import TRAINING_DEFAULTS, DataSettings, ModelSettings, RunSettings

VOCABULARY_SIZE = 21_128
_BERT_SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
_WARM_UP_STEPS = 3


def write_model(directory: Path, layers: int = 12, width: int = 768) -> Path:
    """Write a GPT-2 of the tutorial's layout (102 million parameters by default), random but always the same.

    config.json names BertTokenizer and no ends of text, vocab.txt holds 21,128 words with BERT's special ones in their
    places and every character of the basic CJK block, pytorch_model.bin the weights. A directory that holds the
    weights already is left as it is.
    """
    if (directory / "pytorch_model.bin").exists():
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    size: dict[str, Any] = {"vocab_size": VOCABULARY_SIZE, "n_layer": layers, "n_embd": width, "n_head": width // 64}
    config = GPT2Config(**size, bos_token_id=None, eos_token_id=None)
    described = {key: getattr(config, key) for key in ("n_layer", "n_embd", "n_head", "n_positions", "vocab_size")}
    described |= {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "tokenizer_class": "BertTokenizer"}
    (directory / "config.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    marks = "，。！？、；：“”‘’（）《》—…·" + string.digits + string.ascii_lowercase + string.punctuation
    words = [*marks, *map(chr, range(0x4E00, 0xA000))]
    for place, word in _BERT_SPECIAL.items():
        words.insert(place, word)
    words += [f"[unused{number}]" for number in range(VOCABULARY_SIZE - len(words))]
    (directory / "vocab.txt").write_text("\n".join(words[:VOCABULARY_SIZE]) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    torch.save(GPT2LMHeadModel(config).state_dict(), directory / "pytorch_model.bin")
    return directory


def job_settings(config: str, **overrides: Any) -> Settings:
    """Return the settings of a shipped configuration with some of them replaced, as the command line would."""
    argv = ["--config", config]
    for name, value in overrides.items():
        argv += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    groups = [ModelSettings, DataSettings, RunSettings]
    return parse_settings("bench", "", groups, argv, TRAINING_DEFAULTS)


# A job that only trains: what a bench of the steps themselves leaves out.
ONLY_STEPS: dict[str, Any] = {
    "eval_strategy": "no",
    "eval_on_start": False,
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "generation_eval_size": 0,
    "sample_prompts": "none",
    "publish_dir": "none",
    "disable_tqdm": True,
}


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize(device: torch.device) -> None:
    """Wait for the device, where it works behind the program's back."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def flops_per_position(config: PreTrainedConfig, length: int) -> float:
    """Return the floating-point operations of one training step per position of a GPT-2 batch.

    A matrix product costs 2 operations a weight and position forward and twice that backward: 6 times the weights of
    the blocks (12 width² each) and of the head; attention adds 12 × width × length a layer (scores and mixing).
    Normalisation, activation, dropout, softmax, loss and optimizer count as nothing: they are overhead.
    """
    weights = 12 * config.n_layer * config.n_embd**2 + config.n_embd * config.vocab_size
    return 6 * weights + 12 * config.n_layer * config.n_embd * length


def matmul_ceiling(device: torch.device, dtype: torch.dtype, seconds: float = 2.0) -> float:
    """Return the best rate of a large matrix product on this device, in operations per second.

    The best of three shapes, by the median over as many products as fit into a third of `seconds` each: two squares
    and the model's own product of 2,048 positions with the 768 × 3,072 weights of a block.
    """
    sizes = [(2048, 2048, 2048), (2048, 768, 3072), (4096, 4096, 4096)]
    if device.type == "cuda":
        sizes = [(8192, 8192, 8192), (16384, 768, 3072), (4096, 4096, 4096)]
    return max(_matmul_rate(device, dtype, size, seconds / len(sizes)) for size in sizes)


def _matmul_rate(device: torch.device, dtype: torch.dtype, size: tuple[int, int, int], seconds: float) -> float:
    rows, inner, columns = size
    left = torch.randn(rows, inner, device=device, dtype=dtype)
    right = torch.randn(inner, columns, device=device, dtype=dtype)
    repeats = 20 if device.type == "cuda" else 1
    torch.mm(left, right)
    synchronize(device)
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(taken) < 3:
        started = time.perf_counter()
        for _ in range(repeats):
            torch.mm(left, right)
        synchronize(device)
        taken.append((time.perf_counter() - started) / repeats)
    return 2 * rows * inner * columns / statistics.median(taken)


class StepMeter:
    """Counts tokens and time between the beginnings of forward passes, whatever loop runs them.

    Loading, collating, backward, optimizer and logging lie between two beginnings and are all counted. The first steps
    are left out. `done` turns true at the first beginning after `seconds`.
    """

    def __init__(self, model: PreTrainedModel, seconds: float) -> None:
        self.config = model.config
        self.seconds, self.done = seconds, False
        self.first_forward: float | None = None
        self._seen = 0
        self._started = self._ended = 0.0
        self._real: list[torch.Tensor] = []
        self._shapes: list[torch.Size] = []
        model.register_forward_pre_hook(self._before_forward, with_kwargs=True)

    def _before_forward(self, module: Any, args: Any, kwargs: Any) -> None:
        if self.done or not module.training:
            return
        now = time.perf_counter()
        self.first_forward = self.first_forward or now
        self._seen += 1
        if self._seen <= _WARM_UP_STEPS:
            return
        if self._seen == _WARM_UP_STEPS + 1:
            synchronize(kwargs["input_ids"].device)
            self._started = time.perf_counter()
        elif now - self._started >= self.seconds:
            synchronize(kwargs["input_ids"].device)
            self._ended, self.done = time.perf_counter(), True
            return
        self._real.append(kwargs["attention_mask"].sum())
        self._shapes.append(kwargs["input_ids"].shape)

    def figures(self) -> dict[str, float]:
        """Return real tokens/s, share of padding, seconds a step, and operations/s over real tokens and positions."""
        real = [int(tokens) for tokens in self._real]
        seconds = self._ended - self._started
        rates = [flops_per_position(self.config, shape[1]) for shape in self._shapes]
        useful = sum(tokens * rate for tokens, rate in zip(real, rates, strict=True))
        computed = sum(shape.numel() * rate for shape, rate in zip(self._shapes, rates, strict=True))
        return {
            "steps": len(real),
            "tokens_per_second": sum(real) / seconds,
            "padding_share": 1 - sum(real) / sum(shape.numel() for shape in self._shapes),
            "seconds_a_step": seconds / len(real),
            "useful_flops": useful / seconds,
            "computed_flops": computed / seconds,
        }


class StopWhenMeasured(TrainerCallback):
    """Ends a Trainer's run as soon as its meter is done."""

    def __init__(self, meter: StepMeter) -> None:
        self.meter = meter

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = self.meter.done


def peak_memory(device: torch.device) -> int:
    """Return the most bytes this process has held: allocated on the GPU, or resident on a CPU (VmHWM of Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return process_memory("self", "VmHWM")


def process_memory(process: int | str, entry: str) -> int:
    """Return one of the sizes in /proc/PROCESS/status in bytes: VmHWM, VmRSS, RssAnon."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == entry:
            return int(value.split()[0]) * 1024
    raise ValueError(f"/proc/{process}/status has no {entry}")


def machine() -> str:
    """Return one line on processor or card, cores and versions, to stand above a table."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    cores = f"{torch.get_num_threads()} threads"
    card = f"; {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    return f"{name}, {cores}{card}; {versions}"
