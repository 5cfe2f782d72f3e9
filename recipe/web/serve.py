"""The job of `run_demo.py`: models loaded, page and interfaces put together, served until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

# Before Gradio is imported, which reads them then: it counts its users and looks for new versions over the network.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.responses import RedirectResponse

from recipe.cli import Settings
from recipe.errors import UserError
from recipe.facade import Couplets
from recipe.formats.couplet import Couplet
from recipe.language import _
from recipe.rating.desk import Desk
from recipe.settings import DemoSettings, DeviceSettings
from recipe.web.api import Interface, served_names
from recipe.web.batching import Batcher
from recipe.web.page import PATHS, make_page, script, style, theme
from recipe.web.rating import RatingPage


def serve(settings: Settings) -> int:
    """Serve until Ctrl-C and return the exit code.

    Raises:
        UserError: a port that cannot be had, or models and files that cannot be used.
    """
    demo = settings[DemoSettings]
    desk = None if demo.rating_sheet is None else Desk(demo.rating_sheet)
    with closing(_listen(demo.host, demo.port)) as listening:
        couplets = _load(demo, settings[DeviceSettings])
        with _batchers(couplets, demo.max_waiting) as batchers:
            app = make_app(batchers, desk)
            print(_invitation(demo, listening), flush=True)
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
            server.run(sockets=[listening])
    return 0


def make_app(batchers: dict[str, Batcher], desk: Desk | None = None) -> FastAPI:
    """Return the application: the interfaces, the sheets of a desk, then a page in each language."""
    # FastAPI's own pages of documentation load scripts from elsewhere; docs/web.md documents the interfaces.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    Interface(batchers).add_to(app)
    if desk is not None:
        RatingPage(desk).add_to(app)
    # The longest path first: what is mounted at / answers everything.
    app.add_route("/en", lambda request: RedirectResponse(f"/en/?{request.url.query}"))
    for language, path in sorted(PATHS.items(), key=lambda item: -len(item[1])):
        app = gr.mount_gradio_app(
            app,
            make_page(batchers, language, has_sheets=desk is not None).queue(max_size=64),
            path=path.rstrip("/") or "/",
            footer_links=[],
            theme=theme(),
            css=style(),
            head=script(language),
            ssr_mode=False,
            pwa=False,
            show_error=False,
            enable_monitoring=False,
            run_history=False,
        )
    return app


def _load(demo: DemoSettings, device: DeviceSettings) -> list[Couplets]:
    """Load the models that answer: one, or two to compare."""
    names = [demo.model_name_or_path, *([demo.compare_with] if demo.compare_with else [])]
    loaded = []
    for name in names:
        couplets = Couplets(name, device=device.device, dtype=device.dtype, parallelism_file=demo.parallelism_file)
        if not isinstance(couplets.ready.text_format, Couplet):
            raise UserError(
                _("{name}: writes {format} texts; the page is for couplets").format(
                    name=name, format=couplets.ready.text_format.name
                )
            )
        print(couplets.ready, flush=True)
        loaded.append(couplets)
    return loaded


@contextmanager
def _batchers(couplets: list[Couplets], most_waiting: int) -> Iterator[dict[str, Batcher]]:
    """Start a thread for each model, under the name that it is served by; end them with the block."""
    names = served_names([each.ready.name for each in couplets])
    batchers = {name: Batcher(each, most_waiting) for name, each in zip(names, couplets, strict=True)}
    try:
        yield batchers
    finally:
        for batcher in batchers.values():
            batcher.close()


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded: that it is taken should not be heard a minute later."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            _("--host {host} --port {port}: cannot be listened on ({reason}); name another --port").format(
                host=host, port=port, reason=reason
            )
        ) from None


def _invitation(demo: DemoSettings, listening: socket.socket) -> str:
    """Say where the page is, and, where somebody asked for it, under which address the world reaches it."""
    port = listening.getsockname()[1]
    at_all = demo.host in ("0.0.0.0", "::")  # an address to listen on, not one to go to
    host = "localhost" if at_all or demo.host in ("127.0.0.1", "::1") else demo.host
    lines = [_("open {address} (Ctrl-C ends)").format(address=f"http://{host}:{port}")]
    if at_all:
        named = _("from other machines of the network, if it knows this one's name: {address}")
        lines.append(named.format(address=f"http://{socket.gethostname()}:{port}"))
    if demo.rating_sheet is not None:
        lines.append(_("ratings are stored in {directory}").format(directory=demo.rating_sheet))
    if demo.share:
        lines.append(_("shared with whoever has the address: {address}").format(address=_tunnel(port)))
    return "\n".join(lines)


def _tunnel(port: int) -> str:
    """Return the public address of Gradio's tunnel to a port of this machine."""
    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # of the network and of the program it downloads: all kinds
        raise UserError(
            _("--share: Gradio's tunnel cannot be opened ({error}); leave it off").format(error=str(error)[:200])
        ) from None
