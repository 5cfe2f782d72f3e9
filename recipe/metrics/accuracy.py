"""Token accuracy as one quotient of sums: a mean of per-batch means would weigh short batches too much."""

import numpy as np

from recipe.metrics.base import WHOLE, Input, OfflineMetric
from recipe.rows.preprocessing import IGNORED_LABEL


class TokenAccuracy(OfflineMetric):
    """Share of the counted tokens that were predicted, over everything that was added.

    Predictions and references are flat sequences of token ids of equal length, already shifted against each other;
    where the reference is ``ignore_index`` (padding, prompt) nothing is counted. ``compute`` returns ``accuracy``
    (0 to 1; 0 when nothing was counted), ``hits`` and ``count``.
    """

    inputs = (
        Input("predictions", "flat token ids", (WHOLE,)),
        Input("references", "as many token ids", (WHOLE,)),
    )

    def _compute(self, *, predictions, references, ignore_index: int = IGNORED_LABEL) -> dict[str, float]:
        predicted, expected = np.asarray(predictions), np.asarray(references)
        counted = expected != ignore_index
        hits = int(((predicted == expected) & counted).sum())
        count = int(counted.sum())
        return {"accuracy": hits / count if count else 0.0, "hits": hits, "count": count}
