"""What a page of a sibling host can do with cookies: it cannot fix or replace a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from accounting.guard.hub import STATE_COOKIE
from accounting.guard.sessions import COOKIE, Session
from accounting.guard.tokens import digest_of
from tests.api.serving import ADMIN, JOB, Running, Serve
from tests.security.front import finding, front

OWN, SIBLING = "https://accounting.example.org", "https://user.example.org"
TOSS = """
([name, value]) => {
  const before = ["", "__Host-", "__host-", "__Secure-", " __Host-"];
  for (const spelled of before.map(prefix => prefix + name))
    for (const more of ["", "; Secure"])
      for (const path of ["/", "/records", "/login"])
        document.cookie = `${spelled}=${value}; Domain=example.org; Path=${path}${more}`;
  document.cookie = `=__Host-${name}=${value}; Domain=example.org; Path=/; Secure`;
  document.cookie = `__Host-${name}=${value}; Path=/; Secure`;
}
"""


@pytest.fixture
def running(serve: Serve) -> Running:
    return serve()


@pytest.fixture
def visitors(running: Running, tmp_path: Path) -> Iterator[BrowserContext]:
    servers = {"accounting.example.org": running.url, "user.example.org": ""}
    with front(tmp_path, servers) as port, finding(port) as browser:
        yield browser.new_context(ignore_https_errors=True)


def signed_in(page: Page, token: str) -> None:
    page.goto(f"{OWN}/")
    page.fill("input[name=token]", token)
    page.click("main button")
    page.wait_for_selector("text=Sign out")


def tossed(visitors: BrowserContext, value: str) -> None:
    """A page of somebody's notebook, on a host beside, sets all cookies that it can."""
    page = visitors.new_page()
    page.goto(f"{SIBLING}/")
    for name in (COOKIE, STATE_COOKIE):
        page.evaluate(TOSS, [name, value])
    assert value in page.evaluate("document.cookie")  # the attack is real
    page.close()


def whose(page: Page) -> str:
    """Whom the service takes the browser for; empty: nobody."""
    answer = page.goto(f"{OWN}/api/v1/me")
    assert answer is not None
    return str(answer.json().get("name", ""))


def test_a_session_that_a_sibling_host_plants_signs_nobody_in(
    running: Running, visitors: BrowserContext
) -> None:
    planted = running.doors.sessions.open(Session("job", digest=digest_of(JOB.encode())))
    tossed(visitors, planted)
    page = visitors.new_page()
    assert whose(page) == ""
    signed_in(page, ADMIN)  # what was planted is in nobody's way, either
    assert whose(page) == "admin token"
    kept = {c["name"]: c for c in visitors.cookies(OWN) if not c["domain"].startswith(".")}
    assert kept.keys() == {f"__Host-{COOKIE}"}
    assert kept[f"__Host-{COOKIE}"]["secure"]
    assert kept[f"__Host-{COOKIE}"]["httpOnly"]


def test_a_session_that_is_there_is_neither_replaced_nor_ended(
    running: Running, visitors: BrowserContext
) -> None:
    page = visitors.new_page()
    signed_in(page, ADMIN)
    planted = running.doors.sessions.open(Session("job", digest=digest_of(JOB.encode())))
    for value in (planted, "x"):
        tossed(visitors, value)
        assert whose(page) == "admin token"
    page.goto(f"{OWN}/deliveries")  # its own token for actions counts as before
    page.click("text=Push now")
    page.wait_for_load_state()
    assert [run.kind for run in running.service.runs.latest()] == ["push"]
