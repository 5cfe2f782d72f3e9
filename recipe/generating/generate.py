"""The command that answers prompts: loads the model once, answers what it is asked, writes and says the rest."""

from __future__ import annotations

import importlib
import io
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

from recipe.characters import is_blank
from recipe.cli import Settings
from recipe.errors import INTERRUPTED_EXIT_CODE, Problems, UserError, notice, printable
from recipe.files import sha256_of
from recipe.generating.answer_writing import (
    AnswerWriter,
    open_standard_output,
    output_kind,
    output_problem,
    partial_file,
)
from recipe.generating.checking import Checked, Refusals, StoredPrompts, check_prompts, prepared_chunks
from recipe.generating.composing import Composer, Kind
from recipe.generating.generator import Generator, unusable
from recipe.generating.kept_answers import KeptAnswers, answer_all, answers_in_order, fingerprint, read_job
from recipe.generating.loading import NamedModel, load_ready_model
from recipe.generating.processes import Processes, sharing_processes
from recipe.generating.prompts import STANDARD_INPUT, is_text, read_prompts
from recipe.generating.ranking import parallelism_scorer, with_best_of
from recipe.generating.values import check_settings, left_aside
from recipe.language import _, enumerated, ngettext
from recipe.rows.cleaning import RejectedRowError, clean_line, listed
from recipe.screen import outliving_its_reader, progress_bar
from recipe.settings import DecodingSettings, DeviceSettings, GenerationSettings
from recipe.stored_files import stored
from recipe.text_files import encoding_problem, path_problem
from recipe.word_lists import read_word_list

# Lines that are grouped by length before the first of them is written: a second or a minute of work.
_BATCHES_PER_CHUNK = 64
_CHARACTERS_NAMED = 20
_LINE_LENGTHS = 2, 2**16  # a line of one character has no room beside what it begins with


def generate(settings: Settings) -> int:
    """Answer what the settings ask for and return the exit code.

    Raises:
        UserError: prompts, files, words or a model that cannot be used, before anything is decoded.
    """
    # Answers that go to a file need no screen.
    outliving = outliving_its_reader() if settings[GenerationSettings].output_file else nullcontext()
    with sharing_processes() as processes, outliving:
        return _generate(settings, processes)


def _generate(settings: Settings, processes: Processes) -> int:
    job, decoding = settings[GenerationSettings], settings[DecodingSettings]
    banned_words = _checked(job, decoding, processes)
    kind, given = _to_compose(job)
    typed = StoredPrompts([] if job.interactive or given else read_prompts(job))
    generator = _load_generator(settings, banned_words)
    if job.interactive:
        return converse(generator)
    if given:
        return compose_all(Composer(generator, job.line_length), generator, kind, given, settings)
    checked = check_prompts(generator, typed)
    _say_what_was_taken_out(checked)
    _say_other_forms(checked)
    code = PromptJob(generator, typed, settings, processes).run(checked.digest)
    _say_unknown_characters(generator, checked)
    return code


def _checked(job: GenerationSettings, decoding: DecodingSettings, processes: Processes) -> list[str]:
    """Return the banned words of a job whose settings can be carried out; raise all that is wrong with them at once."""
    problems, banned_words = Problems(), []
    with problems.collected():
        _check_job(job, decoding, processes)
    with problems.collected():
        banned_words = read_word_list("--banned_words", decoding.banned_words)
    with problems.collected():
        check_settings(decoding, banned_words)
    problems.raise_any()
    return banned_words


def _to_compose(job: GenerationSettings) -> tuple[Kind, list[str]]:
    """Return what couplets are composed around, and how; nothing where prompts are answered."""
    given = {Kind.BEGINNING: job.compose, Kind.ACROSTIC: job.acrostic, Kind.THEME: job.theme}
    return next(((kind, texts) for kind, texts in given.items() if texts), (Kind.BEGINNING, []))


def _say_what_was_taken_out(checked: Checked) -> None:
    if checked.removed:
        print(_("taken out of prompts: {kinds}").format(kinds=listed(checked.removed)), file=sys.stderr)


