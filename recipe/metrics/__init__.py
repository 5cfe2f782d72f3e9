"""The project's metrics: each one an ``evaluate.Metric`` that needs no network and can be used by itself.

    from recipe.metrics.bleu import CharacterBleu
    CharacterBleu().compute(predictions=["山清"], references=[["山青", "水秀"]])

Nothing is imported here: ``import evaluate`` takes seconds, so every metric is imported where it is computed.
"""
