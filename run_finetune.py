"""Fine-tune a model: `recipe.commands.finetune`, which says how."""

import sys

from recipe.commands import finetune as main

if __name__ == "__main__":
    sys.exit(main())
