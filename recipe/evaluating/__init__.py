"""Figures with their uncertainty, reports, and `run_evaluate.py`."""
