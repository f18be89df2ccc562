"""One truth: pages, API and command line agree on what was measured, goes out, was delivered."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from accounting.cli import app
from accounting.delivery.receiver import Receiver
from accounting.lookup.sums import outgoing
from accounting.model.time import Month
from accounting.store import totals
from accounting.store.ledger import note_change
from accounting.store.tables import records
from accounting.wiring.places import FIRST
from accounting.wiring.pushers import pushers_of
from ssm.testing.standin import AmsStandin
from tests.api.serving import Running
from tests.web import month
from tests.web.conftest import started

MONTHS = [Month(2026, 9), Month(2026, 10), Month(2026, 11)]
FIGURES = ("pods", "wall_seconds", "cpu_seconds")
Sums = dict[tuple[str, ...], dict[str, tuple[int, ...]]]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Running, AmsStandin]]:
    with started(tmp_path, month.NOW) as (running, broker):
        yield running, broker


def push(running: Running) -> None:
    pusher = pushers_of(running.service.settings, running.service.database)[FIRST]
    pusher._now = lambda: running.clock.now
    pusher.push()


def change(running: Running, of: Month, vo: str, **values: object) -> None:
    """Records that say something else, as a later poll would write them."""
    with running.service.database.begin() as connection:
        c = records.c
        chosen = (c.vo == vo, c.year == of.year, c.month == of.month)
        uids = connection.scalars(select(c.uid).where(*chosen)).all()
        with totals.following(connection, [(of, uid) for uid in uids]):
            connection.execute(update(records).where(*chosen).values(**values))
        note_change(connection, [of])


def by_the_repository_s_rules(running: Running, by: str) -> Sums:
    """Added up record by record, as the repository does, from texts."""
    names = {"vo": ("VO",), "user": ("VO", "GlobalUserName")}[by]
    found: Sums = {}
    for of in MONTHS:
        for line in Receiver(running.service.database).summary(of, by):
            key = (str(of), *(line.group[name] for name in names))
            states = {"measured": line.measured, "goes_out": line.due, "delivered": line.delivered}
            found[key] = {
                state: tuple(asdict(usage)[name] for name in FIGURES)
                for state, usage in states.items()
            }
    return {key: states for key, states in found.items() if states["measured"][0]}


def of_the_api(running: Running, *by: str) -> Sums:
    question = "&".join(f"by={name}" for name in ("month", *by))
    rows = running.get(f"/api/v1/summaries?{question}").json()["rows"]
    return {
        tuple((row[name] or "None").replace("\n", "%0A") for name in ("month", *by)): {
            "measured": tuple(row[name] for name in FIGURES),
            "goes_out": tuple(row["goes_out"][name] for name in FIGURES),
            "delivered": tuple(row["delivered"][name] for name in FIGURES),
        }
        for row in rows
    }


def agree(running: Running) -> Sums:
    found = of_the_api(running, "vo")
    assert found == by_the_repository_s_rules(running, "vo")
    assert of_the_api(running, "vo", "user") == by_the_repository_s_rules(running, "user")
    return found


@pytest.mark.parametrize("few", [1000, 0], ids=["few differ", "many differ"])
def test_what_was_delivered_is_told_as_the_repository_adds_it_up(
    site: tuple[Running, AmsStandin], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "_FEW", few)
    running, broker = site
    before = agree(running)
    assert {sums["delivered"] for sums in before.values()} == {(0, 0, 0)}
    assert before["2026-11", "physics"]["measured"] > before["2026-11", "physics"]["goes_out"]
    broker.fail(400)  # one message is set aside
    push(running)
    some = agree(running)
    assert any((0, 0, 0) < sums["delivered"] < sums["goes_out"] for sums in some.values())
    running.post("/api/v1/messages/1/retry")
    push(running)
    after = agree(running)
    assert all(sums["delivered"] == sums["goes_out"] for sums in after.values())
    # a correction of a closed month waits, and changes what November adds to it
    more = {"wall_seconds": records.c.wall_seconds + 60, "digest": "corrected"}
    used = {"used_wall_seconds": records.c.used_wall_seconds + 60}
    change(running, Month(2026, 10), "biology", **more, **used)
    corrected = agree_on_delivered(running)
    biology = corrected["2026-10", "biology"]
    assert biology["delivered"][1] + 60 * biology["measured"][0] == biology["goes_out"][1]
    # what was delivered stays there, also if it is held back now
    change(running, Month(2026, 11), "climate", held="invalid", problem="made so")
    held = agree_on_delivered(running)["2026-11", "climate"]
    assert held["goes_out"] == (0, 0, 0)
    assert held["delivered"] == held["measured"]


def agree_on_delivered(running: Running) -> Sums:
    found, expected = of_the_api(running, "vo"), by_the_repository_s_rules(running, "vo")
    assert {key: sums["delivered"] for key, sums in found.items()} == {
        key: sums["delivered"] for key, sums in expected.items()
    }
    return found


def test_a_notebook_of_two_months_counts_once_where_months_are_taken_together(
    site: tuple[Running, AmsStandin],
) -> None:
    running, _broker = site
    push(running)
    (row,) = running.get("/api/v1/summaries?by=vo&vo=biology").json()["rows"]
    assert row["delivered"] == row["goes_out"] == {name: row[name] for name in FIGURES}


def test_the_command_line_and_csv_say_the_same(site: tuple[Running, AmsStandin]) -> None:
    running, _broker = site
    push(running)
    expected = of_the_api(running, "vo")
    done = CliRunner().invoke(app, ["records", "summary", "--json"])
    assert done.exit_code == 0
    for line in json.loads(done.stdout):
        sums = expected.get((line["month"], line["vo"]))
        told = {
            name: tuple(line[name][figure] for figure in FIGURES)
            for name in ("measured", "goes_out", "delivered")
        }
        assert told == sums
    text = CliRunner().invoke(app, ["records", "summary", "--month", "2026-11"]).output
    assert "pods measured" in text
    assert "pods goes out" in text
    rows = csv.DictReader(
        io.StringIO(running.get("/api/v1/summaries?by=month&by=vo&format=csv").text)
    )
    for row in rows:
        sums = expected[row["month"], row["vo"]]
        assert tuple(int(row[f"goes_out_{name}"]) for name in FIGURES) == sums["goes_out"]
        assert tuple(int(row[f"delivered_{name}"]) for name in FIGURES) == sums["delivered"]


def test_pages_show_the_three_beside_each_other(site: tuple[Running, AmsStandin]) -> None:
    running, _broker = site
    push(running)
    sums = of_the_api(running, "vo")["2026-11", "physics"]
    for path in ("/", "/usage", "/usage?vo=physics&first=2026-11"):
        page = running.get(path, headers={"Accept": "text/html"}).text
        for state in ("measured", "goes_out", "delivered"):
            assert f'value="{sums[state][1]}"' in page, (path, state)
        assert page.count("<dt>Goes out</dt>") == 1
        assert "Where less goes out to the accounting repository" in page
    calm = running.get("/usage?vo=biology", headers={"Accept": "text/html"}).text
    assert "All that was measured goes out, and was delivered" in calm
    assert 'class="beside"' not in calm
