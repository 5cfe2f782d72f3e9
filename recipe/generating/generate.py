"""The command that answers upper lines: loads the model once, answers what it is asked, writes and says the rest."""

from __future__ import annotations

import importlib
import io
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from tqdm import tqdm

from recipe.cli import Settings
from recipe.couplet.form import DEFAULT_SEPARATOR, split_couplet
from recipe.couplet.parallelism import CharacterAssociation
from recipe.errors import INTERRUPTED_EXIT_CODE, UserError
from recipe.files import path_problem
from recipe.generating.answer_writing import AnswerWriter, open_standard_output, output_format, output_problem
from recipe.generating.generator import Answer, Generator, check_settings
from recipe.generating.prompts import is_text, read_prompts, upper_line
from recipe.model.modeling import load_model
from recipe.model.tokenization import load_tokenizer
from recipe.rows.reading import Source, read_rows
from recipe.settings import DecodingSettings, GenerationSettings
from recipe.word_lists import read_word_list

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Lines that are grouped by length before the first of them is written: a second or a minute of work.
_BATCHES_PER_CHUNK = 64
_LINES_NAMED = 20


def generate(settings: Settings) -> int:
    """Answer what the settings ask for and return the exit code.

    Raises:
        UserError: prompts, files, words or a model that cannot be used, before anything is decoded.
    """
    choice, decoding = settings[GenerationSettings], settings[DecodingSettings]
    _check_choice(choice, decoding)
    banned_words = read_word_list("--banned_words", decoding.banned_words)
    check_settings(decoding, banned_words)
    prompts = [] if choice.interactive or choice.compose else read_prompts(choice)
    generator = _load_generator(choice, decoding, banned_words)
    if choice.interactive:
        return converse(generator)
    uppers = [upper_line(prompt, generator.separator) for prompt in prompts]
    reasons = generator.theme_refusals(choice.compose, choice.line_length) if choice.compose else []
    if reasons := reasons + generator.refusals(uppers):
        more = [f"and {len(reasons) - _LINES_NAMED:,} more"] if len(reasons) > _LINES_NAMED else []
        raise UserError(reasons[:_LINES_NAMED] + more)
    _say_unknown_characters(generator, uppers)
    writer = AnswerWriter(
        output_format(choice.output_format, choice.output_file),
        choice.output_file,
        generator.separator,
        shows_scores=bool(decoding.best_of) or decoding.num_return_sequences > 1,
    )
    if choice.compose:
        return compose_all(generator, choice.compose, choice.line_length, writer)
    return answer_all(generator, uppers, writer)


def _check_choice(choice: GenerationSettings, decoding: DecodingSettings) -> None:
    """Refuse settings that would be left aside."""
    sources = {"--prompt or --prompts_file": bool(choice.prompt or choice.prompts_file), "--compose": choice.compose}
    given = [name for name, is_given in {**sources, "--interactive": choice.interactive}.items() if is_given]
    problems = [f"{' and '.join(given)} exclude each other: give one of them"] if len(given) > 1 else []
    if choice.interactive and sys.stdin is None:
        problems.append("--interactive: standard input is closed; start it in a terminal, or give --prompt")
    if choice.interactive and (choice.output_file or choice.output_format):
        problems.append("--interactive answers on the screen; leave --output_file and --output_format off")
    if choice.parallelism_file and not decoding.best_of:
        problems.append("--parallelism_file ranks lines; it needs --best_of N")
    if choice.parallelism_file and (problem := path_problem(choice.parallelism_file)):
        problems.append(f"--parallelism_file {problem}")
    if choice.line_length != GenerationSettings.line_length and not choice.compose:
        problems.append(f"--line_length {choice.line_length} is the length of composed lines; it needs --compose")
    if choice.output_file is not None and (problem := output_problem(choice.output_format, choice.output_file)):
        problems.append(problem)
    if problems:
        raise UserError(problems)


def _learn_parallelism(file: str, choice: GenerationSettings) -> CharacterAssociation:
    """Learn which characters answer which from a file of couplets in the prompts' encoding and column."""
    rows = read_rows(Source((file,), (choice.prompt_column,), choice.encoding, column_settings="--prompt_column"))
    pairs = [pair for row in rows if row.cells and (pair := split_couplet(str(row.cells[0])))]
    return CharacterAssociation.learn([upper for upper, _ in pairs], [lower for _, lower in pairs])


def _load_generator(choice: GenerationSettings, decoding: DecodingSettings, banned_words: Sequence[str]) -> Generator:
    path = choice.model_name_or_path
    if path == GenerationSettings().model_name_or_path and not Path(path).exists():
        raise UserError(
            f"{path}: no model there yet. Train one with `accelerate launch run_finetune.py` (three minutes), or name "
            "another with --model_name_or_path"
        )
    device = _device(choice.device)
    dtype = _DTYPES[choice.dtype] if choice.dtype else _default_dtype(device)
    tokenizer = load_tokenizer(path)
    model: Any = load_model(path, tokenizer)
    model.to(device=device, dtype=dtype)
    # A foreign model carries nothing of ours; it is taken to have learnt the default separator.
    carried = getattr(model.config, "recipe", {"text_format": "couplet", "separator": DEFAULT_SEPARATOR})
    is_plain = carried["text_format"] == "plain"
    if is_plain and not decoding.continue_freely:
        raise UserError(f"{path}: was trained on plain texts, which have no form to hold; add --continue_freely")
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{path}: {size:.1f}M parameters on {device}, {str(dtype).removeprefix('torch.')}", file=sys.stderr)
    file = choice.parallelism_file
    parallelism = _learn_parallelism(file, choice).score if file else None
    return Generator(model, tokenizer, decoding, banned_words, "" if is_plain else carried["separator"], parallelism)


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: cannot be used ({str(error).splitlines()[0]})") from None
    return device


