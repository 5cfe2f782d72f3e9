"""Run published benchmarks on a model: `recipe.commands.benchmark`, which says how."""

import sys

from recipe.commands import benchmark as main

if __name__ == "__main__":
    sys.exit(main())
