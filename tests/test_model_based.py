"""Model-based metrics on tiny random models made here: same figures as the libraries, one clear message otherwise."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    pipeline,
)

from recipe.errors import UserError
from recipe.metrics.base import import_extra
from recipe.metrics.model_based import EncoderBertScore, LabelShares, PairRegressor

CHARACTERS = "青山红日白云水月花"
PREDICTIONS = ["青山", "红日白云", "", "水"]
REFERENCES = [["青山"], ["红花白月", "红日青云"], ["月"], ["花"]]


def save_model(folder, model_class, **config):
    vocabulary = {
        token: place for place, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS])
    }
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    # Untrained weights as small as BERT's own make every line alike; wider ones tell lines apart.
    model = model_class(BertConfig(vocab_size=len(vocabulary), initializer_range=1.0, **size, **config))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_bertscore_is_torchmetrics(tmp_path):
    encoder = save_model(tmp_path, BertModel)
    ours = EncoderBertScore(encoder).compute(predictions=PREDICTIONS, references=REFERENCES)
    theirs = import_extra("torchmetrics.text.bert").BERTScore(encoder, max_length=128, truncation=True)
    # One pair at a time: among several of different lengths torchmetrics confuses which belong together.
    same, first, second, last = (
        theirs([line], [target])["f1"].item()
        for line, target in (("青山", "青山"), ("红日白云", "红花白月"), ("红日白云", "红日青云"), ("水", "花"))
    )
    assert same == pytest.approx(1, abs=1e-4)
    # The empty line scores 0; of two references the better one counts.
    assert ours["bertscore_f1"] == pytest.approx(100 * (same + max(first, second) + 0 + last) / 4, abs=1e-3)


def test_pair_regressor_is_the_pipelines_mean(tmp_path):
    classifier = save_model(tmp_path, BertForSequenceClassification, num_labels=1)
    ours = PairRegressor(classifier).compute(predictions=PREDICTIONS, references=REFERENCES)
    classify = pipeline("text-classification", model=classifier, function_to_apply="none")
    best = [
        max(classify({"text": target, "text_pair": line})["score"] for target in known)
        for line, known in zip(PREDICTIONS, REFERENCES, strict=True)
    ]
    assert ours["pair_regressor"] == pytest.approx(sum(best) / 4, abs=1e-4)


def test_label_shares_add_up(tmp_path):
    labels = {"id2label": {0: "fine", 1: "harm"}, "label2id": {"fine": 0, "harm": 1}}
    classifier = save_model(tmp_path, BertForSequenceClassification, **labels)
    shares = LabelShares(classifier).compute(predictions=["青山", "红日", "水月花"])
    assert set(shares) == {"label_fine", "label_harm"}
    assert sum(shares.values()) == pytest.approx(100)


def test_models_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"--bertscore_model .*nowhere: no such directory"):
        EncoderBertScore(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"--text_classifier .*nowhere: no such directory"):
        LabelShares(str(tmp_path / "nowhere"))
    classifier = save_model(tmp_path, BertForSequenceClassification, num_labels=3)
    with pytest.raises(UserError, match="has 3 outputs; a regressor has one"):
        PairRegressor(classifier)
