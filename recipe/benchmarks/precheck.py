"""What is wrong with a benchmark run, said at once and before any model is loaded; and what `--list` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from recipe.benchmarks.couplet_groups import Groups, read_groups
from recipe.benchmarks.definitions import (
    EXTRA,
    Definition,
    definitions_of,
    download_line,
    is_here,
    repositories,
    task_directory,
)
from recipe.benchmarks.names import BENCHMARKS, SAFETY, Benchmark
from recipe.benchmarks.questions import Question, read_questions
from recipe.benchmarks.safety_prompts import SafetyPrompt, read_safety_prompts
from recipe.errors import UserError, did_you_mean
from recipe.files import output_dir_problems
from recipe.language import N_, _, enumerated
from recipe.rating.helm import DIRECTORY
from recipe.settings import PUBLISHED_MODEL, BenchmarkSettings
from recipe.text_files import path_problem
from recipe.word_lists import read_word_list

Read = TypeVar("Read")

ALL = "all"
_MOST_SAMPLES = 1000  # for each problem; the paper draws 200
CONSENT = N_(
    "--tasks {name} runs programs that the model writes on this machine; --allow_code_execution says "
    "that you accept it (in a process with limits, which is no sandbox: docs/benchmarks.md shows how to "
    "run it in a container)"
)


class Asked(NamedTuple):
    """What a run is to do, known to be possible; `couplets` are whether their upper lines were seen → couplets."""

    benchmarks: list[Benchmark]
    questions: list[Question]
    prompts: list[SafetyPrompt]
    words: list[str]
    couplets: Groups


def checked(settings: BenchmarkSettings) -> Asked:
    """Return what is asked for.

    Raises:
        UserError: every problem of the settings, the data and the consent that they need, at once.
    """
    problems = _number_problems(settings)
    names, unknown = _chosen_names(settings.tasks)
    problems += unknown
    if not settings.tasks and settings.mcq_file is None and not settings.couplet_file:
        problems.append(_("nothing to run: give --tasks NAME … (--list shows them), --mcq_file or --couplet_file FILE"))
    if task_directory() is None:
        problems.append(_(EXTRA))
        raise UserError(problems)
    benchmarks = [BENCHMARKS[name] for name in names]
    for benchmark in benchmarks:
        problems += _data_problems(benchmark, settings.data_dir)
        if benchmark.runs_code and not settings.allow_code_execution:
            problems.append(_(CONSENT).format(name=benchmark.name))
    if any(benchmark.needs_nltk for benchmark in benchmarks) and not find_sentence_model(settings.data_dir):
        problems.append(
            _("ifeval counts sentences with a model of nltk that is not here: {command}").format(
                command=f"python -m nltk.downloader -d {Path(settings.data_dir) / 'nltk_data'} punkt_tab"
            )
        )
    if settings.export and settings.mcq_file is None:
        problems.append(
            _("--export {kind} writes the questions of --mcq_file FILE; name it").format(kind=settings.export)
        )
    if settings.export and (exported := Path(settings.output_dir) / DIRECTORY).exists():
        problems += output_dir_problems(str(exported))
    problems += _safety_problems(settings, SAFETY in names)
    mcq_file, listed_words = settings.mcq_file, settings.listed_words
    questions = _collected(problems, lambda: read_questions(mcq_file) if mcq_file else []) or []
    prompts = _collected(problems, lambda: read_safety_prompts(settings.safety_files)) if SAFETY in names else []
    words = _collected(problems, lambda: read_word_list("--listed_words", listed_words)) or []
    couplets = _collected(problems, lambda: _couplets(settings)) or {}
    problems += _model_problems(settings)
    if problems:
        raise UserError(problems)
    return Asked(benchmarks, questions, prompts or [], words, couplets)


def _collected(problems: list[str], read: Callable[[], Read]) -> Read | None:
    """Return what `read` returns, or keep the problems of its `UserError`."""
    try:
        return read()
    except UserError as error:
        problems += error.problems
        return None


def _couplets(settings: BenchmarkSettings) -> Groups:
    if not settings.couplet_file:
        if settings.train_file:
            raise UserError(_("--train_file has no effect without --couplet_file; leave it out"))
        return {}
    return read_groups(settings.couplet_file, settings.train_file, settings.limit)


def _safety_problems(settings: BenchmarkSettings, is_asked: bool) -> list[str]:
    given = {
        name: getattr(settings, name) for name in ("safety_files", "listed_words", "text_classifier", "harm_judge")
    }
    if not is_asked:
        return [
            _("--{name} has no effect without --tasks {safety}; leave it out").format(name=name, safety=SAFETY)
            for name, value in given.items()
            if value
        ]
    if settings.harm_judge and len(settings.harm_judge) != 2:
        return [_("--harm_judge takes two words: the address of a server and the name of a model there")]
    return []


def _number_problems(settings: BenchmarkSettings) -> list[str]:
    given = (("shots", settings.shots, 0, 64), ("limit", settings.limit, 1, None))
    numbers = (*given, ("batch_size", settings.batch_size, 1, 4096))
    problems = []
    for name, value, least, most in numbers:
        if value is not None and value < least:
            problems.append(_("--{name} {value}: must be at least {least}").format(name=name, value=value, least=least))
        if value is not None and most is not None and value > most:
            problems.append(_("--{name} {value}: must be at most {most}").format(name=name, value=value, most=most))
    problems += _sampling_problems(settings)
    if Path(settings.output_dir).is_file():
        problems.append(
            _("--output_dir {output_dir}: is a file; name a directory").format(output_dir=settings.output_dir)
        )
    return problems


def _sampling_problems(settings: BenchmarkSettings) -> list[str]:
    """Say what is wrong with how programs are drawn."""
    problems = []
    most = max(settings.pass_at, default=0)
    if not settings.pass_at or min(settings.pass_at) < 1:
        problems.append(_("--pass_at {pass_at}: takes numbers of at least 1").format(pass_at=settings.pass_at))
    elif settings.code_samples < most:
        problems.append(
            _("--code_samples {code_samples}: Pass@{most} needs at least {most}").format(
                code_samples=settings.code_samples, most=most
            )
        )
    if not 0 <= settings.code_temperature <= 2:
        problems.append(
            _("--code_temperature {code_temperature}: takes a number from 0 to 2").format(
                code_temperature=settings.code_temperature
            )
        )
    elif settings.code_samples > 1 and settings.code_temperature == 0:
        problems.append(_("--code_samples above 1 needs a --code_temperature above 0: the likeliest program is one"))
    if not 1 <= settings.code_samples <= _MOST_SAMPLES:
        problems.append(
            _("--code_samples {code_samples}: takes from 1 to {most_samples}").format(
                code_samples=settings.code_samples, most_samples=_MOST_SAMPLES
            )
        )
    return problems


def _chosen_names(tasks: list[str]) -> tuple[list[str], list[str]]:
    """Return the known names, each once, and a problem for each unknown one."""
    asked = list(BENCHMARKS) if tasks == [ALL] else list(dict.fromkeys(tasks))
    unknown = [name for name in asked if name not in BENCHMARKS]
    problems = [
        _("--tasks {name}: no such benchmark; --list shows all").format(name=name) + did_you_mean(name, BENCHMARKS)
        for name in unknown
    ]
    return [name for name in asked if name in BENCHMARKS], problems


def _data_problems(benchmark: Benchmark, data_dir: str) -> list[str]:
    """Say how to get the data of a benchmark of which nothing is here; what is here in part is run in part."""
    here, needed = _counts(benchmark, data_dir)
    if here or not needed:
        return []
    lines = "; ".join(download_line(data_dir, repository) for repository in repositories(benchmark))
    if benchmark.is_gated:
        missing = _(
            "--tasks {name}: its data are not in --data_dir {directory}; accept its terms on the hub and log in, then "
            "get them by: {commands}"
        )
    else:
        missing = _("--tasks {name}: its data are not in --data_dir {directory}; get them by: {commands}")
    return [missing.format(name=benchmark.name, directory=data_dir, commands=lines)]


def _counts(benchmark: Benchmark, data_dir: str) -> tuple[int, int]:
    """Return how many of a benchmark's definitions have their data here, and how many there are."""
    needed = [definition for part in benchmark.parts for definition in definitions_of(part)]
    return sum(is_here(data_dir, definition) for definition in needed), len(needed)


