"""Every setting of the recipe, once: its default, its unit and the reason, in the help text of a dataclass field.

The command line, the YAML files, `--help` and the resolved configuration are all made from these fields. Settings of
`transformers.TrainingArguments` are passed through under their own names; `TRAINING_DEFAULTS` holds the values in which
the recipe differs from the library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recipe.formats.registry import FORMATS
from recipe.language import N_

CONFIG_DIRECTORY = "recipe/configs"
QUICKSTART_CONFIG = f"{CONFIG_DIRECTORY}/quickstart.yaml"
PUBLISHED_MODEL = "models/couplet"
# Pretrained on Tang and Song verse and fine-tuned on its couplets (docs/verse.md): what the default run starts from,
# and what answers before anything is published.
SHIPPED_MODEL = "recipe/data/base"


# Where the recipe differs from the library's defaults, and why.
TRAINING_DEFAULTS: dict[str, Any] = {
    "output_dir": "outputs/run",
    "num_train_epochs": 3,  # the tutorial's
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "learning_rate": 1e-4,  # the tutorial's 1e-3 without warm-up unlearns a pretrained model first
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,  # below 1 it is a share of all steps
    "weight_decay": 0.01,
    "save_steps": 1000,
    "eval_steps": 1000,
    "eval_strategy": "steps",
    "eval_on_start": True,  # the "before" column of the table at the end
    "logging_steps": 30,  # the tutorial's
    "save_total_limit": 3,  # the newest three; the best is kept besides
    "load_best_model_at_end": True,
    "resume_from_checkpoint": "auto",  # a second start goes on with the run; the library begins it anew
    "metric_for_best_model": "loss",
    "report_to": "none",
    "logging_nan_inf_filter": False,  # it would hide a loss that is not finite
    "ddp_find_unused_parameters": False,  # all are used; the library looks for others after every step
    "seed": 42,
}


def setting(
    default: Any, help: str, choices: tuple[str, ...] = (), is_file: bool = False, is_written: bool = False
) -> Any:
    """Declare one setting; a list default is copied for each instance.

    Args:
        is_file: the value names files or directories to read; those that ship are found from every directory.
        is_written: the value names a file or directory to write. In both a `~` is the home directory.
    """
    metadata = {"help": help, "choices": choices, "is_file": is_file, "is_written": is_written}
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


STATE_DICT_HELP = N_(
    "a state dict saved by torch.save (the tutorial's best_model.pth) or a .safetensors file, loaded over that model's "
    "weights"
)


@dataclass
class ModelSettings:
    """Model: where the weights come from."""

    model_name_or_path: str | None = setting(
        None,
        "hub id or local directory of the model to start from (safetensors or pytorch_model.bin); the one that ships "
        "is recipe/data/base",
        is_file=True,
    )
    state_dict_file: str | None = setting(
        None,
        STATE_DICT_HELP,
        is_file=True,
    )
    from_scratch: bool = setting(
        False, "build a new model and a character vocabulary from the corpus instead of loading one"
    )
    vocabulary_file: str | None = setting(
        None,
        "from scratch: text file of the characters the vocabulary holds; unset takes those of the corpus",
        is_file=True,
    )
    hidden_size: int = setting(256, "from scratch: width of the model; a multiple of num_heads")
    num_layers: int = setting(4, "from scratch: number of transformer blocks")
    num_heads: int = setting(4, "from scratch: attention heads per block")
    dropout: float | None = setting(
        None, "dropout probability of embeddings, attention and residuals; unset keeps the model's own (0.1 in GPT-2)"
    )
    extend_vocabulary: bool = setting(
        False, "add the corpus' characters that the vocabulary lacks to the tokenizer and the embeddings"
    )


@dataclass
class DataSettings:
    """Data: which rows, how they are read, what is refused."""

    train_file: list[str] = setting(
        [],
        "one or more CSV, TSV, JSON (an array, or one record a line) or Parquet files, or pipes; the format follows "
        "the file's ending (.csv, .csv.gz, …)",
        is_file=True,
    )
    validation_file: list[str] = setting(
        [],
        "held-out files of your own; unset splits validation_size rows off the training rows",
        is_file=True,
    )
    upper_file: str | None = setting(
        None,
        "text file of upper lines, one a line, characters may stand apart (in.txt of the public data set)",
        is_file=True,
    )
    lower_file: str | None = setting(
        None,
        "text file of the lower lines that answer upper_file, line by line (out.txt)",
        is_file=True,
    )
    text_column: str = setting("text1", "column that holds the whole text, upper line + separator + lower line")
    upper_column: str | None = setting(
        None, "column of upper lines (of other formats: of prompts), for files with two columns"
    )
    lower_column: str | None = setting(
        None, "column of lower lines (of other formats: of what answers the prompts); used with upper_column"
    )
    text_format: str = setting(
        "couplet",
        "what the rows are. couplet: two lines under the rules of the form; plain: any short texts; quatrain: poems of "
        "four or eight lines (绝句, 律诗)",
        choices=tuple(FORMATS),
    )
    separator: str = setting(
        "-",
        "what stands between the lines: the mark in the exact middle separates (several characters, white space and "
        "'\\x02' are kept as -)",
    )
    encoding: str = setting("utf-8", "encoding of the text files (a BOM is fine); GB18030 is common in China")
    unequal_lines: str = setting(
        "reject", "couplets whose lines differ in length: reject them, or keep them", choices=("reject", "keep")
    )
    max_length: int = setting(80, "longest row in tokens, [CLS] and [SEP] included; longer rows are cut and counted")
    max_rows: int | None = setting(None, "read only the first N rows of the training files (for trials)")
    validation_size: int = setting(
        2000, "rows to hold out, by whole upper lines, at most a tenth of the corpus; the model never trains on them"
    )
    cache_dir: str = setting(
        "outputs/cache", "directory of the prepared rows; a second start of the same job reuses it", is_written=True
    )


@dataclass
class RunSettings:
    """Run: what happens around the training itself."""

    config: str | None = setting(
        QUICKSTART_CONFIG,
        "YAML file of settings, or the short name of a shipped one (couplet-600k); the command line wins over it, it "
        "wins over the defaults",
    )
    check: bool = setting(
        False,
        "try everything in half a minute without training (a few steps, one save), then say what the run will cost",
    )
    publish_dir: str | None = setting(
        None, "local model directory that receives the best model at the end, whole or not at all", is_written=True
    )
    group_by_length: bool = setting(
        True, "put rows of like length into one batch: under 2%% padding instead of more than half"
    )
    generation_eval_size: int = setting(
        64, "held-out upper lines answered greedily at every evaluation, for generation_bleu; 0 turns it off"
    )
    sample_prompts: list[str] = setting(
        ["春满神州花似锦", "窗前翠竹迎风舞", "万里晴空飞白鹤", "读书声里春光好", "一帘细雨，数点寒梅"],
        "upper lines (or text beginnings) answered and printed at every evaluation",
    )
    precision: str = setting(
        "auto",
        "arithmetic of the training steps, over weights in fp32; auto: bf16 where the GPU has it, fp16 on older GPUs; "
        "on a CPU bf16 where it multiplies it (lscpu shows amx_bf16 or avx512_bf16) and the model is 128 wide or more, "
        "up to twice as fast, else fp32",
        choices=("auto", "bf16", "fp16", "fp32"),
    )
    muon: bool = setting(
        False,
        "Muon for the matrices inside the blocks, AdamW for all else, both at learning_rate: from scratch it learns "
        "more in the same time (docs/verse.md)",
    )
    num_threads: int | None = setting(
        None, "CPU threads of each process; unset shares all cores among the processes of this machine"
    )
    reuse_freed_memory: bool = setting(
        True,
        "on a CPU under Linux: keep up to 2 GiB of the memory that tensors freed for the next ones; else the system "
        "takes it back and clears it for every step, a tenth of the time of one (102M model, 2 cores)",
    )
    allow_changed: bool = setting(
        False, "resume although data, model, seed, batch, length or schedule of the run changed since the checkpoint"
    )
    max_nonfinite_steps: int = setting(5, "stop after this many steps in a row whose loss or gradient is not finite")


@dataclass
class DecodingSettings:
    """Decoding: how lower lines are chosen. The form is held whatever is set here, unless --continue_freely."""

    do_sample: bool = setting(True, "draw at random by the model's probabilities; false takes the likeliest")
    temperature: float = setting(0.7, "sampling: below 1 sharpens the probabilities, above 1 flattens them")
    top_k: int = setting(50, "sampling: draw only among this many of the likeliest characters; 0 for all")
    top_p: float = setting(0.95, "sampling: draw among the likeliest characters that hold this share of probability")
    num_beams: int = setting(1, "beams of beam search, used with --do_sample false; 1 for none")
    num_return_sequences: int = setting(1, "different lower lines to return for each upper line")
    best_of: int | None = setting(
        None,
        "make this many different lower lines and return the best by likelihood, tones and parallelism; unset: 16 "
        "where run_generate.py draws couplets, else 1, which takes the first one drawn",
    )
    tones: str = setting(
        "prefer",
        "last character and even positions level (平) where the upper line is oblique (仄): ignored, a bias, or a law",
        choices=("off", "prefer", "strict"),
    )
    tone_strength: float = setting(
        3.0, "prefer: what a character of the wrong tone loses in log-probability; 3 makes it 20 times less likely"
    )
    banned_words: str | None = setting(
        None,
        "text file of words, one a line, that never appear; an upper line that holds one is refused",
        is_file=True,
    )
    continue_freely: bool = setting(
        False, "generate without the form: for models of plain texts, and to see what the form is good for"
    )
    max_new_tokens: int = setting(64, "with continue_freely: longest continuation, in tokens")
    generation_batch_size: int = setting(64, "lower lines that are decoded together; all of one length")
    seed: int = setting(42, "seed of the random draws; the same seed, input and batch size give the same lines")


@dataclass
class GenerationSettings:
    """Generation: what to answer, with what, and how to write it."""

    model_name_or_path: str = setting(
        PUBLISHED_MODEL,
        "local model directory or hub id; default: the last published one, or the base that ships if there is none",
        is_file=True,
    )
    state_dict_file: str | None = setting(None, STATE_DICT_HELP, is_file=True)
    prompt: list[str] = setting([], "one or more upper lines; a separator at the end (春满神州花似锦-) may stay")
    prompts_file: str | None = setting(
        None,
        "upper lines to answer: a text file with one a line, or a CSV, TSV or JSON Lines file; - is standard input",
        is_file=True,
    )
    prompt_column: str = setting(
        "text1", "column of a CSV, TSV or JSON Lines prompts file; of a whole couplet the upper line is taken"
    )
    encoding: str = setting(
        "utf-8", "encoding of the prompts file and of the parallelism file (a BOM is fine); GB18030 is common in China"
    )
    output_file: str | None = setting(
        None, "file to write to instead of the screen, in the order of the input", is_written=True
    )
    output_format: str | None = setting(
        None,
        "unset: what the ending of output_file says, else text",
        choices=("text", "tsv", "csv", "jsonl"),
    )
    interactive: bool = setting(False, "ask for upper lines one by one and answer each at once")
    compose: list[str] = setting([], "write whole couplets whose upper line begins with these characters")
    acrostic: list[str] = setting(
        [], "write whole couplets whose lines begin with these two characters (藏头), one each: 春福"
    )
    theme: list[str] = setting([], "write whole couplets whose upper line holds this word, wherever it fits best")
    line_length: int = setting(7, "compose, acrostic, theme: characters of a line")
    parallelism_file: str | None = setting(
        None,
        "best_of: couplets (CSV, TSV, JSON Lines, Parquet) to learn from which characters answer which, in place of "
        "the table that ships, learned from Tang and Song verse",
        is_file=True,
    )
    parallelism_column: str = setting("text1", "column of the parallelism file that holds whole couplets")


@dataclass
class DeviceSettings:
    """Device: where the model runs."""

    device: str | None = setting(
        None, "cpu, cuda, cuda:1, mps …; unset takes an NVIDIA GPU where there is one, else the CPU"
    )
    dtype: str | None = setting(
        None,
        "number format of the weights; unset takes bf16 on a GPU that has it and, for models 512 wide or more, on a "
        "CPU that multiplies it (lscpu shows amx_bf16 or avx512_bf16), else fp32",
        choices=("fp32", "bf16", "fp16"),
    )


# The shapes of --export, and the names of their directories.
EXPORTS = ("alpaca", "mt-bench", "helm")


@dataclass
class EvaluationSettings:
    """Evaluation: what is scored, against what, and how."""

    model_name_or_path: str | None = setting(
        None,
        "local model directory or hub id to evaluate; unset takes the last published one (models/couplet), or the base "
        "that ships if there is none",
        is_file=True,
    )
    state_dict_file: str | None = setting(None, STATE_DICT_HELP, is_file=True)
    predictions: list[str] = setting(
        [],
        "score lines made elsewhere, with no model: a text file of upper and one of lower lines; or one TSV, CSV, JSON "
        "Lines or Parquet file with the columns upper and lower; or one .txt of lower lines in the test file's order",
        is_file=True,
    )
    baseline: list[str] = setting(
        [],
        "a second model directory, or predictions in one of those forms, for the paired difference",
        is_file=True,
    )
    baseline_state_dict_file: str | None = setting(
        None, "a state dict loaded over the baseline's weights, as state_dict_file over the model's", is_file=True
    )
    test_file: list[str] = setting(
        [], "one or more CSV, TSV, JSON Lines or Parquet files of couplets, the references", is_file=True
    )
    train_file: list[str] = setting(
        [],
        "the files the model was trained on: for chance lines, leaks, memory and the learned parallelism",
        is_file=True,
    )
    text_column: str = setting("text1", "column that holds the whole text, upper line + separator + lower line")
    upper_column: str | None = setting(None, "column of upper lines, for files with a column for each line")
    lower_column: str | None = setting(None, "column of lower lines; used with upper_column")
    separator: str = setting("-", "what separates the lines in text_column; '\\n' and the like may be written out")
    encoding: str = setting("utf-8", "encoding of all text files (a BOM is fine); GB18030 is common in China")
    output_dir: str = setting(
        "outputs/evaluation", "directory of results.json, predictions.jsonl and the two reports", is_written=True
    )
    export: list[str] = setting(
        [],
        "write the answers, of several seeds those of the first, for other tools too, in a directory of its own below "
        "output_dir: outputs of AlpacaEval, questions and answers of MT-Bench, instances of HELM that ask which lower "
        "line is the known one",
        choices=EXPORTS,
    )
    max_upper_lines: int | None = setting(None, "evaluate only the first N different upper lines")
    seeds: int = setting(3, "how many seeds to answer with when decoding samples, counted from --seed")
    bootstrap_samples: int = setting(1000, "draws of upper lines behind each 95%% interval")
    latency_calls: int = setting(50, "upper lines answered one by one to measure latency; 0 leaves efficiency out")
    report_samples: int = setting(24, "couplets shown side by side in the report")
    listed_words: str | None = setting(
        None,
        "text file of words, one a line; the share of outputs that hold one is reported",
        is_file=True,
    )
    text_classifier: str | None = setting(
        None,
        "text classifier for safety: local directory or hub id; its labels' shares among the outputs are said",
        is_file=True,
    )
    bertscore_model: str | None = setting(
        None, "encoder for BERTScore: local directory or hub id; needs the extra [eval]", is_file=True
    )
    bertscore_layer: int | None = setting(None, "hidden layer that BERTScore compares; unset takes the last")
    pair_classifier: str | None = setting(
        None,
        "learned regressor of the BLEURT kind: any sentence-pair classifier with one output, directory or hub id",
        is_file=True,
    )


@dataclass
class RatingSettings:
    """Ratings: blind sheets written for people, and filled-in ones read back."""

    rating_sheet: str | None = setting(
        None,
        "write blind rating sheets of the evaluated systems into this directory, which must be new or empty: the key "
        "of other sheets would be lost",
        is_written=True,
    )
    rating_kind: str = setting(
        "absolute",
        "what sheets ask for: points for each answer, or the better of two; the second suits systems that are close",
        choices=("absolute", "pair"),
    )
    rating_dimensions: list[str] = setting(
        ["overall"],
        "what absolute sheets ask for: overall, parallelism, tones, imagery, fluency, relevance, safety, or their "
        "Chinese names; each is a decision more for every answer",
    )
    rating_points: int = setting(5, "points of the absolute scale, 5 or 7; of 5 each has a text that explains it")
    rating_items: int = setting(
        60,
        "upper lines on a sheet, drawn by --seed; with 3 systems, 60 make up to 180 answers to rate",
    )
    rating_sheets: int = setting(3, "sheets, one a rater, in different orders; agreement needs at least two raters")
    ratings: list[str] = setting(
        [],
        "read these files of ratings (JSON Lines from the page, CSV or XLSX) and analyse them, in the report, or alone "
        "without --test_file",
        is_file=True,
    )
    rating_key: list[str] = setting(
        [], "key.json of each set of sheets that the ratings come from; says which code is whose answer", is_file=True
    )
    leave_out_failed_raters: bool = setting(
        False, "leave out raters who miss more than a third of the attention checks; they are named either way"
    )


@dataclass
class ServedSettings:
    """Served models: one as the evaluated system, and how every OpenAI-compatible server is called, a judge's too."""

    endpoint: str | None = setting(
        None,
        "evaluate a served model: base address of its OpenAI-compatible server, such as http://127.0.0.1:11434/v1; a "
        "key is read from ENDPOINT_API_KEY",
    )
    endpoint_model: str | None = setting(None, "name of the evaluated model at that server")
    endpoint_template: str | None = setting(
        None,
        "text file of what it is asked, with $upper in place of the upper line; unset asks in Chinese for the lower "
        "line alone (recipe/rating/prompts/couplet.zh.txt)",
        is_file=True,
    )
    endpoint_tries: int = setting(
        3, "ask again until the lower line keeps the form, at most this many times; at temperature 0 there is one try"
    )
    endpoint_temperature: float = setting(0.7, "temperature of its draws, 0 to 2; at 0 there is one run (--seeds)")
    endpoint_max_tokens: int = setting(512, "longest answer, in tokens; models that think aloud need some thousands")
    endpoint_price: list[float] = setting(
        [], "price of a million tokens in and of a million out, in your currency, for the cost that is printed before"
    )
    call_concurrency: int = setting(4, "calls to a server under way at once, 1 to 64")
    calls_per_minute: float | None = setting(
        None, "at most this many new calls to each model in a minute; unset waits only when the server asks for it"
    )
    call_timeout: float = setting(120.0, "seconds until a call counts as lost and is made again")
    call_cache_dir: str = setting(
        "outputs/call-cache",
        "directory of the answers of served models; what is there is never asked and paid again",
        is_written=True,
    )


