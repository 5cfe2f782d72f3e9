"""Turn the multiple-choice questions of `run_benchmark.py --mcq_file` into instances of HELM's scenario custom_mcqa.

python bench/frameworks/helm_instances.py questions.jsonl instances.jsonl
"""

import json
import sys
from collections.abc import Sequence

from recipe.benchmarks.questions import read_questions
from recipe.errors import run_or_explain
from recipe.files import write_text


def main(words: Sequence[str]) -> int:
    """Read the first file and write the second."""
    source, target = words
    lines = []
    for number, question in enumerate(read_questions(source)):
        references = [
            {"output": {"text": option}, "tags": ["correct"] if place == question.key else []}
            for place, option in enumerate(question.options)
        ]
        instance = {"id": f"id{number}", "input": {"text": question.question}, "references": references}
        lines.append(json.dumps(instance | {"split": "test"}, ensure_ascii=False) + "\n")
    write_text(target, "".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_or_explain(main, sys.argv[1:]))
