"""An outage as an operator lives through it on the pages, and the pages of those not let in."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from structlog.testing import capture_logs

from accounting.lookup.records import Delivery
from accounting.messages import Messages
from accounting.outbox import State
from ssm.standin import AmsStandin
from tests.api.serving import ADMIN, Running
from tests.web import month
from tests.web.conftest import started
from tests.web.test_web_pages import look_at


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
    expect(page.locator("tbody .badge.bad")).to_have_text("set aside")
    look_at(page, "deliveries-stopped")
    page.goto(running.url)
    expect(page.locator("h1")).to_have_text("No: something needs to be repaired")
    look_at(page, "overview-stopped")
    page.goto(f"{running.url}/deliveries")
    page.click("text=Resume: cured, try again")
    expect(page.get_by_role("status")).to_contain_text("tries that destination again")
    expect(page.locator(".verdict .badge")).not_to_have_text("stopped")
    page.click("tbody button:text('Retry')")
    expect(page.get_by_role("status")).to_contain_text("The next push sends it")
    assert "Done" in push(page, running.url)
    look_at(page, "run-done")
    states = {entry.state for entry in Messages(running.service.database).page()}
    assert states == {State.SENT}
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
    running.doors.throttle._failures.clear()
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
    assert [entry["event"] for entry in logs if entry.get("exc_info")] == [
        "request failed unexpectedly"
    ]
    assert answer is not None
    assert answer.status == 500
    assert "secret" not in page.content()
    look_at(page, "defect")
