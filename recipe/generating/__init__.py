"""Lower lines that cannot leave the form, and `run_generate.py`."""
