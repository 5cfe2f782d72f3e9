"""The settings of calls to served models, as the client takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recipe.rating.chat import Chat, Endpoint
from recipe.settings import ServedSettings

_MOST_AT_ONCE = 64  # threads for one model


def call_problems(settings: ServedSettings, is_called: bool) -> list[str]:
    """Return what is wrong with how servers are to be called, if any is."""
    problems = []
    default = ServedSettings()
    changed = any(getattr(settings, name) != getattr(default, name) for name in vars(default) if name[:4] == "call")
    if changed and not is_called:
        problems.append("settings of calls say nothing without --judge_endpoint URL or --endpoint URL; leave them out")
    if not 1 <= settings.call_concurrency <= _MOST_AT_ONCE:
        problems.append(f"--call_concurrency {settings.call_concurrency}: must be 1 to {_MOST_AT_ONCE}")
    for name in ("call_timeout", "calls_per_minute"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < math.inf:
            problems.append(f"--{name} {value}: must be above 0")
    return problems


def price_problems(setting: str, prices: Sequence[float]) -> list[str]:
    """Return what is wrong with the prices of a setting: none, or those of a million tokens in and out."""
    if prices and (len(prices) != 2 or not all(0 <= price < 1e6 for price in prices)):
        return [f"{setting} takes two prices of a million tokens, in and out, such as {setting} 2 8"]
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
