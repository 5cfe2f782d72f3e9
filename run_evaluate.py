"""Evaluate a model: `recipe.commands.evaluate`, which says how."""

import sys

from recipe.commands import evaluate as main

if __name__ == "__main__":
    sys.exit(main())
