"""Questions of MT-Bench and AlpacaEval answered by the model under test, judged, and written back in their formats.

settings -> questions -> answers (of a model, a served one, or from a file) -> verdicts, facts -> questions.json, report
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from recipe.cli import Settings
from recipe.errors import UserError
from recipe.evaluating.dialogues import rate_dialogues
from recipe.evaluating.exporting import export_answers, print_exported, turns_problems
from recipe.evaluating.judged import judge_notes, made_judges
from recipe.evaluating.question_checks import question_problems
from recipe.evaluating.question_report import ALL, TURN, question_summary, question_tables
from recipe.evaluating.resampling import Interval
from recipe.evaluating.results import KEPT_DIRECTORY, MODEL, REFERENCES, without_non_numbers
from recipe.evaluating.served import KEY_VARIABLE
from recipe.files import make_directory, sha256_of, write_text
from recipe.generating.conversing import Converser
from recipe.generating.processes import Processes, sharing_processes
from recipe.language import _, ngettext
from recipe.rating.calls import announce, chat_with, price_of
from recipe.rating.chat import Chat, Request
from recipe.rating.facts import Passages, check_texts, fact_score, read_passages
from recipe.rating.length_control import WinRates, win_rates
from recipe.rating.question_judge import Duel, QuestionJudge, Turn, Verdict
from recipe.rating.questions import (
    ALPACA_EVAL,
    MT_BENCH,
    ModelAnswers,
    QuestionFile,
    own_outputs,
    read_answers,
    read_questions,
    write_annotations,
    write_answers,
    write_pairs,
    write_scores,
)
from recipe.rating.uncertainty import mean_over_items
from recipe.settings import (
    PUBLISHED_MODEL,
    DecodingSettings,
    DeviceSettings,
    EvaluationSettings,
    JudgeSettings,
    QuestionSettings,
    RatingSettings,
    ServedSettings,
)
from recipe.templating import render

RESULTS, REPORT = "questions.json", "questions.md"
_POINTS = {"A": 1.0, "B": 0.0, "tie": 0.5}  # of the model under test, which is A


def answer_questions(settings: Settings) -> None:
    """Run over questions, or have dialogues rated, as the settings of the command say.

    Raises:
        UserError: settings and files that cannot be used, a model or a server that fails.
    """
    evaluation, asked, rating = settings[EvaluationSettings], settings[QuestionSettings], settings[RatingSettings]
    judging, served, decoding = settings[JudgeSettings], settings[ServedSettings], settings[DecodingSettings]
    device = settings[DeviceSettings]
    if asked.dialogues:
        if asked != QuestionSettings(dialogues=asked.dialogues):
            raise UserError(_("--dialogues and --questions are two jobs; run them one after the other"))
        with sharing_processes() as processes:
            if processes.is_main:
                rate_dialogues(evaluation, asked.dialogues, rating, judging, served, decoding)
        return
    with sharing_processes() as processes:
        QuestionJob(evaluation, asked, rating, judging, served, decoding, device, processes).run()


class QuestionJob:
    """One run over a file of questions."""

    def __init__(
        self,
        evaluation: EvaluationSettings,
        settings: QuestionSettings,
        rating: RatingSettings,
        judging: JudgeSettings,
        served: ServedSettings,
        decoding: DecodingSettings,
        device: DeviceSettings,
        processes: Processes,
    ) -> None:
        """Read the files; the processes share what a model here answers, the main one does the rest.

        Raises:
            UserError: everything that is wrong with settings and files.
        """
        if problems := question_problems(evaluation, settings, rating, judging, served, decoding):
            raise UserError(problems)
        self.evaluation, self.settings, self.judging = evaluation, settings, judging
        self.served, self.decoding, self.device, self.processes = served, decoding, device, processes
        assert settings.questions is not None
        asked = read_questions(settings.questions)
        self.asked = QuestionFile(asked.kind, asked.questions[: settings.max_questions])
        if problems := turns_problems(evaluation, self.asked):
            raise UserError(problems)
        self.passages = Passages(read_passages(settings.facts)) if settings.facts else None
        self.given = read_answers("--answers", settings.answers, self.asked) if settings.answers else None
        self.baseline: ModelAnswers | None
        if settings.compared_answers:
            self.baseline = read_answers("--compared_answers", settings.compared_answers, self.asked)
        else:
            self.baseline = own_outputs(self.asked)
        self.directory = Path(evaluation.output_dir)
        self.converser: Converser | None = None

    def run(self) -> dict[str, Any] | None:
        """Answer, judge, write, and return what `questions.json` holds; None in all processes but the main one.

        Raises:
            UserError: a model or a server that cannot be used; the answers are already written.
        """
        make_directory(self.directory)
        notes: list[str] = []
        answers = self.given or self._answers(notes)
        if not self.processes.is_main:
            return None
        written = write_answers(self.directory, self.asked, answers, round(time.time(), 3))
        results: dict[str, Any] = {
            "kind": self.asked.kind,
            "questions": self.settings.questions,
            "questions_sha256": sha256_of(str(self.settings.questions)),
            "count": len(self.asked.questions),
            "turns": sum(len(question.turns) for question in self.asked.questions),
            "model": answers.model,
            "compared_with": self.baseline.model if self.baseline else None,
            "answers": str(written),
            "judges": [],
            "notes": notes,
        }
        if self.converser is not None:
            self.converser.remove_kept()
            with suppress(OSError):  # those of another job stay
                (self.directory / KEPT_DIRECTORY).rmdir()
        print(_("answers written to {written}").format(written=written))
        compared = {REFERENCES: self.baseline} if self.baseline else {}
        print_exported(export_answers(self.evaluation, self.asked.questions, {MODEL: answers, **compared}))
        for judge in made_judges(self.judging, self.served, {}) if self.judging.judge_model else []:
            results["judges"].append(self._judged(judge.chat, answers))
        if answers.model in self.judging.judge_model:
            results["notes"].append(
                _("{model} judged answers of its own; models tend to prefer what they wrote").format(
                    model=answers.model
                )
            )
        results["notes"] += judge_notes([found["report"] for found in results["judges"]])
        results = without_non_numbers(results)
        write_text(self.directory / RESULTS, json.dumps(results, ensure_ascii=False, indent=2) + "\n")
        write_text(self.directory / REPORT, render("questions.md", report=question_tables(results)))
        print(question_summary(results))
        print(_("written to {directory}: {files}").format(directory=self.directory, files=f"{RESULTS}, {REPORT}"))
        return results

    def _answers(self, notes: list[str]) -> ModelAnswers:
        """Have the model answer turn after turn, all questions of one turn together."""
        if self.served.endpoint is not None:
            say, name = self._served_answers, str(self.served.endpoint_model)
        else:
            say, name = self._model_answers, self.evaluation.model_name_or_path or PUBLISHED_MODEL
            self.converser = Converser(name, self.decoding, self.device)
            if not self.converser.by_template:
                notes.append(
                    _("{name} has no chat template; it goes on with the text of each question").format(name=name)
                )
        answered: dict[str, tuple[str, ...]] = {question.name: () for question in self.asked.questions}
        for turn in range(max(len(question.turns) for question in self.asked.questions)):
            questions = [question for question in self.asked.questions if turn < len(question.turns)]
            talks = []
            for question in questions:
                earlier = zip(question.turns, answered[question.name], strict=False)
                said = [pair for user, model in earlier for pair in (("user", user), ("assistant", model))]
                talks.append((*said, ("user", question.turns[turn])))
            for question, text in zip(questions, say(talks, turn), strict=True):
                answered[question.name] += (text,)
        if empty := sum(not text for texts in answered.values() for text in texts):
            notes.append(
                ngettext(
                    "{count:,} answer is empty: nothing was written, or the question is too long for the model",
                    "{count:,} answers are empty: nothing was written, or the question is too long for the model",
                    empty,
                ).format(count=empty)
            )
        return ModelAnswers(name, answered)

    def _model_answers(self, conversations: list, turn: int) -> list[str]:
        assert self.converser is not None
        kept = self.directory / KEPT_DIRECTORY
        seed, title = self.decoding.seed, _("answering, turn {number}").format(number=turn + 1)
        return self.converser.answer(conversations, seed, title, kept, self.processes)

    def _served_answers(self, conversations: list, turn: int) -> list[str]:
        return self.processes.from_main(lambda: self._asked_of_server(conversations, turn))

    def _asked_of_server(self, conversations: list, turn: int) -> list[str]:
        served = self.served
        chat = chat_with(served, str(served.endpoint), str(served.endpoint_model), KEY_VARIABLE)
        requests = [Request(talk, served.endpoint_max_tokens, served.endpoint_temperature) for talk in conversations]
        announce(chat, requests, price_of(served.endpoint_price))
        outcome = chat.ask_all(requests, _("{model}, turn {number}").format(model=chat.name, number=turn + 1))
        return [outcome.replies[request].text.strip() if request in outcome.replies else "" for request in requests]

    def _judged(self, chat: Chat, answers: ModelAnswers) -> dict[str, Any]:
        """Return everything that one judge says of the answers, and write its verdicts."""
        price = price_of(self.judging.judge_price)

        def say(chat: Chat, requests: Sequence[Request]) -> int:
            return announce(chat, requests, price)

        judge = QuestionJudge(chat, self.judging.judge_language, self.judging.judge_max_tokens, say)
        found: dict[str, Any] = {"judge": chat.name}
        if self.asked.kind == MT_BENCH:
            scores = judge.scores(self.asked.questions, answers)
            write_scores(self.directory, chat.name, self._score_rows(chat.name, answers.model, scores))
            found["scores"] = self._scores(scores)
        if self.baseline is not None:
            duels = judge.duels(self.asked.questions, answers, self.baseline)
            found["pairs"] = self._pairs(chat.name, answers, self.baseline, duels)
        if self.passages is not None:
            texts = {
                question.name: ("\n".join(question.turns), "\n".join(answers.turns[question.name]))
                for question in self.asked.questions
            }
            checked, report = check_texts(
                chat, texts, self.passages, self.judging.judge_language, self.judging.judge_max_tokens, say
            )
            found["facts"] = fact_score(checked)._asdict()
            found["statements"] = [text._asdict() for text in checked]
            found["facts_report"] = dataclasses.asdict(report)
        found["report"] = dataclasses.asdict(judge.report)
        return found

    # --- figures ------------------------------------------------------------------------------------------------------

    def _mean(self, rows: Sequence[tuple[str, float]]) -> dict[str, float]:
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        samples, seed = self.evaluation.bootstrap_samples, self.decoding.seed
        return (mean_over_items(rows, samples, seed) if rows else nothing)._asdict()

    def _scores(self, scores: Mapping[Turn, Verdict]) -> list[dict[str, Any]]:
        """Return the mean score of all turns, of each turn, and of each category."""
        category = {question.name: question.category for question in self.asked.questions}
        groups: dict[str, list[tuple[str, float]]] = {ALL: []}
        for turn, verdict in scores.items():
            row = (turn.question, float(verdict.value))
            for group in (ALL, f"{TURN}{turn.number}", category[turn.question]):
                groups.setdefault(group, []).append(row)
        return [
            {"group": group, "count": len(rows), "mean": self._mean(rows)} for group, rows in groups.items() if group
        ]

    def _pairs(
        self, judge: str, answers: ModelAnswers, baseline: ModelAnswers, duels: Mapping[Turn, Duel]
    ) -> dict[str, Any]:
        """Return win rates and what the order did, and write the verdicts in the shape of the benchmark."""
        winners = [duel.winner for duel in duels.values()]
        first = [duel.shown.value == "A" for duel in duels.values() if duel.shown.value != "tie"]
        first += [duel.turned.value == "B" for duel in duels.values() if duel.turned.value != "tie"]
        found: dict[str, Any] = {
            "compared_with": baseline.model,
            "count": len(duels),
            "wins": winners.count("A"),
            "losses": winners.count("B"),
            "ties": winners.count("tie"),
            "win_rate": self._mean([(turn.question, _POINTS[duel.winner]) for turn, duel in duels.items()]),
            "changed": sum(duel.shown.value != duel.turned.value for duel in duels.values()) / max(1, len(duels)),
            "first": sum(first) / len(first) if first else float("nan"),
            "length_controlled": None,
        }
        if self.asked.kind == ALPACA_EVAL:
            if duels:
                rates = self._length_controlled(answers, baseline, duels)
                found |= {"length_controlled": rates.length_controlled._asdict(), "length_effect": rates.length_effect}
            write_annotations(self.directory, judge, self._annotations(judge, answers, baseline, duels))
        else:
            write_pairs(self.directory, judge, self._pair_rows(judge, answers, baseline, duels))
        return found

    def _length_controlled(self, answers: ModelAnswers, baseline: ModelAnswers, duels: Mapping[Turn, Duel]) -> WinRates:
        own, others = (
            np.array([len(model.turns[turn.question][0]) for turn in duels]) for model in (answers, baseline)
        )
        preferences = np.array([_POINTS[duel.winner] for duel in duels.values()])
        return win_rates(preferences, own, others, self.evaluation.bootstrap_samples, self.decoding.seed)

    # --- verdicts in the shape of the benchmarks ----------------------------------------------------------------------

    def _ids(self) -> dict[str, Any]:
        return {question.name: question.source.get("question_id") for question in self.asked.questions}

    def _score_rows(self, judge: str, model: str, scores: Mapping[Turn, Verdict]) -> list[dict[str, Any]]:
        ids, now = self._ids(), round(time.time(), 3)
        return [
            {
                "question_id": ids[turn.question],
                "model": model,
                "judge": [judge, "single"],
                "user_prompt": verdict.prompt,
                "judgment": verdict.text,
                "score": verdict.value,
                "turn": turn.number,
                "tstamp": now,
            }
            for turn, verdict in scores.items()
        ]

    def _pair_rows(
        self, judge: str, answers: ModelAnswers, baseline: ModelAnswers, duels: Mapping[Turn, Duel]
    ) -> list[dict[str, Any]]:
        ids, now = self._ids(), round(time.time(), 3)
        names = {"A": "model_1", "B": "model_2", "tie": "tie"}
        return [
            {
                "question_id": ids[turn.question],
                "model_1": answers.model,
                "model_2": baseline.model,
                "g1_winner": names[str(duel.shown.value)],
                "g2_winner": names[str(duel.turned.value)],
                "judge": [judge, "pair"],
                "g1_user_prompt": duel.shown.prompt,
                "g1_judgment": duel.shown.text,
                "g2_user_prompt": duel.turned.prompt,
                "g2_judgment": duel.turned.text,
                "turn": turn.number,
                "tstamp": now,
            }
            for turn, duel in duels.items()
        ]

    def _annotations(
        self, judge: str, answers: ModelAnswers, baseline: ModelAnswers, duels: Mapping[Turn, Duel]
    ) -> list[dict[str, Any]]:
        """Return AlpacaEval's rows: the baseline is the first output, and 2 prefers the model."""
        asked = {question.name: question for question in self.asked.questions}
        return [
            {
                "dataset": asked[turn.question].category,
                "instruction": asked[turn.question].turns[0],
                "output_1": baseline.turns[turn.question][0],
                "generator_1": baseline.model,
                "output_2": answers.turns[turn.question][0],
                "generator_2": answers.model,
                "annotator": judge,
                "preference": 1 + _POINTS[duel.winner],
            }
            for turn, duel in duels.items()
        ]