def _say_other_forms(checked: Checked) -> None:
    """Say what the model is shown in place of characters that it does not know."""
    if count := checked.traditional_prompts:
        said = ngettext(
            "in traditional characters, read as simplified and answered as traditional: {count:,} line",
            "in traditional characters, read as simplified and answered as traditional: {count:,} lines",
            count,
        )
        print(said.format(count=count), file=sys.stderr)
    if checked.variants:
        shown = checked.variants.most_common(_CHARACTERS_NAMED)
        named = enumerated(
            _("{character} as {form}").format(character=char, form=form) for (char, form), times in shown
        )
        if (rest := len(checked.variants) - _CHARACTERS_NAMED) > 0:
            named = _("{characters} and {count:,} more").format(characters=named, count=rest)
        print(_("read in a common form: {characters}").format(characters=named), file=sys.stderr)


def _open_output(generator: Generator, settings: Settings, kept_bytes: int = 0) -> AnswerWriter:
    job, decoding = settings[GenerationSettings], settings[DecodingSettings]
    return AnswerWriter(
        output_kind(job.output_format, job.output_file),
        job.output_file,
        generator.text_format,
        shows_likelihood=bool(decoding.best_of) or decoding.num_return_sequences > 1,
        kept_bytes=kept_bytes,
    )


def _check_job(job: GenerationSettings, decoding: DecodingSettings, processes: Processes) -> None:
    """Refuse settings that would be left aside, and names that nothing stands behind."""
    sources = {_("--prompt or --prompts_file"): bool(job.prompt or job.prompts_file), "--compose": job.compose}
    sources |= {"--acrostic": job.acrostic, "--theme": job.theme}
    given = [name for name, is_given in {**sources, "--interactive": job.interactive}.items() if is_given]
    several = _("{settings} exclude each other: give one of them").format(settings=enumerated(given))
    problems = [several] if len(given) > 1 else []
    if job.interactive and sys.stdin is None:
        problems.append(_("--interactive: standard input is closed; start it in a terminal, or give --prompt"))
    if job.interactive and (job.output_file or job.output_format):
        problems.append(_("--interactive answers on the screen; leave --output_file and --output_format off"))
    if job.line_length != GenerationSettings.line_length and not _to_compose(job)[1]:
        problems.append(
            _(
                "--line_length {line_length}: is for composed lines, so it needs --compose, --acrostic or --theme"
            ).format(line_length=job.line_length)
        )
    if not _LINE_LENGTHS[0] <= job.line_length <= _LINE_LENGTHS[1]:
        least, most = _LINE_LENGTHS
        problems.append(
            _("--{name} {value}: must be {least:,} to {most:,}").format(
                name="line_length", value=job.line_length, least=least, most=most
            )
        )
    if job.output_file is not None and (problem := output_problem(job.output_format, job.output_file)):
        problems.append(problem)
    problems += _problems_of_files(job, decoding)
    problems += left_aside(decoding, is_composed=bool(_to_compose(job)[1]))
    if processes.count > 1:
        problems += _problems_of_several_processes(job, processes.count)
    problems += NamedModel(job.model_name_or_path, job.state_dict_file).problems()
    if problems:
        raise UserError(problems)


def _problems_of_files(job: GenerationSettings, decoding: DecodingSettings) -> list[str]:
    """Say what is wrong with the files that are read, as far as that shows in their names and settings."""
    problems = []
    if job.prompts_file not in (None, STANDARD_INPUT) and (problem := path_problem(str(job.prompts_file))):
        problems.append(f"--prompts_file {problem}")
    if job.prompt_column != GenerationSettings.prompt_column and not job.prompts_file:
        problems.append(_("--prompt_column is a column of the --prompts_file; there is none"))
    if problem := encoding_problem(job.encoding):
        problems.append(problem)
    if job.parallelism_file and (decoding.best_of == 1 or (not decoding.do_sample and decoding.best_of is None)):
        problems.append(_("--parallelism_file ranks lines; it needs --best_of with more than one"))
    if job.parallelism_file and (problem := path_problem(job.parallelism_file)):
        problems.append(f"--parallelism_file {problem}")
    if job.parallelism_column != GenerationSettings.parallelism_column and not job.parallelism_file:
        problems.append(_("--parallelism_column is a column of the --parallelism_file; there is none"))
    read = {"--prompts_file": job.prompts_file, "--banned_words": decoding.banned_words}
    read |= {"--parallelism_file": job.parallelism_file, "--state_dict_file": job.state_dict_file}
    return problems + _replaced(job, read)


