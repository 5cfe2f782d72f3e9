"""Fine-tune a small Chinese GPT-2 to write couplets that keep the form. Importing this package loads no torch."""

__version__ = "0.1.0"
