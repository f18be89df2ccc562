"""A service with 25 notebooks of 4 users and 3 VOs; three run into December, five have ended."""

from collections.abc import Callable
from typing import Any

from accounting.model.pods import Account
from tests.api.serving import Running
from tests.delivery.books import NOVEMBER, START, account, ran_on, write

COUNT = 25
Fits = Callable[[dict[str, Any]], bool]


def filled(found: Running) -> Running:
    """The service, with the notebooks."""
    write(found.service.database, [notebook(number) for number in range(COUNT)])
    return found


def notebook(number: int) -> Account:
    """One of them."""
    page = account(number, user=f"user-{number % 4}@example.org", group=f"vo{number % 3}")
    page.pod.image = f"registry.example.org/notebook:{number % 2}"
    later = float(number % 7) * 3600
    page.pod.started_at = float(START) + later
    page.pod.first_running_at += later
    page = ran_on(page, later + number, ended=number % 5 == 0)
    if number % 7 == 6:
        page.pod.last_running_at = page.pod.last_listed_at = NOVEMBER.end + 1800.0 + number
    return page


def listed(running: Running, query: str = "", limit: int = 7) -> list[dict[str, Any]]:
    """All pages of a list, one after another."""
    found: list[dict[str, Any]] = []
    more = f"/api/v1/records?limit={limit}&{query}"
    while True:
        answer = running.get(more)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert len(body["records"]) <= limit
        found += body["records"]
        if body["next"] is None:
            return found
        more = f"/api/v1/records?limit={limit}&{query}&cursor={body['next']}"


WHOSE = [
    ("image=registry.example.org/notebook:1", lambda r: r["image"].endswith(":1")),
    ("image=notebook:1", lambda _: False),
    ("image_contains=BOOK:1", lambda r: r["image"].endswith(":1")),
    ("user_contains=R-1@Ex", lambda r: r["user"] == "user-1@example.org"),
    ("vo_contains=O2", lambda r: r["vo"] == "vo2"),
    ("vo_contains=_", lambda _: False),
    ("flavor_contains=MALL&user_contains=user-2", lambda r: r["user"] == "user-2@example.org"),
    ("flavor_contains=large", lambda _: False),
]
"""Filters that summaries have, too."""