def _replaced(job: GenerationSettings, read: Mapping[str, str | None]) -> list[str]:
    """Name what the answers would be written over: a file that is read, or one of the model's."""
    if job.output_file is None:
        return []
    target = Path(job.output_file).resolve()
    problems = [
        _("--output_file {output_file}: is {name} {file}, which it would replace; name another").format(
            output_file=job.output_file, name=name, file=file
        )
        for name, file in read.items()
        if file and Path(file).resolve() == target
    ]
    if target.parent == Path(job.model_name_or_path).resolve() and target.is_file():
        problems.append(
            _("--output_file {output_file}: is a file of the model, which it would replace; name another").format(
                output_file=job.output_file
            )
        )
    return problems


def _problems_of_several_processes(job: GenerationSettings, count: int) -> list[str]:
    """Name what only one process can do: talk, read a pipe, draw upper lines."""
    has_file = job.prompts_file not in (None, STANDARD_INPUT)
    kind, given = _to_compose(job)
    reads_input = job.prompts_file == STANDARD_INPUT or not (job.prompt or has_file or given or job.interactive)
    is_alone = {
        "--interactive": job.interactive,
        f"--{kind}": given,
        _("standard input"): reads_input,
        _("--prompts_file {file} (a pipe)").format(file=job.prompts_file): has_file
        and Path(str(job.prompts_file)).is_fifo(),
    }
    return [
        _(
            "{name} is for one process, and the launcher started {count}: run `python run_generate.py`, without "
            "a launcher"
        ).format(name=name, count=count)
        for name, is_given in is_alone.items()
        if is_given
    ]


def _load_generator(settings: Settings, banned_words: Sequence[str]) -> Generator:
    job = settings[GenerationSettings]
    ready = load_ready_model(job.model_name_or_path, settings[DeviceSettings], job.state_dict_file)
    print(ready, file=sys.stderr)
    text_format = ready.text_format
    decoding = with_best_of(settings[DecodingSettings], text_format)
    parallelism = parallelism_scorer(decoding, text_format, job.parallelism_file, job.parallelism_column, job.encoding)
    try:
        return Generator(ready.model, ready.tokenizer, decoding, banned_words, text_format, parallelism)
    except UserError as error:
        raise UserError(
            [_("{file}: {problem}").format(file=ready.name, problem=problem) for problem in error.problems]
        ) from None


def _say_unknown_characters(generator: Generator, checked: Checked) -> None:
    """Say in one line how many prompts hold characters that the model does not know, and what to do."""
    if generator.form is None or not checked.unknown_prompts:
        return
    named = " ".join(character for character, count in checked.unknown.most_common(_CHARACTERS_NAMED))
    rest = len(checked.unknown) - _CHARACTERS_NAMED
    if rest > 0:
        named = _("{characters} and {count:,} more").format(characters=named, count=rest)
    said = ngettext(
        "{count:,} prompt holds characters that the model does not know ({characters}); it answered without seeing "
        "them. Write them in simplified or more common characters, or train with --extend_vocabulary",
        "{count:,} prompts hold characters that the model does not know ({characters}); it answered without seeing "
        "them. Write them in simplified or more common characters, or train with --extend_vocabulary",
        checked.unknown_prompts,
    )
    print(printable(said.format(count=checked.unknown_prompts, characters=named)), file=sys.stderr)


def _say_empty_answers(texts: int, empty: int) -> None:
    if empty:
        print(
            _(
                "{empty:,} of {texts:,} answers hold nothing: the model ended the text at once. It has learnt too "
                "little (train for more steps), or its texts end where these prompts do (give shorter beginnings)"
            ).format(empty=empty, texts=texts),
            file=sys.stderr,
        )


