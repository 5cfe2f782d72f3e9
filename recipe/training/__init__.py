"""The Trainer with everything around it, and `run_finetune.py`."""
