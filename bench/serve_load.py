"""What a page under load takes: many requests at once to a running `run_demo.py`, none lost, and how long they waited.

    python run_demo.py --port 7860 &
    python bench/serve_load.py --url http://localhost:7860 --requests 200

Prints the number of answers by status, and the 50th and 95th percentile and the maximum of the seconds that a client
waited, all clients having asked at the same moment.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import csv
import sys
import time
from pathlib import Path

import httpx

from recipe.couplet.form import form_violations

COUPLETS = Path(__file__).parents[1] / "recipe/data/handwritten.csv"


async def ask(client: httpx.AsyncClient, url: str, upper: str) -> tuple[int, float, bool]:
    """Return the status of an answer, the seconds it took, and whether its lower line keeps the form."""
    started = time.perf_counter()
    response = await client.post(f"{url}/api/couplet", json={"upper": upper})
    seconds = time.perf_counter() - started
    kept = response.status_code == 200 and not form_violations(upper, response.json()["answers"][0]["lower"])
    return response.status_code, seconds, kept


async def ask_all(url: str, uppers: list[str]) -> list[tuple[int, float, bool]]:
    limits = httpx.Limits(max_connections=len(uppers))
    async with httpx.AsyncClient(limits=limits, timeout=300, trust_env=False) as client:
        await ask(client, url, uppers[0])  # the first request makes the tables of the form
        return await asyncio.gather(*(ask(client, url, upper) for upper in uppers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:7860", help="where run_demo.py listens")
    parser.add_argument("--requests", type=int, default=200, help="requests at once")
    options = parser.parse_args()
    with COUPLETS.open(encoding="utf-8", newline="") as file:
        lines = [row["text1"].split("-")[0] for row in csv.DictReader(file)]
    uppers = [lines[place % len(lines)] for place in range(options.requests)]
    started = time.perf_counter()
    try:
        answers = asyncio.run(ask_all(options.url, uppers))
    except httpx.ConnectError:
        sys.exit(f"{options.url}: nothing listens there; start python run_demo.py first")
    total = time.perf_counter() - started
    waited = sorted(seconds for _, seconds, _ in answers)
    print(f"answers by status: {dict(collections.Counter(status for status, _, _ in answers))}")
    print(f"in the form: {sum(kept for _, _, kept in answers)} of {len(answers)}")
    p50, p95 = (waited[int(share * (len(waited) - 1))] for share in (0.5, 0.95))
    print(f"seconds: p50 {p50:.2f}, p95 {p95:.2f}, most {waited[-1]:.2f}; all {total:.2f}, the first one included")


if __name__ == "__main__":
    main()
