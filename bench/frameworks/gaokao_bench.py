"""GAOKAO-Bench as OpenCompass defines it, on a model of this machine; run by OpenCompass, see docs/frameworks.md.

The data set's directory `data` lies at ./data/GAOKAO-BENCH/data, the model at ./model.
"""

from mmengine.config import read_base

with read_base():
    from opencompass.configs.datasets.GaokaoBench.GaokaoBench_mixed_9af5ee import GaokaoBench_datasets

from opencompass.models import HuggingFaceBaseModel

# The choices with one right answer are compared by likelihood, which is what a small model can do; the others are written.
datasets = [dataset for dataset in GaokaoBench_datasets if "PPL" in str(dataset["infer_cfg"]["inferencer"]["type"])]
models = [
    dict(type=HuggingFaceBaseModel, abbr="couplet", path="model", max_out_len=64, batch_size=1, run_cfg=dict(num_gpus=0))
]
