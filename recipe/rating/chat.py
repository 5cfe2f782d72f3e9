"""Calls to an OpenAI-compatible server, each paid once: cached on disk, paced, retried, many at a time.

Needs the extra [judge]. The key comes from the environment and goes nowhere but to the server. The models of a server
are never listed: some servers cannot, and break afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import signal
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from recipe.errors import UserError
from recipe.files import write_text
from recipe.language import N_, _, ngettext
from recipe.screen import progress_bar

if TYPE_CHECKING:
    from openai import OpenAI

NO_KEY = "none"  # the client insists on a key, also for servers that ask for none
_MOST_LOOKED_AT = 1000  # answers in the cache, to learn how long calls take; a second on a slow disk
FAILURES_IN_A_ROW = 5  # calls that failed with all their retries, none succeeding in between: the server is gone
_FATAL = {401: N_("the key is refused"), 403: N_("access is denied"), 404: N_("no such address or model")}


@dataclass(frozen=True)
class Endpoint:
    """A server and the model to ask there.

    Attributes:
        url: base address, such as http://127.0.0.1:8000/v1.
        key_variable: environment variable that holds the key; unset where the server asks for none.
        concurrency: calls under way at once.
        requests_per_minute: at most so many new calls; None is no limit of ours.
        retries: how often a call is tried again after a lost connection, a time-out or an error 408, 409, 429 or 5xx;
            the client waits 0.5 s, doubling up to 8 s, or as long as the server says.
        timeout: seconds until a call counts as lost.
    """

    url: str
    model: str
    key_variable: str = "JUDGE_API_KEY"
    concurrency: int = 4
    requests_per_minute: float | None = None
    retries: int = 5
    timeout: float = 120.0

    @property
    def public_url(self) -> str:
        """The address without user, password and query, fit to be written into results."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))


class Request(NamedTuple):
    """One question; two requests that are equal are one call.

    Attributes:
        messages: (role, text) in order.
        schema: JSON schema of the answer as canonical JSON, or empty. Servers may ignore it.
        attempt: 0, and one more each time the same question is asked again.
    """

    messages: tuple[tuple[str, str], ...]
    max_tokens: int = 512
    temperature: float = 0.0
    schema: str = ""
    attempt: int = 0


@dataclass(frozen=True)
class Reply:
    """What a server answered; tokens as it counted them, 0 where it does not say."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Estimate(NamedTuple):
    """What a number of requests will cost at most, before they are made.

    Attributes:
        calls: calls to pay; those of the cache are not among them.
        seconds: None as long as no call has been timed.
        timed_by: calls of other questions that the time is taken from; 0 where some of these were answered already.
    """

    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float | None
    timed_by: int = 0

    def sentence(self, name: str, price: tuple[float, float] | None) -> str:
        """Return the estimate for people; `price` is per million tokens in and out, in the user's currency."""
        parts = [
            ngettext("{name}: {count:,} call", "{name}: {count:,} calls", self.calls).format(
                name=name, count=self.calls
            ),
            _("{count:,} more are answered already").format(count=self.cached),
            _("about {read:,} tokens in, at most {written:,} out").format(
                read=self.prompt_tokens, written=self.completion_tokens
            ),
        ]
        if price is not None:
            cost = (self.prompt_tokens * price[0] + self.completion_tokens * price[1]) / 1e6
            parts.append(
                _("at most {cost:,.2f} at {read:g} in and {written:g} out per million tokens").format(
                    cost=cost, read=price[0], written=price[1]
                )
            )
        if self.seconds is None:
            parts.append(_("time known after the first call"))
        elif self.timed_by:
            parts.append(
                ngettext(
                    "about {seconds:,.0f} s by the time of {count:,} earlier call with other questions",
                    "about {seconds:,.0f} s by the time of {count:,} earlier calls with other questions",
                    self.timed_by,
                ).format(seconds=self.seconds, count=self.timed_by)
            )
        else:
            parts.append(_("about {seconds:,.0f} s").format(seconds=self.seconds))
        return _("; ").join(parts)


