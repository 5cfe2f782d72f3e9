"""What is wrong with an evaluation, said at once and before anything is generated."""

from __future__ import annotations

from pathlib import Path

from recipe.errors import Problems, UserError
from recipe.evaluating.exporting import export_problems
from recipe.evaluating.judged import is_judged, judge_problems, scale_problems
from recipe.evaluating.predictions import baseline_model, evaluated_model, is_predictions, load_couplet_model
from recipe.evaluating.rated import ReadRatings, decoding_without_effect, rating_problems, read_rating_files
from recipe.evaluating.results import WRITTEN
from recipe.evaluating.served import endpoint_problems
from recipe.evaluating.testset import TestSet, check_training_file, read_predictions, read_test_set, refuse_missing
from recipe.files import output_dir_problems
from recipe.formats.couplet import separator_problem
from recipe.generating.loading import NamedModel
from recipe.generating.values import check_settings as check_decoding
from recipe.generating.values import left_aside
from recipe.language import _
from recipe.metrics.model_based import scorer_source
from recipe.model.tokenization import load_tokenizer
from recipe.rating.calls import call_problems
from recipe.rows.reading import repeated_files, same_column_twice
from recipe.settings import (
    DecodingSettings,
    DeviceSettings,
    EvaluationSettings,
    JudgeSettings,
    RatingSettings,
    ServedSettings,
)
from recipe.text_files import encoding_problem
from recipe.word_lists import read_word_list

# The smallest and the largest value of each number. A thousand seeds and a million draws take days; lines and samples
# are never more than the test file has.
_LINES = 2**31 - 1
_FROM_TO = {
    **{"seeds": (1, 1000), "bootstrap_samples": (1, 1_000_000), "latency_calls": (0, _LINES)},
    **{"report_samples": (1, _LINES), "max_upper_lines": (1, _LINES), "bertscore_layer": (0, 1000)},
}


def checked_test_set(
    settings: EvaluationSettings,
    rating: RatingSettings,
    judging: JudgeSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
    device: DeviceSettings,
) -> tuple[TestSet, ReadRatings | None]:
    """Return the test set, and the ratings, of an evaluation whose settings, files and models can be used.

    Raises:
        UserError: all problems of the settings, and of the names of files and models, at once; or else all problems of
            the files' contents.
    """
    problems = Problems()
    check_names(settings, served, decoding, device, problems)
    problems.found += endpoint_problems(settings, served)
    problems.found += rating_problems(rating, is_judged(judging)) + judge_problems(judging, served)
    problems.found += call_problems(served, served.endpoint is not None or is_judged(judging))
    problems.raise_any()
    test_set = ratings = None
    with problems.collected():
        ratings = read_rating_files(rating)
    if is_judged(judging):
        problems.found += scale_problems(rating, ratings)
    with problems.collected():
        test_set = read_test_set(settings)
    with problems.collected():
        # Only read through: kept from here on, it would count in the peak memory of the models.
        check_training_file(settings)
    if test_set is not None:
        for setting, files in _prediction_files(settings).items():
            with problems.collected():
                read_predictions(setting, files, test_set, settings)
    problems.raise_any()
    assert test_set is not None
    return test_set, ratings


def check_names(
    settings: EvaluationSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
    device: DeviceSettings,
    problems: Problems,
) -> None:
    """Collect what is wrong with the settings, and with the names of the files and models among them."""
    models = _models(settings, served)
    problems.found += _setting_problems(settings, decoding, bool(models))
    if not served.endpoint:
        problems.found += _same_system_twice(settings)
    with problems.collected():
        read_word_list("--listed_words", settings.listed_words)
    with problems.collected():
        banned_words = read_word_list("--banned_words", decoding.banned_words)
        if models:
            problems.found += left_aside(decoding)
            check_decoding(decoding, banned_words)
    problems.found += output_dir_problems(settings.output_dir)
    written = {(Path(settings.output_dir) / name).resolve() for name in WRITTEN}
    read = [settings.test_file, settings.train_file, *_prediction_files(settings).values()]
    problems.found += export_problems(settings, [file for files in read for file in files])
    for files in read:
        with problems.collected():
            refuse_missing(files)
        problems.found += [
            _("--output_dir {output_dir}: {file} would be replaced; name another").format(
                output_dir=settings.output_dir, file=file
            )
            for file in files
            if Path(file).resolve() in written
        ]
    for model in models:
        with problems.collected():
            _check_model(model, device)
    for name in ("text_classifier", "bertscore_model", "pair_classifier"):
        if (scorer := getattr(settings, name)) is not None:
            with problems.collected():
                scorer_source(f"--{name}", scorer)


