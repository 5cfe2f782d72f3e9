"""What other programs ask over HTTP: `POST /api/couplet`, and OpenAI's `/v1/completions` and `/v1/chat/completions`.

Whatever goes wrong is answered as JSON, `{"error": {"message": …, "type": …, "code": STATUS}}`, the shape that OpenAI's
clients read. docs/web.md shows requests and answers.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from recipe.errors import UserError, did_you_mean, notice, printable
from recipe.language import speaking
from recipe.settings import GenerationSettings
from recipe.web.batching import Batcher, BusyError
from recipe.web.requests import (
    ACROSTIC,
    BEGINNING,
    THEME,
    RefusedError,
    Wish,
    checked_given,
    checked_line,
    checked_wish,
)

if TYPE_CHECKING:  # it imports torch
    from recipe.generating.generator import Answer

MOST_BYTES = 64 * 1024  # of a request's body
MOST_PROMPTS = 64  # of one request to /v1/completions
SECONDS_TO_WAIT = 120  # for an answer, the queue included

# Parameters of OpenAI's interfaces by what becomes of them here. These mean what they mean there, or, in the case of
# the recipe's own names, what `recipe.settings.DecodingSettings` says;
_HONOURED = {"n", "best_of", "temperature", "top_p", "seed"}
_OURS = {"top_k", "tones", "tone_strength", "banned_words", "num_beams", "do_sample"}
# these say nothing about a couplet: the form decides where a line ends;
_WITHOUT_EFFECT = {"model", "user", "max_tokens", "max_completion_tokens", "stop", "stream", "stream_options"}
_WITHOUT_EFFECT |= {"metadata", "store", "service_tier"}
# and these would, and cannot be carried out: they may only be sent with the value that changes nothing.
_NEUTRAL: dict[str, list[Any]] = {
    "presence_penalty": [0],
    "frequency_penalty": [0],
    "logit_bias": [{}],
    "logprobs": [False, 0],
    "top_logprobs": [0],
    "echo": [False],
    "suffix": [""],
    "tools": [[]],
    "tool_choice": ["none", "auto"],
    "response_format": [{"type": "text"}],
}


class HttpError(Exception):
    """An answer that is an error: status, type, message."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


Handler = Callable[[Request], Awaitable[Response]]


