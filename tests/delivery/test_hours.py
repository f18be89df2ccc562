"""Hours for EOSC: told once a day is over, corrected with the ids that the receiver gave."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from accounting.delivery.differences import Chosen, Kind
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.hours import Hours, figure_of, key_of, metric_of
from accounting.delivery.recomputed import Recomputed
from accounting.model.pods import Account, Owner
from accounting.model.time import Month
from accounting.records.daily import Figure, Metric, Metrics
from accounting.simulation.judges.eosc import Eosc, EoscStandin
from accounting.simulation.judges.standin import Fault, Trouble
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user
from accounting.store.tables import remote_ids
from tests.delivery.books import NOVEMBER, START, account, opened, ran_on, write
from tests.delivery.eosc import LARGE, METRICS, SMALL, Site

DAY, HOUR = 86400, 3600
FIRST = NOVEMBER.start // DAY
VO = "vo.example.org"


@contextmanager
def telling(database: Database) -> Iterator[Site]:
    eosc = Eosc()
    with EoscStandin(eosc) as standin:
        made = Site(database, eosc, standin)
        eosc.now = lambda: made.at
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened(tmp_path) as database, telling(database) as made:
        yield made


@pytest.fixture
def either(ledger: Database) -> Iterator[Site]:
    """On either kind of database."""
    with telling(ledger) as made:
        yield made


def notebook(number: int, flavor: str = "small", user: str = "u1") -> Account:
    """It runs from 01:00 to 02:00 of the month's first day, and goes on."""
    page = account(number)
    page.pod.owner = Owner(user, VO, flavor)
    return page


def poll(site: Site, pages: list[Account], until: int) -> None:
    write(site.database, pages)
    site.measured(until)


def hours(site: Site, user: str = "u1", definition: str = "small-hours") -> dict[int, float]:
    """Day of November → hours, at the receiver."""
    return {
        int(key[3][8:]): value
        for key, value in site.eosc.hours().items()
        if key[:3] == (definition, user, VO)
    }


def test_a_day_is_told_when_it_is_over_and_measured(either: Site) -> None:
    site = either
    page = ran_on(notebook(1), 24 * HOUR)  # until 02:00 of the second day
    poll(site, [page], NOVEMBER.start + DAY + HOUR - 1)
    assert site.push().built == 0
    site.measured(NOVEMBER.start + DAY + HOUR)
    assert site.push().is_complete
    assert hours(site) == {1: 23.0}
    site.measured(NOVEMBER.start + 2 * DAY + HOUR)  # nothing was written meanwhile
    assert site.push().is_complete
    assert hours(site) == {1: 23.0, 2: 2.0}
    assert site.push().built == 0
    assert site.asked("POST") == 2


def test_the_last_second_of_a_month_counts_on_its_own_day(either: Site) -> None:
    site = either
    page = notebook(1)
    ran_on(page, NOVEMBER.end - 1 - START - HOUR)
    ran_on(page, 1 + HOUR, ended=True)
    poll(site, [page], NOVEMBER.end + 3 * DAY)
    site.push()
    found = site.eosc.hours()
    assert found["small-hours", "u1", VO, "2026-11-30"] == 24.0
    assert found["small-hours", "u1", VO, "2026-12-01"] == 1.0
    assert sum(found.values()) == 30 * 24


def test_a_correction_is_a_patch_of_the_same_metric(site: Site) -> None:
    poll(site, [notebook(1)], NOVEMBER.start + 2 * DAY)
    site.push()
    (number,) = site.eosc.metrics
    poll(site, [ran_on(notebook(1), HOUR, ended=True)], NOVEMBER.start + 2 * DAY)
    site.push()
    assert hours(site) == {1: 2.0}
    assert list(site.eosc.metrics) == [number]
    assert (site.asked("POST"), site.asked("PATCH")) == (1, 1)
    with site.database.begin(reading=True) as connection:
        assert connection.execute(select(remote_ids.c.remote_id)).scalars().all() == [number]


def test_users_flavours_and_groups_stay_apart_and_what_is_no_more_is_told_as_nothing(
    site: Site,
) -> None:
    pages = [notebook(1), notebook(2), notebook(3, user="u2"), notebook(4, "large")]
    poll(site, pages, NOVEMBER.start + 2 * DAY)
    assert site.push().records == 3
    assert hours(site) == {1: 2.0}
    assert hours(site, "u2") == hours(site, definition="large-hours") == {1: 1.0}
    pages[2].pod.owner = Owner("u3", VO, "small")
    poll(site, pages, NOVEMBER.start + 2 * DAY)
    site.push()
    assert hours(site, "u2") == {1: 0.0}
    assert hours(site, "u3") == {1: 1.0}
    assert site.push().built == 0


