"""Blind sheets on the page: `/rate/`, and what its script asks, `POST /rate/begin` and `POST /rate/save`.

Nothing else of the directory of the sheets is served, the key least of all.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from recipe.language import LANGUAGES, _, speaking
from recipe.rating.desk import Desk, FullError, Seat, TakenError
from recipe.rating.sheet_files import served_page
from recipe.web.api import HttpError, answered, json_body

PATH = "/rate/"
_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'self'",  # the rest stands in the page
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class RatingPage:
    """The page of the sheets of a desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.pages = {language: served_page(desk.any_sheet, language) for language in LANGUAGES}

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_route(PATH.rstrip("/"), lambda request: RedirectResponse(f"{PATH}?{request.url.query}"))
        app.add_route(PATH, self.page, methods=["GET"])
        for name, handler in {"begin": self.begin, "save": self.save}.items():
            app.add_route(PATH + name, answered(handler, "POST"), methods=["GET", "POST", "PUT", "PATCH", "DELETE"])

    async def page(self, request: Request) -> Response:
        """The instructions; the questions come with a name."""
        language = request.query_params.get("language")
        return HTMLResponse(self.pages["en" if language == "en" else "zh"], headers=_HEADERS)

    async def begin(self, request: Request) -> Response:
        """`{"rater": …, "token": …}` to a sheet, its entries and what this rater said before."""
        seat = await self._asked(request, self._begin)
        entries = [entry._asdict() for entry in seat.sheet.entries]
        answer = {"rater": seat.name, "token": seat.token, "number": seat.sheet.number}
        return JSONResponse(answer | {"entries": entries, "answers": seat.answers}, headers=_HEADERS)

    async def save(self, request: Request) -> Response:
        """`{"rater": …, "token": …, "answers": […]}` to the number of ratings that were new."""
        return JSONResponse({"saved": await self._asked(request, self._save)}, headers=_HEADERS)

    def _begin(self, body: dict[str, Any]) -> Seat:
        return self.desk.begin(body.get("rater", ""), _token(body))

    def _save(self, body: dict[str, Any]) -> int:
        return self.desk.save(body.get("rater", ""), _token(body), body.get("answers", []))

    async def _asked(self, request: Request, desk: Any) -> Any:
        """Return what the desk says to the body of a request; its refusals in the visitor's language.

        The desk is asked in the loop that all requests share, and so by one of them at a time.
        """
        body = await json_body(request)
        with speaking("zh" if body.get("language") == "zh" else "en"):
            try:
                return desk(body)
            except TakenError as error:
                raise HttpError(409, error.problems[0]) from None
            except FullError as error:
                raise HttpError(429, error.problems[0], "rate_limit_error") from None
            except OSError as error:
                sentence = _("The server cannot keep it ({reason}); tell the one who runs it.")
                raise HttpError(507, sentence.format(reason=error.strerror), "server_error") from None


def _token(body: dict[str, Any]) -> str:
    token = body.get("token", "")
    return token if isinstance(token, str) else ""
