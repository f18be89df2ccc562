"""Notebooks of some months, and what is asked about them."""

import random
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from accounting.lookup.sums.question import By, Question
from accounting.model.pods import Account, Reading, Resources
from accounting.model.time import Month, Window
from accounting.records import builder
from accounting.store import parts
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger, Progress, Step
from tests.delivery.books import NOVEMBER, RULES, SITE, account

DAY = 86400

FIRST, LAST = Month(2026, 10), Month(2026, 12)
READ = frozenset({Right.READ})
VIEWERS = (
    Viewer("admin", frozenset(Right), is_admin=True),
    Viewer("mia", READ, vos=frozenset({"vo0", "vo2"}), user="user-1"),
    Viewer("ada", READ, user="user-2"),
)
QUESTIONS = [
    Question((), FIRST, LAST),
    Question((By.VO,), FIRST, LAST),
    Question((By.USER, By.IMAGE), FIRST, LAST, vo="vo1"),
    Question((By.MONTH, By.FLAVOR), FIRST, LAST),
    Question((By.DAY, By.VO), FIRST, LAST),
    Question((By.DAY, By.IMAGE), NOVEMBER, NOVEMBER),
    Question((By.FLAVOR,), NOVEMBER, NOVEMBER, contains=((By.USER, "R-1"),)),
    Question((By.VO,), FIRST, LAST, user="user-3"),
    Question((By.VO,), FIRST, LAST, days=(FIRST.start // DAY + 9, LAST.start // DAY + 3)),
    Question((By.USER,), NOVEMBER, NOVEMBER, days=(NOVEMBER.start // DAY + 3,) * 2),
    Question((By.DAY,), NOVEMBER, LAST, days=(NOVEMBER.start // DAY + 20, LAST.start // DAY + 3)),
    Question((By.IMAGE,), NOVEMBER, NOVEMBER, days=(NOVEMBER.start // DAY + 3,) * 2),
    Question((By.MONTH, By.IMAGE), FIRST, LAST, counts=False),
    Question((By.IMAGE, By.FLAVOR), FIRST, LAST, contains=((By.IMAGE, "E:1"),)),
    Question((By.DAY,), FIRST, LAST, days=(FIRST.start // DAY + 9,) * 2, counts=False),
    Question((By.DAY, By.USER), FIRST, LAST, among=((By.USER, ("user-1", "user-3")),)),
    Question((By.VO,), FIRST, LAST, days=(FIRST.start // DAY + 9, LAST.start // DAY), counts=False),
]
BY_VO = [
    Question((By.MONTH, By.VO), FIRST, LAST),
    Question((By.VO,), NOVEMBER, NOVEMBER),
    Question((By.VO,), NOVEMBER, NOVEMBER, vo="vo1"),
    Question((By.VO, By.DAY, By.MONTH), FIRST, LAST, contains=((By.VO, "O1"),)),
    Question((By.DAY, By.VO), NOVEMBER, LAST, among=((By.VO, ("vo0", "vo2")),)),
    Question((By.DAY, By.VO), NOVEMBER, NOVEMBER, days=(NOVEMBER.start // DAY + 3,) * 2),
    Question((By.DAY,), FIRST, LAST, counts=False),
    Question((By.VO,), FIRST, LAST, counts=False),
    Question((), FIRST, LAST, days=(FIRST.start // DAY + 9, LAST.start // DAY + 3), counts=False),
]
"""What totals come to by VO is enough for these."""

QUESTIONS += BY_VO
SOME = [*QUESTIONS[::5], *BY_VO[:2]]


def page(seed: int, number: int, more: int = 0) -> Account:
    """A notebook of some hours or weeks, which may go on, and may have run longer than known."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311 - the same in every run
    page = account(number, user=f"user-{chance.randrange(4)}", group=f"vo{chance.randrange(3)}")
    start = chance.randrange(FIRST.start, LAST.start)
    seconds = chance.choice((1, 600, 40_000, 90_000, 20 * DAY)) + more
    pod = page.pod
    pod.started_at = pod.created_at = float(start)
    pod.first_running_at = start + 1.0
    pod.last_running_at = pod.last_listed_at = float(start + seconds)
    pod.ended = chance.random() < 0.8 or more > 0
    pod.image = f"image:{chance.randrange(2)}"
    pod.owner = replace(pod.owner, flavor=chance.choice(("small", "large")))
    if chance.random() < 0.2:
        pod.resizes = ((start + seconds / 2, Resources(cpu_request=0.3)),)
    until = Month.of(start + seconds)
    page.readings.clear()
    for month in Month.of(start).until(until):
        at = min(month.last_second, start + seconds)
        if chance.random() < 0.8:
            page.readings[month] = Reading(at, (at - start) * 0.7, None, None)
    return page


def commit(database: Database, pages: list[Account], rules: Any = RULES) -> None:
    ledger = Ledger(database)
    before = ledger.progress()
    start = before.watermark if before else FIRST.start
    revision = before.revision if before else 0
    ledger.commit(
        Step(
            window=Window(start, start + 300),
            before=before,
            after=Progress(start + 300, start + 300.0, 60.0, revision),
            accounts=pages,
            records=[r for page in pages for r in builder.records(page, SITE, rules)],
            gaps=[],
            spoke=True,
            rejected=0,
        )
    )


def rounded(row: Any) -> Any:
    return structs.replace(
        row,
        **{name: pytest.approx(getattr(row, name), abs=0.01) for name in parts.INTEGRALS},
    )


def of_a_day(number: int, user: str, flavor: str, *, ended: bool) -> Account:
    page = account(number, user=user, group="vo0")
    pod, start = page.pod, float(NOVEMBER.start + 4 * DAY)
    pod.started_at = pod.created_at = pod.first_running_at = start
    pod.last_running_at = pod.last_listed_at = start + 600
    pod.ended = ended
    pod.owner = replace(pod.owner, flavor=flavor)
    return page
