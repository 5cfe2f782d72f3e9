"""GAOKAO-Bench as OpenCompass defines it, on a model of this machine; run by OpenCompass, see docs/frameworks.md.

The data set's directory `data` lies at ./data/GAOKAO-BENCH/data, the model at ./model.
"""

from mmengine.config import read_base

with read_base():
    from opencompass.configs.datasets.GaokaoBench.GaokaoBench_mixed_9af5ee import GaokaoBench_datasets

from opencompass.models import HuggingFaceBaseModel

# Only the seven sets with one right answer, compared by likelihood: a small model can do that, and write nothing.
datasets = [dataset for dataset in GaokaoBench_datasets if "PPL" in str(dataset["infer_cfg"]["inferencer"]["type"])]
couplet = {"type": HuggingFaceBaseModel, "abbr": "couplet", "path": "model", "max_out_len": 64, "batch_size": 1}
models = [{**couplet, "run_cfg": {"num_gpus": 0}}]