def find_sentence_model(data_dir: str) -> bool:
    """Whether nltk finds its model of sentences, in the mirror or where it looks by itself."""
    import nltk

    place = str(Path(data_dir).resolve() / "nltk_data")
    if place not in nltk.data.path:
        nltk.data.path.append(place)
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except (LookupError, OSError):
        return False
    return True


def _model_problems(settings: BenchmarkSettings) -> list[str]:
    from recipe.model.configuration import model_type

    problems = []
    if settings.state_dict_file is not None and (problem := path_problem(settings.state_dict_file)):
        problems.append(f"--state_dict_file {problem}")
    for flag, name in (("--model_name_or_path", settings.model_name_or_path), ("--baseline", settings.baseline)):
        if name is not None and (name != PUBLISHED_MODEL or Path(name).exists()):
            try:
                model_type(name, flag)
            except UserError as error:
                problems += error.problems
    return problems


def listing(data_dir: str) -> str:
    """Return what `--list` says.

    Raises:
        UserError: lm-eval is not installed.
    """
    return "\n\n".join(_entry(benchmark, data_dir) for benchmark in BENCHMARKS.values())


def _entry(benchmark: Benchmark, data_dir: str) -> str:
    here, needed = _counts(benchmark, data_dir)
    tasks = enumerated(dict.fromkeys(pattern for part in benchmark.parts for pattern in part.tasks))
    data = _("data (here): {names}")
    if here != needed:
        data = _("data (here: {here} of {needed}): {names}") if here else _elsewhere(benchmark)
    lines = [
        _("{name}: {title}; {size}; {licence}").format(
            name=benchmark.name,
            title=_(benchmark.title),
            size=_(benchmark.size),
            licence=_(benchmark.licence),
        ),
        _("tasks of lm-eval: {tasks}").format(tasks=tasks),
        data.format(here=here, needed=needed, names=enumerated(repositories(benchmark))),
        _("for small models: {meaning}").format(meaning=_(benchmark.meaning)),
    ]
    if benchmark.runs_code:
        lines.append(_("runs programs that the model writes: --allow_code_execution"))
    missing = dict.fromkeys(item.repository for item in _missing(benchmark, data_dir))
    lines += [download_line(data_dir, repository) for repository in missing]
    return "\n    ".join(lines)


def _elsewhere(benchmark: Benchmark) -> str:
    return _("data (on the hub, gated): {names}") if benchmark.is_gated else _("data (on the hub): {names}")


def _missing(benchmark: Benchmark, data_dir: str) -> list[Definition]:
    needed = [definition for part in benchmark.parts for definition in definitions_of(part)]
    return [definition for definition in needed if not is_here(data_dir, definition)]
