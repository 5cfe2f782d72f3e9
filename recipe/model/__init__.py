"""Tokenizers and models: loaded, built, and made to end where a text ends."""