class PromptJob:
    """Prompts answered in their order, chunk by chunk; what is finished outlasts an interruption, and is gone on from.

    Beside the growing file stands another, which says what job it is of and how much of it is good, and holds the
    answers of the chunk that is not finished.
    """

    def __init__(self, generator: Generator, prompts: StoredPrompts, settings: Settings, processes: Processes) -> None:
        self._generator, self._prompts, self._settings, self._processes = generator, prompts, settings, processes
        self._partial = partial_file(settings[GenerationSettings].output_file)
        state_file = self._partial and self._partial.with_name(f"{self._partial.name}.state")
        self._kept = KeptAnswers(state_file, processes)

    def run(self, prompts_digest: str) -> int:
        """Answer all prompts that are not answered yet, and return the exit code."""
        _end_by_kill_as_by_ctrl_c()
        state = self._processes.from_main(lambda: self._state(prompts_digest))
        if state["prompts"]:
            notice(
                _("resuming after {done:,} of {total:,} prompts, in {file}").format(
                    done=state["prompts"], total=len(self._prompts), file=self._partial
                )
            )
        started, before, total = time.perf_counter(), dict(state), len(self._prompts)
        writer = _open_output(self._generator, self._settings, state["bytes"]) if self._processes.is_main else None
        progress = progress_bar(total=total, initial=state["prompts"], unit="line", delay=2, leave=False)
        with progress:
            try:
                with writer or nullcontext():
                    self._answer_chunks(state, writer, progress)
            except KeyboardInterrupt:
                done = _("interrupted after {done:,} of {total:,} prompts").format(done=state["done"], total=total)
                return _interrupted(done, writer, is_resumable=True)
        self._kept.remove()
        _say_empty_answers(state["answers"], state["empty"])
        self._say_summary(state["answers"] - before["answers"], state["fewer"], time.perf_counter() - started)
        return 0

    def _state(self, prompts_digest: str) -> dict[str, Any]:
        """Return what is finished: that of an interrupted start of this very job, or nothing."""
        counts = dict.fromkeys(("prompts", "done", "answers", "empty", "fewer", "bytes"), 0)
        fresh: dict[str, Any] = {"job": "", **counts}
        if self._partial is None or self._kept.file is None:
            return fresh
        fresh["job"] = self._fingerprint(prompts_digest)
        found = read_job(self._kept.file)
        is_there = found is not None and self._partial.exists()
        if not is_there or found is None:
            return fresh
        if found.get("job") == fresh["job"] and self._partial.stat().st_size >= found["bytes"]:
            return found
        aside = self._partial.with_name(f"{self._partial.name}.old")
        self._partial.replace(aside)
        notice(
            _("{file} belongs to other prompts, another model or other settings: it was renamed {aside}").format(
                file=self._partial, aside=aside
            )
        )
        return fresh

    def _fingerprint(self, prompts_digest: str) -> str:
        job = self._settings[GenerationSettings]
        ranking = job.parallelism_file
        others = [prompts_digest, str(self._generator.settings.seed), output_kind(job.output_format, job.output_file)]
        return fingerprint(
            self._generator, *others, *([sha256_of(stored(ranking)), job.parallelism_column] if ranking else [])
        )

    def _answer_chunks(self, state: dict[str, Any], writer: AnswerWriter | None, progress: tqdm) -> None:
        """Answer and write the prompts that are not finished; `state` follows, chunk by chunk."""
        generator, kept = self._generator, self._kept
        wanted, size = generator.settings.num_return_sequences, generator.settings.generation_batch_size
        for chunk in prepared_chunks(generator, self._prompts, _BATCHES_PER_CHUNK * size, state["prompts"]):
            first = state["prompts"]
            kept.open({**state, "done": first})
            progress.update(kept.taken_up)
            try:
                answer_all(generator, chunk, kept, generator.settings.seed, progress.update, first)
            finally:
                found = answers_in_order(generator, chunk, kept, first)
                state["done"] = progress.n = first + len(found)
                if writer is not None:
                    writer.write_all(found.values())
            state["prompts"] = state["done"]
            state["answers"] += sum(map(len, found.values()))
            state["empty"] += sum(is_blank(answer.text) for answers in found.values() for answer in answers)
            state["fewer"] += sum(len(answers) < wanted for answers in found.values())
            state["bytes"] = self._processes.from_main(lambda: writer.position() if writer else 0)

    def _say_summary(self, texts: int, fewer: int, seconds: float) -> None:
        if fewer:
            wanted = self._generator.settings.num_return_sequences
            print(
                _("prompts with fewer than {wanted} different answers, all that were found: {fewer:,}").format(
                    wanted=wanted, fewer=fewer
                ),
                file=sys.stderr,
            )
        if texts > 1:
            print(
                _("{texts:,} answers in {seconds:.1f} s: {rate:.1f} answers/s").format(
                    texts=texts, seconds=seconds, rate=texts / seconds
                ),
                file=sys.stderr,
            )


