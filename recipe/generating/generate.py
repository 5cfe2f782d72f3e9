"""The command that answers prompts: loads the model once, answers what it is asked, writes and says the rest."""

from __future__ import annotations

import importlib
import io
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import cast

from tqdm import tqdm

from recipe.cli import Settings
from recipe.errors import INTERRUPTED_EXIT_CODE, UserError, printable
from recipe.generating.answer_writing import AnswerWriter, open_standard_output, output_kind, output_problem
from recipe.generating.composing import Composer, Kind
from recipe.generating.generator import Answer, Generator, PreparedPrompt, check_settings
from recipe.generating.loading import load_ready_model
from recipe.generating.prompts import is_text, read_prompts
from recipe.generating.ranking import parallelism_scorer, with_best_of
from recipe.rows.cleaning import Cleaned, RejectedRowError, clean_line, listed
from recipe.screen import outliving_its_reader
from recipe.settings import DecodingSettings, DeviceSettings, GenerationSettings
from recipe.text_files import path_problem
from recipe.word_lists import read_word_list

# Lines that are grouped by length before the first of them is written: a second or a minute of work.
_BATCHES_PER_CHUNK = 64
_LINES_NAMED = 20


def generate(settings: Settings) -> int:
    """Answer what the settings ask for and return the exit code.

    Raises:
        UserError: prompts, files, words or a model that cannot be used, before anything is decoded.
    """
    # Answers that go to a file need no screen.
    with outliving_its_reader() if settings[GenerationSettings].output_file else nullcontext():
        return _generate(settings)


def _generate(settings: Settings) -> int:
    job, decoding = settings[GenerationSettings], settings[DecodingSettings]
    _check_job(job, decoding)
    banned_words = read_word_list("--banned_words", decoding.banned_words)
    check_settings(decoding, banned_words)
    kind, given = _to_compose(job)
    typed = [] if job.interactive or given else read_prompts(job)
    generator = _load_generator(settings, banned_words)
    if job.interactive:
        return converse(generator)
    composer = Composer(generator, job.line_length) if given else None
    cleaned = _cleaned(typed, generator.text_format.read_prompt)
    themes = [theme.text for theme in _cleaned(given, clean_line)]
    prompts = generator.prepare([prompt.text for prompt in cleaned])
    _raise_some(composer.refusals(themes, kind) if composer else _refusals(prompts))
    _say_what_was_taken_out(cleaned)
    _say_unknown_characters(generator, prompts)
    writer = AnswerWriter(
        output_kind(job.output_format, job.output_file),
        job.output_file,
        generator.text_format,
        shows_likelihood=bool(decoding.best_of) or decoding.num_return_sequences > 1,
    )
    if composer is not None:
        return compose_all(composer, generator, themes, kind, writer)
    return answer_all(generator, prompts, writer)


def _to_compose(job: GenerationSettings) -> tuple[Kind, list[str]]:
    """Return what couplets are composed around, and how; nothing where prompts are answered."""
    given = {Kind.BEGINNING: job.compose, Kind.ACROSTIC: job.acrostic, Kind.THEME: job.theme}
    return next(((kind, texts) for kind, texts in given.items() if texts), (Kind.BEGINNING, []))


def _cleaned(typed: Sequence[str], clean: Callable[[str], Cleaned]) -> list[Cleaned]:
    """Clean what was typed as training rows are.

    Raises:
        UserError: what no training row could hold.
    """
    found, reasons = [], []
    for text in typed:
        try:
            found.append(clean(text))
        except RejectedRowError as rejection:
            reasons.append(_unusable(text, rejection))
    _raise_some(reasons)
    return found


def _unusable(typed: str, rejection: RejectedRowError) -> str:
    return f"{typed[:40]!r} cannot be answered: {rejection.reason}"


def _say_what_was_taken_out(cleaned: Sequence[Cleaned]) -> None:
    if removed := Counter(kind for one in cleaned for kind in one.removed):
        print(f"taken out of prompts: {listed(removed)}", file=sys.stderr)


def _refusals(prompts: Sequence[PreparedPrompt]) -> list[str]:
    return [prompt.refusal for prompt in prompts if prompt.refusal is not None]


