"""The page to try a model, and the interfaces that other programs ask: `run_demo.py`."""
