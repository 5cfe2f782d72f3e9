"""A seeded synthesizer of couplets: a hand-written lexicon of parallel words and the line patterns that use them.

`words.tsv` holds the lexicon, `patterns.tsv` the patterns; `lexicon` and `patterns` read them, `composing` draws
couplets, `judging` says whether a lower line's words answer the upper line's. `python -m recipe.synthetic --help`
writes a corpus of any size.
"""

from recipe.synthetic.judging import chance_agreement, class_agreement
from recipe.synthetic.synthesis import Couplet, capacity, synthesize

__all__ = ["Couplet", "capacity", "chance_agreement", "class_agreement", "synthesize"]
