"""Evaluate a model, or lines made elsewhere: every figure beside what humans and chance get, with its uncertainty.

The last published model on couplets that it has not seen; the training file adds chance lines, leaks and parallelism.
    python run_evaluate.py --test_file test.csv --train_file train.csv
Lines made elsewhere, with no model; and the difference between two systems.
    python run_evaluate.py --test_file test.csv --predictions upper.txt lower.txt
    python run_evaluate.py --test_file test.csv --model_name_or_path models/new --baseline models/old
"""

import sys
from collections.abc import Sequence

from recipe.cli import parse_settings
from recipe.errors import run_or_explain
from recipe.settings import DecodingSettings, DeviceSettings, EvaluationSettings


def main(argv: Sequence[str]) -> int:
    settings = parse_settings("run_evaluate.py", __doc__, [EvaluationSettings, DecodingSettings, DeviceSettings], argv)
    # Here, so that --help and a mistyped flag do not wait for torch.
    from recipe.evaluating.evaluation import evaluate_couplets

    evaluate_couplets(settings[EvaluationSettings], settings[DecodingSettings], settings[DeviceSettings])
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
