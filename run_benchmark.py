"""Run published benchmarks on a model, before and after fine-tuning: a figure that can be believed, or none.

What there is, which data it needs, and what it can mean for a small model.
    python run_benchmark.py --list
The last published model, and the difference to the one before fine-tuning; data come from a mirror directory.
    python run_benchmark.py --tasks ceval cmmlu couplet --data_dir benchmark-data
    python run_benchmark.py --tasks ceval couplet --model_name_or_path models/couplet --baseline recipe/data/base
Multiple-choice questions of your own.
    python run_benchmark.py --mcq_file questions.jsonl
"""

import sys
from collections.abc import Sequence

from recipe.cli import parse_settings
from recipe.errors import run_or_explain
from recipe.settings import BenchmarkSettings, DeviceSettings


def main(argv: Sequence[str]) -> int:
    settings = parse_settings("run_benchmark.py", __doc__, [BenchmarkSettings, DeviceSettings], argv)
    benchmark = settings[BenchmarkSettings]
    from recipe.benchmarks.precheck import checked, listing

    if benchmark.list:
        print(listing(benchmark.data_dir))
        return 0
    asked = checked(benchmark)
    # Here, so that --help, --list and a mistyped flag do not wait for torch.
    from recipe.benchmarks.benchmark import run_benchmarks

    run_benchmarks(benchmark, settings[DeviceSettings], asked)
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
