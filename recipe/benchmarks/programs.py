"""HumanEval and MBPP: a model writes programs, `code_execution` runs them, Pass@k counts.

The prompts are those of lm-eval's definitions; its own metric is fetched from the hub and runs programs unprotected.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets
import torch
from jinja2.sandbox import SandboxedEnvironment
from lm_eval.api.instance import Instance

from recipe.benchmarks.code_execution import End, Outcome, pass_at, run_program
from recipe.benchmarks.definitions import Definition, read_definition, task_directory
from recipe.benchmarks.figures import Answers
from recipe.benchmarks.language_model import Reading, ScoredModel
from recipe.benchmarks.limited_process import UNCONFINED
from recipe.benchmarks.names import Measure, Part
from recipe.benchmarks.running import PartRun
from recipe.errors import UserError
from recipe.language import _, enumerated
from recipe.screen import progress_bar

_LONGEST = 512  # tokens of a program; the longest solution of HumanEval has about 300 of GPT-2's
_TOP_P = 0.95  # as Chen et al. 2021
_SEED = 42


class Problem(NamedTuple):
    """What a model is asked to write, and what its program has to pass.

    Attributes:
        opening: what stands before the model's text in the program; `closing` the tests behind it.
    """

    name: str
    prompt: str
    opening: str
    closing: str


class Sampling(NamedTuple):
    """How programs are drawn: how many for each problem, at which temperature (0 takes the likeliest), k of Pass@k."""

    samples: int
    temperature: float
    ks: Sequence[int]


def read_problems(part: Part, needed: Definition, data_dir: str, limit: int | None) -> list[Problem]:
    """Return the problems of a mirror's data set.

    Raises:
        UserError: rows that are none of this set.
    """
    with contextlib.chdir(data_dir):
        rows = datasets.load_dataset(needed.repository, needed.config, split="test")
    template = SandboxedEnvironment().from_string(_fields(part)["doc_to_text"])
    make = _human_eval if needed.task == "humaneval" else _mbpp
    problems = []
    for number, row in enumerate(rows.select(range(min(limit or len(rows), len(rows))))):
        try:
            problems.append(make(row, template.render(row)))
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                _("{repository}, row {number}: is no problem of this set ({error!r})").format(
                    repository=needed.repository, number=number, error=error
                )
            ) from None
    return problems


def _human_eval(row: dict[str, Any], prompt: str) -> Problem:
    closing = f"\n{row['test']}\ncheck({row['entry_point']})\n"
    return Problem(str(row["task_id"]), prompt, row["prompt"], closing)


def _mbpp(row: dict[str, Any], prompt: str) -> Problem:
    tests = "\n".join(row["test_list"])
    return Problem(str(row["task_id"]), prompt, f"{row['test_setup_code']}\n", f"\n{tests}\n")


def _fields(part: Part) -> dict[str, Any]:
    root = task_directory()
    assert root is not None
    (task,) = part.tasks
    return read_definition(root / part.directory / f"{task}.yaml")


def run_programs(part: Part, problems: list[Problem], model: ScoredModel, sampling: Sampling) -> PartRun:
    """Let a model write programs for all problems and run them."""
    model.reading = Reading()
    fields = _fields(part)
    texts = _written(problems, model, sampling, fields["generation_kwargs"]["until"])
    outcomes = []
    bar = progress_bar(
        texts, desc=_("{title}: running programs").format(title=part.title), unit="program", delay=2, leave=False
    )
    for number, text in enumerate(bar):
        problem = problems[number // sampling.samples]
        outcomes.append(run_program(problem.opening + text + problem.closing))
        if outcomes[-1].error == UNCONFINED:
            raise UserError(
                _(
                    "this system cannot confine a process (no seccomp), and limits do not bind root: run as another "
                    "user, or in the container of docs/benchmarks.md"
                )
            )
    version = fields["metadata"]["version"]
    facts = {"version": {f"prompts of {version}, our runner"}, "split": {"test"}, "shots": {"0"}}
    answers = {
        Measure("pass", f"Pass@{k}", is_share=False): _answers(problems, texts, outcomes, sampling, k)
        for k in sampling.ks
    }
    return PartRun(answers, model.reading, {}, 1, facts, _notes(outcomes, sampling))


def _written(problems: list[Problem], model: ScoredModel, sampling: Sampling, until: list[str]) -> list[str]:
    """Return the texts behind the prompts, `sampling.samples` for each problem in turn."""
    torch.manual_seed(_SEED)
    how: dict[str, Any] = {"until": until, "max_gen_toks": _LONGEST, "do_sample": sampling.temperature > 0}
    if sampling.temperature > 0:
        how |= {"temperature": sampling.temperature, "top_p": _TOP_P}
    requests = [
        Instance("generate_until", {}, (problem.prompt, dict(how)), number)
        for problem in problems
        for number in range(sampling.samples)
    ]
    return model.generate_until(requests)


def _answers(problems: list[Problem], texts: list[str], outcomes: list[Outcome], sampling: Sampling, k: int) -> Answers:
    answers = Answers("pass")
    for place, problem in enumerate(problems):
        mine = outcomes[place * sampling.samples : (place + 1) * sampling.samples]
        passed = sum(outcome.end is End.PASSED for outcome in mine)
        answers.keys.append(problem.name)
        answers.statistics.append([pass_at(k, sampling.samples, passed), 1.0])
        answers.picks.append(-1)
        answers.offered.append(0)
        answers.said.append("\n".join(texts[place * sampling.samples : (place + 1) * sampling.samples]).strip())
    return answers


def _notes(outcomes: list[Outcome], sampling: Sampling) -> list[str]:
    ends = Counter(outcome.end for outcome in outcomes)
    counted = enumerated(f"{_(end.value)} {ends[end]:,}" for end in End if ends[end])
    if sampling.temperature > 0:
        drawn = _("{count} a problem, temperature {temperature:g}: {ends}")
    else:
        drawn = _("{count} a problem, the likeliest program: {ends}")
    notes = [drawn.format(count=sampling.samples, temperature=sampling.temperature, ends=counted)]
    if not all(outcome.confined for outcome in outcomes):
        notes.append(_("this system could not take the network and writing from the programs, only limit them"))
    return notes
