"""Evaluate a model, or lines made elsewhere: every figure beside what humans and chance get, with its uncertainty.

The last published model on couplets that it has not seen; the training file adds chance lines, leaks and parallelism.
    python run_evaluate.py --test_file test.csv --train_file train.csv
Lines made elsewhere, with no model; and the difference between two systems.
    python run_evaluate.py --test_file test.csv --predictions upper.txt lower.txt
    python run_evaluate.py --test_file test.csv --model_name_or_path models/new --baseline models/old
On all cards of this machine.
    accelerate launch run_evaluate.py --test_file test.csv --train_file train.csv
Blind sheets for people to rate; and what they said.
    python run_evaluate.py --test_file test.csv --rating_sheet sheets
    python run_evaluate.py --ratings li.jsonl wang.csv --rating_key sheets/key.json
A served model that rates the same answers.
    python run_evaluate.py --test_file test.csv --judge_endpoint http://127.0.0.1:8000/v1 --judge_model qwen
Questions of MT-Bench or AlpacaEval, answered by a model and judged.
    python run_evaluate.py --questions question.jsonl --endpoint http://127.0.0.1:11434/v1 --endpoint_model qwen
A served model as the evaluated system.
    python run_evaluate.py --test_file test.csv --endpoint http://127.0.0.1:11434/v1 --endpoint_model qwen
"""

import sys
from collections.abc import Sequence

from recipe.cli import parse_settings
from recipe.errors import run_or_explain
from recipe.settings import (
    DecodingSettings,
    DeviceSettings,
    EvaluationSettings,
    JudgeSettings,
    QuestionSettings,
    RatingSettings,
    ServedSettings,
)


def main(argv: Sequence[str]) -> int:
    groups = [EvaluationSettings, RatingSettings, JudgeSettings, ServedSettings, QuestionSettings]
    groups += [DecodingSettings, DeviceSettings]
    settings = parse_settings("run_evaluate.py", __doc__, groups, argv)
    evaluation, rating = settings[EvaluationSettings], settings[RatingSettings]
    judging, served = settings[JudgeSettings], settings[ServedSettings]
    if settings[QuestionSettings] != QuestionSettings():
        from recipe.evaluating.questioned import answer_questions

        answer_questions(settings)
        return 0
    if rating.ratings and not evaluation.test_file:
        from recipe.evaluating.rated import report_ratings

        report_ratings(evaluation, rating, judging, served, settings[DecodingSettings], settings[DeviceSettings])
        return 0
    # Here, so that --help and a mistyped flag do not wait for torch.
    from recipe.evaluating.evaluation import evaluate_couplets
    from recipe.generating.processes import sharing_processes

    parts = judging, served, settings[DecodingSettings], settings[DeviceSettings]
    with sharing_processes() as processes:
        evaluate_couplets(evaluation, rating, *parts, processes)
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
