"""Evaluations and saves that fit each other: of the saved models the best is kept, so each must have been evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from recipe.errors import UserError
from recipe.language import _


def fitting_intervals(typed: Mapping[str, Any], given: frozenset[str]) -> dict[str, Any]:
    """Return what has to be set otherwise than by the defaults, so that evaluations and saves go together.

    Args:
        given: names of the settings that the user set; none of these is changed.

    Raises:
        UserError: settings of the user contradict each other.
    """
    evaluates = IntervalStrategy(typed["eval_strategy"]).value
    saves = SaveStrategy(typed.get("save_strategy") or "steps").value
    if evaluates == "no" and saves == "best":
        raise UserError(_("--save_strategy best saves after evaluations, and --eval_strategy no makes none"))
    if not typed["load_best_model_at_end"] or saves == "best":
        return {}
    if "no" in (evaluates, saves):
        return _without_best(evaluates, saves, given)
    if evaluates == saves:
        return _fitting_steps(typed, given) if saves == "steps" else {}
    if "save_strategy" not in given:
        return {"save_strategy": evaluates} | (_fitting_steps(typed, given) if evaluates == "steps" else {})
    if "eval_strategy" not in given:
        return {"eval_strategy": saves} | (_fitting_steps(typed, given) if saves == "steps" else {})
    return _without_best(evaluates, saves, given)


def _without_best(evaluates: str, saves: str, given: frozenset[str]) -> dict[str, Any]:
    if "load_best_model_at_end" in given:
        raise UserError(
            _(
                "--load_best_model_at_end true keeps the best of the saved models, so each must have been evaluated, "
                "which --eval_strategy {evaluates} with --save_strategy {saves} does not do. Leave it out to keep the "
                "last model, or set both strategies alike"
            ).format(evaluates=evaluates, saves=saves)
        )
    return {"load_best_model_at_end": False}


def _fitting_steps(typed: Mapping[str, Any], given: frozenset[str]) -> dict[str, Any]:
    """Return the one of `save_steps` and `eval_steps` that the user did not set, as a multiple, or a part."""
    evaluates, saves = typed["eval_steps"], typed["save_steps"]
    if evaluates is None or saves is None or _is_multiple(saves, evaluates):
        return {}
    if "save_steps" not in given:
        is_alike = (saves < 1) == (evaluates < 1)
        return {"save_steps": max(1, saves // evaluates) * evaluates if is_alike else evaluates}
    if "eval_steps" not in given:
        return {"eval_steps": saves}
    if (saves < 1) != (evaluates < 1):
        problem = _(
            "--save_steps {saves:g} and --eval_steps {evaluates:g}: one is a share of all steps and the other is not. "
            "The best of the saved models is kept, so each must have been evaluated: set --save_steps {evaluates:g}, "
            "for example"
        )
    else:
        problem = _(
            "--save_steps {saves:g} must be a multiple of --eval_steps {evaluates:g}: the best of the saved models is "
            "kept, so each must have been evaluated. Set --save_steps {evaluates:g}, for example"
        )
    raise UserError(problem.format(saves=saves, evaluates=evaluates))


def _is_multiple(saves: float, evaluates: float) -> bool:
    """Whether the library takes the one for a multiple of the other; shares are compared as whole millionths there."""
    if (saves < 1) != (evaluates < 1):
        return False
    return saves % evaluates == 0 or (saves < 1 and (saves * 1_000_000) % (evaluates * 1_000_000) == 0)