def test_a_lost_answer_makes_no_second_metric(site: Site) -> None:
    pages = [notebook(n, user=f"u{n}") for n in range(3)]
    poll(site, pages, NOVEMBER.start + 2 * DAY)
    site.eosc.troubles.append(Trouble(Fault.LOSE_ANSWER, "POST"))
    assert site.push().error is not None
    assert len(site.eosc.metrics) == 1
    assert site.push().is_complete
    assert site.asked("POST") == len(site.eosc.metrics) == 3
    assert [hours(site, f"u{n}") for n in range(3)] == [{1: 1.0}] * 3


def test_what_was_told_of_a_message_is_not_told_again_when_it_goes_on(site: Site) -> None:
    pages = [notebook(n, user=f"u{n}") for n in range(3)]
    poll(site, pages, NOVEMBER.start + 2 * DAY)
    site.eosc.troubles.append(Trouble(200, "POST"))  # an answer that is not the API's
    site.push()
    site.eosc.troubles.append(Trouble(503, "GET"))
    site.push()
    assert site.push().is_complete
    assert len(site.eosc.metrics) == 3
    assert site.asked("PATCH") == 0


def test_what_another_tool_has_told_before_is_taken_over_and_doubles_go(site: Site) -> None:
    poll(site, [notebook(1)], NOVEMBER.start + 2 * DAY)
    told = metric_of(Figure(SMALL, "u1", VO, FIRST), 1800)
    for number in ("aa", "bb"):
        site.eosc.metrics[number] = told | {"metric_id": number}
    another = metric_of(Figure(SMALL, "u1", VO, FIRST + 1), 1800)
    site.eosc.metrics["cc"] = another | {"metric_id": "cc"}
    site.push()
    assert hours(site) == {1: 1.0, 2: 0.5}
    assert list(site.eosc.metrics) == ["aa", "cc"]
    assert site.asked("POST") == 0


def test_more_metrics_than_a_page_holds_are_all_read(site: Site) -> None:
    for n in range(250):
        told = metric_of(Figure(SMALL, f"u{n:03}", VO, FIRST), 60)
        site.eosc.metrics[f"{n:024x}"] = told | {"metric_id": f"{n:024x}"}
    poll(site, [notebook(1, user="u249")], NOVEMBER.start + 2 * DAY)
    site.push()
    assert hours(site, "u249") == {1: 1.0}
    assert (site.asked("GET"), site.asked("POST")) == (3, 0)


def test_a_metric_that_somebody_deleted_is_made_again(site: Site) -> None:
    poll(site, [notebook(1)], NOVEMBER.start + 2 * DAY)
    site.push()
    site.eosc.metrics.clear()
    poll(site, [ran_on(notebook(1), HOUR)], NOVEMBER.start + 2 * DAY)
    site.push()
    assert hours(site) == {1: 2.0}


def test_an_old_server_that_refuses_doubles_is_read_again(site: Site) -> None:
    site.eosc.has_index = True
    poll(site, [notebook(1)], NOVEMBER.start + 2 * DAY)
    site.eosc.troubles.append(Trouble(409, "POST"))
    report = site.push()
    assert report.parked == 1  # it says so, and has nothing
    outbox = Outbox(site.database, site.outlet)
    outbox.retry(1)
    assert site.push().is_complete
    assert hours(site) == {1: 1.0}


def test_a_figure_that_is_refused_does_not_keep_the_others_and_goes_when_it_is_cured(
    site: Site,
) -> None:
    site.metrics = Metrics({"small": SMALL, "large": Metric("site", "not-made-yet")})
    poll(site, [notebook(1), notebook(2, "large")], NOVEMBER.start + 2 * DAY)
    report = site.push()
    assert (report.parked, hours(site)) == (1, {1: 1.0})
    site.eosc.definitions = ("small-hours", "not-made-yet")
    Outbox(site.database, site.outlet).retry(1)
    assert site.push().is_complete
    assert hours(site, definition="not-made-yet") == {1: 1.0}
    assert (site.asked("PATCH"), len(site.eosc.metrics)) == (0, 2)


def test_a_token_is_renewed_when_it_is_refused_and_a_wrong_secret_stops_the_destination(
    site: Site,
) -> None:
    poll(site, [notebook(1), notebook(2, user="u2")], NOVEMBER.start + 2 * DAY)
    site.eosc.troubles.append(Trouble(401, "POST"))
    assert site.push().is_complete
    tokens = len(site.eosc.tokens)
    assert tokens == 2
    poll(site, [notebook(1, "large")], NOVEMBER.start + 2 * DAY)
    site.eosc.client = ("client", "another")
    error = site.push().error
    assert error is not None
    assert "gives no token: 401 invalid_client" in str(error)
    assert Outbox(site.database, site.outlet).stop_of(site.address) is not None


def test_a_token_that_is_never_good_is_tried_again_later(site: Site) -> None:
    poll(site, [notebook(1)], NOVEMBER.start + 2 * DAY)
    site.eosc.token_seconds = -1
    report = site.push()
    assert "refuses a fresh token" in str(report.error)
    assert (report.pending, report.parked) == (1, 0)


