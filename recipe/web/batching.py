"""Many visitors, one model: what waits with equal settings is answered together, and nobody takes the machine.

One thread owns a model and answers in batches; everybody else hands in a request and gets a future. The queue has a
limit, so that memory and waiting have one too. A batch is filled from the visitors in turn: whoever hands in a hundred
lines does not keep the others waiting for all of them.
"""

from __future__ import annotations

import contextvars
import dataclasses
import itertools
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from recipe.errors import UserError
from recipe.facade import kind_of
from recipe.generating.ranking import with_best_of
from recipe.settings import DecodingSettings

if TYPE_CHECKING:  # they import torch
    from recipe.facade import Couplets
    from recipe.generating.generator import Answer


class BusyError(Exception):
    """As many lines wait as may; try again in a moment."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A line to answer, or characters to write whole couplets around.

    Attributes:
        upper: the line, or the characters.
        seed: of the draws; None leaves it to the batch. A request with a seed is answered by itself, since what is
            drawn for a line depends on the lines beside it.
        around: how couplets are written around `upper`, and the length of their lines; None where it is answered. Such
            a request is carried out by itself as well: it draws more lines than many others take.
        future: receives the answers, or the `UserError` that says why there are none.
        context: of who asks; it holds the language in which that is said.
    """

    upper: str
    settings: DecodingSettings
    banned_words: tuple[str, ...]
    seed: int | None
    around: tuple[str, int] | None
    future: Future[list[Answer]]
    context: contextvars.Context

    def can_join(self, other: Request) -> bool:
        """Whether both may be answered in one batch."""
        return (
            self.seed is other.seed is None
            and self.around is other.around is None
            and self.settings == other.settings
            and self.banned_words == other.banned_words
        )


def _most_together(settings: DecodingSettings) -> int:
    """Return how many lines are answered in one batch: fewer where each takes several rows of the model's."""
    rows = max(settings.best_of or 1, settings.num_return_sequences, settings.num_beams)
    return max(1, settings.generation_batch_size // rows)


class Batcher:
    """The thread that owns a model, and the queue before it; close it when it is needed no more."""

    def __init__(self, couplets: Couplets, most_waiting: int) -> None:
        """Start the thread.

        Args:
            most_waiting: lines that may wait.
        """
        self.couplets = couplets
        self._most_waiting = most_waiting
        self._waiting: OrderedDict[str, deque[Request]] = OrderedDict()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="answering", daemon=True)
        self._thread.start()

    def submit(
        self,
        upper: str,
        settings: DecodingSettings,
        banned_words: Sequence[str] = (),
        seed: int | None = None,
        visitor: str = "",
        around: tuple[str, int] | None = None,
    ) -> Future[list[Answer]]:
        """Put a line into the queue of its visitor and return what will hold its answers.

        Args:
            around: as `Request` says; by the names of `Couplets.compose`.

        Raises:
            BusyError: the queue is full.
        """
        settings = with_best_of(settings, self.couplets.ready.text_format)
        context = contextvars.copy_context()
        request = Request(upper, settings, tuple(banned_words), seed, around, Future(), context)
        with self._changed:
            if self.waiting >= self._most_waiting:
                raise BusyError
            self._waiting.setdefault(visitor, deque()).append(request)
            self._changed.notify()
        return request.future

    @property
    def waiting(self) -> int:
        """Lines in the queue, without those that are being answered."""
        return sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """Answer what is being answered, tell what waits that nobody will, and end the thread."""
        with self._changed:
            self._is_closed = True
            for request in itertools.chain(*self._waiting.values()):
                request.future.cancel()
            self._waiting.clear()
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            running = [request for request in batch if request.future.set_running_or_notify_cancel()]
            try:
                self._answer(running)
            except Exception as error:  # whatever it is, those who wait for it must hear of it
                for request in running:
                    if not request.future.done():
                        request.future.set_exception(error)

    def _next_batch(self) -> list[Request]:
        """Wait for requests and take some that can be answered together, the visitors in turn; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return []
            visitor, requests = next(iter(self._waiting.items()))
            batch = [self._take(visitor, requests)]
            size = _most_together(batch[0].settings)
            while len(batch) < size:
                found = next((item for item in self._waiting.items() if item[1][0].can_join(batch[0])), None)
                if found is None:
                    break
                batch.append(self._take(*found))
            return batch

    def _take(self, visitor: str, requests: deque[Request]) -> Request:
        """Take a visitor's first request and put the visitor behind all others."""
        request = requests.popleft()
        if requests:
            self._waiting.move_to_end(visitor)
        else:
            del self._waiting[visitor]
        return request

    def _answer(self, batch: Sequence[Request]) -> None:
        if not batch:
            return
        seed = batch[0].seed if batch[0].seed is not None else secrets.randbits(63)
        if batch[0].around is not None:
            composed = batch[0].context.run(self._composed, batch[0], batch[0].around, seed)
            batch[0].future.set_result(composed)
            return
        generator = self.couplets.generator(batch[0].settings, batch[0].banned_words)
        prepared = generator.prepare([request.upper for request in batch])
        answerable = []
        for request, prompt in zip(batch, prepared, strict=True):
            if prompt.refusal is None:
                answerable.append((request, prompt))
            else:
                (said,) = request.context.run(generator.prepare, [request.upper])  # again, in the visitor's language
                request.future.set_exception(UserError(str(said.refusal)))
        with generator.seeded(seed):
            for place, answers in generator.answer_each([prompt for _, prompt in answerable]):
                answerable[place][0].future.set_result(answers)

    def _composed(self, request: Request, around: tuple[str, int], seed: int) -> list[Answer]:
        kind, line_length = around
        composer = self.couplets.composer(request.settings, request.banned_words, line_length)
        with composer.generator.seeded(seed):
            return composer.compose(request.upper, kind_of(kind))
