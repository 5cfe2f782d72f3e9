"""A model as lm-eval asks it: likelihoods and continuations, with what the model could not read counted.

The tokenizer is the recipe's own wherever the vocabulary is a BERT-style one. A plain `BertTokenizer` ends every prompt
with the end token, which lm-eval scores without a warning: the model then continues a text that is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import lm_eval.api.model
import lm_eval.api.task
import lm_eval.models.huggingface
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, PreTrainedTokenizerBase
from typing_extensions import override

from recipe.errors import UserError
from recipe.language import _
from recipe.model.configuration import model_type, not_loadable
from recipe.model.finding import LOAD_ERRORS
from recipe.model.modeling import load_model
from recipe.model.placement import chosen_device, chosen_dtype
from recipe.model.tokenization import SPECIAL_TOKENS, load_tokenizer
from recipe.screen import progress_bar
from recipe.settings import DeviceSettings, ModelSettings

# Of a model's window, what an answer may take where its task asks for more than the window has.
_ANSWER_SHARE = 0.5
# lm-eval warns of what we do on purpose (a model that is in memory already) and of what is counted here (cut prompts).
logging.getLogger("lm_eval").setLevel(logging.ERROR)
transformers.logging.set_verbosity_error()
# lm-eval 0.4.13 draws three bars for every task, also for those that take no time, 201 of them for CMMLU.
for _module in (lm_eval.api.model, lm_eval.api.task, lm_eval.models.huggingface):
    _module.tqdm = partial(progress_bar, delay=2, leave=False)


@dataclass
class Reading:
    """What a model was given since the last `reset`, in tokens, and how many prompts were cut at their beginning."""

    prompts: int = 0
    tokens: int = 0
    unknown: int = 0
    cut: int = 0

    @property
    def unknown_share(self) -> float:
        return self.unknown / self.tokens if self.tokens else 0.0

    def add(self, ids: Sequence[int], unknown_id: int | None, window: int) -> None:
        """Count one prompt of these tokens, of which `window` fit."""
        self.prompts += 1
        self.tokens += len(ids)
        self.unknown += sum(token == unknown_id for token in ids) if unknown_id is not None else 0
        self.cut += len(ids) > window


class ScoredModel(HFLM):
    """lm-eval's model over one that is in memory already, with a count of what it cannot read."""

    def __init__(self, name: str, model: Any, tokenizer: PreTrainedTokenizerBase, batch_size: int) -> None:
        super().__init__(
            pretrained=model, tokenizer=tokenizer, add_bos_token=True, batch_size=batch_size, backend="causal"
        )
        self.name = name
        self.reading = Reading()
        self.refuse_end_tokens(["1 + 1 = 2"])

    def refuse_end_tokens(self, prompts: Iterable[str]) -> None:
        """Raise where a prompt is encoded with an end token behind it.

        Raises:
            UserError: the model would be asked to go on after the end of a text.
        """
        for prompt in prompts:
            ids = self.tok_encode(prompt)
            if ids and ids[-1] == self.tokenizer.eos_token_id:
                raise UserError(
                    _(
                        "{name}: its tokenizer puts the end token {token} behind every prompt, so the model would be "
                        "scored on what follows the end of a text; save it with a tokenizer that does not "
                        "(run_finetune.py publishes such a one)"
                    ).format(name=self.name, token=self.tokenizer.eos_token)
                )

    @override
    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Override: count tokens, where each prompt is encoded once; lm-eval 0.4.13 has an assert for empty options."""
        for (_prompt, option), prompt_ids, option_ids in requests:
            if not option_ids:
                raise UserError(
                    _("the option {option!r} has no character that the tokenizer keeps").format(option=option)
                )
            if len(option_ids) > self.max_length:
                raise UserError(
                    _("an option has {count} tokens, the model takes {most}").format(
                        count=len(option_ids), most=self.max_length
                    )
                )
            self.reading.add([*prompt_ids, *option_ids], self.tokenizer.unk_token_id, self.max_length + 1)
        return super()._loglikelihood_tokens(requests, **kwargs)

    @override
    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Override: lm-eval 0.4.13 fails by assert where a task wants longer answers than the model's window."""
        longest = int(self.max_length * _ANSWER_SHARE)
        for request in requests:
            prompt, wanted = request.args
            wanted["max_gen_toks"] = min(wanted.get("max_gen_toks", self.max_gen_toks), longest)
            window = self.max_length - wanted["max_gen_toks"]
            self.reading.add(self.tok_encode(prompt), self.tokenizer.unk_token_id, window)
        return super().generate_until(requests, disable_tqdm)


def load_scored_model(
    name: str, flag: str, device: DeviceSettings, batch_size: int, state_dict_file: str | None = None
) -> ScoredModel:
    """Load a model by the recipe's own loader where it is a GPT-2 with BERT's vocabulary, else as the library does.

    Args:
        flag: the setting that names the model, for messages.

    Raises:
        UserError: nothing there that can be loaded, or a tokenizer that ends every prompt.
    """
    place = chosen_device(device)
    tokenizer: Any = _own_tokenizer(name) if model_type(name, flag) == GPT2Config.model_type else None
    model: Any
    if tokenizer is not None:
        model = load_model(name, tokenizer, ModelSettings(state_dict_file=state_dict_file))
    elif state_dict_file is not None:
        raise UserError(
            _("--state_dict_file replaces the weights of a GPT-2 with a BERT-style vocabulary; {name} is none").format(
                name=name
            )
        )
    else:
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False)
        except LOAD_ERRORS as error:
            raise UserError(not_loadable(name, error)) from None
    model.to(device=place, dtype=chosen_dtype(device, place, model.config.hidden_size)).eval()
    return ScoredModel(name, model, tokenizer, batch_size)


def _own_tokenizer(name: str) -> PreTrainedTokenizerBase | None:
    """Return the recipe's tokenizer for a model's vocabulary; None where that is another kind, such as byte pairs.

    Raises:
        UserError: there is no vocabulary that can be read.
    """
    try:
        return load_tokenizer(name)
    except UserError:
        try:
            vocabulary = AutoTokenizer.from_pretrained(name, trust_remote_code=False).get_vocab()
        except LOAD_ERRORS:
            vocabulary = dict.fromkeys(SPECIAL_TOKENS)
        if all(token in vocabulary for token in SPECIAL_TOKENS):
            raise
        return None
