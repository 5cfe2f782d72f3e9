"""A second start of a run: where it goes on from, and what is said of a run that is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from recipe.language import _
from recipe.run_directory import CONFIG_FILE, checkpoints_by_step
from recipe.training.checkpoints import Identity, is_sharded, read_manifest

AUTO = "auto"
_AUTO = (AUTO, "true", "yes", "on", "1")
_NEVER = ("none", "false", "no", "off", "0", "null")


def resume_wish(value: Any) -> str | None:
    """Return what `--resume_from_checkpoint` means: the newest checkpoint ("auto"), none at all, or a directory.

    The library's own values are true, false and a directory.
    """
    word = str(value).strip().lower()
    return AUTO if word in _AUTO else None if word in _NEVER else str(value)


def resume_problem(value: Any) -> str | None:
    """Why a run cannot go on from what `--resume_from_checkpoint` names, if that shows without reading it."""
    wish = resume_wish(value)
    if wish in (None, AUTO):
        return None
    if not wish or not Path(wish).is_dir():
        return _(
            "--resume_from_checkpoint {value!r}: there is no such directory; it takes auto (the newest checkpoint, if "
            "there is one), none, or the directory of a checkpoint"
        ).format(value=wish)
    if found := list(checkpoints_by_step(wish).values()):
        return _("--resume_from_checkpoint {wish}: is a run, not a checkpoint; its newest is {newest}").format(
            wish=wish, newest=found[-1]
        )
    return None


def finished_run(
    output_dir: str, identity: Identity, publish_dir: str | None, resolved_config: str, is_free: bool
) -> str | None:
    """Say that a run has nothing left to do, where its model is and how to go on; None if it has.

    Args:
        identity: what must be the same for it to be this run.
        resolved_config: the settings as text; a published model that carries other ones is not this run's.
        is_free: the model writes free texts, with no form to hold.
    """
    checkpoint = next(reversed(checkpoints_by_step(output_dir).values()), None)
    if checkpoint is None or (state := _state_at_end(checkpoint, identity)) is None:
        return None
    if publish_dir and not _is_published(Path(publish_dir), resolved_config):
        return None
    model = publish_dir or state.best_model_checkpoint or str(checkpoint)
    freely = " --continue_freely" if is_free else ""
    answer = _("  answer with it: python run_generate.py --model_name_or_path {model} --prompt …{freely}")
    if not publish_dir and is_sharded(checkpoint):
        answer = _("  make a model that answers of its shards: the same command with --publish_dir DIR")
    return "\n".join(
        [
            _("{output_dir} is finished: all {steps:,} steps are done, with these very settings.").format(
                output_dir=output_dir, steps=state.max_steps
            ),
            _("its model: {model}").format(model=model),
            answer.format(model=model, freely=freely),
            _(
                "  train it longer: the same command with a larger --num_train_epochs (or --max_steps) and "
                "--allow_changed"
            ),
            _("  train anew: the same command with another --output_dir, or after removing {output_dir}").format(
                output_dir=output_dir
            ),
        ]
    )


def _state_at_end(checkpoint: Path, identity: Identity) -> TrainerState | None:
    """Return the state of a checkpoint that is the end of this very run."""
    try:
        if read_manifest(checkpoint)["identity"] != identity:
            return None
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
    ):  # damaged: what starts training from it looks closer, and says so
        return None
    return state if state.global_step >= state.max_steps else None


def _is_published(directory: Path, resolved_config: str) -> bool:
    try:
        return (directory / CONFIG_FILE).read_text(encoding="utf-8") == resolved_config
    except (OSError, UnicodeError):
        return False
