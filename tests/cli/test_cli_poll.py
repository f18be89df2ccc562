"""``poll``: what it finds, tells and forgets, and what stops it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from accounting.simulation.stores.engines import free_port
from tests.cli.site import HOURS, Cloud, Result, Site


def test_a_poll_with_a_gap_is_incomplete_and_finds_every_notebook(
    first_poll: tuple[Site, Result], cloud: Cloud
) -> None:
    _, result = first_poll
    assert result.code == 3
    report = json.loads(result.out)
    until = report["end"]
    ran = [pod for pod in cloud.cluster.counted_pods if pod.ran_by(until - 60)]
    assert abs(report["pods"] - len(ran)) <= 1
    assert len(report["gaps"]) == 1
    assert not report["complete"]


def test_a_poll_right_after_another_has_little_to_do(polled: Site) -> None:
    again = polled.run("poll", "--json")
    report = json.loads(again.out)
    assert report["end"] - report["start"] < 600
    assert report["gaps"] == []
    assert again.code == (0 if report["complete"] else 3)


def test_polling_again_from_the_start_changes_nothing(polled: Site) -> None:
    before = polled.run("records", "export", "--format", "json").out
    end = str(json.loads(polled.run("db", "status", "--json").out)["read_until"])
    start = datetime.fromtimestamp(int(end) - HOURS * 3600, UTC)
    again = polled.run("poll", "--since", f"{start:%Y-%m-%dT%H:%M:%SZ}", "--until", end)
    assert again.code == 3
    assert polled.run("records", "export", "--format", "json").out == before


def test_a_table_says_what_a_poll_did_and_notices_point_further(site: Site) -> None:
    result = site.run("poll")
    assert result.code == 3
    assert "gap" in result.out
    assert "notice: the source was silent 1 time; see 'db gaps'" in result.err
    assert "records list --held" in result.err


def test_a_poll_forgets_users_when_their_time_is_over(polled: Site) -> None:
    polled.run("push")
    connection = sqlite3.connect(polled.folder / "accounting.db")
    ended = connection.execute("SELECT count(*) FROM pods WHERE ended").fetchone()[0]
    connection.execute("UPDATE pods SET last_running_at = last_running_at - 2 * 86400 WHERE ended")
    held = "SELECT count(*) FROM pods WHERE ended AND user <> 'erased'"
    connection.commit()
    assert json.loads(polled.run("poll", "--json").out)["forgotten"] == 0
    first = polled.run("poll", VO__USER_RETENTION_DAYS="1")
    left = connection.execute(held).fetchone()[0]
    forgotten = ended - left
    assert forgotten > 10
    assert f"in {forgotten:,} pods" in first.out
    again = polled.run("poll", "--json", VO__USER_RETENTION_DAYS="1")
    assert json.loads(again.out)["forgotten"] == 0
    connection.close()


def test_users_whose_records_are_not_delivered_are_not_forgotten(polled: Site) -> None:
    connection = sqlite3.connect(polled.folder / "accounting.db")
    connection.execute("UPDATE pods SET last_running_at = last_running_at - 2 * 86400")
    connection.commit()
    polled.run("poll", VO__USER_RETENTION_DAYS="1")
    due = "held = '' AND uid NOT IN (SELECT uid FROM queued)"
    names = f"SELECT count(*), sum(user = 'erased') FROM records WHERE {due}"  # noqa: S608 - the test's own words
    count, erased = connection.execute(names).fetchone()
    connection.close()
    assert count > 20
    assert erased == 0


@contextmanager
def web_page() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><body>Please log in</body></html>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_prometheus_that_is_down_loses_nothing(polled: Site) -> None:
    before = polled.run("db", "status", "--json").out
    code, said = polled.fails("poll", PROMETHEUS__URL=f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "cannot be reached" in said
    assert "ACCOUNTING_PROMETHEUS__URL" in said
    assert polled.run("db", "status", "--json").out == before


def test_a_web_page_in_place_of_prometheus_loses_nothing(polled: Site) -> None:
    before = polled.run("db", "status", "--json").out
    with web_page() as url:
        code, said = polled.fails("poll", PROMETHEUS__URL=url)
    assert code == 1
    assert "a web page instead of the query API's JSON" in said
    assert polled.run("db", "status", "--json").out == before