def _setting_problems(settings: EvaluationSettings, decoding: DecodingSettings, needs_model: bool) -> list[str]:
    problems = []
    if settings.predictions and settings.model_name_or_path:
        problems.append(_("--predictions and --model_name_or_path both say what to score; give one of them"))
    if settings.predictions and settings.state_dict_file:
        problems.append(_("--state_dict_file replaces the weights of a model; --predictions are scored without one"))
    if settings.baseline_state_dict_file and not (settings.baseline and not is_predictions(settings.baseline)):
        problems.append(_("--baseline_state_dict_file replaces the weights of a --baseline that is a model directory"))
    if not needs_model:
        problems += decoding_without_effect(decoding)
    if decoding.num_return_sequences != 1:
        problems.append(_("--num_return_sequences: one lower line a seed is scored; for several answers raise --seeds"))
    if not settings.test_file:
        problems.append(_("no test file: give --test_file FILE, whose couplets are the references"))
    if (settings.upper_column is None) != (settings.lower_column is None):
        both = _("--{one} and --{other} must be given together; only one of them is set")
        problems.append(both.format(one="upper_column", other="lower_column"))
    problems += same_column_twice(settings.upper_column, settings.lower_column)
    problems += repeated_files(settings.test_file, "--test_file") + repeated_files(settings.train_file, "--train_file")
    problems += repeated_files(settings.predictions, "--predictions") + repeated_files(settings.baseline, "--baseline")
    if problem := separator_problem(settings.separator):
        problems.append(problem)
    for name, (least, most) in _FROM_TO.items():
        if (value := getattr(settings, name)) is not None and not least <= value <= most:
            problems.append(
                _("--{name} {value}: must be {least:,} to {most:,}").format(
                    name=name, value=value, least=least, most=most
                )
            )
    if settings.bertscore_layer is not None and settings.bertscore_model is None:
        problems.append(_("--bertscore_layer is a layer of the --bertscore_model; there is none"))
    if problem := encoding_problem(settings.encoding):
        problems.append(problem)
    return problems


def _same_system_twice(settings: EvaluationSettings) -> list[str]:
    """Refuse a baseline that is the evaluated system itself: every difference would be 0."""
    own = settings.predictions or [evaluated_model(settings).name]
    first, second = ([Path(name).resolve() for name in names] for names in (own, settings.baseline))
    if first != second or settings.state_dict_file != settings.baseline_state_dict_file:
        return []
    return [
        _("--baseline {named}: is the evaluated system itself, and every difference would be 0; name another").format(
            named=" ".join(settings.baseline)
        )
    ]


def _models(settings: EvaluationSettings, served: ServedSettings) -> list[NamedModel]:
    """Return the models that are to be loaded and to answer."""
    models = [] if settings.predictions or served.endpoint else [evaluated_model(settings)]
    if settings.baseline and not is_predictions(settings.baseline):
        models.append(baseline_model(settings))
    return models


def _prediction_files(settings: EvaluationSettings) -> dict[str, list[str]]:
    """Return the files of each system whose lines were made elsewhere, by the setting that names them."""
    files = {"--predictions": settings.predictions} if settings.predictions else {}
    if settings.baseline and is_predictions(settings.baseline):
        files["--baseline"] = settings.baseline
    return files


def _check_model(model: NamedModel, device: DeviceSettings) -> None:
    """Look for a model by its tokenizer, which takes no time.

    A model that is no directory here has to be fetched, and weights over its own fit or not: both show when it is
    loaded, which would otherwise be the baseline's turn after minutes of answering.
    """
    if problems := model.problems():
        raise UserError(problems)
    if Path(model.name).is_dir() and not model.state_dict_file:
        load_tokenizer(model.name)
    else:
        load_couplet_model(model, device)
