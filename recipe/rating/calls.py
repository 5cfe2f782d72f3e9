"""The settings of calls to served models, as the client takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recipe.files import unwritable
from recipe.language import _
from recipe.rating.chat import Chat, Endpoint, Request
from recipe.settings import ServedSettings

_MOST_AT_ONCE = 64  # threads for one model


def call_problems(settings: ServedSettings, is_called: bool) -> list[str]:
    """Return what is wrong with how servers are to be called, if any is."""
    problems = []
    default = ServedSettings()
    changed = any(getattr(settings, name) != getattr(default, name) for name in vars(default) if name[:4] == "call")
    if changed and not is_called:
        problems.append(
            _("settings of calls have no effect without --judge_endpoint URL or --endpoint URL; leave them out")
        )
    if not 1 <= settings.call_concurrency <= _MOST_AT_ONCE:
        problems.append(
            _("--call_concurrency {value}: must be 1 to {most}").format(
                value=settings.call_concurrency, most=_MOST_AT_ONCE
            )
        )
    if is_called and (reason := unwritable(settings.call_cache_dir)):
        problems.append(
            _("--call_cache_dir {call_cache_dir}: {reason}; name another").format(
                call_cache_dir=settings.call_cache_dir, reason=reason
            )
        )
    for name in ("call_timeout", "calls_per_minute"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < math.inf:
            problems.append(_("--{name} {value}: must be above 0").format(name=name, value=value))
    return problems


def price_problems(setting: str, prices: Sequence[float]) -> list[str]:
    """Return what is wrong with the prices of a setting: none, or those of a million tokens in and out."""
    if prices and (len(prices) != 2 or not all(0 <= price < 1e6 for price in prices)):
        return [
            _("{setting} takes two prices of a million tokens, in and out, such as {setting} 2 8").format(
                setting=setting
            )
        ]
    return []


def price_of(prices: Sequence[float]) -> tuple[float, float] | None:
    """Return the prices of a million tokens in and out, or None where none are given."""
    return (prices[0], prices[1]) if prices else None


def chat_with(settings: ServedSettings, url: str, model: str, key_variable: str, limit: int | None = None) -> Chat:
    """Return a model at a server, called as the settings say; at most `limit` calls are paid.

    Raises:
        UserError: an address that is none, or the client is not installed.
    """
    endpoint = Endpoint(
        url,
        model,
        key_variable,
        settings.call_concurrency,
        settings.calls_per_minute,
        timeout=settings.call_timeout,
    )
    return Chat(endpoint, settings.call_cache_dir, limit)


def announce(chat: Chat, requests: Sequence[Request], price: tuple[float, float] | None) -> int:
    """Say what requests will cost before they are made, once the first one has told the time.

    Returns:
        How many calls were paid for that: 1, or 0 where the time was known. The answer is in the cache.

    Raises:
        UserError: as `Chat.ask_all`.
    """
    print(chat.estimate(requests).sentence(chat.name, price), flush=True)
    if not requests or chat.estimate(requests).seconds is not None:
        return 0
    paid = chat.ask_all(requests[:1], chat.name).paid
    print(chat.estimate(requests).sentence(chat.name, price), flush=True)
    return paid
