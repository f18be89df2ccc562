"""Reconciliation: what was delivered, beside what a stand-in of the portal shows."""

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from accounting.config import Settings
from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.summaries import Summaries
from accounting.delivery.reconciler import Policy, Reconciler
from accounting.model.jobs import Ending
from accounting.model.messages import OutletKind, address
from accounting.model.reconciliation import Cause, Reconciliation, Unit
from accounting.model.time import Month
from accounting.records.formats import portal as data
from accounting.service.jobs import Jobs
from accounting.service.loops import ReconcileLoop
from accounting.simulation.judges.portal import Portal
from accounting.simulation.judges.repository import Repository
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user
from accounting.store.reconciliations import Reconciliations
from tests.delivery.books import NOVEMBER, SITE, Inbox, account, measured_whole, ran_on, write

DECEMBER = NOVEMBER.next
DAY = 86400.0
AT = NOVEMBER.end + 10 * DAY
"""When the portal is read; deliveries are of ``SENT``."""
SENT = NOVEMBER.end + DAY
_moments = itertools.count(int(AT))
_much_later = itertools.count(4_000_000_000)
ONE = pusher.Policy(records_per_message=2, settle_seconds=0, at_once=True)


def push(ledger: Database, inbox: Inbox, at: float = SENT) -> None:
    pusher.Pusher(Outbox(ledger), inbox, ONE, now=lambda: at).push()


def shown(*bodies: str) -> Portal:
    repository = Repository()
    repository.load_all(bodies)
    return Portal(repository)


def reconcile(
    ledger: Database, content: bytes, month: Month = NOVEMBER, kind: OutletKind = OutletKind.RECORDS
) -> Reconciliation:
    name = address("inbox://example.org", kind)
    reconciler = Reconciler(ledger, name, kind, SITE.name, Policy())
    answer = data.read(content, reconciler.wanted(month))
    return reconciler.reconcile(month, answer, "portal.json", AT, next(_moments))


def causes(made: Reconciliation) -> dict[str, Cause]:
    return {line.vo: line.cause for line in made.lines}


def test_what_arrived_agrees_by_vo_in_both_months_that_a_pod_lives_in(ledger: Database) -> None:
    pages = [account(1), account(2, group="other.example.org"), account(3)]
    write(ledger, pages)
    left = NOVEMBER.last_second - pages[0].readings[NOVEMBER].at
    for seconds in (left, 7200):
        ran_on(pages[0], seconds)
    write(ledger, pages)
    inbox = Inbox()
    push(ledger, inbox)
    portal = shown(*inbox.bodies)
    portal.others = [{"time": "2026-11-01", "infrastructure": "Cloud", "site": "X", "vo": "y"}]
    for content in (portal.json(), portal.csv()):
        november, december = (reconcile(ledger, content, month) for month in (NOVEMBER, DECEMBER))
        both = ["other.example.org", "vo.example.org"]
        assert causes(november) == dict.fromkeys(both, Cause.NONE)
        assert causes(december) == {"vo.example.org": Cause.NONE}
        assert december.lines[0].delivered.wall_seconds == 7200
        assert november.unit is Unit.HOURS
    assert len(Reconciliations(ledger).kept()) == 4
    assert len(Reconciliations(ledger).latest()) == 2
    assert Reconciliations(ledger).kept(DECEMBER)[0] == december


def test_a_message_that_was_refused_after_delivery_is_named(ledger: Database) -> None:
    pages = [ran_on(account(n), 600 * n) for n in range(1, 6)]
    write(ledger, pages)
    inbox = Inbox()
    push(ledger, inbox)
    assert len(inbox.bodies) == 3
    made = reconcile(ledger, shown(inbox.bodies[0], inbox.bodies[2]).json())
    (line,) = made.differing
    assert (line.cause, line.messages) == (Cause.REFUSED, (2,))


def test_what_was_delivered_a_day_ago_is_late_and_what_others_send_is_theirs(
    ledger: Database,
) -> None:
    write(ledger, [account(1), account(2, group="other.example.org")])
    inbox = Inbox()
    push(ledger, inbox, AT - DAY)
    portal = shown()
    portal.others = [
        {
            "time": "2026-11-01T00:00:00Z",
            "infrastructure": "Cloud",
            "site": SITE.name,
            "vo": "third.example.org",
            "raw_wc_time": 5,
        }
    ]
    assert causes(reconcile(ledger, portal.json())) == {
        "vo.example.org": Cause.LATE,
        "other.example.org": Cause.LATE,
        "third.example.org": Cause.ANOTHER_SENDER,
    }


