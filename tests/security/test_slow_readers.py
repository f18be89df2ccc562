"""Nobody waits for those who read slowly."""

import time
from contextlib import ExitStack

import pytest

from accounting.api.exports import MOST_OF_ONE
from accounting.guard import connections, gate
from accounting.model.jobs import JobKind
from accounting.service.runs import Run
from accounting.store.engine.access import Right, Viewer
from tests.api.serving import ADMIN, SCRAPER, Running, Serve
from tests.delivery.books import account, write
from tests.security.clients import connected

PODS = 20_000
AS_ADMIN = f"Authorization: Bearer {ADMIN}\r\n\r\n".encode()
CSV = b"GET /api/v1/records?format=csv HTTP/1.1\r\nHost: x\r\n" + AS_ADMIN


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    found = serve_all()
    write(found.service.database, [account(n, group=f"vo{n % 3}") for n in range(PODS)])
    return found


def test_slow_downloads_hold_neither_the_database_nor_anybody_up(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None is cut off for standing still while a busy machine is at the rest of the test.
    monkeypatch.setattr(connections, "READ_SECONDS", 3600.0)
    with ExitStack() as stack:
        readers = []
        for _ in range(40):
            reader = stack.enter_context(connected(running.url))
            reader.sendall(CSV)
            readers.append(reader)
        said = [reader.recv(12) for reader in readers]
        assert said.count(b"HTTP/1.1 200") == MOST_OF_ONE
        assert said.count(b"HTTP/1.1 429") == 40 - MOST_OF_ONE
        for path in ("/api/v1/records", "/api/v1/summaries", "/", "/readyz", "/metrics"):
            assert running.get(path).status_code in {200, 503}
        running.service.jobs.push()
        with running.service.database.begin() as connection:
            assert not connection.closed
        # Nothing of this has waited for a download to end.
        assert running.service.exports._of.total() == MOST_OF_ONE
        pool = running.service.database.engine.pool
        assert pool.checkedout() == 0  # type: ignore[attr-defined] # of a queue pool
    deadline = time.monotonic() + 30
    while running.service.exports._of:  # until the service has seen that all are gone
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert running.get("/api/v1/records?format=csv&vo=vo0").status_code == 200


def test_one_who_asks_much_at_once_keeps_nobody_else_waiting(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for a run that does not end, and so takes a thread.

    What an earlier test asked for may still be under way, take some of the places, and then leave
    them: so more is asked until all places are taken by what waits.
    """
    run = Run("0123456789ab", JobKind.POLL, begun_at=0.0)
    monkeypatch.setattr(running.service.runs, "find", lambda _: run)
    asked = b"GET /api/v1/runs/0123456789ab?wait=25 HTTP/1.1\r\nHost: x\r\n" + AS_ADMIN
    with ExitStack() as stack:
        deadline = time.monotonic() + 40
        while (answer := running.get("/api/v1/status")).status_code != 429:
            assert time.monotonic() < deadline
            for _ in range(gate.MOST_OF_ONE):
                stack.enter_context(connected(running.url)).sendall(asked)
        assert answer.json()["detail"] == f"{gate.MOST_OF_ONE} of your requests are under way"
        assert running.get("/metrics", SCRAPER).status_code == 200
        assert running.get("/healthz", None).status_code == 200
        assert running.get("/api/v1/status").status_code == 429, "what waits has ended"
        run.ended.set()
    while running.get("/api/v1/status").status_code == 429:
        assert time.monotonic() < deadline


def test_an_export_is_whole_and_each_record_is_in_it_once(running: Running) -> None:
    for kind in ("csv", "apel"):
        text = running.get(f"/api/v1/records?format={kind}").text
        uids = [line for line in text.splitlines() if account(0).pod.uid[:8] in line]
        assert len(uids) == len(set(uids)) == PODS


def test_exports_of_others_go_on_beside_those_of_one(running: Running) -> None:
    exports = running.service.exports
    greedy, other = (Viewer(name, frozenset({Right.READ})) for name in ("mia", "ada"))
    answers = [exports.begin(greedy, iter([b"x"]), "text/csv", "a") for _ in range(MOST_OF_ONE)]
    assert len(answers) == MOST_OF_ONE
    with pytest.raises(Exception, match="other exports of yours are under way"):
        exports.begin(greedy, iter([b"x"]), "text/csv", "a")
    answers.append(exports.begin(other, iter([b"x"]), "text/csv", "a"))
    answers.clear()  # as if the service had given them up before they began
    assert not exports._of
    assert exports._weight == 0