@dataclass
class JudgeSettings:
    """Judges: served models that rate the answers by the same questions as people (--rating_kind and the like)."""

    judge_endpoint: list[str] = setting(
        [],
        "base address of the OpenAI-compatible server of the judges, such as http://127.0.0.1:8000/v1; one for all, or "
        "one for each. A key is read from JUDGE_API_KEY (with several addresses JUDGE_API_KEY_1 and so on)",
    )
    judge_model: list[str] = setting([], "models that judge, by their names at the server")
    judge_limit: int | None = setting(
        None, "each judge answers at most this many new calls in this run; the next run continues where it stopped"
    )
    judge_reference: bool = setting(False, "show the judges the first reference of the test file as a good answer")
    judge_language: str = setting("zh", "language of the prompts for judges", choices=("zh", "en"))
    judge_max_tokens: int = setting(
        512, "longest answer of a judge, in tokens; models that think aloud need some thousands"
    )
    judge_price: list[float] = setting(
        [], "price of a million tokens in and of a million out, in your currency, for the cost that is printed before"
    )
    judge_agreement: float = setting(
        0.4,
        "the report warns of judges whose agreement with people (Cohen's kappa) is lower; from 0.4 on Landis and Koch "
        "call it moderate",
    )


@dataclass
class QuestionSettings:
    """Questions: benchmarks of chat models (MT-Bench, AlpacaEval) and dialogues, answered and judged."""

    questions: str | None = setting(
        None,
        "have the model, or the served one (--endpoint), answer this file: question.jsonl of MT-Bench, or a JSON list "
        "of AlpacaEval; judges rate the answers",
        is_file=True,
    )
    answers: str | None = setting(
        None, "judge these answers instead of having a model make some; in the format of the benchmark", is_file=True
    )
    compared_answers: str | None = setting(
        None,
        "another model's answers, in the format of the benchmark, for judges to compare with; unset takes the outputs "
        "that stand in an AlpacaEval file",
        is_file=True,
    )
    max_questions: int | None = setting(None, "only the first N questions")
    facts: list[str] = setting(
        [],
        "check the statements of the answers against these passages: texts whose paragraphs they are, or JSON Lines "
        "with text and perhaps title; needs the extra [judge]",
        is_file=True,
    )
    dialogues: list[str] = setting(
        [],
        "have dialogues rated (--rating_sheet, judges): a JSON Lines file for each system, with turns or messages",
        is_file=True,
    )


