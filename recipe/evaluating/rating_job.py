"""The ratings of an evaluation: sheets for people, judges asked, everything analysed and written into the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from recipe.evaluating.judged import JUDGE_KEY, JUDGE_RATINGS, is_judged, judge_notes, judge_sheets
from recipe.evaluating.line_figures import FIGURES_NAME, write_line_figures
from recipe.evaluating.rated import Judged, ReadRatings, made_sheets, rating_results
from recipe.evaluating.rating_tables import rating_summary
from recipe.evaluating.results import MODEL, Results
from recipe.evaluating.scoring import LineFigures
from recipe.evaluating.testset import TestSet
from recipe.language import _, enumerated
from recipe.rating.evidence import gather
from recipe.rating.sheet_files import write_sheets
from recipe.settings import EvaluationSettings, JudgeSettings, RatingSettings, ServedSettings


class Rated:
    """What is rated of an evaluation, and by whom.

    Attributes:
        line_figures: the figures of single lines that the scoring is to fill in; None where nothing is rated.
    """

    def __init__(
        self,
        evaluation: EvaluationSettings,
        rating: RatingSettings,
        judging: JudgeSettings,
        served: ServedSettings,
        seed: int,
        read: ReadRatings | None,
        test_set: TestSet,
        first_runs: Mapping[str, list[str]],
    ) -> None:
        """Draw what sheets and judges ask; `first_runs`: system → one lower line for each upper line."""
        self.evaluation, self.rating, self.judging, self.served = evaluation, rating, judging, served
        self.seed, self.read = seed, read
        self.references = dict(zip(test_set.uppers, test_set.first_references, strict=True))
        self.made = None
        if rating.rating_sheet is not None or is_judged(judging):
            self.made = made_sheets(rating, seed, test_set.uppers, first_runs)
        items = set(self.made.key.items.values()) if self.made else set()
        for found in read.evidence.values() if read else ():
            items |= {score.item for score in found.scores} | {row.item for row in found.comparisons}
        self.line_figures = LineFigures(items) if items else None

    def add_to(self, results: Results, write: Callable[[], None]) -> None:
        """Write the sheets, ask the judges, analyse all ratings, put them into the results and print their summary.

        Args:
            write: writes the results and reports again.

        Raises:
            UserError: a judge that cannot be asked; the results without its ratings are already written.
        """
        if self.made and self.rating.rating_sheet is not None:
            names = write_sheets(self.rating.rating_sheet, self.made)
            names += self._keep_figures(self.rating.rating_sheet, results)
            print(
                _("rating sheets written to {directory}: {files}; keep the key and the figures from raters").format(
                    directory=self.rating.rating_sheet, files=enumerated(names)
                )
            )
        if self.read is None and not is_judged(self.judging):
            return
        if self.read is not None and is_judged(self.judging):
            self._analyse(results, None)  # kept, should a judge fail
            write()
        self._analyse(results, self._judged(results) if is_judged(self.judging) else None)
        write()
        print(rating_summary(results["ratings"]))

    def _keep_figures(self, directory: str | Path, results: Results) -> list[str]:
        """Write the figures of the rated lines beside a key; returns the names of the files."""
        assert self.line_figures is not None
        write_line_figures(directory, self.line_figures, results["descriptions"])
        return [FIGURES_NAME]

    def _judged(self, results: Results) -> Judged:
        assert self.made is not None
        directory = Path(self.evaluation.output_dir)
        ratings, reports = judge_sheets(self.judging, self.served, self.made, self.references, directory)
        files = enumerated([JUDGE_RATINGS, JUDGE_KEY, *self._keep_figures(directory, results)])
        print(_("written to {directory}: {files}").format(directory=directory, files=files))
        evidence = gather(ratings, {self.made.key.sheet: self.made.key})["model"]
        own = {self.served.endpoint_model: [MODEL]} if self.served.endpoint_model else {}
        return Judged(len(ratings), evidence, reports, own, judge_notes(reports))

    def _analyse(self, results: Results, judged: Judged | None) -> None:
        results["ratings"] = rating_results(
            self.rating,
            self.read,
            self.evaluation.bootstrap_samples,
            self.seed,
            judged,
            self.line_figures,
            self.judging.judge_agreement,
        )
