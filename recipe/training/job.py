"""What a run of `run_finetune.py` works with: rows, tokenizer, model and Trainer that are known to fit together."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    ProgressCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from recipe.cli import Settings
from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.formats.registry import FORMATS
from recipe.language import N_, _, enumerated
from recipe.model.modeling import load_model, new_model
from recipe.model.placement import cpu_bf16_unit
from recipe.model.tokenization import (
    build_tokenizer,
    characters_known,
    corpus_vocabulary,
    extend_tokenizer,
    load_tokenizer,
    read_characters,
    tokenizer_hash,
)
from recipe.rows.corpus import Corpus, prepare_corpus
from recipe.rows.preprocessing import EncodedRows, describe_rows, encode_corpus, make_collator
from recipe.run_directory import REJECTED_ROWS_FILE
from recipe.settings import DataSettings, ModelSettings, RunSettings
from recipe.training.callbacks import MetricsFile, TidyProgress
from recipe.training.interruption import InterruptionCallback
from recipe.training.optimizers import muon_for, schedule_options
from recipe.training.probing import GenerationProbe
from recipe.training.trainer import CoupletTrainer
from recipe.training.validation_metrics import make_compute_metrics, reduce_logits
from recipe.training.watching import TrainingPage

_UNLIMITED_CONTEXT = 1 << 20
# Above this share of unknown tokens a warning names the cure; the public couplets have 0.01% by the shipped vocabulary.
_MOST_UNKNOWN = 0.01
_CHARACTERS_SHOWN = 10
_FEW_STEPS = 100


@dataclass
class Job:
    """Everything a run works with, once it is known to fit together."""

    settings: Settings
    arguments: TrainingArguments
    corpus: Corpus
    tokenizer: PreTrainedTokenizerFast
    model: PreTrainedModel
    train: EncodedRows
    validation: EncodedRows

    @property
    def data(self) -> DataSettings:
        return self.settings[DataSettings]

    @property
    def run(self) -> RunSettings:
        return self.settings[RunSettings]

    @property
    def text_format(self) -> TextFormat:
        """What the rows are."""
        return FORMATS[self.data.text_format].from_settings(self.data)

    @property
    def effective_batch_size(self) -> int:
        """Rows of one optimizer step, over all processes and accumulated micro-batches."""
        arguments = self.arguments
        return arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size


def prepare_job(settings: Settings, arguments: TrainingArguments) -> Job:
    """Read and encode the rows and make the model; other processes wait for the first and then read its cache."""
    data, model_settings = settings[DataSettings], settings[ModelSettings]
    # The first of all machines, not of each: they share the cache, and two that write it at once tear it.
    with arguments.main_process_first(local=False):
        corpus = prepare_corpus(data)
        _require_validation_rows(corpus, data)
        tokenizer = _make_tokenizer(corpus, model_settings, FORMATS[data.text_format].from_settings(data))
        train, validation = encode_corpus(corpus, tokenizer, data)
    # Seeded here: a new model's weights, a new character's embeddings are drawn before the Trainer sets the seed.
    set_seed(arguments.seed)
    if model_settings.model_name_or_path is None:
        model = new_model(model_settings, tokenizer, data.max_length)
    else:
        model = load_model(model_settings.model_name_or_path, tokenizer, model_settings)
    if data.max_length > (positions := model.config.max_position_embeddings):
        raise UserError(
            _("--max_length {length} exceeds the model's {positions} positions").format(
                length=data.max_length, positions=positions
            )
        )
    if arguments.device.type == "cpu":
        # Rows are short: written out, attention and its backward are faster than the library's fused kernel, which took
        # a sixth of a step (256 wide, bf16); the same function.
        model.set_attn_implementation("eager")
    job = Job(settings, arguments, corpus, tokenizer, model, train, validation)
    if arguments.process_index == 0:
        _describe(job)
    return job


def _require_validation_rows(corpus: Corpus, data: DataSettings) -> None:
    """Raise UserError if nothing is held out: the evaluations, the best model and the table at the end rest on it."""
    if corpus.summary.validation:
        return
    if data.validation_file:
        raise UserError(
            _("{files}: no row passes the checks, so none can be held out").format(
                files=enumerated(data.validation_file)
            )
        )
    raise UserError(
        _(
            "no rows are held out: --validation_size is {size}, and at most a tenth of the {rows:,} rows may be. "
            "Set it above 0, give ten rows or more, or name a --validation_file"
        ).format(size=data.validation_size, rows=corpus.summary.kept)
    )


def _make_tokenizer(corpus: Corpus, settings: ModelSettings, text_format: TextFormat) -> PreTrainedTokenizerFast:
    characters, needed = corpus.summary.characters, text_format.needed_characters
    if settings.model_name_or_path is None:
        known = characters if settings.vocabulary_file is None else read_characters(settings.vocabulary_file)
        return build_tokenizer(corpus_vocabulary([*needed, *known]), False, _UNLIMITED_CONTEXT)
    tokenizer = load_tokenizer(settings.model_name_or_path)
    if settings.extend_vocabulary:
        return extend_tokenizer(tokenizer, characters)
    if missing := [char for char, is_known in characters_known(tokenizer, [*needed]).items() if not is_known]:
        raise UserError(
            _(
                "{model}: its vocabulary has no token for the separator {separator!r}, so the model could not see "
                "where a line ends; add --extend_vocabulary, or put another mark between the lines"
            ).format(model=settings.model_name_or_path, separator="".join(missing))
        )
    return tokenizer


def _describe(job: Job) -> None:
    """Say what the run works with, and show one row as the model will see it."""
    tokenizer, row = job.tokenizer, job.train.dataset[0]["input_ids"]
    lines = describe_rows(job.corpus, job.train, job.data, job.effective_batch_size)
    if job.corpus.summary.rejected:
        rejected = Path(str(job.arguments.output_dir)) / REJECTED_ROWS_FILE
        shutil.copyfile(job.corpus.rejected_file, rejected)
        lines.append(_("rejected rows, with reasons: {file}").format(file=rejected))
    lines += [
        _("a row: {text}").format(text=job.corpus.train[0]["text"]),
        _("  encoded: {ids}").format(ids=" ".join(map(str, row))),
        _("  decoded: {text}").format(text=tokenizer.decode(row)),
        _("model: {millions:.1f} million parameters, vocabulary {words:,}; device {device}, {precision}").format(
            millions=job.model.num_parameters() / 1e6,
            words=len(tokenizer),
            device=job.arguments.device,
            precision=_precision_name(job.arguments),
        ),
        _("effective batch {rows} rows = {each} a device × {processes} processes × {accumulated} accumulated").format(
            rows=job.effective_batch_size,
            each=job.arguments.train_batch_size,
            processes=job.arguments.world_size,
            accumulated=job.arguments.gradient_accumulation_steps,
        ),
    ]
    print("\n".join([*lines, *_warnings(job)]), flush=True)


def _warnings(job: Job) -> list[str]:
    """Say before training what would make it worth little, and the setting that helps."""
    warnings, model = [], job.settings[ModelSettings]
    share = job.train.unknown_tokens / int(job.train.lengths.sum())
    if share > _MOST_UNKNOWN:
        known = characters_known(job.tokenizer, [*job.corpus.summary.characters])  # the most frequent first
        lacking = [char for char, is_known in known.items() if not is_known]
        cure = _("--extend_vocabulary adds them")
        if model.from_scratch:
            cure = _("add them to {file}").format(file=model.vocabulary_file)
        warnings.append(
            _(
                "warning: {share:.1%} of the tokens are [UNK]. The vocabulary lacks {count:,} characters of the rows "
                "({characters} …): the model can neither tell them apart nor write them; {cure}"
            ).format(share=share, count=len(lacking), characters=" ".join(lacking[:_CHARACTERS_SHOWN]), cure=cure)
        )
    steps, rows, batch = planned_steps(job), len(job.train.lengths), job.effective_batch_size
    # Whoever sets the number of steps itself knows it.
    if steps < _FEW_STEPS and job.arguments.max_steps <= 0:
        epochs = -(-_FEW_STEPS // _steps_an_epoch(job))
        warnings.append(
            _(
                "warning: {steps} steps of training are too few to learn from ({rows:,} rows in batches of {batch}, "
                "{epochs:g} epochs): the model will write much as it did before. --num_train_epochs {more_epochs} "
                "makes {more_steps} steps, smaller batches (--per_device_train_batch_size) make more of each epoch"
            ).format(
                steps=steps,
                rows=rows,
                batch=batch,
                epochs=job.arguments.num_train_epochs,
                more_epochs=epochs,
                more_steps=epochs * _steps_an_epoch(job),
            )
        )
    return warnings


def _precision_name(arguments: TrainingArguments) -> str:
    if not arguments.bf16:
        return _("fp16 over fp32 weights") if arguments.fp16 else "fp32"
    if arguments.device.type == "cpu" and (unit := cpu_bf16_unit()):
        return _("bf16 over fp32 weights (the processor has {unit})").format(unit=unit)
    return _("bf16 over fp32 weights")


def make_trainer(job: Job) -> CoupletTrainer:
    """Return the Trainer of a job."""
    is_needed = (job.arguments.metric_for_best_model or "").endswith("generation_bleu")
    samples = [job.text_format.read_prompt(prompt).text for prompt in job.run.sample_prompts]
    job.arguments.lr_scheduler_kwargs = schedule_options(job.arguments, planned_steps(job))
    probe = GenerationProbe(job.tokenizer, job.text_format, _validation_answers(job), samples, is_needed)
    trainer = CoupletTrainer(
        model=job.model,
        args=job.arguments,
        data_collator=make_collator(job.tokenizer),
        train_dataset=job.train.dataset,
        eval_dataset=job.validation.dataset,
        processing_class=job.tokenizer,
        compute_metrics=make_compute_metrics(
            job.tokenizer, job.validation.opening_lengths if job.text_format.has_answer else None
        ),
        preprocess_logits_for_metrics=reduce_logits,
        callbacks=[MetricsFile(str(job.arguments.output_dir)), InterruptionCallback()],
        train_lengths=job.train.lengths,
        group_by_length=job.run.group_by_length,
        generation_metrics=probe,
        run_identity=run_identity(job),
        optimizer_cls_and_kwargs=muon_for(job.arguments) if job.run.muon else None,
        allow_changed=job.run.allow_changed,
        max_nonfinite_steps=job.run.max_nonfinite_steps,
    )
    # The library has one or the other, by disable_tqdm; the second prints dictionaries.
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(TidyProgress())
    trainer.add_callback(TrainingPage(str(job.arguments.output_dir), describe_model(job), lambda: probe.written))
    return trainer


def describe_model(job: Job) -> str:
    """Return what is trained on what, in a line."""
    count = f"{job.model.num_parameters() / 1e6:.1f}"
    return _("{count} million parameters, {rows} rows of format {format}").format(
        count=count, rows=f"{job.corpus.summary.kept:,}", format=job.text_format.name
    )


def run_identity(job: Job) -> dict[str, str | int | float]:
    """Return what must be the same when a run is resumed, by the names that the user knows."""
    arguments, config = job.arguments, job.model.config
    shape = f"{config.num_hidden_layers} layers of {config.hidden_size}"
    seed = arguments.seed if arguments.data_seed is None else arguments.data_seed
    return {
        N_("data"): job.corpus.fingerprint,
        "max_length": job.data.max_length,
        N_("tokenizer"): tokenizer_hash(job.tokenizer),
        N_("model"): f"{config.model_type}, {shape}, {config.vocab_size} words",
        N_("seed"): f"{arguments.seed}, data {seed}",
        N_("effective batch"): job.effective_batch_size,
        "group_by_length": job.run.group_by_length,
        N_("epochs or steps"): f"{arguments.num_train_epochs} epochs, max_steps {arguments.max_steps}",
        "muon": job.run.muon,
        N_("precision"): "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "fp32",
        N_("learning rate"): f"{arguments.learning_rate} {arguments.lr_scheduler_type}",
    }


def _validation_answers(job: Job) -> list[tuple[str, str]]:
    """Return the held-out (prompt, answer) pairs whose prompts are answered freely at every evaluation."""
    if not job.text_format.has_answer:
        return []
    rows = job.corpus.validation[: job.run.generation_eval_size]
    return [job.text_format.split(*row) for row in zip(rows["text"], rows["opening_length"], strict=True)]


def planned_steps(job: Job) -> int:
    """Return the number of optimizer steps of the whole run."""
    if job.arguments.max_steps > 0:
        return job.arguments.max_steps
    return int(_steps_an_epoch(job) * job.arguments.num_train_epochs)


def planned_saves(job: Job) -> int:
    """Return how many checkpoints the whole run writes, at least the one of an interruption."""
    if job.arguments.save_strategy == SaveStrategy.BEST:
        return max(1, planned_evaluations(job))  # at most: one for every evaluation that is the best so far
    return max(1, _times(job, job.arguments.save_strategy, _intervals(job).save_steps))


def planned_evaluations(job: Job) -> int:
    """Return how many evaluations the whole run makes, the one before training included."""
    return job.arguments.eval_on_start + _times(job, job.arguments.eval_strategy, _intervals(job).eval_steps)


def _steps_an_epoch(job: Job) -> int:
    return -(-len(job.train.lengths) // job.effective_batch_size)


def _intervals(job: Job) -> TrainerState:
    """Return a state whose `save_steps` and `eval_steps` are steps: the settings may be shares of all, below 1."""
    state = TrainerState()
    state.compute_steps(job.arguments, planned_steps(job))
    return state


def _times(job: Job, strategy: str, interval: int) -> int:
    """Return how often the library does something by a strategy; with "steps" at the end of training as well."""
    if strategy == IntervalStrategy.NO:
        return 0
    steps = planned_steps(job)
    every = _steps_an_epoch(job) if strategy == IntervalStrategy.EPOCH else interval
    return -(-steps // every) if every else 1