def _default_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the GPU computes in it; on a CPU without special units it is slower than fp32 (measured)."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def _say_unknown_characters(generator: Generator, uppers: Sequence[str]) -> None:
    if generator.settings.continue_freely:
        return
    unknown = [(upper, found) for upper in uppers if (found := generator.unknown_characters(upper))]
    for upper, characters in unknown[:_LINES_NAMED]:
        print(f"{upper}: the model does not know {' '.join(characters)}; answered without them", file=sys.stderr)
    if len(unknown) > _LINES_NAMED:
        print(f"and {len(unknown) - _LINES_NAMED:,} more lines with unknown characters", file=sys.stderr)


def answer_all(generator: Generator, uppers: Sequence[str], writer: AnswerWriter) -> int:
    """Answer `uppers` in their order, chunk by chunk; what is finished is written even if the rest is not."""
    started, fewer = time.perf_counter(), 0
    chunk = _BATCHES_PER_CHUNK * generator.settings.generation_batch_size
    _end_by_kill_as_by_ctrl_c()
    with tqdm(total=len(uppers), unit="line", delay=2, leave=False) as progress:
        try:
            with writer, generator.seeded():
                for start in range(0, len(uppers), chunk):
                    fewer += _answer_chunk(generator, uppers[start : start + chunk], writer, progress)
        except KeyboardInterrupt:
            return _interrupted(f"{progress.n:,} of {len(uppers):,} upper lines", writer)
    _say_summary(generator, writer.written, fewer, time.perf_counter() - started)
    return 0


def _end_by_kill_as_by_ctrl_c() -> None:
    """Minutes of work deserve the same ending either way."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _interrupted(done: str, writer: AnswerWriter) -> int:
    where = f"; they are in {writer.partial}" if writer.partial else ""
    print(f"interrupted after {done}{where}", file=sys.stderr)
    return INTERRUPTED_EXIT_CODE


def _answer_chunk(generator: Generator, uppers: Sequence[str], writer: AnswerWriter, progress: tqdm) -> int:
    """Answer and write some lines; return how many of them have fewer answers than were asked for."""
    found: dict[int, list[Answer]] = {}
    try:
        for index, answers in generator.answer_each(uppers):
            found[index] = answers
            progress.update()
    finally:
        for _, answers in sorted(found.items()):
            writer.write(answers)
        writer.flush()
    return sum(len(answers) < generator.settings.num_return_sequences for answers in found.values())


def _say_summary(generator: Generator, couplets: int, fewer: int, seconds: float) -> None:
    if fewer:
        wanted = generator.settings.num_return_sequences
        print(
            f"upper lines with fewer than {wanted} different answers, all that were found: {fewer:,}", file=sys.stderr
        )
    if couplets > 1:
        print(f"{couplets:,} couplets in {seconds:.1f} s: {couplets / seconds:.1f} couplets/s", file=sys.stderr)


def compose_all(generator: Generator, themes: Sequence[str], line_length: int, writer: AnswerWriter) -> int:
    """Write couplets whose upper lines begin with `themes`; what is finished is written even if the rest is not."""
    finished = 0
    _end_by_kill_as_by_ctrl_c()
    try:
        with writer, generator.seeded():
            for theme in themes:
                couplets = generator.compose(theme, line_length)
                writer.write(couplets)
                writer.flush()
                finished += 1
                if len(couplets) < generator.settings.num_return_sequences:
                    print(f"{theme}: {len(couplets)} different couplets found", file=sys.stderr)
    except KeyboardInterrupt:
        return _interrupted(f"the couplets of {finished:,} of {len(themes):,} themes", writer)
    return 0


def converse(generator: Generator) -> int:
    """Answer upper lines as they are typed, until an empty line or Ctrl-D."""
    open_standard_output()
    # Bytes that are no text arrive as lone surrogates, line by line; an error would take the lines after it along.
    cast(io.TextIOWrapper, sys.stdin).reconfigure(errors="surrogateescape")
    with suppress(ImportError):  # line editing and history for input(), where the platform has them
        importlib.import_module("readline")
    print("Type an upper line (上联); an empty line or Ctrl-D ends.")
    with generator.seeded():
        while prompt := _ask():
            if not is_text(prompt):
                print(f"that line is not text in {sys.stdin.encoding}, the terminal's encoding; type it again")
                continue
            upper = upper_line(prompt, generator.separator)
            if reasons := generator.refusals([upper]):
                print(*reasons, sep="\n")
                continue
            _say_unknown_characters(generator, [upper])
            for _, answers in generator.answer_each([upper]):
                print(*(f"下联> {answer.lower}  ({answer.score:.2f})" for answer in answers), sep="\n")
    return 0


def _ask() -> str:
    try:
        return input("上联> ").strip()
    except EOFError:
        print()
        return ""