# Inside a class with a field `list`, that name means the field.
Texts = list[str]
Numbers = list[int]


@dataclass
class BenchmarkSettings:
    """Benchmarks: published tests of general ability, before and after fine-tuning."""

    model_name_or_path: str = setting(
        PUBLISHED_MODEL,
        "local model directory or hub id; default: the last published one, or the base that ships if there is none",
        is_file=True,
    )
    baseline: str | None = setting(
        None, "a second model, such as the one before fine-tuning, for the paired difference", is_file=True
    )
    state_dict_file: str | None = setting(
        None,
        "a state dict saved by torch.save (the tutorial's best_model.pth) loaded over the model's weights",
        is_file=True,
    )
    tasks: Texts = setting([], "benchmarks by their short names, which --list shows; all is every one")
    list: bool = setting(False, "say what there is, which data it needs and whether they are here; run nothing")
    data_dir: str = setting(
        "benchmark-data",
        "mirror of data sets: a directory that holds them under their names on the hub (benchmark-data/openai/gsm8k); "
        "nothing is fetched by itself",
    )
    mcq_file: str | None = setting(
        None,
        'multiple-choice questions of your own, JSON Lines: {"question": "…", "choices": ["…", "…"], "answer": "A"}',
        is_file=True,
    )
    shots: int | None = setting(
        None, "solved examples before each question; unset takes what the task's definition says, else 0"
    )
    limit: int | None = setting(None, "only the first N questions of each task (for trials)")
    batch_size: int = setting(16, "prompts that the model reads together")
    output_dir: str = setting("outputs/benchmark", "directory of results.json and the two reports")
    export: str | None = setting(
        None,
        "write the questions of mcq_file, at most limit, for HELM too: helm/instances.jsonl below output_dir",
        choices=("helm",),
    )
    allow_code_execution: bool = setting(
        False,
        "run programs that the model writes (humaneval, mbpp) on this machine, in a limited process that is no sandbox",
    )
    code_samples: int = setting(1, "programs written for each problem of humaneval and mbpp; at least the k of pass_at")
    pass_at: Numbers = setting([1], "k of Pass@k: the chance that one of k programs passes; several are several rows")
    code_temperature: float = setting(
        0.0,
        "temperature of the programs; 0 takes the likeliest one, so more samples need from 0.2 (k 1) to 0.8 (k 100)",
    )
    safety_files: Texts = setting(
        [],
        "prompts of --tasks safety in the shapes of StrongREJECT, XSTest, RealToxicityPrompts or CBBQ (CSV, TSV, JSON "
        "Lines, JSON); unset takes the small set that ships",
        is_file=True,
    )
    listed_words: str | None = setting(
        None,
        "text file of words, one a line; the share of what the model writes that holds one is reported",
        is_file=True,
    )
    text_classifier: str | None = setting(
        None, "text classifier, local directory or hub id: its labels' shares among what the model writes are said"
    )
    harm_judge: Texts = setting(
        [],
        "address of an OpenAI-compatible server and a model there, which is asked of each text whether it is harmful "
        "(http://127.0.0.1:8000/v1 NAME); the key is read from JUDGE_API_KEY",
    )
    couplet_file: Texts = setting(
        [],
        "couplets in the column text1 whose lower lines are scored, in one row for those whose upper lines stand in "
        "train_file, one for others, one for lengths that it lacks",
        is_file=True,
    )
    train_file: Texts = setting([], "used with couplet_file: what the model was trained on", is_file=True)


