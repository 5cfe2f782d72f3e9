"""Fine-tune a small Chinese GPT-2 to write couplets, or any other short texts.

The default run: a small model from scratch on the corpus that ships with the project, three minutes on two cores.
    accelerate launch run_finetune.py
The tutorial's job: the Chinese GPT-2 on your CSV of 600,000 couplets.
    accelerate launch run_finetune.py --config recipe/configs/couplet-600k.yaml --train_file couplets.csv
Go on where a run stopped; try everything without training.
    accelerate launch run_finetune.py --resume_from_checkpoint auto
    accelerate launch run_finetune.py --check
"""

import sys
from collections.abc import Sequence

from recipe.cli import parse_settings
from recipe.errors import run_or_explain
from recipe.settings import TRAINING_DEFAULTS, DataSettings, ModelSettings, RunSettings


def main(argv: Sequence[str]) -> int:
    settings = parse_settings(
        "run_finetune.py", __doc__, [ModelSettings, DataSettings, RunSettings], argv, TRAINING_DEFAULTS
    )
    from recipe.training.finetune import finetune  # here, so that --help and a mistyped flag do not wait for torch

    finetune(settings)
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