class Interface:
    """The interfaces over models, each behind its own batcher.

    Attributes:
        batchers: by the name that requests use; a request without one asks the first.
    """

    def __init__(self, batchers: Mapping[str, Batcher]) -> None:
        self.batchers = dict(batchers)
        self._started = int(time.time())

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, handler in {
            "/api/couplet": self.couplet,
            "/v1/completions": self.completions,
            "/v1/chat/completions": self.chat_completions,
        }.items():
            app.add_route(path, answered(handler, "POST"), methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        app.add_route("/v1/models", answered(self.models, "GET"), methods=["GET", "POST"])

    async def couplet(self, request: Request) -> Response:
        """`{"upper": …, "n": …, "tones": …}` to the answers and what speaks for each; or whole couplets."""
        body = await json_body(request)
        name, batcher = self._batcher(body.pop("model", None))
        if asked := [way for way in (ACROSTIC, THEME, BEGINNING) if way in body]:
            return await self._composed(asked, name, batcher, body, request)
        if "line_length" in body:
            raise HttpError(400, "line_length is for whole couplets: give acrostic, theme or compose")
        text_format = batcher.couplets.ready.text_format
        upper = checked_line(_text(body.pop("upper", None), "upper"), text_format)
        answers = await _answer(batcher, [upper], checked_wish(body), request)
        listed = [described(answer, text_format.violations(upper, answer.text)) for answer in answers[0]]
        return JSONResponse({"upper": upper, "model": name, "answers": listed})

    async def _composed(
        self, asked: Sequence[str], name: str, batcher: Batcher, body: dict[str, Any], request: Request
    ) -> Response:
        """`{"acrostic": …, "n": …}`, or `theme`, or `compose`: to whole couplets around the characters."""
        if len(named := [*(["upper"] if "upper" in body else []), *asked]) > 1:
            raise HttpError(400, f"{' and '.join(named)} exclude each other: give one of them")
        kind, ready = asked[0], batcher.couplets.ready
        line_length = body.pop("line_length", GenerationSettings.line_length)
        given = checked_given(_text(body.pop(kind), kind), kind, line_length, ready.tokenizer)
        wish = checked_wish(body)
        found = (await _answer(batcher, [given], wish, request, (kind, line_length)))[0]
        rules = ready.text_format.violations
        listed = [{"upper": one.prompt, **described(one, rules(one.prompt, one.text))} for one in found]
        return JSONResponse({kind: given, "model": name, "couplets": listed})

    async def completions(self, request: Request) -> Response:
        """OpenAI's completions: `prompt` is an upper line, or several; each is completed by its lower line."""
        body = await json_body(request)
        name, batcher = self._batcher(body.get("model"))
        prompt = body.pop("prompt", None)
        prompts = prompt if isinstance(prompt, list) else [prompt]
        if not 1 <= len(prompts) <= MOST_PROMPTS:
            raise HttpError(400, f"prompt takes 1 to {MOST_PROMPTS} upper lines; found {len(prompts)}")
        text_format = batcher.couplets.ready.text_format
        uppers = [checked_line(_text(line, "prompt"), text_format) for line in prompts]
        answers = await _answer(batcher, uppers, _openai_wish(body), request)
        texts = [answer.text for found in answers for answer in found]
        choices = [{"text": text, "index": index, "logprobs": None} for index, text in enumerate(texts)]
        return self._completed("text_completion", "cmpl", name, choices, uppers, texts, bool(body.get("stream")))

    async def chat_completions(self, request: Request) -> Response:
        """OpenAI's chat: the last message of the user is an upper line, the assistant's is its lower line."""
        body = await json_body(request)
        name, batcher = self._batcher(body.get("model"))
        upper = checked_line(_last_user_text(body.pop("messages", None)), batcher.couplets.ready.text_format)
        answers = await _answer(batcher, [upper], _openai_wish(body), request)
        texts = [answer.text for answer in answers[0]]
        is_streamed = bool(body.get("stream"))
        said = "delta" if is_streamed else "message"
        choices = [
            {"index": index, said: {"role": "assistant", "content": text}, "logprobs": None}
            for index, text in enumerate(texts)
        ]
        kind = "chat.completion.chunk" if is_streamed else "chat.completion"
        return self._completed(kind, "chatcmpl", name, choices, [upper], texts, is_streamed)

    async def models(self, request: Request) -> Response:
        """OpenAI's list of models."""
        listed = [
            {"id": name, "object": "model", "created": self._started, "owned_by": "couplet-recipe"}
            for name in self.batchers
        ]
        return JSONResponse({"object": "list", "data": listed})

    def _batcher(self, name: Any) -> tuple[str, Batcher]:
        if name is None:
            return next(iter(self.batchers.items()))
        if not isinstance(name, str) or name not in self.batchers:
            raise HttpError(404, f"no model {str(name)[:80]!r} is served; there is {', '.join(self.batchers)}")
        return name, self.batchers[name]

    def _completed(
        self,
        kind: str,
        prefix: str,
        model: str,
        choices: list[dict[str, Any]],
        uppers: Sequence[str],
        texts: Sequence[str],
        is_streamed: bool,
    ) -> Response:
        """Return choices in OpenAI's frame: whole, or as a stream of one event, since lines are decoded together."""
        # One character is one token, and every line has an end token.
        given, written = sum(map(len, uppers)) + 2 * len(uppers), sum(map(len, texts)) + len(texts)
        frame = {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
            "choices": [choice | {"finish_reason": "stop"} for choice in choices],
            "usage": {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written},
        }
        if not is_streamed:
            return JSONResponse(frame)
        events = [f"data: {json.dumps(frame, ensure_ascii=False)}\n\n", "data: [DONE]\n\n"]
        return StreamingResponse(iter(events), media_type="text/event-stream")


def served_names(models: Sequence[str]) -> list[str]:
    """Return the names that models are served by: those of their directories, which say nothing of the machine."""
    names = [PurePath(model).name for model in models]
    return names if len(set(names)) == len(names) else [f"{name}-{place}" for place, name in enumerate(names, 1)]


def described(answer: Answer, violations: Sequence[str]) -> dict[str, Any]:
    """Return an answer as JSON holds it, what is measured rounded to four places."""
    measured = {name: getattr(answer, name) for name in ("log_probability", "tones", "parallelism")}
    rounded = {name: None if value is None else round(value, 4) for name, value in measured.items()}
    return {"lower": answer.text, **rounded, "violations": list(violations)}


def answered(handler: Handler, method: str) -> Handler:
    """Return a handler whose every failure is an answer in JSON."""

    @wraps(handler)
    async def guarded(request: Request) -> Response:
        try:
            with speaking("en"):  # a program reads it, wherever the server stands
                if request.method != method:
                    raise HttpError(405, f"{request.url.path} takes {method}; found {request.method}")
                return await handler(request)
        except HttpError as error:
            return _error(error.status, str(error), error.kind)
        except RefusedError as error:
            return _error(400, str(error))
        except UserError as error:
            return _error(400, "; ".join(error.problems))
        except BusyError:
            return _error(429, str(RefusedError("busy")), "rate_limit_error", {"Retry-After": "5"})
        except TimeoutError:
            return _error(503, f"no answer within {SECONDS_TO_WAIT} seconds; try again later", "server_error")
        except Exception as error:  # a defect of ours: the client hears that it is one, the log what it is
            notice(f"{request.url.path}: {type(error).__name__}: {error}")
            return _error(500, "an error of the server; its log says which", "server_error")

    return guarded


def _error(
    status: int, message: str, kind: str = "invalid_request_error", headers: dict[str, str] | None = None
) -> JSONResponse:
    # Messages quote what was sent, which may hold halves of characters that UTF-8 has no form for.
    return JSONResponse({"error": {"message": printable(message), "type": kind, "code": status}}, status, headers)


async def json_body(request: Request) -> dict[str, Any]:
    """Return the object that a request's body holds, read no further than is allowed."""
    # Another site's page may send a visitor's browser here, but not with this type without asking first (CORS).
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HttpError(415, "send JSON, with the header Content-Type: application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HttpError(413, f"a request takes at most {MOST_BYTES:,} bytes")
    try:
        # NaN and Infinity are Python's additions, and no JSON.
        parsed = json.loads(body, parse_constant=lambda name: _refuse(f"{name} is no JSON"))
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is no JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise HttpError(400, f"the body must be a JSON object; found {type(parsed).__name__}")
    return parsed


def _refuse(message: str) -> None:
    raise ValueError(message)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise HttpError(400, f"{name} takes a text, an upper line; found {str(value)[:40]}")
    return value


def _last_user_text(messages: Any) -> str:
    """Return what the user said last; of a message in parts, its texts."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise HttpError(400, "messages takes a list of {role, content}")
    said = [message.get("content") for message in messages if message.get("role") == "user"]
    if not said:
        raise HttpError(400, "messages holds none of the user; the last one is answered")
    if isinstance(said[-1], list):
        return "".join(str(part.get("text", "")) for part in said[-1] if isinstance(part, dict))
    return _text(said[-1], "content")


def _openai_wish(body: Mapping[str, Any]) -> Wish:
    """Return what the parameters of OpenAI's interfaces ask for; a temperature of 0 takes the likeliest characters."""
    options = {name: value for name, value in body.items() if name not in _WITHOUT_EFFECT and value is not None}
    for name in [name for name in options if name in _NEUTRAL]:
        if options.pop(name) not in _NEUTRAL[name]:
            raise HttpError(400, f"{name} is not supported; leave it out")
    known = _HONOURED | _OURS
    if unknown := [name for name in options if name not in known]:
        raise UserError([f"unknown parameter {name[:80]}{did_you_mean(name, known)}" for name in unknown])
    if options.get("temperature") == 0:
        options = {**options, "do_sample": False}
        del options["temperature"]
    return checked_wish(options)


async def _answer(
    batcher: Batcher,
    uppers: Sequence[str],
    wish: Wish,
    request: Request,
    around: tuple[str, int] | None = None,
) -> list[list[Answer]]:
    """Queue lines and wait for their answers; all of them or an error."""
    visitor = request.client.host if request.client else ""
    futures = []
    try:
        for upper in uppers:
            futures.append(batcher.submit(upper, wish.settings, wish.banned_words, wish.seed, visitor, around))
        waiting = asyncio.gather(*map(asyncio.wrap_future, futures))
        return await asyncio.wait_for(waiting, SECONDS_TO_WAIT)
    finally:
        for future in futures:
            future.cancel()  # of those that nobody waits for any longer; what is done stays done
