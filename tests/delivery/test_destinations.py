"""Several destinations, each by its name: commands, API, metrics, the doctor."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update

from accounting.config import load
from accounting.delivery import pusher
from accounting.delivery.differences import Chosen, Kind
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.summaries import Summaries
from accounting.delivery.recomputed import Recomputed
from accounting.doctor.database import outbox
from accounting.doctor.delivery import delivery
from accounting.doctor.finding import State
from accounting.errors import SettingsError
from accounting.model.messages import Limit
from accounting.store.engine.database import Database
from accounting.store.tables import records, revisions
from accounting.wiring.destinations import addresses, place_of
from tests import commands
from tests.api.serving import served
from tests.delivery.books import (
    NOVEMBER,
    Inbox,
    account,
    measured_whole,
    opened,
    ran_on,
    write,
)

NOW = NOVEMBER.end - 3600.0


@dataclass(frozen=True)
class Site:
    """Records go to the spool "first", a copy to "second", and sums to "third"."""

    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        others = {
            "copy": {"transport": "dirq", "dirq_path": str(self.folder / "second")},
            "sums": {
                "transport": "dirq",
                "dirq_path": str(self.folder / "third"),
                "records": "summary",
            },
        }
        return {
            "SITE_NAME": "EXAMPLE",
            "DATABASE_URL": f"sqlite:///{self.folder / 'accounting.db'}",
            "SSM__TRANSPORT": "dirq",
            "SSM__DIRQ_PATH": str(self.folder / "first"),
            "RECORD__CLOSE_AFTER": "100000d",
            "DESTINATIONS": json.dumps(others),
        }

    def run(self, *arguments: str) -> tuple[int, str, str]:
        named = {f"ACCOUNTING_{name}": value for name, value in self.settings.items()}
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **named}
        done = commands.run(*arguments, env=own, cwd=self.folder)
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str) -> list[dict[str, object]]:
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        found: list[dict[str, object]] = json.loads(out)
        return found

    def count(self, spool: str) -> int:
        return sum(1 for file in (self.folder / spool).rglob("*") if file.is_file())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    with opened(tmp_path) as database:
        measured_whole(database)
        write(database, [account(1), account(2)])
    return Site(tmp_path)


def test_commands_take_a_destination_by_its_name(site: Site) -> None:
    code, _, err = site.run("push", "--destination", "copy")
    assert (code, err) == (0, "")
    assert (site.count("first"), site.count("second"), site.count("third")) == (0, 1, 0)
    assert site.run("push")[0] == 0
    assert (site.count("first"), site.count("second"), site.count("third")) == (1, 1, 1)
    stands = site.json("outbox", "status")
    assert [(one["alias"], one["due"]) for one in stands] == [("apel", 0), ("copy", 0), ("sums", 0)]
    assert [one["name"] for one in stands] == [
        f"dirq://{site.folder}/first",
        f"dirq://{site.folder}/second",
        f"dirq://{site.folder}/third#summaries",
    ]
    for name, address in (("copy", stands[1]["name"]), ("sums", stands[2]["name"])):
        (message,) = site.json("outbox", "list", "--destination", name)
        assert message["destination"] == address
        assert site.json("outbox", "list", "--destination", str(address)) == [message]
    assert "copy" in site.run("outbox", "list")[1]
    assert site.run("outbox", "resume", "sums")[1].strip().endswith("from being tried")
    code, _, err = site.run("outbox", "list", "--destination", "nowhere")
    assert code == 2
    assert "they have apel, copy, sums" in err


def test_republish_queues_for_one_destination_only(site: Site) -> None:
    site.run("push")
    for name, count in (("copy", 2), ("sums", 2)):
        code, out, _ = site.run(
            "republish", "--month", "2026-11", "--destination", name, "--dry-run"
        )
        assert code == 0
        assert f"same │ {count}" in " ".join(out.split()) or str(count) in out
        code, out, _ = site.run("republish", "--month", "2026-11", "--destination", name)
        assert f"{count} records are queued" in out
        due = {one["alias"]: one["due"] for one in site.json("outbox", "status")}
        assert due == {"apel": 0, "copy": 0, "sums": 0} | {name: count}
        site.run("push")
    assert (site.count("first"), site.count("second"), site.count("third")) == (1, 2, 2)


def test_sums_of_what_was_delivered_are_of_the_destination_that_was_asked_for(site: Site) -> None:
    site.run("push", "--destination", "copy")
    lines = [
        site.json("records", "summary", "--destination", name)[0]["delivered"]
        for name in ("apel", "copy")
    ]
    assert [line["pods"] for line in lines] == [0, 2]  # type: ignore[index] # a mapping
    code, _, err = site.run("records", "summary", "--destination", "sums")
    assert code == 1
    assert "does not take records of single notebooks" in err


def test_what_waits_for_a_wrong_destination_is_given_to_one_that_takes_the_same(
    site: Site,
) -> None:
    with opened(site.folder) as database:
        Outbox(database).fill("dirq:///wrong", None, Limit(500), NOW)
    code, _, err = site.run("outbox", "readdress", "dirq:///wrong", "--destination", "sums")
    assert code == 1
    assert "cannot go to" in err
    code, out, _ = site.run("outbox", "readdress", "dirq:///wrong", "--destination", "copy")
    assert (code, "1 messages wait" in out) == (0, True)
    site.run("push")
    assert (site.count("first"), site.count("second")) == (1, 1)


def test_the_api_and_the_metrics_tell_of_each_destination(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(site.folder, monkeypatch, NOW, site.settings) as running:
        running.service.jobs.push(only="copy")
        stands = running.get("/api/v1/messages/destinations").json()["destinations"]
        assert [(one["alias"], one["due"]) for one in stands] == [
            ("apel", 2),
            ("copy", 0),
            ("sums", 2),
        ]
        shown = running.get("/metrics").text.splitlines()
        for line in (
            'due_records{destination="apel"} 2.0',
            'due_records{destination="copy"} 0.0',
            'due_records{destination="sums"} 2.0',
            'due_records{destination="elsewhere"} 0.0',
            'outbox_messages{destination="copy",state="sent"} 1.0',
            'outbox_messages{destination="apel",state="sent"} 0.0',
            'delivered_records_total{destination="copy"} 2.0',
            'stopped_destinations{destination="sums"} 0.0',
        ):
            assert f"notebooks_accounting_{line}" in shown
        (message,) = running.get("/api/v1/messages?destination=copy").json()["messages"]
        assert message["destination"] == stands[1]["name"]
        assert running.get("/api/v1/messages?destination=sums").json()["messages"] == []
        assert running.get("/api/v1/messages?destination=nowhere").status_code == 400
        assert running.post("/api/v1/push?destination=nowhere").status_code == 400
        run = running.post("/api/v1/push?destination=sums").json()
        ended = running.get(f"/api/v1/runs/{run['id']}?wait=20").json()
        assert ended["result"]["destination"] == stands[2]["name"]
        asked = "/api/v1/republish?month=2026-11&destination=sums&dry_run=false"
        run = running.post(asked).json()
        ended = running.get(f"/api/v1/runs/{run['id']}?wait=20").json()
        assert (ended["result"]["queued"], ended["result"]["counts"]["same"]) == (2, 2)
        status = running.get("/api/v1/status").json()["delivery"]
        assert {name: one["due"] for name, one in status["destinations"].items()} == {
            "apel": 2,
            "copy": 0,
            "sums": 2,
            "elsewhere": 0,
        }
        assert status["due"] == 4


def test_the_pages_tell_of_each_destination(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(site.folder, monkeypatch, NOW, site.settings) as running:
        running.service.jobs.push(only="copy")
        html = {"Accept": "text/html"}
        page = running.get("/deliveries", headers=html)
        assert page.status_code == 200
        for said in ('href="/deliveries?destination=copy"', ">2</data> due,", "to copy</span>"):
            assert said in page.text
        assert (
            "No message is like that"
            in running.get("/deliveries?destination=sums", headers=html).text
        )
        only = running.get("/deliveries?destination=copy&state=sent", headers=html).text
        assert "Messages to copy" in only
        assert 'href="/deliveries?destination=copy&amp;state=parked"' in only
        assert running.get("/deliveries?destination=nowhere", headers=html).status_code == 400


def test_the_doctor_names_the_destination(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in site.settings.items():
        monkeypatch.setenv(f"ACCOUNTING_{name}", value)
    (site.folder / "second").write_text("a file is no spool")
    found = {one.name: one.state for one in delivery(load(), NOW)}
    assert found == {
        "spool of apel": State.OK,
        "certificate of copy": State.FAILED,
        "spool of sums": State.OK,
    }
    (site.folder / "second").unlink()
    with opened(site.folder) as database:
        where = addresses(load())["copy"]

        def down() -> None:
            raise OSError

        pusher.Pusher(Outbox(database), Inbox(where, before=down)).push()
    (told,) = outbox(load())
    assert told.what.startswith("copy, dirq://")


def test_names_that_mean_something_else_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("apel", "elsewhere", "a/b", "", "x" * 64):
        monkeypatch.setenv("ACCOUNTING_DESTINATIONS", json.dumps({name: {"ams_topic": "other"}}))
        with pytest.raises(SettingsError):
            load()
    monkeypatch.setenv("ACCOUNTING_DESTINATIONS", json.dumps({"eosc-1": {"ams_topic": "other"}}))
    assert place_of(load(), "eosc-1").ssm.ams_topic == "other"


def test_differences_of_sums_are_told_with_the_figures(ledger: Database) -> None:
    measured_whole(ledger)
    write(ledger, [account(1), ran_on(account(2), 60, ended=True)])
    inbox = Inbox()
    pusher.Pusher(Outbox(ledger, Summaries()), inbox, now=lambda: NOW).push()
    receiver = Recomputed(ledger, "inbox://example.org#summaries", Summaries())
    chosen = Chosen(NOVEMBER, user="user-2@example.org")
    assert [one.kind for one in receiver.differences(chosen)] == [Kind.SAME]
    with ledger.begin() as connection:
        connection.execute(update(records).values(wall_seconds=records.c.wall_seconds + 100))
        connection.execute(update(revisions).values(revision=revisions.c.revision + 1))
    (one,) = receiver.differences(chosen)
    assert (one.kind, one.wall_seconds, one.cpu_seconds) == (Kind.CHANGED, 100, 0)
    assert set(one.changes) == {"WallDuration"}
    assert len(list(receiver.differences(Chosen(NOVEMBER, vo="vo.example.org")))) == 2
    assert list(receiver.differences(Chosen(NOVEMBER, vo="other"))) == []
    assert receiver.republish(Chosen(NOVEMBER, changed=True)) == 2
    assert pusher.Pusher(Outbox(ledger, Summaries()), inbox, now=lambda: NOW).push().records == 2
    assert [one.kind for one in receiver.differences(Chosen(NOVEMBER))] == [Kind.SAME] * 2
