"""Answer upper lines: `recipe.commands.generate`, which says how."""

import sys

from recipe.commands import generate as main

if __name__ == "__main__":
    sys.exit(main())