def _raise_some(reasons: Sequence[str]) -> None:
    """Raise the first reasons as one UserError that says how many there are; nothing if there is none."""
    more = [f"and {len(reasons) - _LINES_NAMED:,} more"] if len(reasons) > _LINES_NAMED else []
    if reasons:
        raise UserError([*reasons[:_LINES_NAMED], *more])


def _check_job(job: GenerationSettings, decoding: DecodingSettings) -> None:
    """Refuse settings that would be left aside."""
    sources = {"--prompt or --prompts_file": bool(job.prompt or job.prompts_file), "--compose": job.compose}
    sources |= {"--acrostic": job.acrostic, "--theme": job.theme}
    given = [name for name, is_given in {**sources, "--interactive": job.interactive}.items() if is_given]
    problems = [f"{' and '.join(given)} exclude each other: give one of them"] if len(given) > 1 else []
    if job.interactive and sys.stdin is None:
        problems.append("--interactive: standard input is closed; start it in a terminal, or give --prompt")
    if job.interactive and (job.output_file or job.output_format):
        problems.append("--interactive answers on the screen; leave --output_file and --output_format off")
    if job.parallelism_file and (decoding.best_of == 1 or (not decoding.do_sample and decoding.best_of is None)):
        problems.append("--parallelism_file ranks lines; it needs --best_of with more than one")
    if job.parallelism_file and (problem := path_problem(job.parallelism_file)):
        problems.append(f"--parallelism_file {problem}")
    if job.parallelism_column != GenerationSettings.parallelism_column and not job.parallelism_file:
        problems.append("--parallelism_column is a column of the --parallelism_file; there is none")
    if job.line_length != GenerationSettings.line_length and not _to_compose(job)[1]:
        problems.append(f"--line_length {job.line_length} is the length of composed lines; it needs --compose")
    if job.output_file is not None and (problem := output_problem(job.output_format, job.output_file)):
        problems.append(problem)
    read = {"--prompts_file": job.prompts_file, "--banned_words": decoding.banned_words}
    read |= {"--parallelism_file": job.parallelism_file}
    for name, file in read.items():
        if file and job.output_file and Path(file).resolve() == Path(job.output_file).resolve():
            problems.append(f"--output_file {job.output_file}: is {name} {file}, which it would replace; name another")
    if problems:
        raise UserError(problems)


def _load_generator(settings: Settings, banned_words: Sequence[str]) -> Generator:
    job = settings[GenerationSettings]
    ready = load_ready_model(job.model_name_or_path, settings[DeviceSettings])
    print(ready, file=sys.stderr)
    text_format = ready.text_format
    decoding = with_best_of(settings[DecodingSettings], text_format)
    parallelism = parallelism_scorer(decoding, text_format, job.parallelism_file, job.parallelism_column, job.encoding)
    try:
        return Generator(ready.model, ready.tokenizer, decoding, banned_words, text_format, parallelism)
    except UserError as error:
        raise UserError([f"{ready.name}: {problem}" for problem in error.problems]) from None


def _say_unknown_characters(generator: Generator, prompts: Sequence[PreparedPrompt]) -> None:
    if generator.form is None:
        return
    unknown = [prompt for prompt in prompts if prompt.unknown]
    for prompt in unknown[:_LINES_NAMED]:
        seen = f"the model does not know {' '.join(prompt.unknown)}; answered without them"
        print(f"{prompt.prompt}: {seen}", file=sys.stderr)
    if len(unknown) > _LINES_NAMED:
        print(f"and {len(unknown) - _LINES_NAMED:,} more lines with unknown characters", file=sys.stderr)


