"""What is wrong with the settings themselves, all of it in one message, before a file is read or a model is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recipe.cli import Settings
from recipe.errors import UserError, did_you_mean
from recipe.files import make_directory
from recipe.formats.registry import FORMATS
from recipe.language import _, enumerated
from recipe.model.configuration import load_config
from recipe.rows.cleaning import RejectedRowError
from recipe.rows.reading import training_source
from recipe.settings import DataSettings, ModelSettings, RunSettings
from recipe.text_files import path_problem
from recipe.training.arguments import typed_training_settings
from recipe.training.intervals import fitting_intervals
from recipe.training.publishing import check_hub_login, check_publish_dir
from recipe.training.second_start import resume_problem
from recipe.training.validation_metrics import figure_names
from recipe.training.values import values_out_of_range


def check_settings(settings: Settings) -> dict[str, Any]:
    """Return the typed training settings, or raise everything that is wrong with the settings as one UserError."""
    problems: list[str] = []

    def collect(check: Callable[[], Any]) -> Any:
        try:
            return check()
        except UserError as error:
            problems.extend(error.problems)

    typed, found = typed_training_settings(settings)
    problems += found
    collect(lambda: training_source(settings[DataSettings]))
    problems += _model_problems(settings[ModelSettings])
    values = {key: value for group in settings.groups.values() for key, value in vars(group).items()}
    problems += values_out_of_range(values | typed)
    problems += _best_model_problems(settings, typed)
    problems += _sample_problems(settings)
    if problem := resume_problem(typed.get("resume_from_checkpoint")):
        problems.append(problem)
    if not problems:
        typed |= collect(lambda: fitting_intervals(typed, settings.given)) or {}
    for name, directory in (("output_dir", typed.get("output_dir")), ("cache_dir", settings[DataSettings].cache_dir)):
        problems += _directory_problems(name, directory) if directory else []
    kept = {"--output_dir": typed.get("output_dir"), "--cache_dir": settings[DataSettings].cache_dir}
    problems += _publishing_problems(settings[RunSettings], typed, {name: path for name, path in kept.items() if path})
    if problems:
        raise UserError(problems)
    return typed


def _model_problems(model: ModelSettings) -> list[str]:
    if model.from_scratch and model.model_name_or_path is not None:
        return [
            _(
                "--from_scratch and --model_name_or_path {model} are both set, one of them perhaps by the "
                "configuration file (quickstart if none is named): add --model_name_or_path none for a new model, or "
                "--from_scratch false to fine-tune one"
            ).format(model=model.model_name_or_path)
        ]
    if not model.from_scratch and model.model_name_or_path is None:
        return [_("no model: give --model_name_or_path for one to fine-tune, or --from_scratch for a new one")]
    if model.vocabulary_file is not None and not model.from_scratch:
        return [_("--vocabulary_file needs --from_scratch; --extend_vocabulary adds characters to a loaded model")]
    if model.from_scratch and (model.state_dict_file or model.extend_vocabulary):
        return [_("--state_dict_file and --extend_vocabulary need --model_name_or_path, and not --from_scratch")]
    problems = []
    if model.state_dict_file and (problem := path_problem(model.state_dict_file)):
        problems.append(f"--state_dict_file {problem}")
    if model.model_name_or_path is not None:
        try:
            load_config(model.model_name_or_path)
        except UserError as error:
            problems += error.problems
    return problems


def _best_model_problems(settings: Settings, typed: dict[str, Any]) -> list[str]:
    """Check the name of the figure that decides which model is the best; the library looks for it after an hour."""
    data, run = settings[DataSettings], settings[RunSettings]
    names = figure_names(FORMATS[data.text_format].has_answer, run.generation_eval_size > 0)
    named = typed.get("metric_for_best_model")
    wanted = ("loss" if named is None else str(named)).removeprefix("eval_")
    if wanted in names:
        return []
    return [
        _("--metric_for_best_model {wanted}: this run measures {names}{hint}").format(
            wanted=wanted, names=enumerated(names), hint=did_you_mean(wanted, names)
        )
    ]


def _sample_problems(settings: Settings) -> list[str]:
    data = settings[DataSettings]
    if FORMATS[data.text_format].problems(data):
        return []  # said elsewhere; prompts cannot be read before they are mended
    text_format, problems = FORMATS[data.text_format].from_settings(data), []
    for prompt in settings[RunSettings].sample_prompts:
        try:
            text_format.read_prompt(prompt)
        except RejectedRowError as rejection:
            problems.append(f"--sample_prompts {prompt!r}: {_(rejection.reason)}")
    return problems


def _directory_problems(name: str, directory: str) -> list[str]:
    try:
        make_directory(directory)
    except OSError as error:
        return [
            _("--{name} {directory}: cannot be made a directory ({reason}); name another").format(
                name=name, directory=directory, reason=error.strerror
            )
        ]
    return []


def _publishing_problems(run: RunSettings, typed: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """Try what would otherwise fail after training: the published directory, and the login where it is pushed."""
    problems = check_publish_dir(run.publish_dir, kept) if run.publish_dir else []
    if not typed.get("push_to_hub"):
        return problems
    needed = {"--publish_dir": run.publish_dir, "--hub_model_id": typed.get("hub_model_id")}
    if missing := [name for name, value in needed.items() if not value]:
        needs = _("--push_to_hub pushes the published directory; it also needs {settings}")
        return [*problems, needs.format(settings=enumerated(missing))]
    return problems + check_hub_login()
