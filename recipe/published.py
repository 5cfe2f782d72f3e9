"""Which model answers: the one that was named or published, or, while there is none yet, the base that ships."""

from __future__ import annotations

import sys
from pathlib import Path

from recipe.files import find_shipped
from recipe.language import _
from recipe.settings import PUBLISHED_MODEL, SHIPPED_MODEL


def model_to_use(name: str) -> str:
    """Return the model behind a name; before anything is published, the shipped base, and say so on standard error.

    The commands ask before they import torch, which takes seconds: the line below is the first thing that is seen.
    """
    if name != PUBLISHED_MODEL or Path(name).exists():
        return name
    print(
        _(
            "{name}: nothing is published there yet, so the base that ships answers, a model of Tang and Song verse; "
            "`accelerate launch run_finetune.py` fine-tunes it in about two minutes"
        ).format(name=name),
        file=sys.stderr,
    )
    return find_shipped(SHIPPED_MODEL)
