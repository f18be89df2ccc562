"""An outage as an operator lives through it on the pages, and the pages of those not let in."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import update
from structlog.testing import capture_logs

from accounting.lookup.entries import Delivery
from accounting.lookup.messages import Messages
from accounting.model.jobs import Ending, JobKind
from accounting.model.messages import MessageState
from accounting.model.records import Record
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.service.outcome import Outcome
from accounting.service.progress import Notice
from accounting.store.engine.database import Database
from accounting.store.records import Records
from accounting.store.tables import records
from ssm.testing.standin import AmsStandin
from tests.api.serving import ADMIN, Running
from tests.web import month
from tests.web.conftest import started
from tests.web.test_web_pages import look_at

REFRESH = '<meta http-equiv="refresh" content="2">'


@pytest.fixture
def outage(tmp_path: Path) -> Iterator[tuple[Running, AmsStandin]]:
    with started(tmp_path, month.NOW) as (running, broker):
        running.clock.now = max(time.time(), month.NOW)
        yield running, broker


def sign_in(page: Page, running: Running, path: str = "/deliveries") -> None:
    page.goto(f"{running.url}{path}")
    page.fill("input[name=token]", ADMIN)
    page.click("main button")


def push(page: Page, url: str) -> str:
    """Push, and wait for the end; what the page says."""
    page.goto(f"{url}/deliveries")
    page.click("text=Push now")
    expect(page.locator("h1")).not_to_contain_text("Under way")
    return page.inner_text("main")


def test_an_outage_is_seen_cured_and_over(outage: tuple[Running, AmsStandin], page: Page) -> None:
    running, broker = outage
    sign_in(page, running)
    expect(page.get_by_text("No messages yet")).to_be_visible()
    broker.fail(400)  # the first message is set aside …
    broker.fail(403)  # … and then nobody is let in
    assert "It failed" in push(page, running.url)
    look_at(page, "run-failed")
    page.get_by_role("link", name="Deliveries").last.click()
    expect(page.locator(".verdict .badge")).to_have_text("stopped")
    expect(page.locator(".verdict")).to_contain_text("GOCDB")
    expect(page.locator("tbody .badge.bad")).to_have_text("parked")
    look_at(page, "deliveries-stopped")
    page.goto(running.url)
    expect(page.locator("h1")).to_have_text("No: something needs to be repaired")
    look_at(page, "overview-stopped")
    page.goto(f"{running.url}/deliveries")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_contain_text("tries that destination again")
    expect(page.locator(".verdict .badge")).not_to_have_text("stopped")
    page.click("tbody button:text('Retry')")
    expect(page.get_by_role("status")).to_contain_text("The next push sends it")
    assert "Done" in push(page, running.url)
    look_at(page, "run-done")
    states = {entry.state for entry in Messages(running.service.database).page()}
    assert states == {MessageState.SENT}
    page.goto(f"{running.url}/records?delivery={Delivery.DUE}")
    expect(page.get_by_text("No records")).to_be_visible()
    page.goto(f"{running.url}/deliveries")
    look_at(page, "deliveries")


def test_a_poll_that_fails_says_why_and_what_to_do(
    outage: tuple[Running, AmsStandin], page: Page
) -> None:
    running, _broker = outage
    sign_in(page, running, "/")
    page.click("text=Poll now")
    expect(page.locator("h1")).to_have_text("It failed")
    expect(page.get_by_role("alert")).to_contain_text("Prometheus")
    page.goto(running.url)
    expect(page.locator("h1")).to_have_text("No: something needs to be repaired")


def test_an_action_without_the_page_s_token_is_refused(
    outage: tuple[Running, AmsStandin], page: Page
) -> None:
    running, _broker = outage
    sign_in(page, running)
    page.locator("input[name=csrf_token]").last.evaluate("field => field.value = 'forged'")
    page.click("text=Push now")
    expect(page.locator("h1")).to_have_text("This is not open to you")
    assert running.service.runs.latest() == []


def test_those_who_are_not_let_in_are_told_how_to_be(
    outage: tuple[Running, AmsStandin], page: Page
) -> None:
    running, _broker = outage
    answer = page.goto(f"{running.url}/usage?by=user")
    assert answer is not None
    assert answer.status == 401
    look_at(page, "sign-in")
    for _ in range(10):
        page.fill("input[name=token]", "wrong")
        page.click("main button")
        expect(page.get_by_role("alert")).to_contain_text("not one that this service knows")
    look_at(page, "sign-in-wrong")
    page.fill("input[name=token]", "wrong")
    page.click("main button")
    expect(page.locator("h1")).to_have_text("Too many tries")
    look_at(page, "too-many")
    sign_in(page, running, "/usage?by=user")
    expect(page).to_have_url(f"{running.url}/usage?by=user")
    page.goto(f"{running.url}/not/there")
    expect(page.locator("h1")).to_have_text("There is nothing here")
    look_at(page, "not-found")


def test_a_defect_is_a_page_that_tells_nothing_of_it(
    outage: tuple[Running, AmsStandin], page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, _broker = outage
    sign_in(page, running)

    def broken() -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(running.service.runs, "latest", broken)
    with capture_logs() as logs:
        answer = page.goto(f"{running.url}/deliveries")
    told = [str(entry["exc_info"]) for entry in logs if entry["event"].startswith("request failed")]
    assert told == ["a secret"]  # for debugging only
    assert answer is not None
    assert answer.status == 500
    assert "secret" not in page.content()
    look_at(page, "defect")


def due(running: Running) -> set[str]:
    """The uids of the records that the next push takes."""
    answer = running.get("/api/v1/records?delivery=due").json()
    return {record["uid"] for record in answer["records"]}


def corrected(database: Database, month: Month, vo: str, seconds: int) -> Record:
    """A record that says more than was delivered, as a later poll would write it."""
    one = next(r for r in Records(database).find() if r.month == month and r.vo.name == vo)
    longer = replace(one, wall_seconds=one.wall_seconds + seconds)
    with database.begin() as connection:
        connection.execute(
            update(records)
            .where(records.c.uid == one.uid, records.c.month == month.month)
            .values(wall_seconds=longer.wall_seconds, digest=apel.digest(longer))
        )
    return longer


def test_a_month_is_republished_once_its_differences_were_looked_at(
    outage: tuple[Running, AmsStandin], page: Page
) -> None:
    running, _broker = outage
    database = running.service.database
    sign_in(page, running)
    assert "Done" in push(page, running.url)
    one = corrected(database, Month(2026, 10), "physics", 1234)
    before = {entry.id for entry in Messages(database).page()}
    page.goto(f"{running.url}/deliveries")
    page.click("text=Republish a month")
    look_at(page, "republish")
    page.select_option("select[name=month]", "2026-10")
    page.fill("input[name=vo]", "physics")
    page.select_option("select[name=changed]", label="only what differs")
    page.click("text=Compare: a dry run")
    expect(page.locator("h1")).to_contain_text("Compared")
    expect(page.locator("main")).to_contain_text("October 2026, VO physics")
    expect(page.locator(".facts")).to_contain_text("+1,234 s")
    row = page.locator("tbody tr", has_text=one.uid[:8])
    expect(row).to_contain_text(f"WallDuration {one.wall_seconds - 1234} → {one.wall_seconds}")
    look_at(page, "republish-compared")
    assert due(running) == set(), "looking queues nothing"
    page.click("text=Queue 1 record")
    expect(page.get_by_role("status")).to_contain_text("1 record is queued")
    look_at(page, "republish-queued")
    assert due(running) == {one.uid}
    page.click("text=Push now")
    expect(page.locator("h1")).to_contain_text("Done")
    (sent,) = {entry.id for entry in Messages(database).page()} - before
    assert f"WallDuration: {one.wall_seconds}\n" in (Messages(database).body(sent) or "")


def test_a_month_that_nobody_compared_is_not_queued(
    outage: tuple[Running, AmsStandin], page: Page
) -> None:
    running, _broker = outage
    sign_in(page, running, "/deliveries/republish?month=November")
    page.click("text=Compare: a dry run")
    expect(page.locator(".wrong")).to_have_text("A month, for example 2026-11.")
    page.select_option("select[name=month]", "2026-10")
    page.fill("input[name=user]", "nobody-like-this")
    page.click("text=Compare: a dry run")
    expect(page.locator(".note")).to_have_text("There is nothing to send again.")
    page.goto(f"{running.url}/deliveries/republish")
    form = "form[action$='republish']"
    page.locator(form).evaluate("form => form.action += '/0123456789ab'")
    page.click("text=Compare: a dry run")
    expect(page.locator("h1")).to_have_text("Not now")
    page.goto(f"{running.url}/deliveries/republish")
    page.locator(f"{form} input[name=csrf_token]").evaluate("field => field.value = 'forged'")
    page.click("text=Compare: a dry run")
    expect(page.locator("h1")).to_have_text("This is not open to you")
    assert len(running.service.runs.latest()) == 1


def test_a_run_is_followed_until_it_has_ended(
    outage: tuple[Running, AmsStandin], page: Page
) -> None:
    running, _broker = outage
    sign_in(page, running)
    release = threading.Event()

    def job(notice: Notice) -> Outcome:
        notice({"built": 3, "sent": 2})
        release.wait(60)
        return Outcome(Ending.DONE, None)

    run = running.service.runs.start(JobKind.PUSH, job)
    page.goto(f"{running.url}/runs/{run.id}")
    expect(page.locator("h1")).to_contain_text("Under way for")
    expect(page.locator(".facts")).to_contain_text("Messages delivered")
    page.route("**/runs/*", hold_still)
    page.reload()
    look_at(page, "run-under-way")
    page.unroute("**/runs/*")
    page.reload()
    release.set()
    expect(page.locator("h1")).to_contain_text("Done")


FETCHED = {"site": "same-origin", "mode": "navigate", "dest": "document"}


def hold_still(route: Route) -> None:
    """The page without its reloading itself."""
    # Playwright asks by itself then, without what the browser would say of who asks.
    said = {f"sec-fetch-{name}": value for name, value in FETCHED.items()}
    answer = route.fetch(headers={**route.request.headers, **said})
    text = answer.text()
    assert REFRESH in text
    route.fulfill(response=answer, body=text.replace(REFRESH, ""))