def test_without_the_role_to_read_nothing_is_made_and_the_destination_stops(site: Site) -> None:
    poll(site, [notebook(1)], NOVEMBER.start + 2 * DAY)
    site.eosc.roles = frozenset({"add"})
    assert "roles" in str(site.push().error)
    assert not site.eosc.metrics


def test_flavours_that_no_rule_knows_stay_here_and_what_was_told_of_them_stays_there(
    site: Site,
) -> None:
    pages = [notebook(1), notebook(2, "odd")]
    poll(site, pages, NOVEMBER.start + 2 * DAY)
    assert site.push().records == 1
    site.metrics = Metrics({"large": LARGE})  # by mistake
    poll(site, pages, NOVEMBER.start + 2 * DAY)
    assert site.push().built == 0
    assert hours(site) == {1: 1.0}
    site.metrics = Metrics({"small": SMALL, "odd": LARGE})
    poll(site, pages, NOVEMBER.start + 2 * DAY)
    assert site.push().records == 1
    assert hours(site, definition="large-hours") == {1: 1.0}


def test_a_flavour_that_moves_to_another_metric_is_never_counted_twice(site: Site) -> None:
    closed = NOVEMBER.end + 3 * DAY
    page = ran_on(notebook(1), 60, ended=True)
    poll(site, [page], closed)
    site.push()
    before = hours(site)
    site.metrics = Metrics({"small": LARGE, "other": SMALL})
    poll(site, [page], closed)
    assert site.push().built == 0  # the month is closed: both wait together
    assert hours(site) == before
    outbox = Outbox(site.database, site.outlet)
    assert outbox.differing_count(Month.of(closed - 2 * DAY), site.address) == 2
    receiver = Recomputed(site.database, site.address, site.outlet)
    assert receiver.republish(Chosen(NOVEMBER)) == 2
    site.policy = site.policy.__class__(records_per_message=1, at_once=True, settle_seconds=0)
    assert site.push().is_complete
    assert hours(site) == {1: 0.0}
    assert hours(site, definition="large-hours") == before
    assert outbox.differing_count(Month.of(closed - 2 * DAY), site.address) == 0


def test_a_correction_of_a_closed_month_waits_for_republish(site: Site) -> None:
    closed = NOVEMBER.end + 3 * DAY
    poll(site, [ran_on(notebook(1), 60, ended=True)], closed)
    site.push()
    poll(site, [ran_on(notebook(1), HOUR, ended=True)], closed)
    assert site.push().built == 0
    receiver = Recomputed(site.database, site.address, site.outlet)
    (found,) = receiver.differences(Chosen(NOVEMBER, user="u1", vo=VO))
    assert (found.kind, found.wall_seconds) == (Kind.CHANGED, HOUR - 60)
    receiver.republish(Chosen(NOVEMBER))
    assert site.push().records == 1
    assert hours(site) == {1: 2.0}


def test_an_erased_user_is_named_nowhere_and_what_was_told_stays(either: Site) -> None:
    site = either
    poll(site, [ran_on(notebook(1), 60, ended=True)], NOVEMBER.start + 2 * DAY)
    site.push()
    before = hours(site)
    erase_user(site.database, "u1")
    with site.database.begin(reading=True) as connection:
        for table in ("messages", "delivered", "queued", "remote_ids"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608 - ours
            assert '"u1"' not in str(rows)
    assert site.push().built == 0
    assert hours(site) == before


def test_a_user_whose_name_is_withheld_is_not_named(site: Site) -> None:
    page = notebook(1, user="")
    page.pod.owner_known = True
    poll(site, [page], NOVEMBER.start + 2 * DAY)
    site.push()
    (one,) = site.eosc.metrics.values()
    assert one["user_id"] == ""
    assert site.push().built == 0


def test_nothing_before_the_first_day_is_told(site: Site) -> None:
    poll(site, [ran_on(notebook(1), 48 * HOUR)], NOVEMBER.start + 4 * DAY)
    with site.database.begin(reading=True) as connection:
        outlet = Hours(METRICS, first_day=FIRST + 1)
        found = outlet.entries(connection, site.address, NOVEMBER)
    assert [json.loads(entry.text)["time_period_start"][:10] for entry in found] == [
        "2026-11-02",
        "2026-11-03",
    ]


def test_a_message_is_of_few_days_and_its_bytes_are_plain() -> None:
    figures = [Figure(SMALL, f"ü{n}", VO, FIRST + n % 3) for n in range(9)]
    assert sorted(figures, key=key_of) == sorted(figures, key=lambda one: (one.day, key_of(one)))
    for figure in figures:
        values = metric_of(figure, 90)
        assert figure_of(values) == figure
        assert set(values) == {
            "installation",
            "metric_definition_id",
            "time_period_start",
            "time_period_end",
            "value",
            "user_id",
            "group_id",
        }
        assert values["value"] == 0.025
    body = Hours(METRICS).body([json.dumps(metric_of(figures[0], 90))])
    assert body.isascii()
    assert len(Hours(METRICS).texts(body)) == 1
