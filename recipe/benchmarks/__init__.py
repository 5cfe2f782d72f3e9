"""Published benchmarks of general ability, run on a model before and after fine-tuning, and on what it writes."""