def _end_by_kill_as_by_ctrl_c() -> None:
    """Minutes of work deserve the same ending either way."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _interrupted(done: str, writer: AnswerWriter | None, *, is_resumable: bool) -> int:
    """Say what is `done`, where it lies, and whether it can be gone on from; return the exit code."""
    if writer and writer.partial:
        where = (
            _("{done}; they are in {file}, and the same command resumes from there")
            if is_resumable
            else _("{done}; they are in {file}")
        )
        done = where.format(done=done, file=writer.partial)
    print(done, file=sys.stderr)
    return INTERRUPTED_EXIT_CODE


def compose_all(composer: Composer, generator: Generator, kind: Kind, given: Sequence[str], settings: Settings) -> int:
    """Write couplets around each of `given`; what is finished is written even if the rest is not."""
    themes, refused, seen, finished = [], Refusals(), Checked(), 0
    for theme in given:
        try:
            themes.append(clean_line(theme).text)
        except RejectedRowError as rejection:
            refused.add(unusable(theme, rejection))
        else:
            seen.see_reading(composer.read(themes[-1]))
    for reason in composer.refusals(themes, kind):
        refused.add(reason)
    refused.raise_any()
    _say_other_forms(seen)
    writer = _open_output(generator, settings)
    _end_by_kill_as_by_ctrl_c()
    try:
        with writer, generator.seeded():
            for theme in themes:
                couplets = composer.compose(theme, kind)
                writer.write(couplets)
                writer.flush()
                finished += 1
                if len(couplets) < generator.settings.num_return_sequences:
                    print(
                        _("{theme}: {count} different couplets found").format(theme=theme, count=len(couplets)),
                        file=sys.stderr,
                    )
    except KeyboardInterrupt:
        done = _("interrupted after the couplets of {done:,} of {total:,} themes")
        return _interrupted(done.format(done=finished, total=len(themes)), writer, is_resumable=False)
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
    print(_("Type {asked}; an empty line or Ctrl-D ends.").format(asked=asked))
    with generator.seeded():
        while typed := _ask(asked):
            if not is_text(typed):
                print(
                    _("that line is not text in {encoding}, the terminal's encoding; type it again").format(
                        encoding=sys.stdin.encoding
                    )
                )
                continue
            try:
                cleaned = generator.text_format.read_prompt(typed)
            except RejectedRowError as rejection:
                print(printable(unusable(typed, rejection)))
                continue
            prompts = generator.prepare([cleaned.text])
            if reason := prompts[0].refusal:
                print(printable(reason))
                continue
            seen = Checked(Counter(cleaned.removed))
            seen.see(prompts[0])
            _say_what_was_taken_out(seen)
            _say_other_forms(seen)
            for _place, answers in generator.answer_each(prompts):
                print(*(f"{answered}> {answer.text}  ({answer.log_probability:.2f})" for answer in answers), sep="\n")
                _say_empty_answers(len(answers), sum(is_blank(answer.text) for answer in answers))
            _say_unknown_characters(generator, seen)
    return 0


def _ask(asked: str) -> str:
    try:
        return input(f"{asked}> ").strip()
    except EOFError:
        print()
        return ""
