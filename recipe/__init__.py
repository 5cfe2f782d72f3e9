"""Fine-tune a small Chinese GPT-2 to write couplets that keep the form. Importing this package loads no torch.

from recipe import Couplets
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipe.facade import Couplets

__version__ = "0.1.0"
__all__ = ["Couplets"]


def __getattr__(name: str) -> type[Couplets]:
    """Load the façade when it is asked for (PEP 562): the commands, which import this too, need only the version."""
    if name == "Couplets":
        from recipe.facade import Couplets

        return Couplets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