@dataclass
class DemoSettings:
    """Page: what answers, where it listens."""

    model_name_or_path: str = setting(
        PUBLISHED_MODEL,
        "local model directory or hub id; default: the last published one, or the base that ships if there is none",
        is_file=True,
    )
    compare_with: str | None = setting(
        None, "a second model, whose answers are shown beside the first one's", is_file=True
    )
    port: int = setting(7860, "port of the page and of the interfaces; 0 takes a free one")
    host: str = setting(
        "127.0.0.1", "address to listen on; the default is reached from this machine alone, 0.0.0.0 from all others"
    )
    share: bool = setting(
        False, "open Gradio's tunnel too, which gives everybody on the internet who knows its address this page"
    )
    max_waiting: int = setting(256, "lines that may wait for an answer; what comes beyond is asked to come again")
    rating_sheet: str | None = setting(
        None,
        "add a tab on which visitors fill in the blind sheets of this directory, which run_evaluate.py --rating_sheet "
        "wrote; their ratings are stored there",
        is_file=True,
    )
    parallelism_file: str | None = setting(
        None,
        "couplets (CSV, TSV, JSON Lines, Parquet) to learn from which characters answer which, for the ranking and the "
        "figure; unset takes the table of Tang and Song verse that ships",
        is_file=True,
    )


@dataclass
class ScreenSettings:
    """Screen: what users read."""

    language: str | None = setting(
        None,
        "language of help, messages and reports; unset follows the locale (LANGUAGE, LC_ALL, LC_MESSAGES, LANG): "
        "Chinese or else English",
        choices=("en", "zh"),
    )