def answer_all(generator: Generator, prompts: Sequence[PreparedPrompt], writer: AnswerWriter) -> int:
    """Answer `prompts` in their order, chunk by chunk; what is finished is written even if the rest is not."""
    started, fewer = time.perf_counter(), 0
    chunk = _BATCHES_PER_CHUNK * generator.settings.generation_batch_size
    _end_by_kill_as_by_ctrl_c()
    with tqdm(total=len(prompts), unit="line", delay=2, leave=False) as progress:
        try:
            with writer, generator.seeded():
                for start in range(0, len(prompts), chunk):
                    fewer += _answer_chunk(generator, prompts[start : start + chunk], writer, progress)
        except KeyboardInterrupt:
            return _interrupted(f"{progress.n:,} of {len(prompts):,} prompts", writer)
    _say_summary(generator, writer.written, fewer, time.perf_counter() - started)
    return 0


def _end_by_kill_as_by_ctrl_c() -> None:
    """Minutes of work deserve the same ending either way."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _interrupted(done: str, writer: AnswerWriter) -> int:
    where = f"; they are in {writer.partial}" if writer.partial else ""
    print(f"interrupted after {done}{where}", file=sys.stderr)
    return INTERRUPTED_EXIT_CODE


def _answer_chunk(generator: Generator, prompts: Sequence[PreparedPrompt], writer: AnswerWriter, progress: tqdm) -> int:
    """Answer and write some prompts; return how many of them have fewer answers than were asked for."""
    found: dict[int, list[Answer]] = {}
    try:
        for index, answers in generator.answer_each(prompts):
            found[index] = answers
            progress.update()
    finally:
        for _, answers in sorted(found.items()):
            writer.write(answers)
        writer.flush()
    return sum(len(answers) < generator.settings.num_return_sequences for answers in found.values())


def _say_summary(generator: Generator, texts: int, fewer: int, seconds: float) -> None:
    if fewer:
        wanted = generator.settings.num_return_sequences
        print(f"prompts with fewer than {wanted} different answers, all that were found: {fewer:,}", file=sys.stderr)
    if texts > 1:
        print(f"{texts:,} answers in {seconds:.1f} s: {texts / seconds:.1f} answers/s", file=sys.stderr)


def compose_all(
    composer: Composer, generator: Generator, themes: Sequence[str], kind: Kind, writer: AnswerWriter
) -> int:
    """Write couplets around each of `themes`; what is finished is written even if the rest is not."""
    finished = 0
    _end_by_kill_as_by_ctrl_c()
    try:
        with writer, generator.seeded():
            for theme in themes:
                couplets = composer.compose(theme, kind)
                writer.write(couplets)
                writer.flush()
                finished += 1
                if len(couplets) < generator.settings.num_return_sequences:
                    print(f"{theme}: {len(couplets)} different couplets found", file=sys.stderr)
    except KeyboardInterrupt:
        return _interrupted(f"the couplets of {finished:,} of {len(themes):,} themes", writer)
    return 0


def converse(generator: Generator) -> int:
    """Answer prompts as they are typed, until an empty line or Ctrl-D."""
    open_standard_output()
    # Bytes that are no text arrive as lone surrogates, line by line; an error would take the lines after it along. A
    # lone carriage return ends no line.
    cast(io.TextIOWrapper, sys.stdin).reconfigure(errors="surrogateescape", newline="\n")
    with suppress(ImportError):  # line editing and history for input(), where the platform has them
        importlib.import_module("readline")
    asked, answered = generator.text_format.asks_for
    print(f"Type {asked}; an empty line or Ctrl-D ends.")
    with generator.seeded():
        while typed := _ask(asked):
            if not is_text(typed):
                print(f"that line is not text in {sys.stdin.encoding}, the terminal's encoding; type it again")
                continue
            try:
                cleaned = generator.text_format.read_prompt(typed)
            except RejectedRowError as rejection:
                print(printable(_unusable(typed, rejection)))
                continue
            prompts = generator.prepare([cleaned.text])
            if reasons := _refusals(prompts):
                print(printable("\n".join(reasons)))
                continue
            _say_what_was_taken_out([cleaned])
            _say_unknown_characters(generator, prompts)
            for _, answers in generator.answer_each(prompts):
                print(*(f"{answered}> {answer.text}  ({answer.log_probability:.2f})" for answer in answers), sep="\n")
    return 0


def _ask(asked: str) -> str:
    try:
        return input(f"{asked}> ").strip()
    except EOFError:
        print()
        return ""