@dataclass
class Outcome:
    """What became of some requests.

    Attributes:
        refused: requests that the server will not answer, such as those its content filter stops → what it said.
        left: requests that were not made because the limit was reached.
        paid: calls made now; the other replies came from the cache.
    """

    replies: dict[Request, Reply] = field(default_factory=dict)
    refused: dict[Request, str] = field(default_factory=dict)
    left: list[Request] = field(default_factory=list)
    paid: int = 0


class Chat:
    """Questions to one model at one server."""

    def __init__(self, endpoint: Endpoint, cache_directory: str | Path, limit: int | None = None) -> None:
        """`limit` is how many calls may be paid in all; None is no limit."""
        self.endpoint = endpoint
        self.cache_directory = Path(cache_directory)
        self.left_to_pay = limit
        self._client = _client(endpoint)
        self._pace = _Pace(endpoint.requests_per_minute)
        self._variant = 0

    @property
    def name(self) -> str:
        """The model's name, under which its ratings are kept."""
        return self.endpoint.model

    def key_of(self, request: Request) -> str:
        """Return the name of a request in the cache: a hash of everything that decides the answer."""
        content = {"url": self.endpoint.public_url, "model": self.endpoint.model, **request._asdict()}
        return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()

    def _cache_file(self, request: Request) -> Path:
        key = self.key_of(request)
        return self.cache_directory / key[:2] / f"{key}.json"

    def cached(self, request: Request) -> Reply | None:
        """Return the reply to a request that was paid before, or None."""
        try:
            return Reply(**json.loads(self._cache_file(request).read_text(encoding="utf-8"))["reply"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or damaged by others: ask again

    def estimate(self, requests: Sequence[Request]) -> Estimate:
        """Return what the requests cost at most."""
        distinct = list(dict.fromkeys(requests))
        replies = [self.cached(request) for request in distinct]
        known = [reply for reply in replies if reply is not None]
        missing = [request for request, reply in zip(distinct, replies, strict=True) if reply is None]
        missing = missing[: self.left_to_pay] if self.left_to_pay is not None else missing
        seconds = None
        earlier = self._earlier_seconds(missing[0]) if missing and not known else []
        timed = [reply.seconds for reply in known] or earlier
        if timed or not missing:
            seconds = statistics.median(timed or [0]) * len(missing) / self.endpoint.concurrency
            if self.endpoint.requests_per_minute:
                seconds = max(seconds, 60 * len(missing) / self.endpoint.requests_per_minute)
        return Estimate(
            len(missing),
            len(known),
            sum(rough_tokens(text) for request in missing for _, text in request.messages),
            sum(request.max_tokens for request in missing),
            seconds,
            len(earlier),
        )

    def _earlier_seconds(self, like: Request) -> list[float]:
        """Return how long calls of one kind took, those that the cache holds for this model at this server."""
        found = []
        for file in islice(self.cache_directory.glob("??/*.json"), _MOST_LOOKED_AT):
            try:
                kept = json.loads(file.read_text(encoding="utf-8"))
                asked = kept["request"]
                kind = (asked["url"], asked["model"], asked["max_tokens"], asked["schema"])
                if kind == (self.endpoint.public_url, self.endpoint.model, like.max_tokens, like.schema):
                    found.append(float(kept["reply"]["seconds"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # damaged by others
        return found

    def ask_all(self, requests: Sequence[Request], title: str) -> Outcome:
        """Answer the requests, from the cache where it has them. Ctrl-C waits for the calls under way and keeps them.

        Raises:
            UserError: the server refuses the key or the model, or calls failed with all their retries. Whatever was
                answered stays in the cache: run again to go on.
        """
        outcome = Outcome()
        waiting: list[Request] = []
        for request in dict.fromkeys(requests):
            reply = self.cached(request)
            if reply is not None:
                outcome.replies[request] = reply
            elif self.left_to_pay is not None and len(waiting) >= self.left_to_pay:
                outcome.left.append(request)
            else:
                waiting.append(request)
        if waiting:
            _Calls(self, waiting, title).run(outcome)
        return outcome

    def pay(self, request: Request) -> Reply:
        """Make a call and keep its reply; called from several threads."""
        self._pace.wait()
        started = time.monotonic()
        completion = self._create(request)
        usage = completion.usage
        reply = Reply(
            (completion.choices[0].message.content or "") if completion.choices else "",
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
            round(time.monotonic() - started, 3),
        )
        asked = {"url": self.endpoint.public_url, "model": self.endpoint.model, **request._asdict()}
        kept = {"request": asked, "reply": asdict(reply)}
        write_text(self._cache_file(request), json.dumps(kept, ensure_ascii=False, indent=1) + "\n")
        return reply

    def _create(self, request: Request) -> Any:
        """Call the server; one that refuses a parameter is asked again without it, and later calls begin there."""
        from openai import BadRequestError, UnprocessableEntityError

        variants = _variants(request)
        start = min(self._variant, len(variants) - 1)
        for number in range(start, len(variants)):
            try:
                messages: Any = [{"role": role, "content": text} for role, text in request.messages]
                found = self._client.chat.completions.create(
                    model=self.endpoint.model, messages=messages, **variants[number]
                )
            except (BadRequestError, UnprocessableEntityError):
                if number == len(variants) - 1:
                    raise
            else:
                self._variant = max(self._variant, number)
                return found
        raise AssertionError("the last variant returns or raises")

    def explain(self, error: Exception) -> str:
        """Return an error of the client in one line, without the key that servers like to repeat."""
        text = " ".join(str(error).split())
        key = os.environ.get(self.endpoint.key_variable)
        return (text.replace(key, "[key]") if key else text)[:300]


def _client(endpoint: Endpoint) -> OpenAI:
    try:
        from openai import Omit, OpenAI
    except ImportError:
        raise UserError(
            _('asking a server needs the openai client: pip install -c constraints.txt -e ".[judge]"')
        ) from None
    parts = urlsplit(endpoint.url)
    if "@" in parts.netloc:
        raise UserError(
            _(
                "{address}: user and password stand in the address; put the key into the environment variable "
                "{variable} instead, which is written nowhere"
            ).format(address=endpoint.public_url, variable=endpoint.key_variable)
        )
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(
            _("{address}: is no address of a server; it looks like http://127.0.0.1:8000/v1").format(
                address=endpoint.url
            )
        )
    # Else the client reads both from the environment and names them to whatever server this is.
    unsent: Any = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    return OpenAI(
        base_url=endpoint.url,
        api_key=os.environ.get(endpoint.key_variable) or NO_KEY,
        default_headers=unsent,
        max_retries=endpoint.retries,
        timeout=endpoint.timeout,
    )


def _variants(request: Request) -> list[dict[str, Any]]:
    """Return the parameters of a call, from all that we want to those that every server takes."""
    limits = {"max_tokens": request.max_tokens, "temperature": request.temperature}
    # Some models know another name for the limit, and no temperature.
    variants: list[dict[str, Any]] = [limits, {"max_completion_tokens": request.max_tokens}]
    schema = json.loads(request.schema) if request.schema else None
    named = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    # Without a schema the same number of variants, so that the one that works has the same number for all requests.
    return [{**limits, "response_format": named} if schema else limits, *variants]


def rough_tokens(text: str) -> int:
    """Return about how many tokens a text has: one a Chinese character, one for four letters."""
    wide = sum(ord(char) > 0x7F for char in text)
    return wide + (len(text) - wide + 3) // 4


class _Pace:
    """Keeps calls of all threads at least so far apart that a minute has no more than allowed."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        if not self._gap:
            return
        with self._lock:
            at = max(self._next, time.monotonic())
            self._next = at + self._gap
        time.sleep(max(0.0, at - time.monotonic()))


class _Calls:
    """Calls by several threads. The threads are daemons: leaving the program at once must be possible."""

    def __init__(self, chat: Chat, requests: list[Request], title: str) -> None:
        self.chat = chat
        self.requests = requests
        self.title = title
        self.todo: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Request, Reply | Exception]] = queue.SimpleQueue()
        self.under_way = 0
        self.failures: list[str] = []
        self.failures_in_a_row = 0
        self.fatal: Exception | None = None

    def run(self, outcome: Outcome) -> None:

        workers = min(self.chat.endpoint.concurrency, len(self.requests))
        for _worker in range(workers):
            threading.Thread(target=self._work, daemon=True).start()
        waiting = iter(self.requests)
        bar = progress_bar(total=len(self.requests), desc=self.title, unit="call", delay=2)
        with bar, _LateSignals() as signals:
            for _, first in zip(range(workers), waiting, strict=False):
                self._send(first)
            while self.under_way:
                self._receive(outcome)
                bar.update()
                may_go_on = not (signals.received or self.fatal)
                if may_go_on and (request := next(waiting, None)) is not None:
                    self._send(request)
        for _ in range(workers):
            self.todo.put(None)
        if self.fatal:
            raise self.fatal
        if self.failures:
            raise UserError(self._failure_message(len(self.failures)))

    def _work(self) -> None:
        while (request := self.todo.get()) is not None:
            try:
                self.done.put((request, self.chat.pay(request)))
            except Exception as error:
                self.done.put((request, error))

    def _send(self, request: Request) -> None:
        self.under_way += 1
        self.todo.put(request)

    def _receive(self, outcome: Outcome) -> None:
        request, result = self.done.get()
        self.under_way -= 1
        if isinstance(result, Reply):
            outcome.replies[request] = result
            outcome.paid += 1
            self.failures_in_a_row = 0
            if self.chat.left_to_pay is not None:
                self.chat.left_to_pay -= 1
        else:
            self._failed(request, result, outcome)

    def _failed(self, request: Request, error: Exception, outcome: Outcome) -> None:
        """Count a call that failed; what makes further calls pointless is kept in `fatal`."""
        from openai import APIError, APIStatusError

        if not isinstance(error, APIError):
            self.fatal = self.fatal or error  # a full disk, a defect of ours
            return
        endpoint, said = self.chat.endpoint, self.chat.explain(error)
        status = error.status_code if isinstance(error, APIStatusError) else 0
        if status in _FATAL:
            self.fatal = self.fatal or UserError(
                _(
                    "{address}, model {model}: {reason} ({said}). The key is read from the environment variable "
                    "{variable}"
                ).format(
                    address=endpoint.public_url,
                    model=endpoint.model,
                    reason=_(_FATAL[status]),
                    said=said,
                    variable=endpoint.key_variable,
                )
            )
        elif 400 <= status < 500 and status not in (408, 409, 429):
            outcome.refused[request] = said
        else:
            self.failures.append(said)
            self.failures_in_a_row += 1
            if self.failures_in_a_row >= FAILURES_IN_A_ROW:
                self.fatal = self.fatal or UserError(self._failure_message(self.failures_in_a_row))

    def _failure_message(self, count: int) -> str:
        endpoint = self.chat.endpoint
        return ngettext(
            "{address}, model {model}: {count} call failed, tried {tries} times ({last}). What was answered is kept in "
            "{directory}: run the same command again to go on",
            "{address}, model {model}: {count} calls failed, each tried {tries} times (the last one: {last}). What was "
            "answered is kept in {directory}: run the same command again to go on",
            count,
        ).format(
            address=endpoint.public_url,
            model=endpoint.model,
            count=count,
            tries=endpoint.retries + 1,
            last=self.failures[-1],
            directory=self.chat.cache_directory,
        )


class _LateSignals:
    """Holds Ctrl-C and SIGTERM back until the block ends, so that the calls under way, which are paid, are kept.

    A second signal acts at once. Outside of the main thread, where Python handles no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> _LateSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # ignored on purpose, by a shell's & for one
                    self._handlers[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._act(number)
        self.received = number
        print(_("waiting for the calls under way; once more leaves them"), file=sys.stderr)

    def _act(self, number: int) -> None:
        for held, handler in self._handlers.items():
            signal.signal(held, handler)
        signal.raise_signal(number)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self.received is not None and kind is None:
            signal.raise_signal(self.received)