def test_the_unit_of_a_month_that_agreed_holds_for_later_ones(ledger: Database) -> None:
    page = account(1)
    write(ledger, [page])
    inbox = Inbox()
    push(ledger, inbox)
    assert reconcile(ledger, shown(*inbox.bodies).json()).unit is Unit.HOURS
    portal = shown(*inbox.bodies)
    portal.unit_seconds = 1
    later = reconcile(ledger, portal.json())
    assert (later.unit, causes(later)) == (Unit.HOURS, {"vo.example.org": Cause.UNITS})


def test_erased_users_stay_in_the_sums_of_records(ledger: Database) -> None:
    write(ledger, [ran_on(account(1, user="alice@example.org"), 60, ended=True), account(2)])
    inbox = Inbox()
    push(ledger, inbox)
    portal = shown(*inbox.bodies)
    erase_user(ledger, "alice@example.org")
    assert causes(reconcile(ledger, portal.json())) == {"vo.example.org": Cause.NONE}


def test_summaries_are_compared_too_and_what_is_forgotten_is_said(ledger: Database) -> None:
    measured_whole(ledger)
    write(ledger, [ran_on(account(1, user="alice@example.org"), 60, ended=True), account(2)])
    inbox, records = Inbox(), Inbox("inbox://example.org/records")
    pusher.Pusher(Outbox(ledger, Summaries()), inbox, ONE, now=lambda: SENT).push()
    push(ledger, records)
    portal = shown(*records.bodies)
    made = reconcile(ledger, portal.json(), kind=OutletKind.SUMMARIES)
    assert (causes(made), made.lines[0].delivered.jobs) == ({"vo.example.org": Cause.NONE}, 2)
    erase_user(ledger, "alice@example.org")
    made = reconcile(ledger, portal.json(), kind=OutletKind.SUMMARIES)
    assert causes(made) == {"vo.example.org": Cause.FORGOTTEN}


@contextmanager
def serving(content: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/json"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def jobs(ledger: Database, folder: Path, **portal: object) -> Jobs:
    given = {"transport": "dirq", "dirq_path": folder / "spool"}
    settings = Settings.model_validate({"site_name": SITE.name, "ssm": given, "portal": portal})
    return Jobs(settings, ledger, logs_failures=False, clock=lambda: next(_much_later))


def test_the_job_reads_the_network_or_a_file_and_the_loop_the_last_two_months(
    ledger: Database, tmp_path: Path
) -> None:
    write(ledger, [account(1)])
    jobs(ledger, tmp_path).push()
    portal = shown()
    with serving(portal.json()) as url:
        worker = jobs(ledger, tmp_path, url=f"{url}?key=secret")
        done = worker.reconcile(NOVEMBER)
        assert (done.ending, done.exit_code) == (Ending.INCOMPLETE, 3)
        assert done.result is not None
        (line,) = done.result["lines"]
        assert (line["cause"], line["messages"]) == (Cause.REFUSED, (1,))
        assert "secret" not in str(done.result)
        loop = ReconcileLoop(worker, interval_seconds=1, clock=lambda: AT)
        assert [one.ending for one in loop.reconcile_once()] == [Ending.DONE, Ending.INCOMPLETE]
    file = tmp_path / "portal.csv"
    file.write_bytes(portal.csv())
    os.utime(file, (AT, AT))
    done = worker.reconcile(NOVEMBER, file=file)
    assert (done.ending, (done.result or {})["source"]) == (Ending.INCOMPLETE, "portal.csv")
    gone = worker.reconcile(NOVEMBER, file=tmp_path / "gone")
    assert (gone.exit_code, "--file" in str(gone.error)) == (2, True)


@pytest.mark.parametrize(
    ("status", "content", "more", "said"),
    [
        (503, b"", {}, "answers with 503"),
        (200, b"x" * 1000, {"most_bytes": 999}, "more than 999 bytes"),
        (200, b"<html>", {}, "no column"),
    ],
)
def test_a_portal_that_fails_is_said_and_nothing_is_kept(
    ledger: Database,
    tmp_path: Path,
    *,
    status: int,
    content: bytes,
    more: dict[str, int],
    said: str,
) -> None:
    with serving(content, status) as url:
        done = jobs(ledger, tmp_path, url=url, **more).reconcile(NOVEMBER)
    assert (done.ending, said in str(done.error)) == (Ending.UNAVAILABLE, True)
    unreachable = jobs(ledger, tmp_path, url=url).reconcile(NOVEMBER)
    assert "does not answer" in str(unreachable.error)
    assert Reconciliations(ledger).kept() == []
