"""Ratings of texts by people and by models: one file format, one analysis."""
