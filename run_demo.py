"""Try a model in the browser: `recipe.commands.demo`, which says how."""

import sys

from recipe.commands import demo as main

if __name__ == "__main__":
    sys.exit(main())
