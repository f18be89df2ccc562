"""``push``, ``republish`` and ``outbox``."""

import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ssm.testing.authority import Authority
from ssm.testing.standin import AmsStandin
from tests.cli.site import Site, held_records


def test_a_push_delivers_once_and_tells_what_is_held(polled: Site) -> None:
    held = held_records(polled)
    first = json.loads(polled.run("push", "--json").out)
    assert first["records"] > 20
    assert (first["sent"], first["pending"], first["error"]) == (first["built"], 0, None)
    assert sum(first["held"].values()) == len(held)
    second = polled.run("push", "--json")
    assert json.loads(second.out)["built"] == 0
    assert first["left_out"] == 0, "a spool gets names in ASCII"
    assert second.code == 0, "all that is left was told before"
    status = json.loads(polled.run("db", "status", "--json").out)
    assert status["messages"].pop("sent") == first["sent"]
    assert set(status["messages"].values()) == {0}


def test_who_looks_sees_how_far_a_push_has_come(polled: Site) -> None:
    seen = polled.seen("push")
    assert "pushing records" in seen
    assert "messages delivered" in seen
    shares = [int(share) for share in re.findall(r"(\d+)%", seen)]
    assert shares[-1] == 100


def test_sums_that_are_the_same_are_told_once(polled: Site) -> None:
    polled.run("push")
    assert "pods goes out" in polled.run("records", "summary").out
    connection = sqlite3.connect(polled.folder / "accounting.db")
    connection.execute("DELETE FROM records WHERE held <> ''")
    connection.commit()
    connection.close()
    said = polled.run("records", "summary")
    assert "pods measured" in said.out
    assert not {"goes out", "delivered"} & set(re.findall("goes out|delivered", said.out))
    assert "'goes out' and 'delivered': the same as 'measured'" in said.err


def test_a_month_is_delivered_republished_and_added_up(polled: Site) -> None:
    pushed = json.loads(polled.run("push", "--json").out)
    totals = json.loads(polled.run("records", "summary", "--json").out)
    assert sum(row["delivered"]["pods"] for row in totals) == pushed["records"]
    assert sum(row["pods"] for row in totals) == pushed["records"] + pushed["left_out"]
    month = totals[0]["month"]
    sent = sum(row["delivered"]["pods"] for row in totals if row["month"] == month)
    by_user = json.loads(
        polled.run("records", "summary", "--month", month, "--by", "user", "--json").out
    )
    pods = sum(row["pods"] for row in totals if row["month"] == month)
    assert sum(row["pods"] for row in by_user) == pods
    shown = polled.run("republish", "--month", month, "--dry-run")
    assert "nothing was queued" in shown.out
    assert json.loads(polled.run("push", "--json").out)["built"] == 0
    connection = sqlite3.connect(polled.folder / "accounting.db")
    connection.execute(
        "UPDATE delivered SET text = replace(text, 'CpuDuration: ', 'CpuDuration: 9'"
        "), digest = 'x' WHERE uid = (SELECT min(uid) FROM delivered)"
    )
    connection.commit()
    connection.close()
    assert json.loads(polled.run("records", "list", "--differing", "--json").out) == []
    told = json.loads(polled.run("republish", "--month", month, "--dry-run", "--json").out)
    assert told["counts"] == {"same": sent - 1, "changed": 1, "never sent": pods - sent}
    (difference,) = (one for one in told["differences"] if one["kind"] == "changed")
    assert difference["cpu_seconds"] < 0
    assert list(difference["changes"]) == ["CpuDuration"]
    assert "CpuDuration 9" in polled.run("republish", "--month", month, "--dry-run").out
    done = json.loads(polled.run("republish", "--month", month, "--json").out)
    assert done["queued"] == pods
    assert json.loads(polled.run("push", "--json").out)["records"] == sent
    again = json.loads(polled.run("republish", "--month", month, "--changed", "--json").out)
    assert (again["queued"], again["counts"]["changed"]) == (pods - sent, 0)
    connection = sqlite3.connect(polled.folder / "accounting.db")
    (one,) = connection.execute("SELECT min(uid) FROM delivered").fetchone()
    connection.execute("UPDATE records SET year = 2020, digest = 'y' WHERE uid = ?", [one])
    connection.execute("UPDATE queued SET year = 2020, final = true WHERE uid = ?", [one])
    connection.execute(
        "INSERT INTO revisions SELECT DISTINCT 2020, month, 1 FROM records WHERE uid = ?", [one]
    )
    connection.commit()
    connection.close()
    (late,) = json.loads(polled.run("records", "list", "--differing", "--json").out)
    assert late["month"].startswith("2020-")
    said_of_it = polled.run("records", "show", late["uid"]).err
    assert f"the record of {late['month']} differs from what was sent" in said_of_it
    assert "1 correction is waiting: closed months differ" in polled.run("records", "summary").err
    code, said = polled.fails("republish", "--month", "2001-01", "--dry-run")
    assert (code, "no record of 2001-01" in said) == (1, True)
    assert polled.run("republish").code == 2


