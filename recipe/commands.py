"""The commands: `run_*.py` in the project's directory, `couplet-*` where the package is installed.

Each parses its settings and calls one function, imported only then, so that `--help` and a mistyped flag do not wait
for torch. What `--help` says first is the function's docstring.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.cli import parse_settings
from recipe.errors import UserError, run_or_explain
from recipe.language import _
from recipe.published import model_to_use
from recipe.settings import (
    PUBLISHED_MODEL,
    TRAINING_DEFAULTS,
    BenchmarkSettings,
    DataSettings,
    DecodingSettings,
    DemoSettings,
    DeviceSettings,
    EvaluationSettings,
    GenerationSettings,
    JudgeSettings,
    ModelSettings,
    QuestionSettings,
    RatingSettings,
    RunSettings,
    ServedSettings,
)


def finetune(argv: Sequence[str] | None = None) -> int:
    """Fine-tune a small Chinese GPT-2 to write couplets, or any other short texts.

    The default run: the base that ships, on the corpus that ships with the project, about two minutes on two cores.
        accelerate launch run_finetune.py
    The tutorial's job: the Chinese GPT-2 on your CSV of 600,000 couplets.
        accelerate launch run_finetune.py --config recipe/configs/couplet-600k.yaml --train_file couplets.csv
    Go on where a run stopped; try everything without training.
        accelerate launch run_finetune.py --resume_from_checkpoint auto
        accelerate launch run_finetune.py --check
    """
    return run_or_explain(_finetune, argv)


def generate(argv: Sequence[str] | None = None) -> int:
    """Answer upper lines (上联) with lower lines (下联) that cannot leave the couplet's form.

    One or several upper lines, with the model that was trained last.
        python run_generate.py --prompt 春满神州花似锦
        python run_generate.py --prompt 春满神州花似锦 --best_of 16 --num_return_sequences 3
    A file, a line each or a column of a table; the answers go to a table in the same order.
        python run_generate.py --prompts_file upper.txt --output_file couplets.tsv
    Type upper lines and read the answers; or let whole couplets begin with a character.
        python run_generate.py --interactive
        python run_generate.py --compose 春 --line_length 7
    """
    return run_or_explain(_generate, argv)


def evaluate(argv: Sequence[str] | None = None) -> int:
    """Evaluate a model, or lines made elsewhere: every figure beside what humans and chance get, with its uncertainty.

    The last published model on couplets that it has not seen; the training file adds chance lines, leaks and
    parallelism.
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
    The answers as AlpacaEval, MT-Bench and HELM read them, for other judges.
        python run_evaluate.py --test_file test.csv --export alpaca mt-bench helm
    """
    return run_or_explain(_evaluate, argv)


def benchmark(argv: Sequence[str] | None = None) -> int:
    """Run published benchmarks on a model, before and after fine-tuning: a figure that can be believed, or none.

    What there is, which data it needs, and what it can mean for a small model.
        python run_benchmark.py --list
    The last published model, and the difference to the one before fine-tuning; data come from a mirror directory.
        python run_benchmark.py --tasks ceval cmmlu couplet --data_dir benchmark-data
        python run_benchmark.py --tasks ceval couplet --model_name_or_path models/couplet --baseline recipe/data/base
    Multiple-choice questions of your own.
        python run_benchmark.py --mcq_file questions.jsonl
    """
    return run_or_explain(_benchmark, argv)


def demo(argv: Sequence[str] | None = None) -> int:
    """Try a model in the browser; the same process answers other programs over HTTP. Needs the extra [web].

    The model that was trained last, at http://localhost:7860.
        python run_demo.py
    Another one, or two side by side.
        python run_demo.py --model_name_or_path models/mine
        python run_demo.py --model_name_or_path models/new --compare_with models/old
    With a tab on which visitors rate the couplets of blind sheets.
        python run_demo.py --rating_sheet sheets
    """
    return run_or_explain(_demo, argv)


def _program(command: str) -> str:
    """Return the name that a command was started by."""
    started = Path(sys.argv[0]).name
    return started if started == f"couplet-{command}" else f"run_{command}.py"


def _finetune(argv: Sequence[str]) -> int:
    groups = [ModelSettings, DataSettings, RunSettings]
    settings = parse_settings(_program("finetune"), str(finetune.__doc__), groups, argv, TRAINING_DEFAULTS)
    from recipe.training.finetune import finetune as run

    run(settings)
    return 0


def _generate(argv: Sequence[str]) -> int:
    groups = [GenerationSettings, DecodingSettings, DeviceSettings]
    settings = parse_settings(_program("generate"), str(generate.__doc__), groups, argv)
    job = settings[GenerationSettings]
    job.model_name_or_path = model_to_use(job.model_name_or_path)
    from recipe.generating.generate import generate as run

    return run(settings)


def _evaluate(argv: Sequence[str]) -> int:
    groups = [EvaluationSettings, RatingSettings, JudgeSettings, ServedSettings, QuestionSettings]
    groups += [DecodingSettings, DeviceSettings]
    settings = parse_settings(_program("evaluate"), str(evaluate.__doc__), groups, argv)
    if settings[QuestionSettings] != QuestionSettings():
        from recipe.evaluating.questioned import answer_questions

        answer_questions(settings)
        return 0
    evaluation, rating, served = settings[EvaluationSettings], settings[RatingSettings], settings[ServedSettings]
    parts = settings[JudgeSettings], served, settings[DecodingSettings], settings[DeviceSettings]
    if rating.ratings and not evaluation.test_file:
        from recipe.evaluating.rated import report_ratings

        report_ratings(evaluation, rating, *parts)
        return 0
    if evaluation.test_file and not evaluation.predictions and not served.endpoint:
        evaluation.model_name_or_path = model_to_use(evaluation.model_name_or_path or PUBLISHED_MODEL)
    from recipe.evaluating.evaluation import evaluate_couplets
    from recipe.generating.processes import sharing_processes

    with sharing_processes() as processes:
        evaluate_couplets(evaluation, rating, *parts, processes)
    return 0


def _benchmark(argv: Sequence[str]) -> int:
    settings = parse_settings(_program("benchmark"), str(benchmark.__doc__), [BenchmarkSettings, DeviceSettings], argv)
    job = settings[BenchmarkSettings]
    from recipe.benchmarks.precheck import checked, listing

    if job.list:
        print(listing(job.data_dir))
        return 0
    asked = checked(job)
    from recipe.benchmarks.benchmark import run_benchmarks

    run_benchmarks(job, settings[DeviceSettings], asked)
    return 0


def _demo(argv: Sequence[str]) -> int:
    settings = parse_settings(_program("demo"), str(demo.__doc__), [DemoSettings, DeviceSettings], argv)
    job = settings[DemoSettings]
    if problems := _demo_problems(job):
        raise UserError(problems)
    job.model_name_or_path = model_to_use(job.model_name_or_path)
    from recipe.web.serve import serve

    return serve(settings)


def _demo_problems(job: DemoSettings) -> list[str]:
    problems = []
    if importlib.util.find_spec("gradio") is None:
        problems.append(_("the page needs Gradio; run: pip install -c constraints.txt -e '.[web]'"))
    if not 0 <= job.port <= 65535:
        problems.append(_("--port {port}: must be 0 to 65535").format(port=job.port))
    if not 1 <= job.max_waiting <= 100_000:
        problems.append(_("--max_waiting {number}: must be 1 to 100,000").format(number=job.max_waiting))
    if job.rating_sheet is not None:
        from recipe.rating.desk import Desk

        try:
            Desk(job.rating_sheet)
        except UserError as error:
            problems += error.problems
    return problems