def test_the_outbox_can_be_looked_at_and_handled(polled: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong_path = {"SSM__DIRQ_PATH": str(tmp_path / "file"), "SSM__RETRY_FIRST": "1h"}
    failed = polled.run("push", **wrong_path)
    assert failed.code == 1
    assert "notice: the next try is at" in failed.err
    destinations = json.loads(polled.run("outbox", "status", "--json").out)
    (wrong,) = (one for one in destinations if one["failure"])
    assert (wrong["messages"]["pending"], wrong["failure"]["kind"]) == (1, "unavailable")
    assert "cannot be written" in polled.run("outbox", "status").out
    assert polled.run("push", **wrong_path).code == 3
    assert polled.run("outbox", "park", "1").code == 0
    (parked,) = json.loads(polled.run("outbox", "list", "--state", "parked", "--json").out)
    assert (parked["id"], parked["failure"]["kind"]) == (1, "operator")
    assert "parked by the operator" in polled.run("outbox", "list").out
    assert polled.run("outbox", "retry", "1").code == 0
    (tmp_path / "beside").mkdir()
    elsewhere = polled.copied(tmp_path / "beside").run("push")
    assert elsewhere.code == 3
    assert "waiting for a destination that is not in the settings" in elsewhere.err
    moved = polled.run("outbox", "readdress", wrong["name"])
    assert "1 messages wait for dirq://" in moved.out
    assert json.loads(polled.run("push", "--json").out)["sent"] == 1
    shown = json.loads(polled.run("outbox", "show", "1", "--json").out)
    assert (shown["state"], len(shown["taken"])) == ("sent", shown["records"])
    assert "unchanged" in polled.run("outbox", "show", "1").out
    assert "nothing keeps" in polled.run("outbox", "resume").out
    for command in ("retry", "park", "withdraw"):
        code, said = polled.fails("outbox", command, "1")
        assert (code, "message 1 is sent" in said) == (1, True)
    assert polled.fails("outbox", "show", "9")[0] == 1
    assert polled.fails("outbox", "readdress", "nowhere")[0] == 1


def certificate(authority: Authority, fault: str) -> tuple[Path, Path]:
    begin = datetime.now(UTC) - timedelta(days=30)
    good = authority.issue("host.example.org")
    if fault == "expired":
        return authority.issue("host.example.org", not_before=begin, days=29)
    if fault == "wrong key":
        return good.cert, authority.issue("host.example.org").key
    return good.cert, authority.directory / "missing.key"


@pytest.mark.parametrize(
    ("fault", "said"),
    [("expired", "expired on"), ("wrong key", "key"), ("missing", "There is no host key")],
)
def test_a_bad_certificate_stops_the_push_and_the_next_one_delivers(
    fault: str, said: str, authority: Authority, polled: Site
) -> None:
    with AmsStandin(authority) as broker:
        ams = {
            "SSM__TRANSPORT": "ams",
            "SSM__AMS_HOST": broker.host,
            "SSM__AMS_PORT": str(broker.port),
            "SSM__AUTHN_PORT": str(broker.authn_port),
            "SSM__CA_FILE": str(authority.ca_file),
        }
        for files, code in ((certificate(authority, fault), 1), (authority.issue("h.org"), 3)):
            names = {"SSM__HOSTCERT": str(files[0]), "SSM__HOSTKEY": str(files[1])}
            if code == 1:
                failed, error = polled.fails("push", **ams, **names)
                assert failed == 1
                assert said in error
                waiting = json.loads(polled.run("db", "status", "--json").out)
                assert waiting["messages"]["pending"] == 1
            else:
                assert polled.run("push", **ams, **names).code == code
        assert len(broker.broker.log) == 1
